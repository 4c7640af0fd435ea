"""Fits the model of IVH growth on training patients."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import lsq_linear
from scipy.special import logit, ndtri

from hemexp.expansion.fit import fit_stable
from hemexp.expansion.ivh import IVH_EVENT_ML, IvhModel
from hemexp.expansion.linear import Linear, scale, weigh
from hemexp.expansion.logistic import Ridge, fit_logistic
from hemexp.expansion.predictors import IVH, IVH_OF_GROWTH

PRESENCE_PENALTY, SHARE_PENALTY = 1 / 0.3, 5.0
"""L2 penalties of standardised predictors: scikit-learn's 1 / C and alpha."""

LEAST_EVENTS = 3
"""With fewer, the base rate stands for the probability and guesses stand beside the shares. From
26 phantom patients with 3 or 4 events what is learned beats the rate: CRPS by .03 mL, AUC .76.
"""

GUESSED_SHARES = 0.2 * np.exp(0.8 * ndtri([0.1, 0.3, 0.5, 0.7, 0.9]))
"""Of 1 mL and the bleed's growth, that break into the ventricles; without a source."""

CAP = 1.5
"""No share is larger than this times the largest seen."""


def fit_ivh(table: pd.DataFrame) -> IvhModel:
    """Fits the hurdle model: neither its probability nor its amount falls with growth.

    Args:
        table: Training patients: `growth_ml`, `ivh_growth_ml` and `IVH_COLUMNS`.
    """
    ivh_growth_ml = table["ivh_growth_ml"].to_numpy(dtype=float)
    happens = ivh_growth_ml >= IVH_EVENT_ML
    whole_ml = 1 + table["growth_ml"].to_numpy(dtype=float)[happens].clip(min=0)
    shares = ivh_growth_ml[happens] / whole_ml
    bare, scaled = scale(table, IVH)
    if is_learned(len(table), len(shares)):
        presence = _fit_presence(bare, scaled, happens)
        ln_share = _fit_share(bare, scaled[happens], np.log(shares))
        residuals = np.log(shares) - ln_share(table[happens])
    else:
        nothing = np.zeros(len(IVH))
        # Jeffreys: half an event more, and half a patient without.
        presence = weigh(bare, nothing, logit((len(shares) + 0.5) / (len(table) + 1)))
        shares = np.concatenate([shares, GUESSED_SHARES])
        ln_share, residuals = weigh(bare, nothing, 0.0), np.log(shares)
    before_ml = table["baseline_ivh_ml"].to_numpy(dtype=float)
    bled = ~happens & (before_ml > 0)
    stable, power = fit_stable(ivh_growth_ml[bled], before_ml[bled]) if bled.any() else ((), 0.0)
    return IvhModel(
        presence=presence,
        ln_share=ln_share,
        residuals=tuple(np.sort(residuals).tolist()),
        largest_share=float(CAP * shares.max()),
        stable=stable,
        stable_power=power,
        patients=len(table),
        events=int(happens.sum()),
    )


def is_learned(patients: int, events: int) -> bool:
    """Whether enough patients have IVH growth, and enough have none, to learn more than a rate."""
    return LEAST_EVENTS <= events <= patients - LEAST_EVENTS


def _least(bare: Linear, of_growth: dict[str, float]) -> NDArray[np.float64]:
    """Least coefficients: given ones of predictors that rise with growth, none of the others."""
    return np.array([of_growth.get(name, -np.inf) for name in bare.names])


def _fit_presence(bare: Linear, scaled: NDArray[np.float64], happens: NDArray[np.bool_]) -> Linear:
    """Logistic regression whose predictors of growth have no negative weight."""
    ridge = Ridge(*np.outer([PRESENCE_PENALTY, 0.0], np.ones(len(bare.names))))
    least = _least(bare, dict.fromkeys(IVH_OF_GROWTH, 0.0))
    return weigh(bare, *fit_logistic(scaled, happens, ridge, least))


def _fit_share(bare: Linear, scaled: NDArray[np.float64], ln_share: NDArray[np.float64]) -> Linear:
    """Ridge regression under which the share falls no faster than the growth rises."""
    ridge = np.sqrt(SHARE_PENALTY) * np.eye(len(bare.names))
    design = np.block([[np.ones((len(scaled), 1)), scaled], [np.zeros((len(ridge), 1)), ridge]])
    least = dict.fromkeys(IVH_OF_GROWTH, 0.0) | {
        "ln_growth": -bare.sd[bare.names.index("ln_growth")]
    }
    bounds = np.append(-np.inf, _least(bare, least)), np.full(len(ridge) + 1, np.inf)
    target = np.append(ln_share, np.zeros(len(ridge)))
    found = lsq_linear(design, target, bounds).x
    return weigh(bare, found[1:], found[0])
