"""Patients as the models of growth see them: sheet, native volumes, image features."""

from pathlib import Path

import pandas as pd

from hemexp.columns import SESSIONS
from hemexp.layout import Layout
from hemexp.outcomes import read_volumes
from hemexp.provenance import write_atomically, write_sidecars


def _sessions(follow_up: bool) -> tuple[str, ...]:
    return SESSIONS if follow_up else SESSIONS[:1]


def patient_files(
    layout: Layout, patients: pd.DataFrame, *, follow_up: bool = False
) -> list[Path]:
    """The files behind `read_patients`."""
    files = []
    for patient_id in patients.index:
        files.append(layout.features(patient_id))
        files += [layout.native(patient_id, s).volumes for s in _sessions(follow_up)]
    return files


def read_patients(
    layout: Layout, patients: pd.DataFrame, *, follow_up: bool = False
) -> pd.DataFrame:
    """Rows of the sheet joined with native volumes and image features; follow-ups if asked for."""
    files = [layout.features(patient_id) for patient_id in patients.index]
    read = [pd.read_csv(path, sep="\t", dtype={"patient_id": str}) for path in files]
    features = pd.concat(read).set_index("patient_id") if read else pd.DataFrame()
    # A sheet's own column of a feature's name is not what the models learned from.
    known = patients.drop(columns=features.columns, errors="ignore")
    return known.join(read_volumes(layout, patients, _sessions(follow_up))).join(features)


def save_tables(tables: dict[Path, pd.DataFrame], **record: object) -> None:
    """Writes tables with their sidecars."""
    for path, table in tables.items():
        with write_atomically(path) as temporary:
            table.to_csv(
                temporary, sep="\t", index=False, float_format="%.6f", lineterminator="\n"
            )
    write_sidecars(tables, **record)
