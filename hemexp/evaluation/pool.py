"""Pooled expansion maps: the drawn map and the climatology by distance, weighted.

Samples of one patient agree more on a place than its baseline foretells, so a drawn map is too
sure. A linear pool (Stone 1961, Ann Math Stat 32:1339) with a forecaster who knows the distance
alone takes that back, by as much as patients ask whom no model was trained on: those of `val`.
"""

import logging
import time
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp.evaluation.distance import map_by_distance, read_climatology
from hemexp.evaluation.images import bleed_band, blood_distance_mm
from hemexp.evaluation.map_files import pooled_file
from hemexp.evaluation.scans import read_maps, read_new_blood, read_scan, scan_files
from hemexp.evaluation.tidy import read_table, write_table
from hemexp.provenance import patient_file, write_sidecars
from hemexp.settings import Evaluation
from hemexp.volumes import write_volume

log = logging.getLogger(__name__)

POOLED = "hemexp_pooled"
"""The model's name in the tables."""

EXPANSION = "desc-expansion_probseg.nii.gz"
COLUMNS = ("patients", "weight", "brier_drawn", "brier_climatology", "brier_pooled", "note")
NOBODY = "no held-out patient: the map stays as drawn"


def pool(drawn: NDArray, climatology: NDArray, weight: float) -> NDArray[np.float64]:
    """The pooled map: `weight` of the drawn one, the rest of the climatology."""
    return weight * drawn + (1 - weight) * climatology


def pool_sums(
    drawn: NDArray, climatology: NDArray, happened: NDArray, region: NDArray
) -> tuple[float, float, float]:
    """One patient's means from which the Brier score of any pooled map follows.

    Args:
        drawn: Probability map of the samples.
        climatology: Probability by distance.
        happened: New blood, 0 or 1.
        region: Voxels that count; at least one.

    Returns:
        Means over the region of (drawn - climatology)^2, (drawn - climatology) (happened -
        climatology), and (happened - climatology)^2.
    """
    apart, missed = (
        (one[region].astype(np.float64) - climatology[region]) for one in (drawn, happened)
    )
    return tuple(float(np.mean(x)) for x in (apart**2, apart * missed, missed**2))


def fit_weight(sums: NDArray[np.float64]) -> float:
    """The weight of the drawn map with the least mean Brier score, in 0..1.

    Args:
        sums: `pool_sums` of n patients, (n, 3); each counts the same.

    Returns:
        1, the map as drawn, without patients or where the two maps are equal.
    """
    apart, product, _ = np.reshape(sums, (-1, 3)).sum(axis=0)
    return float(np.clip(product / apart, 0, 1)) if apart > 0 else 1.0


def mean_brier(sums: NDArray[np.float64], weight: float) -> float:
    """Mean Brier score of the pooled map of the patients of `fit_weight`."""
    return float((sums @ [weight**2, -2 * weight, 1]).mean())


def run_fit_pool(
    patients: list[str], samples: Path, preprocess: Path, out: Path, settings: Evaluation
) -> None:
    """Writes how much of a drawn expansion map held-out patients would keep.

    Args:
        patients: Those of `val`, with samples and a follow-up; may be none.
        samples: `results/samples`.
        preprocess: `results/preprocess`.
        out: `results/evaluation`, where `climatology.tsv` lies; `pool.tsv` is written there, one
            row: patients, weight, and mean Brier scores in the band round their bleeds (empty
            without patients), of the pooled map on the patients it was fitted on.
        settings: Width of the band.
    """
    started = time.perf_counter()
    p_by_bin, sums, files = read_climatology(out / "climatology.tsv"), [], []
    for patient_id in patients:
        distance_mm, happened, brain = read_new_blood(preprocess, patient_id)
        band = bleed_band(distance_mm, settings.band_mm) & brain
        files.append(patient_file(samples, patient_id, EXPANSION))
        for session in ("baseline", "followup"):
            files += scan_files(preprocess, patient_id, session)
        if not band.any():
            log.warning("patient %s: no brain round the bleed, left out of the pool", patient_id)
            continue
        drawn = read_maps(samples, patient_id).expansion
        sums.append(pool_sums(drawn, map_by_distance(distance_mm, p_by_bin), happened, band))
    found = np.reshape(sums, (-1, 3))
    weight = fit_weight(found)
    row = {"patients": len(found), "weight": weight, "note": "" if len(found) else NOBODY}
    if len(found):
        weights = {"brier_drawn": 1.0, "brier_climatology": 0.0, "brier_pooled": weight}
        row |= {name: mean_brier(found, w) for name, w in weights.items()}
    write_table(out / "pool.tsv", pd.DataFrame([row], columns=list(COLUMNS)))
    write_sidecars([out / "pool.tsv"], verb="fit-pool", settings=settings.as_json(),
                   inputs=[out / "climatology.tsv", *files], started=started)  # fmt: skip
    log.info("%d held-out patients: weight %.2f of the drawn map", len(found), weight)


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
    climatology = map_by_distance(distance_mm, read_climatology(climatology_file))
    drawn = read_maps(samples, patient_id).expansion
    weight = float(read_table(weight_file)["weight"].item())
    path = pooled_file(out, patient_id)
    pooled = np.where(brain, pool(drawn, climatology, weight), 0)
    write_volume(path, pooled, grid.affine, np.float32)
    inputs = [patient_file(samples, patient_id, EXPANSION), weight_file, climatology_file,
              *scan_files(preprocess, patient_id, "baseline")]  # fmt: skip
    write_sidecars([path], verb="pool-map", settings={}, inputs=inputs, started=started)
    return path
