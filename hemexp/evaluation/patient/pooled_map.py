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

from hemexp.evaluation.patient.distance_climatology import (
    count_by_distance,
    map_by_distance,
    read_climatology,
)
from hemexp.evaluation.patient.images import blood_distance_mm
from hemexp.evaluation.patient.inputs import read_maps, read_scan, scan_files
from hemexp.evaluation.patient.map_files import pooled_file
from hemexp.provenance import patient_file, write_sidecars
from hemexp.tables import read_table
from hemexp.volumes import write_volume

POOLED = "hemexp_pooled"
"""The model's name in the tables."""

EXPANSION = "desc-expansion_probseg.nii.gz"
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


def run_pool_map(patient_id: str, samples: Path, preprocess: Path, out: Path) -> Path:
    """Writes one patient's pooled expansion map; needs no follow-up.

    Args:
        patient_id: A patient with samples.
        samples: `results/samples`.
        preprocess: `results/preprocess`.
        out: `results/evaluation`, with `climatology.tsv` and `pool.tsv`.

    Returns:
        `out/sub-ID/sub-ID_desc-expansion_pooled-probseg.nii.gz`: 0 in the baseline's blood and
        outside its brain.
    """
    started = time.perf_counter()
    baseline, brain, grid = read_scan(preprocess, patient_id, "baseline")
    weight_file, climatology_file = out / "pool.tsv", out / "climatology.tsv"
    distance_mm = blood_distance_mm(baseline.iph | baseline.ivh, grid.spacing_mm)
    drawn = read_maps(samples, patient_id).expansion
    maps = forecast_maps(drawn, distance_mm, brain, read_climatology(climatology_file))
    path = pooled_file(out, patient_id)
    pooled = np.where(brain, pool(maps, read_weights(weight_file)), 0)
    write_volume(path, pooled, grid.affine, np.float32)
    inputs = [
        patient_file(samples, patient_id, EXPANSION),
        weight_file,
        climatology_file,
        *scan_files(preprocess, patient_id, "baseline"),
    ]
    write_sidecars([path], verb="pool-map", settings={}, inputs=inputs, started=started)
    return path
