"""The predictive distribution of growth: an object one can sample, score and plot."""

from dataclasses import asdict, dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri


class GrowthDistribution(Protocol):
    """What sampling needs of a predictive distribution of growth in mL."""

    p_expansion: float

    def quantile(self, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
        """Growth in mL of uniform draws (`u` decides expansion, `v` how much)."""


@dataclass(frozen=True)
class LogisticLognormal:
    """Expansion with probability p; log-normal growth if so, an observed small growth if not.

    Attributes:
        p_expansion: Probability of expansion (HE: docs/method.md 1).
        log_mean: Mean of ln(growth / mL) given expansion, for this patient's volume.
        log_sd: SD of ln(growth / mL) given expansion.
        stable_ml: Growth observed in training patients without expansion, sorted, in mL.
        baseline_ml: Baseline IPH volume; growth never falls below minus this.
    """

    p_expansion: float
    log_mean: float
    log_sd: float
    stable_ml: tuple[float, ...]
    baseline_ml: float

    def quantile(self, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
        """Growth in mL of pairs of uniforms in (0, 1): independent pairs give a random draw."""
        expands = np.exp(self.log_mean + self.log_sd * ndtri(np.asarray(v)))
        stable = np.quantile(self.stable_ml, np.asarray(v))
        growth = np.where(np.asarray(u) < self.p_expansion, expands, stable)
        return np.maximum(growth, -self.baseline_ml)

    def sample(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draws n growths in mL."""
        return self.quantile(rng.uniform(size=n), rng.uniform(size=n))

    def quantiles(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Quantiles of growth in mL, from a fine grid over both parts."""
        v = (np.arange(2000) + 0.5) / 2000
        growth = np.concatenate(
            [self.quantile(np.zeros(2000), v), self.quantile(np.ones(2000), v)]
        )
        weight = np.repeat([self.p_expansion, 1 - self.p_expansion], 2000) / 2000
        order = np.argsort(growth)
        return np.interp(probabilities, np.cumsum(weight[order]), growth[order])


@dataclass(frozen=True)
class ExpansionModel:
    """A fitted model: gives each patient's distribution. Stored as plain numbers.

    Attributes:
        names: Predictors, in order.
        mean: Training mean of every predictor over known values.
        sd: Training SD of every predictor over known values.
        coefficients: Logistic regression on standardised predictors.
        intercept: Of the logistic regression.
        log_intercept: ln growth of expanders at standardised ln volume 0.
        log_slope: Change of ln growth per unit of standardised ln volume.
        log_sd: Residual SD of ln growth.
        stable_ml: Growth of training patients without expansion, sorted.
    """

    names: tuple[str, ...]
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    coefficients: tuple[float, ...]
    intercept: float
    log_intercept: float
    log_slope: float
    log_sd: float
    stable_ml: tuple[float, ...]

    def standardise(self, predictors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Predictors (n, names) to zero mean, unit SD; an unknown one takes no side (0)."""
        scaled = (predictors - np.array(self.mean)) / np.array(self.sd)
        return np.where(np.isnan(scaled), 0.0, scaled)

    def probability(self, predictors: NDArray[np.float64]) -> NDArray[np.float64]:
        """p(expansion) for predictors (n, names), NaN where unknown."""
        score = self.standardise(predictors) @ np.array(self.coefficients) + self.intercept
        return 1 / (1 + np.exp(-score))

    def distribution(
        self, predictors: NDArray[np.float64], baseline_ml: float, outside_p: float | None = None
    ) -> LogisticLognormal:
        """The growth distribution of one patient with predictors (names,)."""
        p = float(self.probability(predictors[None])[0]) if outside_p is None else outside_p
        ln_volume = self.standardise(predictors[None])[0, self.names.index("ln_iph_ml")]
        log_mean = self.log_intercept + self.log_slope * ln_volume
        return LogisticLognormal(p, float(log_mean), self.log_sd, self.stable_ml, baseline_ml)

    def as_json(self) -> dict[str, Any]:
        """Plain numbers, for the model file."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Self:
        """Inverse of `as_json`."""
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in record.items()})
