"""Verb `score-what-if`: how far redrawn what-ifs move volumes and maps, beside the truth."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp.layout import Layout
from hemexp.provenance import write_sidecars
from hemexp.statistics.scores import Score
from hemexp.tables import cells, read_table, table_of, write_table
from hemexp.volumes import read_volume
from hemexp.what_if_cases import AS_IS, CASES

MAP_SCORES = ("map_correlation", "map_error_ml", "map_moved_ml")
QUANTITIES = ("iph_growth_ml", "ivh_growth_ml", "p_expansion", "map_ml")
COLUMNS = (
    "patient_id",
    "case",
    "value",
    "changed_to",
    *(f"{name}{part}" for name in QUANTITIES for part in ("", "_shift", "_true_shift")),
    *MAP_SCORES,
    "note",
)
NO_TRUTH = Score(None, "no true shift: not a phantom patient")
UNKNOWN = "unknown as is"


def compare_maps(
    drawn: NDArray[np.floating], true: NDArray[np.floating], voxel_ml: float
) -> dict[str, Score]:
    """A drawn difference of two expansion maps against the true one.

    Args:
        drawn: (x, y, z) map with the value changed minus map as is.
        true: The same of the phantom.
        voxel_ml: Volume of a voxel.

    Returns:
        `map_correlation` (Pearson) over the voxels that either moves; `map_error_ml`, the sum of
        absolute differences; `map_moved_ml`, what that would be of a map that does not move.
    """
    moved = (drawn != 0) | (true != 0)
    correlation = Score(None, "no correlation: one of the maps moves nowhere or alike everywhere")
    if moved.any() and np.ptp(drawn[moved]) > 0 and np.ptp(true[moved]) > 0:
        correlation = Score(float(np.corrcoef(drawn[moved], true[moved])[0, 1]))
    return {
        "map_correlation": correlation,
        "map_error_ml": Score(float(np.abs(drawn - true).sum()) * voxel_ml),
        "map_moved_ml": Score(float(np.abs(true).sum()) * voxel_ml),
    }


def shifts(drawn: pd.DataFrame, true: pd.DataFrame | None, case: str) -> dict[str, Score | float]:
    """What a case changes, and what it truly changes.

    Args:
        drawn: The patient's `what_if.tsv`, indexed by case.
        true: Its `what_if_truth.tsv`, likewise; None for a real patient.
        case: One of `CASES`.
    """
    found: dict[str, Score | float] = {}
    for name in QUANTITIES:
        found[name] = float(drawn.at[AS_IS, name])
        found[f"{name}_shift"] = float(drawn.at[case, name] - drawn.at[AS_IS, name])
        known = NO_TRUTH if true is None else Score(true.at[case, name] - true.at[AS_IS, name])
        found[f"{name}_true_shift"] = known
    return found


def score_patient(layout: Layout, patient_id: str) -> tuple[list[dict[str, Any]], list[Path]]:
    """Rows of one patient, one a case, and the files they were made from."""
    files = [layout.what_if(patient_id)]
    drawn, true = _by_case(files[0]), None
    if layout.true_what_if(patient_id).exists():
        files.append(layout.true_what_if(patient_id))
        true = _by_case(files[1])
    rows = []
    for case, column in CASES.items():
        value = drawn.at[AS_IS, column]
        head = {"patient_id": patient_id, "case": case, "changed_to": drawn.at[case, column]}
        scores = {"value": Score(None, UNKNOWN) if np.isnan(value) else value}
        maps = [layout.sample_map(patient_id, "expansion"), layout.what_if_map(patient_id, case)]
        scores |= shifts(drawn, true, case)
        if true is None:
            scores |= dict.fromkeys(MAP_SCORES, NO_TRUTH)
        else:
            maps += [layout.true_what_if_map(patient_id, one) for one in (AS_IS, case)]
            images = [read_volume(path) for path in maps]
            as_is, changed, true_as_is, true_changed = (image.data for image in images)
            moved = changed - as_is, true_changed - true_as_is
            scores |= compare_maps(*moved, images[0].voxel_ml)
        rows.append(head | cells(**scores))
        files += maps
    return rows, files


def _by_case(path: Path) -> pd.DataFrame:
    return read_table(path).set_index("case")


def run_score_what_if(layout: Layout, patient_ids: Iterable[str]) -> None:
    """Writes `evaluation/what_if_images.tsv`, a row a patient and case; columns `COLUMNS`.

    Args:
        layout: Of the run; the what-ifs of the patients have been redrawn.
        patient_ids: Who; there may be none.
    """
    started, rows, files = time.perf_counter(), [], []
    for patient_id in patient_ids:
        own, read = score_patient(layout, patient_id)
        rows += own
        files += read
    table = layout.evaluation("what_if_images")
    write_table(table, table_of(rows, COLUMNS))
    write_sidecars(
        [table],
        verb="score-what-if",
        settings={},
        inputs=list(dict.fromkeys(files)),
        started=started,
    )
