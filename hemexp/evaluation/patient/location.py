"""In which part of the brain a patient's bleed lies, as a row of a table."""

import pandas as pd

from hemexp.anatomy.location import bleed_location
from hemexp.grid_scan import GridScan
from hemexp.tables import table_of

COLUMNS = ("patient_id", "location", "note")


def locate_bleed(patient_id: str, baseline: GridScan) -> pd.DataFrame:
    """One row; a bleed smaller than the voxels of the grid has no location there."""
    found = bleed_location(baseline.iph, baseline.brain, baseline.ct.spacing_mm)
    note = "" if found else "no IPH on the grid"
    return table_of([{"patient_id": patient_id, "location": found, "note": note}], COLUMNS)
