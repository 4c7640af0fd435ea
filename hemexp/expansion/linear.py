"""Weighted sums of standardised predictors: what every model of growth is made of."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp.expansion.predictors import predictors


@dataclass(frozen=True)
class Linear:
    """A weighted sum of standardised predictors.

    Attributes:
        names: Predictors, in order.
        mean: Training mean of every predictor over known values.
        sd: Training SD of every predictor over known values.
        coefficients: Weight of each, per SD.
        intercept: The sum where all are at their mean.
    """

    names: tuple[str, ...]
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    coefficients: tuple[float, ...]
    intercept: float

    def standardise(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        """Predictors (n, names) to zero mean, unit SD; an unknown one takes no side (0)."""
        scaled = (raw - np.array(self.mean)) / np.array(self.sd)
        return np.where(np.isnan(scaled), 0.0, scaled)

    def scaled(self, table: pd.DataFrame) -> NDArray[np.float64]:
        """The standardised predictors of every row, (n, names)."""
        return self.standardise(predictors(table, self.names))

    def __call__(self, table: pd.DataFrame) -> NDArray[np.float64]:
        """The sum for every row of a table, shape (n,)."""
        return self.scaled(table) @ np.array(self.coefficients) + self.intercept


def scale(table: pd.DataFrame, names: tuple[str, ...]) -> tuple[Linear, NDArray[np.float64]]:
    """Mean and SD of predictors over known values, without weights yet; and them scaled."""
    raw = predictors(table, names)
    known = ~np.isnan(raw).all(axis=0)
    columns = [column if ok else np.zeros(1) for column, ok in zip(raw.T, known, strict=True)]
    mean, sd = (np.array([f(column) for column in columns]) for f in (np.nanmean, np.nanstd))
    # A column that is the same for all takes no side; rounding gives it an SD near 0.
    sd[sd < 1e-9 * (1 + np.abs(mean))] = 1.0
    bare = Linear(names, tuple(mean.tolist()), tuple(sd.tolist()), (0.0,) * len(names), 0.0)
    return bare, bare.standardise(raw)


def weigh(bare: Linear, coefficients: NDArray[np.float64], intercept: float) -> Linear:
    """Gives scaled predictors (see `scale`) their weights."""
    return Linear(bare.names, bare.mean, bare.sd, tuple(coefficients.tolist()), float(intercept))


def tuples(record: dict[str, Any]) -> dict[str, Any]:
    """A record from JSON with tuples in place of its lists."""
    return {name: tuple(v) if isinstance(v, list) else v for name, v in record.items()}
