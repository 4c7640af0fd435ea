"""A CT given as DICOM: what its files say, their pixels, and where each slice lies."""
