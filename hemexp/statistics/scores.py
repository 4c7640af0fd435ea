"""Scores of ensembles and of probabilities against one outcome per patient: pure functions."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import scoringrules
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

ONE_PATIENT = "no interval from fewer than 2 patients"


class Score(NamedTuple):
    """A score, or the reason why there is none.

    Attributes:
        value: The score; None where it is undefined.
        note: Why it is undefined; empty otherwise.
    """

    value: float | None
    note: str = ""


Kind = Literal["independent", "even", "quantiles"]
"""How an ensemble stands for a distribution.

`independent` draws; draws that an `even` sequence spreads, as `sampling.drive` does; or
`quantiles` at k / (K + 1), k from 1 to K.
"""


def crps(observed: float, draws: ArrayLike, kind: Kind = "independent") -> float:
    """Continuous ranked probability score, in the unit of the draws, 0 at best.

    Independent draws have the fair estimator (Ferro 2014), unbiased in their number, so that
    ensembles of different K compare. Other draws are already spread more evenly: it would add a
    spread that they have (1 % too good with 99 quantiles of a normal distribution), so theirs is
    the plain energy form: exact for samples that grow as an even sequence tells them, and too
    strict by at most 1 / K of the spread for what else differs between them.

    Args:
        observed: What happened.
        draws: Ensemble of shape (K,), same unit; one draw has the absolute error.
        kind: What the draws are.
    """
    return tail_crps(observed, draws, -np.inf, kind)


def tail_crps(
    observed: float, draws: ArrayLike, above: float, kind: Kind = "independent"
) -> float:
    """Threshold-weighted CRPS (Gneiting 2011): only what happens above a threshold counts.

    It is `crps` of all numbers raised to the threshold.

    Args:
        observed: What happened.
        draws: Ensemble of shape (K,), same unit.
        above: The threshold, same unit.
        kind: What the draws are.
    """
    draws, observed = np.maximum(np.asarray(draws, np.float64), above), max(observed, above)
    if draws.size == 1:
        return float(abs(draws[0] - observed))
    estimator = "fair" if kind == "independent" else "nrg"
    return float(scoringrules.crps_ensemble(observed, draws, estimator=estimator))


def randomised_pit(
    observed: float, draws: ArrayLike, rng: np.random.Generator, kind: Kind = "independent"
) -> float:
    """Where the outcome falls in the ensemble, uniform on [0, 1] for a perfect forecast.

    The outcome's rank among K draws is one of K + 1 places, ties broken at random, and the value
    is drawn uniformly within that place (Czado 2009). An even sequence leaves half a place at
    either end: K quantiles at (k - 1/2) / K. Counted as independent draws, 50 of them would cover
    92 % where a perfect forecast covers 90.

    Args:
        observed: What happened.
        draws: Ensemble of shape (K,).
        rng: Source of the two random breaks.
        kind: What the draws are.
    """
    draws = np.asarray(draws)
    below, ties = np.count_nonzero(draws < observed), np.count_nonzero(draws == observed)
    place, within = below + rng.integers(ties + 1), rng.uniform()
    if kind != "even":
        return float((place + within) / (draws.size + 1))
    low, high = np.clip([place - 0.5, place + 0.5], 0, draws.size)
    return float((low + within * (high - low)) / draws.size)


def ensemble_sd(draws: ArrayLike, kind: Kind = "independent") -> float:
    """SD of the distribution that draws stand for; even ones need no correction for their mean."""
    return float(np.std(draws, ddof=int(kind != "even")))


def coverage(pit: ArrayLike, level: float) -> float:
    """Share of outcomes inside the central interval of the given level.

    Computed from the randomised PIT, so that a perfect forecast scores `level` for every K. How
    far a wrong forecast falls short still depends on K: with 8 draws a point forecast reaches
    about .55 at level .9. State K, and compare models at one K only.

    Args:
        pit: Randomised PIT values of shape (n,).
        level: Such as 0.5 or 0.9.
    """
    return float(np.mean(np.abs(np.asarray(pit) - 0.5) <= level / 2))


def spread_ratio(sd: ArrayLike, error: ArrayLike) -> Score:
    """Root mean square ensemble SD over the RMSE of the ensemble mean.

    Args:
        sd: Ensemble SDs (ddof 1) of shape (n,).
        error: Ensemble mean minus outcome, of shape (n,).

    Returns:
        sqrt(K / (K + 1)) for a perfect forecast (Fortin 2014); smaller means too narrow.
    """
    rmse = np.sqrt(np.mean(np.square(error)))
    if rmse == 0:
        return Score(None, "spread ratio: the ensemble means have no error")
    return Score(float(np.sqrt(np.mean(np.square(sd))) / rmse))


def brier(probability: ArrayLike, event: ArrayLike) -> float:
    """Mean squared difference of a probability and a 0/1 outcome."""
    difference = np.asarray(probability, dtype=np.float64) - np.asarray(event, dtype=np.float64)
    return float(np.mean(np.square(difference)))


def auc(probability: ArrayLike, event: ArrayLike) -> Score:
    """Area under the ROC curve: the chance that an event was given the higher probability.

    Args:
        probability: Shape (n,).
        event: 0/1, shape (n,).

    Returns:
        Ties count one half (Mann-Whitney); undefined when only one class was observed.
    """
    value = _auc_rows(np.asarray(probability)[None], np.asarray(event)[None])[0]
    if np.isnan(value):
        return Score(None, "AUC: only one class was observed")
    return Score(float(value))


def auc_interval(
    probability: ArrayLike, event: ArrayLike, repeats: int, rng: np.random.Generator
) -> tuple[float, float] | None:
    """95 % bootstrap interval of the AUC over patients; resamples of one class are left out."""
    if auc(probability, event).value is None:
        return None
    statistic = finite(lambda rows: _auc_rows(rows[..., 0], rows[..., 1]))
    return bootstrap_interval(np.stack([probability, event], -1), repeats, rng, statistic)


def _auc_rows(probability: NDArray, event: NDArray) -> NDArray:
    """AUC of every row of two (rows, n) arrays; NaN where a row has one class."""
    positive = np.asarray(event, dtype=bool)
    events = positive.sum(axis=1)
    pairs = events * (positive.shape[1] - events)
    above = (rankdata(probability, axis=1) * positive).sum(axis=1) - events * (events + 1) / 2
    return np.divide(above, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def _row_means(rows: NDArray) -> NDArray:
    return rows.mean(axis=1)


def finite(statistic: Callable[[NDArray], NDArray]) -> Callable[[NDArray], NDArray]:
    """A statistic for `bootstrap_interval` without the resamples where it is undefined."""

    def known(rows: NDArray) -> NDArray:
        values = statistic(rows)
        return values[np.isfinite(values)]

    return known


def bootstrap_interval(
    values: ArrayLike,
    repeats: int,
    rng: np.random.Generator,
    statistic: Callable[[NDArray], NDArray] = _row_means,
) -> tuple[float, float] | None:
    """95 % percentile interval from resampling patients.

    Args:
        values: One entry a patient, shape (n,) or (n, m).
        repeats: Number of resamples.
        rng: Source of the resamples.
        statistic: Maps resampled patients (repeats, n[, m]) to one number a resample.

    Returns:
        Low and high end; None with fewer than two patients, for there is nothing to resample,
        and where no resample defines the statistic.
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) < 2:
        return None
    rows = values[rng.integers(len(values), size=(repeats, len(values)))]
    found = statistic(rows)
    if not len(found):
        return None
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def skill_rows(rows: NDArray) -> NDArray:
    """1 - mean score / mean reference score, of resampled pairs (repeats, n, 2)."""
    return 1 - rows[..., 0].mean(axis=1) / rows[..., 1].mean(axis=1)


class Line(NamedTuple):
    """How a quantity followed what was asked for.

    Attributes:
        slope: Got per requested.
        intercept: Got where nothing was requested.
        r2: Share of variance explained.
        residual_sd: SD of what is left (ddof 2).
    """

    slope: float
    intercept: float
    r2: float
    residual_sd: float


def fit_line(requested: ArrayLike, got: ArrayLike) -> Line | None:
    """Least-squares line through (requested, got); None with fewer than three distinct points."""
    x, y = np.asarray(requested, dtype=np.float64), np.asarray(got, dtype=np.float64)
    if x.size < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    slope, intercept = np.polyfit(x, y, 1)
    left = y - slope * x - intercept
    r2 = 1 - np.sum(left**2) / np.sum((y - y.mean()) ** 2)
    return Line(
        float(slope), float(intercept), float(r2), float(np.sqrt(np.sum(left**2) / (x.size - 2)))
    )
