"""Logistic regression whose weights are pulled to given ones, and the pull chosen."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

Folds = Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]]
"""Rows to fit on and rows held out, of each part."""


class Ridge(NamedTuple):
    """How strongly each weight is pulled, and where to.

    Attributes:
        penalty: (predictors,) L2 penalties, the inverse variance of the weights that are expected.
        toward: (predictors,) the weights pulled to.
    """

    penalty: NDArray[np.float64]
    toward: NDArray[np.float64]


def fit_logistic(
    x: NDArray[np.float64],
    happens: NDArray[np.bool_],
    ridge: Ridge,
    least: NDArray[np.float64] | None = None,
    weight: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], float]:
    """Weights and intercept of largest penalised likelihood; scikit-learn pulls to 0 alone.

    Args:
        x: (n, predictors), scaled.
        happens: (n,) the event.
        ridge: The pull; the intercept has none.
        least: (predictors,) lower ends of the weights; none by default.
        weight: (n,) part that a row has in the likelihood; 1 by default.
    """
    signs = np.where(happens, 1.0, -1.0)
    design = np.column_stack([np.ones(len(x)), x]) * signs[:, None]
    penalty, toward = (np.append(0.0, part) for part in ridge)
    counts = np.ones(len(x)) if weight is None else weight

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin, away = design @ weights, weights - toward
        slope = penalty * away - design.T @ (counts * expit(-margin))
        return (counts * np.logaddexp(0, -margin)).sum() + (penalty * away**2).sum() / 2, slope

    lowest = np.full(x.shape[1], -np.inf) if least is None else least
    bounds = [(low, None) for low in np.append(-np.inf, lowest)]
    found = minimize(loss, np.zeros(len(penalty)), jac=True, method="L-BFGS-B", bounds=bounds).x
    return found[1:], float(found[0])


def choose_ridge(
    x: NDArray[np.float64],
    happens: NDArray[np.bool_],
    candidates: Sequence[Ridge],
    folds: Folds,
    weight: NDArray[np.float64] | None = None,
) -> tuple[Ridge, NDArray[np.float64]]:
    """The pull under which patients who are held out are forecast best, and their logits.

    Args:
        x: (n, predictors), scaled.
        happens: (n,) the event.
        candidates: Weakest pull first.
        folds: Without any, the strongest pull is taken; its logits are those of no patient, (0,).
        weight: As for `fit_logistic`.
    """
    if not folds:
        return candidates[-1], np.array([])
    counts = np.ones(len(x)) if weight is None else weight
    logits = [held_out_logits(x, happens, ridge, folds, counts) for ridge in candidates]
    signs = np.where(happens, 1.0, -1.0)
    best = int(np.argmin([(counts * np.logaddexp(0, -signs * one)).sum() for one in logits]))
    return candidates[best], logits[best]


def held_out_logits(
    x: NDArray[np.float64],
    happens: NDArray[np.bool_],
    ridge: Ridge,
    folds: Folds,
    weight: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Logits (n,) of patients whom the fit did not see."""
    logits = np.zeros(len(x))
    for fit, held_out in folds:
        weights, intercept = fit_logistic(x[fit], happens[fit], ridge, weight=weight[fit])
        logits[held_out] = x[held_out] @ weights + intercept
    return logits
