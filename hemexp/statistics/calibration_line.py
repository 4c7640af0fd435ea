"""Logistic recalibration: how far a probability of expansion is from being taken at its word."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

LEAST = 0.01
"""Probabilities are cut to [0.01, 0.99] first: a share of 50 samples does not mean its zeros.

What the cut is worth says `benchmarks/calibration_clipping.py`.
"""

ITERATIONS = 25
LARGEST_STEP = 5.0
TOLERANCE = 1e-6
LARGEST_SLOPE = 10.0
"""Beyond it the two classes are (all but) separated and the line has no end."""

NO_SLOPE = "no calibration slope: one class, one probability, or classes set apart"


def fit_rows(probability: NDArray, event: NDArray, least: float = LEAST) -> NDArray[np.float64]:
    """Fits logit P(event) = intercept + slope logit(p) to every row, by Newton's method.

    Args:
        probability: Shape (rows, n).
        event: 0/1, or the chance of 1 where it is known, shape (rows, n): the expected likelihood
            of a line is that of fractional events.
        least: Where probabilities are cut at either end.

    Returns:
        Intercept and slope, (rows, 2); NaN where nothing says which: one class alone, one
        probability alone, or classes that a threshold separates.
    """
    x = logit(np.clip(probability, least, 1 - least))
    design = np.stack([np.ones_like(x), x], axis=-1)
    weights = np.zeros((len(x), 2))
    for _ in range(ITERATIONS):
        p = expit((design @ weights[..., None])[..., 0])
        gradient = np.einsum("rnk,rn->rk", design, event - p)
        curvature = np.einsum("rnk,rn,rnl->rkl", design, p * (1 - p), design)
        # A trace of ridge keeps hopeless rows solvable; their answer is thrown away below.
        step = np.linalg.solve(curvature + 1e-9 * np.eye(2), gradient[..., None])[..., 0]
        weights += np.clip(step, -LARGEST_STEP, LARGEST_STEP)
        hopeless = np.abs(weights).max(axis=1) > LARGEST_SLOPE
        if np.abs(step[~hopeless]).max(initial=0) < TOLERANCE:
            break
    varies = (np.ptp(event, axis=1) > 0) & (np.ptp(x, axis=1) > 0)
    ends = np.abs(weights).max(axis=1) < LARGEST_SLOPE
    return np.where((varies & ends)[:, None], weights, np.nan)


def slopes(rows: NDArray) -> NDArray[np.float64]:
    """Calibration slopes of rows of patients, (repeats, n, 2): probability and event.

    1 when calibrated; below 1 means too sure (Cox 1958).
    """
    return fit_rows(rows[..., 0], rows[..., 1])[:, 1]


def calibration_line(probability: ArrayLike, event: ArrayLike) -> tuple[float, float]:
    """Intercept and slope of one group of patients: 0 and 1 when calibrated, NaN if undefined."""
    pairs = np.stack([probability, event], axis=-1).astype(np.float64)
    intercept, slope = fit_rows(pairs[None, :, 0], pairs[None, :, 1])[0]
    return float(intercept), float(slope)
