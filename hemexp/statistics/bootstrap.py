"""A number of a group of patients with its 95 % interval, by resampling the patients."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hemexp.provenance import seed_for
from hemexp.statistics.scores import Score

ONE_PATIENT = "no interval from fewer than 2 patients"
ENDS = (0.025, 0.975)

Statistic = Callable[[NDArray], NDArray]
"""Maps resampled patients (repeats, n[, m]) to one number a resample, NaN where undefined."""


class Resamples(NamedTuple):
    """The resamples of one row of one table: how many, and where they come from."""

    repeats: int
    rng: np.random.Generator


class Resampling(NamedTuple):
    """How bootstrap intervals are drawn: number of resamples and run seed."""

    repeats: int
    seed: int

    def of_row(self, *parts: object) -> Resamples:
        """The resamples of one row of one table, whatever rows come before it."""
        rng = np.random.default_rng(seed_for(self.seed, "bootstrap", *parts))
        return Resamples(self.repeats, rng)


class Estimate(NamedTuple):
    """A number with its 95 % interval; what is None has its reason in `note`."""

    value: float | None
    low: float | None
    high: float | None
    note: str = ""

    def columns(self, value: str = "value", low: str = "low", high: str = "high") -> dict:
        """Cells for `tables.cells`, under the names of three columns."""
        names = (value, low, high)
        return {name: Score(end, self.note) for name, end in zip(names, self[:3], strict=True)}

    def named(self, name: str, unit: str = "") -> dict[str, Score]:
        """The same for the columns `crps_ml`, `crps_low_ml`, `crps_high_ml` of `crps`, `_ml`."""
        return self.columns(*(f"{name}{end}{unit}" for end in ("", "_low", "_high")))


def undefined(reason: str) -> Estimate:
    """What has no value, and so no interval."""
    return Estimate(None, None, None, reason)


def means(rows: NDArray) -> NDArray:
    """The statistic that most tables show: mean over patients."""
    return rows.mean(axis=1)


def estimate(
    rows: ArrayLike, statistic: Statistic, resamples: Resamples, missing: str = "", note: str = ""
) -> Estimate:
    """A statistic of patients with its 95 % percentile interval from resampling them.

    Args:
        rows: One entry a patient, shape (n,) or (n, m).
        statistic: What is asked of them. Resamples that leave it undefined are left out.
        resamples: Not drawn from where there is no interval.
        missing: Why there is no value, where there is none.
        note: Stands beside the value anyway.
    """
    rows = np.asarray(rows, dtype=np.float64)
    value = float(statistic(rows[None])[0]) if len(rows) else np.nan
    if not np.isfinite(value):
        return undefined(missing)
    ends = _interval(rows, statistic, resamples)
    if ends is None:
        return Estimate(value, None, None, "; ".join(filter(None, (note, ONE_PATIENT))))
    return Estimate(value, *ends, note)


def _interval(
    rows: ArrayLike, statistic: Statistic, resamples: Resamples
) -> tuple[float, float] | None:
    """The 95 % interval of `estimate` alone.

    Returns:
        Low and high end; None with fewer than two patients, for there is nothing to resample,
        and where no resample defines the statistic.
    """
    rows = np.asarray(rows, dtype=np.float64)
    n = len(rows)
    if n < 2:
        return None
    found = statistic(rows[resamples.rng.integers(n, size=(resamples.repeats, n))])
    found = found[np.isfinite(found)]
    if not len(found):
        return None
    low, high = np.quantile(found, ENDS)
    return float(low), float(high)
