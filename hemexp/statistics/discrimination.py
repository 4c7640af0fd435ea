"""How well probabilities tell those with an event from those without: area under the ROC curve."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

DECIMALS = 9
"""To so many probabilities count: rounding sets equal ones a little apart, and they are ties."""

ONE_CLASS = "AUC: only one class was observed"


def auc(rows: NDArray) -> NDArray[np.float64]:
    """Chance that an event was given the higher probability, of rows of patients.

    Args:
        rows: Probability and event (0/1), (repeats, n, 2).

    Returns:
        Ties count one half (Mann-Whitney); NaN where a row has one class.
    """
    probability, positive = np.round(rows[..., 0], DECIMALS), rows[..., 1].astype(bool)
    events = positive.sum(axis=1)
    pairs = events * (positive.shape[1] - events)
    above = (rankdata(probability, axis=1) * positive).sum(axis=1) - events * (events + 1) / 2
    return np.divide(above, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def expected_auc(rows: NDArray) -> NDArray[np.float64]:
    """The same where the chance of the event is known, not the event.

    Args:
        rows: Probability that a model gives, and true probability: the weight of a patient as
            one with the event, and its rest as one without; (repeats, n, 2).

    Returns:
        NaN with fewer than two patients.
    """
    return np.array([_expected_auc(*one.T) for one in rows])


def _expected_auc(probability: ArrayLike, truth: ArrayLike) -> float:
    p, q = np.asarray(probability, float), np.asarray(truth, float)
    weight = q[:, None] * (1 - q)
    np.fill_diagonal(weight, 0)
    ahead = (p[:, None] > p) + 0.5 * (p[:, None] == p)
    return float((weight * ahead).sum() / weight.sum()) if weight.sum() > 0 else np.nan
