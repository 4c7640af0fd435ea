"""The sample sheet as a table."""

from pathlib import Path

import numpy as np
import pandas as pd

from hemexp.columns import CENTER_ONSET
from hemexp.provenance import hash_value
from hemexp.sheet import read_center_onsets, read_rows


def read_sheet(
    path: Path | str,
    patient_id: str | None = None,
    *,
    need_training: bool = True,
    everyone: bool = False,
) -> pd.DataFrame:
    """The sample sheet as a table, one row a patient, indexed by `patient_id`; see `read_rows`.

    `center_onset_h` holds the median of the centre's onsets that the sheet knows or, where these
    are few, what the sheet states; NaN where it states nothing.
    """
    rows = read_rows(path, patient_id, need_training=need_training, everyone=everyone)
    sheet = pd.DataFrame(rows).set_index("patient_id", drop=False)
    stated = sheet.get(CENTER_ONSET, pd.Series(np.nan, sheet.index))
    known = sheet["center"].map(read_center_onsets(path)).astype(float)
    return sheet.assign(**{CENTER_ONSET: known.fillna(stated)})


def digest_rows(sheet: pd.DataFrame, columns: tuple[str, ...]) -> str:
    """Hash of some rows and columns, so that a rule reruns when just these change."""
    kept = sheet[list(columns)].astype(object)
    return hash_value(kept.where(kept.notna(), None).to_dict("list"))
