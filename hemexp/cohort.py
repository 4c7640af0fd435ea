"""The sample sheet as a table."""

from pathlib import Path

import pandas as pd

from hemexp.provenance import hash_value
from hemexp.sheet import read_rows


def read_sheet(
    path: Path | str,
    patient_id: str | None = None,
    *,
    need_training: bool = True,
    everyone: bool = False,
) -> pd.DataFrame:
    """The sample sheet as a table, one row a patient, indexed by `patient_id`; see `read_rows`."""
    rows = read_rows(path, patient_id, need_training=need_training, everyone=everyone)
    return pd.DataFrame(rows).set_index("patient_id", drop=False)


def digest_rows(sheet: pd.DataFrame, columns: tuple[str, ...]) -> str:
    """Hash of some rows and columns, so that a rule reruns when just these change."""
    kept = sheet[list(columns)].astype(object)
    return hash_value(kept.where(kept.notna(), None).to_dict("list"))
