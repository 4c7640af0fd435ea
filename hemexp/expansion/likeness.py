"""Whom the models of growth learned from, as numbers of nobody, and how a patient compares."""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp.columns import CLINICAL
from hemexp.expansion.model import Linear, tuples
from hemexp.expansion.predictors import predictors

RECORDED = "training"
"""Key of `model.json` that holds a `Cohort`."""

COLUMNS = (
    *CLINICAL,
    "baseline_iph_ml",
    "baseline_ivh_ml",
    "sphericity",
    "irregularity",
    "hu_mean",
    "hu_sd",
    "hu_skew",
    "dark_share",
    "dark_hu",
    "dark_spots",
    "ventricle_mm",
)
"""What the predictors are made from, as people know it."""


OLDEST_TOLD_YEARS = 90.0
"""A record calls nobody older: ages above 89 may tell who somebody is (HIPAA, 45 CFR
164.514(b)(2)(i)(C))."""

BEYOND = 0.1
"""A value lies beyond a range from so much of its width on: of many measures, one is always a
little outside that of few patients. A choice."""


@dataclass(frozen=True)
class Cohort:
    """Training patients without any of them.

    Attributes:
        patients: How many.
        expanders: How many of them had HE.
        phantoms: How many of them were synthetic.
        ranges: By column of `COLUMNS`: `known` (patients), `lowest`, `median`, `highest`; the last
            three are None where it is unknown for all. Ages end at `OLDEST_TOLD_YEARS`.
        scale: Mean and SD of the predictors that vary; its weights are 0.
        covariance: Of these predictors, standardised, (n, n), shrunk.
        distances: Of training patients, each by the others' `scale` and `covariance`, sorted;
            empty where they are too few.
    """

    patients: int
    expanders: int
    phantoms: int
    ranges: dict[str, dict[str, float | None]]
    scale: Linear
    covariance: tuple[tuple[float, ...], ...]
    distances: tuple[float, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain numbers, for the model file."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Self:
        """Inverse of `as_json`."""
        parts = {
            "scale": Linear(**tuples(record["scale"])),
            "covariance": tuple(map(tuple, record["covariance"])),
            "distances": tuple(record["distances"]),
        }
        return cls(**(record | parts))


class Likeness(NamedTuple):
    """How far a patient lies from the middle of the training patients.

    Attributes:
        distance: See `distances`; about 1 for most.
        share_nearer: Share (0-1) of training patients who lie nearer to the middle of the others.
        measures: How many predictors are known of the patient.
    """

    distance: float
    share_nearer: float
    measures: int


def distances(scaled: NDArray[np.float64], covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mahalanobis distances from the mean over what is known, per root of the number of it.

    Args:
        scaled: (n, predictors), standardised, NaN where unknown.
        covariance: (predictors, predictors).

    Returns:
        (n,); NaN where nothing is known.
    """
    found = np.full(len(scaled), np.nan)
    for n, row in enumerate(scaled):
        known = ~np.isnan(row)
        if known.any():
            inside = np.linalg.solve(covariance[np.ix_(known, known)], row[known])
            found[n] = np.sqrt(row[known] @ inside / known.sum())
    return found


def standardise(scale: Linear, table: pd.DataFrame) -> NDArray[np.float64]:
    """Predictors (n, names) to zero mean, unit SD; NaN stays where one is unknown."""
    return (predictors(table, scale.names) - np.array(scale.mean)) / np.array(scale.sd)


def place(cohort: Cohort, patient: pd.DataFrame) -> Likeness | None:
    """How a patient compares with the training patients.

    Args:
        cohort: The training patients.
        patient: One row as `read_patients` gives it.

    Returns:
        None where training patients are too few to tell.
    """
    if not cohort.distances:
        return None
    scaled = standardise(cohort.scale, patient)
    distance = float(distances(scaled, np.array(cohort.covariance))[0])
    nearer = float(np.mean(np.array(cohort.distances) < distance))
    return Likeness(distance, nearer, int(np.count_nonzero(~np.isnan(scaled))))


def beyond(cohort: Cohort, values: dict[str, float | None]) -> list[str]:
    """Which values of a patient lie clearly beyond all training patients.

    Args:
        cohort: The training patients.
        values: By column of `COLUMNS`; None where unknown.
    """
    found = []
    for name, value in values.items():
        known = cohort.ranges[name]
        if value is None or known["lowest"] is None:
            continue
        told = min(value, OLDEST_TOLD_YEARS) if name == "age" else value
        margin = BEYOND * (known["highest"] - known["lowest"])
        if not known["lowest"] - margin <= told <= known["highest"] + margin:
            found.append(name)
    return found
