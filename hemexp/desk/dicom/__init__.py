"""A patient's masks, maps and volumes as DICOM objects that refer to the series they came from."""
