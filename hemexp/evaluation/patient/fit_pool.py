"""Verb `fit-pool`: how much of each forecaster's map held-out patients would keep.

Patients of `val`, on whom no model was trained, say how much of each is to be believed.
"""

import logging
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp.evaluation.patient.distance_climatology import knows_anybody, read_climatology
from hemexp.evaluation.patient.images import bleed_band
from hemexp.evaluation.patient.inputs import read_maps, read_new_blood, scan_files
from hemexp.evaluation.patient.pooled_map import EXPANSION, FORECASTERS, forecast_maps
from hemexp.provenance import patient_file, write_sidecars
from hemexp.settings import Evaluation
from hemexp.tables import table_of, write_table

log = logging.getLogger(__name__)

COLUMNS = ("map", "weight", "weight_sd", "brier", "patients", "note")
LEAST_PATIENTS = 3
"""Two free weights leave no error to see with fewer."""

LATTICE = 50
"""Steps of a weight between 0 and 1."""


class Weights(NamedTuple):
    """Weights of the three forecasters and how sure they are, (3,) each."""

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]


def products(maps: NDArray, happened: NDArray, region: NDArray) -> NDArray[np.float64]:
    """One patient's mean products, from which the Brier score of any pooled map follows.

    Args:
        maps: The forecasters', (3, x, y, z).
        happened: New blood, 0 or 1.
        region: Voxels that count; at least one.

    Returns:
        (4, 4): means over the region of the products of the three forecasts and the outcome.
    """
    values = np.stack([*maps, happened])[:, region].astype(np.float64)
    return values @ values.T / values.shape[1]


def mean_brier(patients: NDArray[np.float64], weights: NDArray) -> float:
    """Mean Brier score of the pooled map of patients with these `products`, (n, 4, 4)."""
    error = np.array([*weights, -1.0])
    return float((error @ patients @ error).mean())


def fit_weights(patients: NDArray[np.float64], climatology: bool = True) -> Weights:
    """What patients say of the weights, where any weights that add up to 1 are as likely before.

    The best weights for one patient say little of the next, so the posterior mean is taken, not
    the least Brier score: the derivative of the patients' summed Brier score is normal round 0 at
    the weights that are best for all, with the spread between patients (sandwich estimator, White
    1982, Econometrica 50:1). Few patients leave the weights near equal.

    Args:
        patients: `products` of n patients, (n, 4, 4); each counts the same.
        climatology: Whether that forecaster knows anything; if not its weight is 0.

    Returns:
        Equal weights for fewer than `LEAST_PATIENTS`.
    """
    steps = np.arange(LATTICE + 1)
    drawn, isotropic = (one.ravel() for one in np.meshgrid(steps, steps))
    lattice = np.stack([drawn, isotropic, LATTICE - drawn - isotropic], axis=1) / LATTICE
    lattice = lattice[lattice[:, 2] >= 0 if climatology else lattice[:, 2] == 0]
    likelihood = np.ones(len(lattice))
    if len(patients) >= LEAST_PATIENTS:
        likelihood = np.exp(-_distance(patients, lattice[:, :2]) / 2)
    p = likelihood / likelihood.sum()
    mean = p @ lattice
    return Weights(mean, np.sqrt(p @ (lattice - mean) ** 2))


def _distance(patients: NDArray[np.float64], weights: NDArray) -> NDArray[np.float64]:
    """Squared Mahalanobis distance from 0 of the derivative at weights (m, 2), least 0."""
    # The weights add up to 1: everything is counted from the climatology.
    apart = np.eye(4)[[0, 1, 3]] - np.eye(4)[2]
    moments = apart @ patients @ apart.T
    curvature, pull = moments[:, :2, :2], moments[:, :2, 2]
    best = np.linalg.lstsq(curvature.sum(axis=0), pull.sum(axis=0), rcond=None)[0]
    missed = pull - curvature @ best
    spread = missed.T @ missed * len(patients) / (len(patients) - 2)
    derivative = pull.sum(axis=0) - weights @ curvature.sum(axis=0)
    # What no patient tells apart, such as maps that are the same, weighs nothing.
    certain = np.linalg.pinv(spread, rcond=1e-9, hermitian=True)
    found = np.einsum("mi,ij,mj->m", derivative, certain, derivative)
    return found - found.min()


def run_fit_pool(
    patients: list[str], samples: Path, preprocess: Path, out: Path, settings: Evaluation
) -> None:
    """Writes how much of a drawn expansion map held-out patients would keep.

    Args:
        patients: Those of `val`, with samples and a follow-up; may be none.
        samples: `results/samples`.
        preprocess: `results/preprocess`.
        out: `results/evaluation`, where `climatology.tsv` lies; `pool.tsv` is written there: of
            the three maps and the pooled one the weight, its SD, and the mean Brier score in the
            band round the bleeds of these very patients.
        settings: Width of the band.
    """
    started = time.perf_counter()
    p_by_bin, found, files = read_climatology(out / "climatology.tsv"), [], []
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
        found.append(products(forecast_maps(drawn, distance_mm, brain, p_by_bin), happened, band))
    seen = np.reshape(found, (-1, 4, 4))
    known = knows_anybody(out / "climatology.tsv")
    weights = fit_weights(seen, known)
    write_table(out / "pool.tsv", _tabulate(seen, weights, note(len(seen), known)))
    write_sidecars(
        [out / "pool.tsv"],
        verb="fit-pool",
        settings=settings.as_json(),
        inputs=[out / "climatology.tsv", *files],
        started=started,
    )
    told = ", ".join(f"{w:.2f} {name}" for w, name in zip(weights.mean, FORECASTERS, strict=True))
    log.info("%d held-out patients: %s", len(seen), told)


def note(patients: int, climatology: bool) -> str:
    """What made the weights something else than these patients' answer; empty where nothing."""
    reasons = []
    if not climatology:
        reasons.append("no training patients: the climatology knows nothing")
    if patients < LEAST_PATIENTS:
        weights = "equal weights" if climatology else "equal weights of the other two"
        reasons.append(f"fewer than {LEAST_PATIENTS} held-out patients: {weights}")
    return "; ".join(reasons)


def _tabulate(patients: NDArray[np.float64], weights: Weights, told: str) -> pd.DataFrame:
    parts = zip(
        [*FORECASTERS, "pooled"],
        [*np.eye(3), weights.mean],
        [*weights.mean, 1.0],
        [*weights.sd, 0.0],
        strict=True,
    )
    rows = [
        {"map": name, "weight": weight, "weight_sd": sd, "patients": len(patients), "note": told}
        | ({"brier": mean_brier(patients, used)} if len(patients) else {})
        for name, used, weight, sd in parts
    ]
    return table_of(rows, COLUMNS)
