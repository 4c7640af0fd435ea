"""Patients as the models of growth see them: sheet, native volumes, image features."""

from pathlib import Path

import pandas as pd

from hemexp.columns import SESSIONS
from hemexp.layout import Layout
from hemexp.mask_error import doubt_files, growth_error_ml, label_certainty, read_mask_errors
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
        for session in _sessions(follow_up):
            files.append(layout.native(patient_id, session).volumes)
            files += doubt_files(layout, patient_id, session)
    return list(dict.fromkeys(files))


def read_patients(
    layout: Layout, patients: pd.DataFrame, *, follow_up: bool = False
) -> pd.DataFrame:
    """Rows of the sheet joined with native volumes, their expected errors, and image features.

    Follow-ups if asked for; then with `label_certainty`, how sure it is that HE is told rightly.
    """
    files = [layout.features(patient_id) for patient_id in patients.index]
    read = [pd.read_csv(path, sep="\t", dtype={"patient_id": str}) for path in files]
    features = pd.concat(read).set_index("patient_id") if read else pd.DataFrame()
    # A sheet's own column of a feature's name is not what the models learned from.
    known = patients.drop(columns=features.columns, errors="ignore")
    sessions = _sessions(follow_up)
    masks = read_mask_errors(layout, patients, sessions)
    table = known.join(read_volumes(layout, patients, sessions)).join(masks).join(features)
    if follow_up:
        growth_ml = table["followup_iph_ml"] - table["baseline_iph_ml"]
        table["label_certainty"] = label_certainty(
            growth_ml, table["baseline_iph_ml"], growth_error_ml(masks)
        )
    return table


def save_tables(tables: dict[Path, pd.DataFrame], **record: object) -> None:
    """Writes tables with their sidecars."""
    for path, table in tables.items():
        with write_atomically(path) as temporary:
            table.to_csv(
                temporary, sep="\t", index=False, float_format="%.6f", lineterminator="\n"
            )
    write_sidecars(tables, **record)
