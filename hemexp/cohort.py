"""The cohort as tables: the checked sheet, who was excluded, and what was measured."""

import math
from pathlib import Path

import pandas as pd

from hemexp.provenance import hash_value, patient_file
from hemexp.sheet import SESSIONS, read_rows


def read_samples(
    path: Path | str, patient_id: str | None = None, *, need_training: bool = True
) -> pd.DataFrame:
    """The sample sheet as a table, one row a patient, indexed by `patient_id`; see `read_rows`."""
    rows = read_rows(path, patient_id, need_training=need_training)
    return pd.DataFrame(rows).set_index("patient_id", drop=False)


def read_excluded(path: Path | str) -> list[str]:
    """Patients whom `preprocess` excluded: `patient_id` of `excluded.tsv`; none without it."""
    if not Path(path).exists():
        return []
    return pd.read_csv(path, sep="\t", dtype=str)["patient_id"].tolist()


def read_volumes(
    folder: Path | str, samples: pd.DataFrame, sessions: tuple[str, ...] = SESSIONS
) -> pd.DataFrame:
    """Native volumes of the given patients, as `preprocess` measured them.

    Args:
        folder: `results/preprocess`.
        samples: Rows of the sheet.
        sessions: Which scans to look at; a forecast must not look at the follow-up.

    Returns:
        `baseline_iph_ml`, `baseline_ivh_ml`, `followup_iph_ml`, `followup_ivh_ml`, indexed by
        patient_id; follow-up values are NaN where not looked at and for `predict` patients.
    """
    rows: dict[str, dict[str, float]] = {}
    for patient_id, split in samples["split"].items():
        rows[patient_id] = {
            f"{s}_{mask}_ml": math.nan for s in SESSIONS for mask in ("iph", "ivh")
        }
        for session in sessions:
            if split == "predict" and session == "followup":
                continue
            path = patient_file(folder, patient_id, f"ses-{session}_space-native_volumes.tsv")
            measured = pd.read_csv(path, sep="\t").iloc[0]
            for mask in ("iph", "ivh"):
                rows[patient_id][f"{session}_{mask}_ml"] = float(measured[f"{mask}_ml"])
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("patient_id")


def digest_rows(samples: pd.DataFrame, columns: tuple[str, ...]) -> str:
    """Hash of some rows and columns, so that a rule reruns when just these change."""
    kept = samples[list(columns)].astype(object)
    return hash_value(kept.where(kept.notna(), None).to_dict("list"))
