"""Patients as the models of growth see them: sheet, native volumes, image features."""

from pathlib import Path

import pandas as pd

from hemexp.outcomes import read_volumes
from hemexp.provenance import patient_file, write_atomically, write_sidecars

FEATURES = "features.tsv"


def patient_files(
    samples: pd.DataFrame, preprocess: Path, expansion: Path, *, follow_up: bool = False
) -> list[Path]:
    """The files behind `read_patients`."""
    sessions = ("baseline", "followup") if follow_up else ("baseline",)
    return [
        path
        for patient_id in samples.index
        for path in (
            patient_file(expansion, patient_id, FEATURES),
            *(
                patient_file(preprocess, patient_id, f"ses-{s}_space-native_volumes.tsv")
                for s in sessions
            ),
        )
    ]


def read_patients(
    samples: pd.DataFrame, preprocess: Path, expansion: Path, *, follow_up: bool = False
) -> pd.DataFrame:
    """Rows of the sheet joined with native volumes and image features; follow-ups if asked for."""
    sessions = ("baseline", "followup") if follow_up else ("baseline",)
    files = [patient_file(expansion, patient_id, FEATURES) for patient_id in samples.index]
    read = [pd.read_csv(path, sep="\t", dtype={"patient_id": str}) for path in files]
    features = pd.concat(read).set_index("patient_id") if read else pd.DataFrame()
    # A sheet's own column of a feature's name is not what the models were told of.
    known = samples.drop(columns=features.columns, errors="ignore")
    return known.join(read_volumes(preprocess, samples, sessions)).join(features)


def write_tables(tables: dict[Path, pd.DataFrame], **record: object) -> None:
    """Writes tables with their sidecars."""
    for path, table in tables.items():
        with write_atomically(path) as temporary:
            table.to_csv(
                temporary, sep="\t", index=False, float_format="%.6f", lineterminator="\n"
            )
    write_sidecars(tables, **record)
