"""Verb `collect-truth`: what the phantom knows of all its patients, as one table."""

import json
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from hemexp.columns import SESSIONS
from hemexp.layout import Layout
from hemexp.provenance import write_atomically, write_sidecars
from hemexp.settings import Phantom

PATIENT_SCALARS = ("p_expansion", "growth_mean_ml", "baseline_iph_ml", "growth_ml", "expanded")
SCAN_SCALARS = (
    *("brain_ml", "iph_ml", "ivh_ml", "ventricle_ml"),
    *("midline_shift_mm", "midline_largest_mm"),
)


def truth_row(truth: dict[str, Any]) -> dict[str, Any]:
    """Flattens a patient's truth to one row of `truth.tsv`."""
    row = {"patient_id": truth["patient_id"], "center": truth["center"]}
    row |= {name: truth[name] for name in PATIENT_SCALARS}
    parts_ml = enumerate(truth["growth_parts_ml"], start=1)
    row |= {f"growth_part{number:03d}_ml": mean_ml for number, mean_ml in parts_ml}
    for session in SESSIONS:
        row |= {f"{session}_{name}": truth[session][name] for name in SCAN_SCALARS}
    row |= {"rotation_deg": truth["rotation_deg"], "translation_mm": truth["translation_mm"]}
    motion = np.array(truth["baseline_to_followup"])[:3]
    return row | {f"motion_{i}{j}": motion[i, j] for i in range(3) for j in range(4)}


def run_collect_truth(layout: Layout, patient_ids: Iterable[str], settings: Phantom) -> None:
    """Writes `truth.tsv`, for evaluation alone: one row a patient.

    Columns: patient_id, center, p_expansion (the true probability of HE), growth_mean_ml, the
    volumes and the growth that was drawn, growth_part001_ml to growth_part200_ml (see
    `model.GROWTH_PARTS`), per session the volumes of brain, IPH, IVH and ventricles and the mean
    and largest midline shift, and the head motion (motion_ij: rows of the 3 x 4 matrix from a
    baseline to a follow-up scanner point, RAS mm).

    Args:
        layout: Of the run.
        patient_ids: Whose truth to gather.
        settings: The phantom's settings.
    """
    started = time.perf_counter()
    files = [layout.truth(patient_id) for patient_id in patient_ids]
    rows = [truth_row(json.loads(path.read_text(encoding="utf-8"))) for path in files]
    with write_atomically(layout.truths) as temporary:
        pd.DataFrame(rows).to_csv(temporary, sep="\t", index=False)
    write_sidecars(
        [layout.truths],
        verb="collect-truth",
        settings=settings.as_json(),
        inputs=files,
        started=started,
        seed=settings.seed,
    )
