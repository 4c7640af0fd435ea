"""A log-normal growth of patients who are seen only because they grew by a threshold or more."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import erfcx, log_ndtr

LEAST_PATIENTS = 5
"""Below it the likelihood is no better than the moments: CRPS in trials on phantom patients."""

LOG_SD_ENDS = (0.1, 2.0)
"""Growth that is all alike, and growth without a scale: a mean e^2 times the median."""


class LogNormal(NamedTuple):
    """A law of ln growth, a normal distribution before the threshold cuts it.

    Attributes:
        intercept: Its mean at x = 0.
        slope: Change of the mean per unit of x.
        log_sd: Its SD.
        note: Why it is not the truncated law of largest likelihood; empty where it is.
    """

    intercept: float
    slope: float
    log_sd: float
    note: str


def fit_lognormal(
    x: NDArray[np.float64], log_growth: NDArray[np.float64], begin: NDArray[np.float64]
) -> LogNormal:
    """Fits ln growth given x to patients whose growth reached their threshold.

    Mean and SD of such patients are not those of the law that is then cut: it would be cut twice,
    and foretell too much growth. The likelihood is that of the cut law, with a ridge of one
    observation on the slope. It is written in intercept / SD, slope / SD and 1 / SD, where it has
    one maximum (Orme and Ruud 2002, Econ Lett 75:209).

    Args:
        x: (n,) a standardised predictor, n >= 1.
        log_growth: (n,) ln(growth / mL).
        begin: (n,) ln of each patient's threshold / mL, at most `log_growth`.

    Returns:
        Where fewer than `LEAST_PATIENTS` are seen or the likelihood rises towards a law without
        a scale, mean and SD as seen, with the reason in `note`.
    """
    seen, n = fit_seen(x, log_growth), len(x)
    if n < LEAST_PATIENTS:
        return seen._replace(note=_as_seen(f"fewer than {LEAST_PATIENTS} patients ({n})"))
    at_growth, at_begin = (np.column_stack([np.ones(n), x, -at]) for at in (log_growth, begin))

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        away, above = at_growth @ weights, at_begin @ weights
        _, slope, per_sd = weights
        value = (away**2 / 2 + log_ndtr(above)).sum() - n * np.log(per_sd) + slope**2 / 2
        hazard = np.sqrt(2 / np.pi) / erfcx(-above / np.sqrt(2))  # density over share above
        ridge = np.array([0.0, slope, -n / per_sd])
        return value, at_growth.T @ away + at_begin.T @ hazard + ridge

    least, most = 1 / LOG_SD_ENDS[1], 1 / LOG_SD_ENDS[0]
    start = np.array([seen.intercept, seen.slope, 1.0]) * np.clip(1 / seen.log_sd, least, most)
    bounds = [(None, None), (None, None), (least, most)]
    intercept, slope, per_sd = minimize(loss, start, jac=True, bounds=bounds).x
    if not least < per_sd < most:
        return seen._replace(note=_as_seen(f"that of {n} patients has no peak of its own"))
    return LogNormal(float(intercept / per_sd), float(slope / per_sd), float(1 / per_sd), "")


def fit_seen(x: NDArray[np.float64], log_growth: NDArray[np.float64]) -> LogNormal:
    """Mean, slope and SD as seen, as if no threshold had picked the patients."""
    away = x - x.mean()
    # With very few patients a slope would be noise: shrink it as a ridge of one observation.
    slope = float((away * log_growth).sum() / (np.sum(away**2) + 1))
    intercept = float(log_growth.mean() - slope * x.mean())
    residual = log_growth - intercept - slope * x
    log_sd = np.sqrt((residual**2).sum() / max(len(x) - 2, 1))
    return LogNormal(intercept, slope, float(np.clip(log_sd, *LOG_SD_ENDS)), "")


def _as_seen(reason: str) -> str:
    return f"growth of expanders: mean and SD as seen, not undone what the threshold cut: {reason}"
