"""Describes the training patients: ranges of what is known, and how far they lie apart."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf

from hemexp.expansion.fit import scale
from hemexp.expansion.likeness import COLUMNS, OLDEST_TOLD_YEARS, Cohort, distances, standardise
from hemexp.expansion.model import Linear
from hemexp.expansion.predictors import FOUR, IMAGE, predictors
from hemexp.layout import is_phantom

LEAST_PATIENTS = 10
"""Fewer say no more than that a patient is not one of them: a choice."""


def describe_training(table: pd.DataFrame) -> Cohort:
    """What a later patient can be held against, without a row of anybody.

    Args:
        table: Training patients as `read_patients` gives them, with `he` (0/1).
    """
    scans = table.get("baseline_ct", pd.Series("", index=table.index))
    told = table.assign(age=table["age"].clip(upper=OLDEST_TOLD_YEARS))
    bare, covariance = _fit(table)
    return Cohort(
        patients=len(table),
        expanders=int(table["he"].sum()),
        phantoms=sum(map(is_phantom, scans)),
        ranges={name: _range(told[name].to_numpy(dtype=float)) for name in COLUMNS},
        scale=bare,
        covariance=tuple(map(tuple, covariance.tolist())),
        distances=tuple(np.sort(_left_out(table)).tolist()),
    )


def _range(values: NDArray[np.float64]) -> dict[str, float | None]:
    known = values[~np.isnan(values)]
    ends = {"lowest": np.min, "median": np.median, "highest": np.max}
    found = {name: float(end(known)) if known.size else None for name, end in ends.items()}
    return {"known": int(known.size), **found}


def _fit(table: pd.DataFrame) -> tuple[Linear, NDArray[np.float64]]:
    """Mean and SD of the predictors that vary, and their covariance, shrunk (Ledoit, Wolf 2004).

    What is unknown counts as the mean, as in the models.
    """
    raw = predictors(table, FOUR + IMAGE)
    varies = [len(np.unique(column[~np.isnan(column)])) > 1 for column in raw.T]
    names = tuple(name for name, one in zip(FOUR + IMAGE, varies, strict=True) if one)
    bare, scaled = scale(table, names)
    return bare, ledoit_wolf(scaled, assume_centered=True)[0] if names else np.zeros((0, 0))


def _left_out(table: pd.DataFrame) -> NDArray[np.float64]:
    """The distance of every patient by all others: a new patient's is like these."""
    if len(table) < LEAST_PATIENTS:
        return np.zeros(0)
    found = []
    for n in range(len(table)):
        bare, covariance = _fit(table.drop(index=table.index[n]))
        found.append(distances(standardise(bare, table.iloc[[n]]), covariance)[0])
    return np.array(found)
