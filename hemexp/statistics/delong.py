"""Difference of two AUCs on the same patients, with the interval of DeLong 1988."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from hemexp.statistics.bootstrap import Estimate, undefined

ONE_CLASS = "no AUC difference: only one class was observed"
ONE_OF_A_CLASS = "no interval of the AUC difference: one patient alone with or without the event"


def auc_difference(
    first: NDArray[np.float64], second: NDArray[np.float64], event: NDArray[np.float64]
) -> Estimate:
    """AUC of the first probabilities minus that of the second, 95 % interval by DeLong.

    The covariance of both comes from midranks (DeLong 1988, Biometrics 44:837; Sun and Xu 2014,
    IEEE Signal Process Lett 21:1389).

    Args:
        first: Probability of every patient (n,).
        second: That of another model (n,).
        event: What happened, 0 or 1 (n,).
    """
    happened = np.asarray(event) == 1
    counts = np.array([happened.sum(), (~happened).sum()])
    if not counts.all():
        return undefined(ONE_CLASS)
    both = np.stack([first, second])
    # Share of the other class that each patient is ranked right against, (2, n).
    own = np.empty_like(both, dtype=np.float64)
    own[:, happened] = rankdata(both[:, happened], axis=1)
    own[:, ~happened] = rankdata(both[:, ~happened], axis=1)
    above = rankdata(both, axis=1) - own
    right = np.where(happened, above / counts[1], 1 - above / counts[0])
    differences = [right[0, part] - right[1, part] for part in (happened, ~happened)]
    value = float(differences[0].mean())
    if counts.min() < 2:
        return Estimate(value, None, None, ONE_OF_A_CLASS)
    variance = sum(part.var(ddof=1) / len(part) for part in differences)
    half = norm.ppf(0.975) * float(np.sqrt(variance))
    return Estimate(value, value - half, value + half)
