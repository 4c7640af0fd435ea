"""Verb `pool-map`: three forecasters' expansion maps of one patient, pooled.

Samples of one patient agree more on a place than its baseline foretells, so a drawn map is too
sure. A linear pool (Stone 1961, Ann Math Stat 32:1339) with forecasters who know less takes that
back: one keeps the patient's samples but forgets their directions, one forgets the patient too.
`fit_pool` says how much of each is to be believed.
"""

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hemexp.anatomy.blood import blood_distance_mm
from hemexp.evaluation.patient.distance_climatology import (
    count_by_distance,
    map_by_distance,
    read_climatology,
)
from hemexp.grid_scan import read_grid_scan
from hemexp.layout import Layout
from hemexp.provenance import write_sidecars
from hemexp.tables import read_table
from hemexp.volumes import read_volume, write_volume

POOLED = "hemexp_pooled"
"""The model's name in the tables."""

FORECASTERS = ("drawn", "isotropic", "climatology")


def forecast_maps(
    drawn: NDArray, distance_mm: NDArray, brain: NDArray, p_by_bin: NDArray
) -> NDArray[np.float64]:
    """The three forecasters' maps of one patient, (3, x, y, z), in the order of `FORECASTERS`.

    Args:
        drawn: Share of samples with new blood.
        distance_mm: Of every voxel to the baseline's blood.
        brain: Voxels in the brain.
        p_by_bin: The climatology by distance.

    Returns:
        The drawn map; its mean over voxels equally far from the blood; the climatology.
    """
    voxels, expected = count_by_distance(distance_mm, drawn, brain).T
    isotropic = map_by_distance(distance_mm, expected / voxels.clip(min=1))
    return np.stack([drawn, isotropic, map_by_distance(distance_mm, p_by_bin)])


def pool(maps: NDArray, weights: NDArray) -> NDArray[np.float64]:
    """The pooled map (x, y, z) of maps (3, x, y, z)."""
    return np.tensordot(weights, maps, axes=1)


def read_weights(path: Path) -> NDArray[np.float64]:
    """The weights (3,) of `pool.tsv`."""
    return read_table(path).set_index("map").loc[[*FORECASTERS], "weight"].to_numpy(np.float64)


def run_pool_map(layout: Layout, patient_id: str) -> None:
    """Writes one patient's pooled expansion map: 0 in the baseline's blood and outside its brain.

    Args:
        layout: Of the run; climatology and weights were fitted before.
        patient_id: A patient with samples; needs no follow-up.
    """
    started = time.perf_counter()
    baseline = read_grid_scan(layout, patient_id, "baseline")
    distance_mm = blood_distance_mm(baseline.blood, baseline.ct.spacing_mm)
    map_file, path = layout.sample_map(patient_id, "expansion"), layout.pooled_map(patient_id)
    p_by_bin = read_climatology(layout.climatology)
    maps = forecast_maps(read_volume(map_file).data, distance_mm, baseline.brain, p_by_bin)
    pooled = np.where(baseline.brain, pool(maps, read_weights(layout.pool)), 0)
    write_volume(path, pooled, baseline.ct.affine, np.float32)
    inputs = [
        map_file,
        layout.pool,
        layout.climatology,
        *layout.grid(patient_id, "baseline").images,
    ]
    write_sidecars([path], verb="pool-map", settings={}, inputs=inputs, started=started)
