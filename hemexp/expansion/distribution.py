"""The predictive distribution of growth: an object one can sample, score and plot."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from hemexp.outcomes import expansion_begins_ml

FORECAST_QUANTILES = np.arange(1, 200) / 200
"""Levels of the 199 quantiles that stand for a distribution in tables."""

GRID = 2000
"""Points of each part of the mixture, where quantiles and probabilities are read off."""

FARTHEST_SD = 30.0
"""A threshold farther above the mean of ln growth than this counts as this far."""


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

    The log-normal part is cut where HE begins, so that p is the probability of HE.

    Attributes:
        p_expansion: Probability of expansion (HE: docs/method.md 1).
        log_mean: Mean of ln(growth / mL) before the cut, for this patient's volume.
        log_sd: SD of ln(growth / mL) before the cut.
        stable_ml: Growth to expect without expansion, sorted, in mL.
        baseline_ml: Baseline IPH volume; growth never falls below minus this.
    """

    p_expansion: float
    log_mean: float
    log_sd: float
    stable_ml: tuple[float, ...]
    baseline_ml: float

    def quantile(self, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
        """Growth in mL of pairs of uniforms in (0, 1): independent pairs give a random draw."""
        v = np.asarray(v)
        begin = np.log(expansion_begins_ml(self.baseline_ml))
        above = ndtr(-min((begin - self.log_mean) / self.log_sd, FARTHEST_SD))
        # By the upper tail: it keeps its digits where the lower one is 1.
        expands = np.exp(self.log_mean - self.log_sd * ndtri(above * (1 - v)))
        stable = np.quantile(self.stable_ml, v)
        growth = np.where(np.asarray(u) < self.p_expansion, expands, stable)
        return np.maximum(growth, -self.baseline_ml)

    def sample(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draws n growths in mL."""
        return self.quantile(rng.uniform(size=n), rng.uniform(size=n))

    def quantiles(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Quantiles of growth in mL, from a fine grid over both parts."""
        growth, weight = self._grid()
        order = np.argsort(growth, kind="stable")
        return np.interp(probabilities, np.cumsum(weight[order]), growth[order])

    def probability_from(self, growth_ml: float) -> float:
        """Probability of growth of `growth_ml` or more, from the same grid."""
        growth, weight = self._grid()
        return float(weight[growth >= growth_ml].sum())

    def _grid(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Growth in mL and weight of equally likely points of both parts."""
        v = (np.arange(GRID) + 0.5) / GRID
        growth = np.concatenate(
            [self.quantile(np.full(GRID, -1.0), v), self.quantile(np.full(GRID, 2.0), v)]
        )
        return growth, np.repeat([self.p_expansion, 1 - self.p_expansion], GRID) / GRID
