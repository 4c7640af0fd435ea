"""Verb `fit-pool`: how much of each forecaster's map held-out patients would keep.

Patients of `val`, on whom no model was trained, say how much of each is to be believed.
"""

import logging
import time
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp.anatomy.blood import bleed_band
from hemexp.evaluation.patient.distance_climatology import knows_anybody, read_climatology
from hemexp.evaluation.patient.new_blood import grid_files, read_new_blood
from hemexp.evaluation.patient.pooled_map import FORECASTERS, forecast_maps
from hemexp.layout import Layout
from hemexp.provenance import write_sidecars
from hemexp.settings import Evaluation
from hemexp.tables import table_of, write_table
from hemexp.volumes import read_volume

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


def run_fit_pool(layout: Layout, patients: list[str], settings: Evaluation) -> None:
    """Writes how much of a drawn expansion map held-out patients would keep.

    Of the three maps and the pooled one: the weight, its SD, and the mean Brier score in the band
    round the bleeds of these very patients.

    Args:
        layout: Of the run.
        patients: Those of `val`, with samples and a follow-up; may be none.
        settings: Width of the band.
    """
    started = time.perf_counter()
    p_by_bin, found, files = read_climatology(layout.climatology), [], []
    for patient_id in patients:
        distance_mm, happened, brain = read_new_blood(layout, patient_id)
        band = bleed_band(distance_mm, settings.band_mm) & brain
        map_file = layout.sample_map(patient_id, "expansion")
        files += [map_file, *grid_files(layout, patient_id)]
        if not band.any():
            log.warning("patient %s: no brain round the bleed, left out of the pool", patient_id)
            continue
        drawn = read_volume(map_file).data
        found.append(products(forecast_maps(drawn, distance_mm, brain, p_by_bin), happened, band))
    seen = np.reshape(found, (-1, 4, 4))
    known = knows_anybody(layout.climatology)
    weights = fit_weights(seen, known)
    write_table(layout.pool, _tabulate(seen, weights, note(len(seen), known)))
    write_sidecars(
        [layout.pool],
        verb="fit-pool",
        settings=settings.as_json(),
        inputs=[layout.climatology, *files],
        started=started,
    )
    shares = zip(weights.mean, FORECASTERS, strict=True)
    words = ", ".join(f"{weight:.2f} {name}" for weight, name in shares)
    log.info("%d held-out patients: %s", len(seen), words)


def note(patients: int, climatology: bool) -> str:
    """What made the weights something else than these patients' answer; empty where nothing."""
    reasons = []
    if not climatology:
        reasons.append("no training patients: the climatology knows nothing")
    if patients < LEAST_PATIENTS:
        weights = "equal weights" if climatology else "equal weights of the other two"
        reasons.append(f"fewer than {LEAST_PATIENTS} held-out patients: {weights}")
    return "; ".join(reasons)


def _tabulate(patients: NDArray[np.float64], weights: Weights, why: str) -> pd.DataFrame:
    parts = zip(
        [*FORECASTERS, "pooled"],
        [*np.eye(3), weights.mean],
        [*weights.mean, 1.0],
        [*weights.sd, 0.0],
        strict=True,
    )
    rows = [
        {"map": name, "weight": weight, "weight_sd": sd, "patients": len(patients), "note": why}
        | ({"brier": mean_brier(patients, used)} if len(patients) else {})
        for name, used, weight, sd in parts
    ]
    return table_of(rows, COLUMNS)
