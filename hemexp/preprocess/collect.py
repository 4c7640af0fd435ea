"""What all scans of a cohort measured: quality control, and what became of each bleed."""

import time
from pathlib import Path

import pandas as pd

from hemexp.cohort import SESSIONS, expansion_outcomes, patient_file, read_samples, read_volumes
from hemexp.preprocess.rows import read_row
from hemexp.provenance import write_sidecars, write_text
from hemexp.settings import QualityLimits

REGISTRATION = ("rotation_deg", "translation_mm", "registration_metric")
QC = (
    "patient_id", "session", "iph_ml", "ivh_ml", "iph_grid_ml", "ivh_grid_ml", "brain_ml",
    *REGISTRATION, "status", "reason",
)  # fmt: skip
OUTCOMES = (
    "patient_id", "center", "split", "baseline_iph_ml", "baseline_ivh_ml", "followup_iph_ml",
    "followup_ivh_ml", "growth_ml", "ivh_growth_ml", "he", "he_6ml", "rhe",
)  # fmt: skip

SMALL_ML = 5.0
"""Below this the grid's error is judged in mL, as a part of this: few voxels, much chance."""


def scan_warnings(
    row: pd.Series, other_brain_ml: float | None, limits: QualityLimits
) -> list[str]:
    """What is doubtful about one scan, in words.

    Args:
        row: The scan's measures, named as in `qc.tsv`; registration NaN for the reference.
        other_brain_ml: Brain volume of the patient's other scan, None if there is none.
        limits: Outside these a scan is doubtful.
    """
    found = []
    low, high = limits.brain_ml
    brain_ml = row["brain_ml"]
    if not low <= brain_ml <= high:
        found.append(f"brain {brain_ml:.0f} mL outside {low:g}-{high:g} mL")
    if other_brain_ml and abs(brain_ml / other_brain_ml - 1) > limits.brain_change:
        found.append(f"brain {brain_ml:.0f} mL but {other_brain_ml:.0f} mL in the other scan")
    if row["rotation_deg"] > limits.rotation_deg:
        found.append(f"turned by {row['rotation_deg']:.1f} deg (limit {limits.rotation_deg:g})")
    if row["translation_mm"] > limits.translation_mm:
        found.append(f"moved by {row['translation_mm']:.1f} mm (limit {limits.translation_mm:g})")
    for blood in ("iph", "ivh"):
        native_ml, grid_ml = row[f"{blood}_ml"], row[f"{blood}_grid_ml"]
        if abs(grid_ml - native_ml) > limits.grid_volume_error * max(native_ml, SMALL_ML):
            found.append(f"{blood.upper()} {native_ml:.2f} mL is {grid_ml:.2f} mL on the grid")
    return found


def run_collect_qc(
    samples: Path | str,
    folder: Path | str,
    qc: Path | str,
    outcomes: Path | str,
    settings: QualityLimits,
    reference: str,
) -> None:
    """Gathers the one-row tables of every scan into `qc.tsv` and `outcomes.tsv`.

    Args:
        samples: The sample sheet.
        folder: `results/preprocess`, where the one-row tables lie.
        qc: Table to write, one row a scan.
        outcomes: Table to write, one row a patient: native volumes, growth and expansion.
        settings: Limits beyond which a scan is marked.
        reference: The session that others are registered to (`preprocess.reference`).

    Raises:
        HemexpError: The sheet is faulty, or a scan's table is missing.
    """
    started = time.perf_counter()
    sheet = read_samples(samples)
    inputs: list[Path] = [Path(samples)]
    rows = []
    for _, patient in sheet.iterrows():
        found = _read_scans(patient, Path(folder), reference, inputs)
        for row, other in zip(found, reversed(found), strict=True):
            other_ml = other["brain_ml"] if len(found) == 2 else None
            warnings = scan_warnings(row, other_ml, settings)
            row["status"], row["reason"] = "warning" if warnings else "ok", "; ".join(warnings)
        rows += found
    scans = pd.DataFrame(rows)
    volumes = sheet[["patient_id", "center", "split"]].join(read_volumes(folder, sheet))
    for path, table, columns in (
        (qc, scans, QC), (outcomes, expansion_outcomes(volumes), OUTCOMES),
    ):  # fmt: skip
        text = table[list(columns)].to_csv(sep="\t", index=False, float_format="%.6g")
        write_text(path, text)
    write_sidecars([qc, outcomes], verb="collect-qc", settings=settings.as_json(), inputs=inputs,
                   started=started)  # fmt: skip


def _read_scans(
    patient: pd.Series, folder: Path, reference: str, inputs: list[Path]
) -> list[pd.Series]:
    """The measures of one patient's scans; appends the files read to `inputs`."""
    patient_id = patient["patient_id"]
    sessions = [session for session in SESSIONS if patient[f"{session}_ct"]]

    def read(ending: str) -> dict:
        inputs.append(patient_file(folder, patient_id, ending))
        return read_row(inputs[-1], patient_id).to_dict()

    rows = []
    for session in sessions:
        row = dict.fromkeys(REGISTRATION, float("nan"))
        row |= read(f"ses-{session}_space-native_volumes.tsv")
        row |= read(f"ses-{session}_space-grid_volumes.tsv")
        if len(sessions) == 2 and session != reference:
            row |= read("desc-registration_qc.tsv")
        rows.append(pd.Series(row, dtype=object))
    return rows
