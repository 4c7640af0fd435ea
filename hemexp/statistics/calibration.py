"""Calibration: how far a probability of an event is from being taken at its word."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from hemexp.statistics.bootstrap import Estimate, Resamples, Statistic, estimate, undefined
from hemexp.statistics.calibration_columns import MEASURES
from hemexp.statistics.scores import Score

LEAST = 0.01
"""Probabilities are cut to [0.01, 0.99] first: a share of 50 samples does not mean its zeros.

What the cut is worth says `benchmarks/calibration_clipping.py`.
"""

ITERATIONS = 25
LARGEST_STEP = 5.0
TOLERANCE = 1e-6
LARGEST_SLOPE = 10.0
"""Beyond it the two classes are (all but) separated and the line has no end."""

LEAST_EVENTS = 5
"""Of fewer patients with or without the event a fitted line tells nothing, nor do resamples."""

NO_SLOPE = "no calibration slope: one class, one probability, or classes set apart"
NO_LEVEL = "no calibration in the large: only one class was observed"
NO_RATIO = "no O/E: no event was observed, or none is expected"
TOO_FEW_EVENTS = (
    f"no calibration slope nor in the large: fewer than {LEAST_EVENTS} patients with or without "
    "the event"
)


def fit_rows(probability: NDArray, event: NDArray, least: float = LEAST) -> NDArray[np.float64]:
    """Fits logit P(event) = intercept + slope logit(p) to every row.

    Args:
        probability: Shape (rows, n).
        event: 0/1, or the chance of 1 where it is known, shape (rows, n): the expected likelihood
            of a line is that of fractional events.
        least: Where probabilities are cut at either end.

    Returns:
        Intercept and slope, (rows, 2); NaN where nothing says which: one class alone, one
        probability alone, or classes that a threshold separates.
    """
    x = _logits(probability, least)
    design = np.stack([np.ones_like(x), x], axis=-1)
    weights = _fit(design, np.zeros_like(x), event, LARGEST_SLOPE)
    varies = (np.ptp(event, axis=1) > 0) & (np.ptp(x, axis=1) > 0)
    ends = np.abs(weights).max(axis=1) < LARGEST_SLOPE
    # Of probabilities cut at .01 Newton's steps die away before a line without end is that steep.
    return np.where((varies & ends & ~_set_apart(x, event))[:, None], weights, np.nan)


def _set_apart(x: NDArray, event: NDArray) -> NDArray[np.bool_]:
    """Rows in which a threshold of x separates the classes; ties on it are no help."""
    without, with_event = event < 1, event > 0
    least = [np.where(one, x, np.inf).min(axis=1) for one in (without, with_event)]
    most = [np.where(one, x, -np.inf).max(axis=1) for one in (without, with_event)]
    return (least[1] >= most[0]) | (least[0] >= most[1])


def _logits(probability: NDArray, least: float = LEAST) -> NDArray[np.float64]:
    return logit(np.clip(probability, least, 1 - least))


def _fit(design: NDArray, offset: NDArray, event: NDArray, largest: float) -> NDArray[np.float64]:
    """Weights (rows, k) of logit P(event) = offset + design @ weights, by Newton's method.

    Args:
        design: Shape (rows, n, k).
        offset: Shape (rows, n).
        event: Shape (rows, n).
        largest: Rows whose weights exceed it are not waited for.
    """
    rows, _, k = design.shape
    weights = np.zeros((rows, k))
    for _ in range(ITERATIONS):
        p = expit(offset + (design @ weights[..., None])[..., 0])
        gradient = np.einsum("rnk,rn->rk", design, event - p)
        curvature = np.einsum("rnk,rn,rnl->rkl", design, p * (1 - p), design)
        # A trace of ridge keeps hopeless rows solvable; their answer is thrown away by who asks.
        step = np.linalg.solve(curvature + 1e-9 * np.eye(k), gradient[..., None])[..., 0]
        weights += np.clip(step, -LARGEST_STEP, LARGEST_STEP)
        hopeless = np.abs(weights).max(axis=1) > largest
        if np.abs(step[~hopeless]).max(initial=0) < TOLERANCE:
            break
    return weights


def slopes(rows: NDArray) -> NDArray[np.float64]:
    """Calibration slopes of rows of patients, (repeats, n, 2): probability and event.

    1 when calibrated; below 1 means too sure (Cox 1958).
    """
    return fit_rows(rows[..., 0], rows[..., 1])[:, 1]


def levels(rows: NDArray) -> NDArray[np.float64]:
    """Calibration in the large of rows of patients, (repeats, n, 2): probability and event.

    The intercept of logit P(event) = intercept + logit(p), the slope held at 1: 0 when calibrated,
    above 0 where more happens than was said (Van Calster 2016, J Clin Epidemiol 74:167). NaN where
    a row has one class.
    """
    x, event = _logits(rows[..., 0]), rows[..., 1]
    level = _fit(np.ones_like(x)[..., None], x, event, np.inf)[:, 0]
    one_class = (event.max(axis=1) <= 0) | (event.min(axis=1) >= 1)
    return np.where(one_class, np.nan, level)


def oe_ratios(rows: NDArray) -> NDArray[np.float64]:
    """Observed over expected number of events of rows of patients, (repeats, n, 2).

    1 when calibrated, above 1 where more happens than was said; NaN where nothing is expected.
    """
    expected, observed = rows[..., 0].sum(axis=1), rows[..., 1].sum(axis=1)
    return np.divide(observed, expected, out=np.full(len(rows), np.nan), where=expected > 0)


def calibration_cells(
    patients: NDArray[np.float64], resamples: Callable[[], Resamples]
) -> dict[str, Score]:
    """Every measure of calibration with its 95 % interval, for `tables.cells`.

    Args:
        patients: Probability and event (0/1), (n, 2).
        resamples: Gives the resamples of one measure.
    """
    events = patients[:, 1].sum()
    few = min(events, len(patients) - events) < LEAST_EVENTS

    def fitted(statistic: Statistic, missing: str) -> Estimate:
        if few:
            return undefined(TOO_FEW_EVENTS)
        return estimate(patients, statistic, resamples(), missing)

    # Resamples of a group without events all say 0: an interval that is not to be trusted.
    ratio = estimate(patients, oe_ratios, resamples(), NO_RATIO) if events else undefined(NO_RATIO)
    found = (fitted(levels, NO_LEVEL), ratio, fitted(slopes, NO_SLOPE))
    named = zip(MEASURES, found, strict=True)
    return {column: cell for name, one in named for column, cell in one.named(name).items()}
