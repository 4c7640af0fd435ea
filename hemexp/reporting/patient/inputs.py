"""Reads what the page of one patient is made from."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hemexp.anatomy.ventricles import Ventricles
from hemexp.columns import BASELINE, FOLLOWUP
from hemexp.layout import is_phantom
from hemexp.mask_error import MaskDoubt, doubt_files, read_doubt
from hemexp.outcomes import has_session
from hemexp.reporting.patient.facts import Baseline
from hemexp.reporting.reader import Reader


@dataclass(frozen=True)
class Patient:
    """One patient as the page knows it.

    Attributes:
        patient_id: Of the sheet.
        center: Of the sheet; empty where nobody named it.
        split: Of the sheet.
        phantom: Whether it is a synthetic patient.
        baseline: Volumes of the first scan.
        happened: Volumes of the true follow-up; None where there is none.
        answers: What the models of growth say (`Layout.patient_answers`).
        volumes: A row a drawn follow-up, with `ventricle_change_ml` of those kept; None where none
            was drawn.
        doubt: Of the baseline's IPH mask.
        registration: How the follow-up was laid on the baseline; None without one.
        warnings: What is doubtful about the baseline scan; empty where nothing is.
        notes: What was mended or resampled.
    """

    patient_id: str
    center: str
    split: str
    phantom: bool
    baseline: Baseline
    happened: Baseline | None
    answers: dict[str, Any]
    volumes: pd.DataFrame | None
    doubt: MaskDoubt
    registration: pd.Series | None
    warnings: str
    notes: str


def read_patient(reader: Reader, row: pd.Series, seen: tuple[str, str]) -> Patient:
    """Reads what is known of a patient.

    Args:
        reader: Of the run.
        row: The patient's row of the sheet.
        seen: What is doubtful about the baseline scan, and what is to be noted.
    """
    layout, name = reader.layout, str(row["patient_id"])
    reader.seen.extend([layout.patient_answers(name), *doubt_files(layout, name, BASELINE)])
    followed = has_session(row["split"], FOLLOWUP)
    return Patient(
        patient_id=name,
        center=str(row.get("center", "")),
        split=str(row["split"]),
        phantom=is_phantom(str(row.get("baseline_ct", ""))),
        baseline=_volumes(reader, name, BASELINE),
        happened=_volumes(reader, name, FOLLOWUP) if followed else None,
        answers=json.loads(layout.patient_answers(name).read_text(encoding="utf-8")),
        volumes=_samples(reader, name),
        doubt=read_doubt(layout, name, BASELINE),
        registration=reader.table(layout.pair(name).qc).iloc[0] if followed else None,
        warnings=seen[0],
        notes=seen[1],
    )


def _volumes(reader: Reader, patient_id: str, session: str) -> Baseline:
    row = reader.table(reader.layout.native(patient_id, session).volumes).iloc[0]
    return Baseline(float(row["iph_ml"]), float(row["ivh_ml"]))


def _samples(reader: Reader, patient_id: str) -> pd.DataFrame | None:
    """`volumes.tsv` with how the ventricles changed in every drawn follow-up that was kept."""
    layout = reader.layout
    if not layout.find(layout.sample(patient_id, "*").labels):
        return None
    table = reader.table(layout.sample_volumes(patient_id))
    ventricles = Ventricles(reader.scan(patient_id, BASELINE))
    changes = [
        _ventricle_change(reader, patient_id, row.sample, ventricles) if row.kept else np.nan
        for row in table.itertuples()
    ]
    return table.assign(ventricle_change_ml=changes)


def _ventricle_change(reader: Reader, patient_id: str, k: int, ventricles: Ventricles) -> float:
    files = reader.layout.sample(patient_id, k)
    ct_hu, labels = reader.image(files.ct), reader.image(files.labels)
    return ventricles.change_ml(ct_hu, labels > 0) if ventricles.mask.any() else np.nan
