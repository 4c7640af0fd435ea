"""Smoothed calibration curve of probabilities, and its mean distance from the diagonal."""

import numpy as np
from numpy.typing import NDArray

from hemexp.statistics.bootstrap import ENDS, Estimate, Resamples, estimate, undefined
from hemexp.statistics.calibration import LEAST_EVENTS

SPAN = 0.75
"""Share of patients that a local line sees; default of R's `loess`, as in Austin 2019."""

LEAST_WIDTH = 0.05
"""A local line sees at least so far: shares of few samples lie on one another."""

LEAST_PATIENTS = 20
"""Of fewer a smoothed curve shows chance alone."""

POINTS = 41
"""Probabilities at which the curve is computed; between them it is linear."""

TOO_FEW = (
    f"no calibration curve: fewer than {LEAST_PATIENTS} patients, or than {LEAST_EVENTS} with or "
    "without the event"
)
ONE_PROBABILITY = "no calibration curve: everybody has one probability"


def no_curve(probability: NDArray, event: NDArray) -> str:
    """Why patients have no calibration curve; empty where they have one."""
    events = event.sum()
    if len(event) < LEAST_PATIENTS or min(events, len(event) - events) < LEAST_EVENTS:
        return TOO_FEW
    return ONE_PROBABILITY if np.ptp(probability) == 0 else ""


def places(probability: NDArray) -> NDArray[np.float64]:
    """Probabilities at which a curve is computed, evenly from the least to the greatest."""
    return np.linspace(probability.min(), probability.max(), POINTS)


def smooth(probability: NDArray, event: NDArray, at: NDArray) -> NDArray[np.float64]:
    """Observed share of events as a function of the probability, by local straight lines.

    Lowess with tricube weights over the nearest `SPAN` of the patients (Cleveland 1979, JASA
    74:829), without its robust steps, which would drop the rarer outcome. Cut to 0-1.

    Args:
        probability: Of every patient (n,).
        event: 0 or 1 (n,).
        at: Where the curve is wanted (m,).
    """
    away = probability - at[:, None]
    nearest = max(int(np.ceil(SPAN * len(probability))) - 1, 0)
    width = np.partition(np.abs(away), nearest, axis=1)[:, nearest, None]
    weight = (1 - np.minimum(np.abs(away) / np.maximum(width, LEAST_WIDTH), 1) ** 3) ** 3
    total = weight.sum(axis=1, keepdims=True)
    # A place with nobody near has the nearest patients' share.
    weight = np.where(total > 0, weight, np.abs(away) <= width)
    weight /= weight.sum(axis=1, keepdims=True)
    mean_away, mean_event = (weight * away).sum(axis=1), weight @ event
    spread = (weight * away**2).sum(axis=1) - mean_away**2
    together = (weight * away) @ event - mean_away * mean_event
    slope = np.divide(together, spread, out=np.zeros_like(spread), where=spread > 1e-12)
    return np.clip(mean_event - slope * mean_away, 0, 1)


def ici(rows: NDArray) -> NDArray[np.float64]:
    """Integrated calibration index of rows of patients, (repeats, n, 2): probability and event.

    Mean absolute distance of the probabilities from the smoothed curve, over patients: 0 when
    calibrated (Austin and Steyerberg 2019, Stat Med 38:4051).
    """
    return np.array([_ici(*one.T) for one in rows])


def _ici(probability: NDArray, event: NDArray) -> float:
    at = places(probability)
    curve = np.interp(probability, at, smooth(probability, event, at))
    return float(np.abs(curve - probability).mean())


def estimate_ici(patients: NDArray[np.float64], resamples: Resamples) -> Estimate:
    """The index of patients (n, 2) with its interval, or the reason why there is none."""
    if reason := no_curve(*patients.T):
        return undefined(reason)
    return estimate(patients, ici, resamples)


def curve_with_band(
    patients: NDArray[np.float64], resamples: Resamples
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """The smoothed curve of patients (n, 2) with its pointwise 95 % band.

    Returns:
        Probabilities, observed share, low and high end, (POINTS,) each.
    """
    at = places(patients[:, 0])
    chosen = resamples.rng.integers(len(patients), size=(resamples.repeats, len(patients)))
    curves = np.stack([smooth(*patients[one].T, at) for one in chosen])
    low, high = np.quantile(curves, ENDS, axis=0)
    return at, smooth(*patients.T, at), low, high
