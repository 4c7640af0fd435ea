"""One patient's scores under one forecast, averaged over the true distribution.

Outcomes are the means of equally likely parts of it. What is lost is how a score bends within a
part: with the phantom's 200, less than 0.1 % of the CRPS of the true distribution.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hemexp.evaluation.cohort.conformal import INTERVAL_LEVELS, Levels, share_inside
from hemexp.statistics.scores import Kind, coverage, crps, ensemble_sd, randomised_pit


def expected_crps(outcomes: ArrayLike, draws: ArrayLike, kind: Kind = "independent") -> float:
    """Mean CRPS over equally likely outcomes.

    The CRPS is the mean distance of outcome and draws less half the spread of the draws, and only
    the first depends on the outcome: one CRPS tells the second for all.

    Args:
        outcomes: Shape (m,).
        draws: Shape (K,), same unit.
        kind: What the draws are.
    """
    outcomes, draws = np.asarray(outcomes, float), np.asarray(draws, float)
    away = np.abs(outcomes[:, None] - draws).mean(axis=1)
    half_spread = away[0] - crps(outcomes[0], draws, kind)
    return float(away.mean() - half_spread)


class Expectations(NamedTuple):
    """One patient's scores under one forecast, averaged over the true distribution.

    Attributes:
        crps_ml: CRPS.
        bias_ml: Mean of the draws minus true mean.
        variance_ml2: Variance of the draws.
        error_ml2: Squared distance of outcome and mean of the draws.
        inside: Chance of the outcome inside the interval of each level of `INTERVAL_LEVELS`.
        calibrated: The same after conformal calibration.
    """

    crps_ml: float
    bias_ml: float
    variance_ml2: float
    error_ml2: float
    inside: tuple[float, ...]
    calibrated: tuple[float, ...]


def average_scores(
    draws: NDArray[np.float64],
    kind: Kind,
    outcomes: NDArray[np.float64],
    fitted: tuple[Levels, ...],
    rng: np.random.Generator,
) -> Expectations:
    """Scores of one forecast of one patient over equally likely outcomes (m,), in mL."""
    pit = [randomised_pit(one, draws, rng, kind) for one in outcomes]
    return Expectations(
        crps_ml=expected_crps(outcomes, draws, kind),
        bias_ml=float(draws.mean() - outcomes.mean()),
        variance_ml2=ensemble_sd(draws, kind) ** 2 if draws.size > 1 else 0.0,
        error_ml2=float(((outcomes - draws.mean()) ** 2).mean()),
        inside=tuple(coverage(pit, level) for level in INTERVAL_LEVELS),
        calibrated=tuple(share_inside(pit, levels) for levels in fitted),
    )
