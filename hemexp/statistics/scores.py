"""Scores of ensembles and of probabilities against one outcome per patient: pure functions."""

from typing import Literal, NamedTuple

import numpy as np
import scoringrules
from numpy.typing import ArrayLike, NDArray


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

`independent` draws; draws that an `even` sequence spreads, as sampling spreads the growth it asks
for; or `quantiles` at k / (K + 1), k from 1 to K.
"""

EVEN_DRAWS = 2.0
"""Over K it is how much of the fair correction K even draws need: Halton points are not perfectly
even. Fitted by simulation to normal and to two-part growth (.4 at K 5, .15 at 20, .08 at 50)."""


def crps(observed: float, draws: ArrayLike, kind: Kind = "independent") -> float:
    """Continuous ranked probability score, in the unit of the draws, 0 at best.

    Independent draws have the fair estimator (Ferro 2014), unbiased in their number, so that
    ensembles of different K compare. Others are already spread more evenly: it would add a spread
    that they have (1 % too good with 99 quantiles of a normal distribution). Quantiles have the
    plain energy form, even draws `EVEN_DRAWS` / K of the way from there to the fair one. Scored as
    the wrong kind, a perfect forecast N(0, 1) of 5 draws has .63 (independent ones as even) or .48
    (even ones as independent) in place of .564.

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
    plain, fair = (
        float(scoringrules.crps_ensemble(observed, draws, estimator=name))
        for name in ("nrg", "fair")
    )
    way = {"quantiles": 0.0, "even": min(EVEN_DRAWS / draws.size, 1.0), "independent": 1.0}[kind]
    return plain + way * (fair - plain)


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


def quantiles(
    draws: ArrayLike, levels: ArrayLike, kind: Kind = "independent"
) -> NDArray[np.float64]:
    """Quantiles of the distribution that draws stand for, between which `randomised_pit` counts.

    The k-th smallest of K independent draws lies at k / (K + 1), as do given quantiles; that of
    an even sequence at (k - 1/2) / K. Between them it is linear, beyond them the outermost draw:
    5 draws tell no level below 1/6.

    Args:
        draws: Ensemble of shape (K,).
        levels: Levels from 0 to 1.
        kind: What the draws are.
    """
    return np.quantile(draws, levels, method="hazen" if kind == "even" else "weibull")


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


def skill(rows: NDArray) -> NDArray:
    """1 - mean score / mean reference score, of resampled pairs (repeats, n, 2)."""
    return 1 - rows[..., 0].mean(axis=1) / rows[..., 1].mean(axis=1)
