"""Climatology of expansion maps: how often new blood lies at a distance from the old.

The map of a forecaster who knows where the bleed is and nothing else: what a map has to beat.
"""

import time
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp.evaluation.patient.new_blood import grid_files, read_new_blood
from hemexp.layout import Layout
from hemexp.provenance import write_sidecars
from hemexp.tables import read_table, write_table

EDGES_MM = (0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 15.0, 20.0, 25.0, 30.0, 40.0)
"""Bins of the distance to the baseline's blood, the last one open."""


def count_by_distance(
    distance_mm: NDArray, expansion: NDArray, brain: NDArray
) -> NDArray[np.float64]:
    """One patient's voxels outside the baseline's blood, and those with new blood, by distance.

    Args:
        distance_mm: To the baseline's blood.
        expansion: New blood, or its probability.
        brain: Voxels that count.

    Returns:
        Voxels and the sum of `expansion`, (bins, 2).
    """
    outside = brain & (distance_mm > 0)
    place = np.digitize(distance_mm[outside], EDGES_MM) - 1
    bins = len(EDGES_MM)
    new = np.bincount(place, weights=expansion[outside], minlength=bins)
    return np.stack([np.bincount(place, minlength=bins), new], axis=1)


def map_by_distance(distance_mm: NDArray, p_by_bin: NDArray) -> NDArray[np.float64]:
    """The climatology of expansion: probability by distance alone, 0 inside the blood."""
    place = np.digitize(distance_mm, EDGES_MM) - 1
    return np.where(distance_mm > 0, np.asarray(p_by_bin)[place], 0.0)


def run_fit_climatology(layout: Layout, patients: list[str]) -> None:
    """Writes how often training patients have new blood at a distance from the baseline's.

    The table's columns: from_mm, n_voxels, n_new, p (0 where no voxel was seen).

    Args:
        layout: Of the run.
        patients: Training patients.
    """
    started = time.perf_counter()
    counts = np.zeros((len(EDGES_MM), 2))
    for patient_id in patients:
        counts += count_by_distance(*read_new_blood(layout, patient_id))
    voxels, new = counts.astype(int).T
    table = pd.DataFrame({"from_mm": EDGES_MM, "n_voxels": voxels, "n_new": new})
    table["p"] = table["n_new"] / table["n_voxels"].clip(lower=1)
    write_table(layout.climatology, table)
    write_sidecars(
        [layout.climatology],
        verb="fit-climatology",
        settings={},
        inputs=[path for patient_id in patients for path in grid_files(layout, patient_id)],
        started=started,
        patients=len(patients),
    )


def read_climatology(path: Path) -> NDArray[np.float64]:
    """Probability of new blood by distance bin, from `run_fit_climatology`."""
    return read_table(path)["p"].to_numpy(dtype=np.float64)


def knows_anybody(path: Path) -> bool:
    """Whether the climatology has seen a patient; with released models there may be none."""
    return bool(read_table(path)["n_voxels"].sum())
