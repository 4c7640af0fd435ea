"""The predictive distribution of growth: an object one can sample, score and plot."""

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from hemexp.outcomes import expansion_begins_ml

FORECAST_QUANTILES = np.arange(1, 200) / 200
"""Levels of the 199 quantiles that stand for a distribution in tables."""

GRID = 2000
"""Points of each part of the mixture, where quantiles and probabilities are read off."""

TINY = 1e-12

FARTHEST_SD = 30.0
"""A threshold farther above the mean of ln growth than this counts as this far."""


def equally_likely(points: int) -> NDArray[np.float64]:
    """Equally likely points of a standard normal number."""
    return ndtri((np.arange(points) + 0.5) / points)


ERROR_GRID = equally_likely(40)


def quantiles_below(
    values: NDArray[np.float64], limit: float, v: ArrayLike
) -> NDArray[np.float64]:
    """Quantiles at levels `v` of the values below a limit; 0 where there is none."""
    below = values[values < limit]
    return np.quantile(below if below.size else np.zeros(1), v)


class GrowthDistribution(Protocol):
    """What sampling and scoring need of a predictive distribution of growth in mL."""

    p_expansion: float
    baseline_ml: float

    def quantile(self, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
        """Growth in mL of uniform draws (`u` decides expansion, `v` how much)."""

    def quantiles(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Quantiles of growth in mL."""

    def probability_from(self, growth_ml: float) -> float:
        """Probability of growth of `growth_ml` or more."""


@dataclass(frozen=True)
class LogisticLognormal:
    """Expansion with probability p; log-normal growth if so, an observed small growth if not.

    Both parts are cut where HE begins, so that p is the probability of HE.

    Growth from a baseline volume that is not known exactly is spread by its error: the law is
    convolved with a normal one. p stays what it is, that of the growth from the true volume.

    Attributes:
        p_expansion: Probability of expansion (HE: method.md 1).
        log_mean: Mean of ln(growth / mL) before the cut, for this patient's volume.
        log_sd: SD of ln(growth / mL) before the cut.
        stable_ml: Growth to expect without expansion, sorted, in mL.
        baseline_ml: Baseline IPH volume; growth never falls below minus this.
        error_ml: Expected error of that volume, RMS; 0 where its mask is given.
    """

    p_expansion: float
    log_mean: float
    log_sd: float
    stable_ml: tuple[float, ...]
    baseline_ml: float
    error_ml: float = 0.0

    def quantile(self, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
        """Growth in mL of pairs of uniforms in (0, 1): independent pairs give a random draw.

        An error takes no draw of its own: a growth moves to where its rank lies in the wider law.
        """
        growth = self._exact(u, v)
        if self.error_ml == 0:
            return growth
        points, weight = _sorted(*self._exact_grid())
        rank = np.interp(growth, points, np.cumsum(weight) - weight / 2)
        return self.quantiles(rank)

    def _exact(self, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same from a baseline volume without error."""
        v = np.asarray(v)
        begins_ml = expansion_begins_ml(self.baseline_ml)
        above = ndtr(-min((np.log(begins_ml) - self.log_mean) / self.log_sd, FARTHEST_SD))
        # By the upper tail: it keeps its digits where the lower one is 1.
        expands = np.exp(self.log_mean - self.log_sd * ndtri(above * (1 - v)))
        # What is no HE of the larger bleeds it was seen in may be HE of this one.
        stable = quantiles_below(np.array(self.stable_ml), begins_ml, v)
        growth = np.where(np.asarray(u) < self.p_expansion, expands, stable)
        return np.maximum(growth, -self.baseline_ml)

    def sample(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draws n growths in mL."""
        return self.quantile(rng.uniform(size=n), rng.uniform(size=n))

    def quantiles(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Quantiles of growth in mL, from a fine grid over both parts."""
        growth, weight = _sorted(*self._grid())
        return np.interp(probabilities, np.cumsum(weight), growth)

    def probability_from(self, growth_ml: float) -> float:
        """Probability of growth of `growth_ml` or more, from the same grid."""
        growth, weight = self._grid()
        return float(weight[growth >= growth_ml].sum())

    def _grid(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Growth in mL and weight of points of both parts, each spread by the error."""
        growth, weight = self._exact_grid()
        if self.error_ml == 0:
            return growth, weight
        spread = np.add.outer(growth, self.error_ml * ERROR_GRID).ravel()
        weight = np.repeat(weight / len(ERROR_GRID), len(ERROR_GRID))
        return np.maximum(spread, -self.baseline_ml), weight

    def _exact_grid(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Growth in mL and weight of equally likely points of both parts."""
        v = (np.arange(GRID) + 0.5) / GRID
        growth = np.concatenate(
            [self._exact(np.full(GRID, -1.0), v), self._exact(np.full(GRID, 2.0), v)]
        )
        return growth, np.repeat([self.p_expansion, 1 - self.p_expansion], GRID) / GRID


@dataclass(frozen=True)
class PointGrowth:
    """A law of growth as points: equally likely among those who expand, and among the others.

    Attributes:
        p_expansion: Probability of expansion (HE: method.md 1).
        stable_ml: Growth below where HE begins, sorted, in mL.
        expanding_ml: Growth from there on, likewise.
        baseline_ml: Baseline IPH volume.
    """

    p_expansion: float
    stable_ml: NDArray[np.float64]
    expanding_ml: NDArray[np.float64]
    baseline_ml: float

    @classmethod
    def of_points(cls, growth_ml: NDArray[np.float64], baseline_ml: float) -> Self:
        """The law of equally likely growths; none falls below minus the baseline volume."""
        ordered = np.sort(np.maximum(growth_ml, -baseline_ml))
        begins_ml = float(expansion_begins_ml(baseline_ml))
        first = int(np.searchsorted(ordered, begins_ml))
        # A side without points is never drawn from, unless a probability from outside asks for it.
        return cls(
            1 - first / len(ordered),
            ordered[:first] if first else np.array([0.0]),
            ordered[first:] if first < len(ordered) else np.array([begins_ml]),
            float(baseline_ml),
        )

    def quantile(self, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
        """Growth in mL of pairs of uniforms in (0, 1): independent pairs give a random draw."""
        expands = np.quantile(self.expanding_ml, v)
        return np.where(np.asarray(u) < self.p_expansion, expands, np.quantile(self.stable_ml, v))

    def quantiles(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Quantiles of growth in mL."""
        q, p = np.asarray(probabilities, dtype=np.float64), self.p_expansion
        stable = np.quantile(self.stable_ml, np.clip(q / max(1 - p, TINY), 0, 1))
        expands = np.quantile(self.expanding_ml, np.clip((q - (1 - p)) / max(p, TINY), 0, 1))
        return np.where(q < 1 - p, stable, expands)

    def probability_from(self, growth_ml: float) -> float:
        """Probability of growth of `growth_ml` or more."""
        stable, expands = (np.mean(p >= growth_ml) for p in (self.stable_ml, self.expanding_ml))
        return float((1 - self.p_expansion) * stable + self.p_expansion * expands)


def _sorted(
    growth: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    order = np.argsort(growth, kind="stable")
    return growth[order], weight[order]
