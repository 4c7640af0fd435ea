"""What a new centre's own patients change in a released model of growth.

Three things move: the logit of p(expansion) by an intercept and a slope, the law of expanders'
growth and that of the others by a shift and a factor each. Of growth in time it is the law of ln
amplitude that moves, by a shift and a factor. What decides who expands stays as it
was released. Each is the peak of likelihood times a prior that expects no change, so that few
patients change little (shrunken recalibration: Steyerberg 2004, Stat Med 23:2567).
"""

from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_ndtr

from hemexp.expansion.distribution import GrowthDistribution
from hemexp.expansion.fit import LEAST_GROWTH_ML, certainty, split_folds
from hemexp.expansion.fit_timed import recalibrate_timed
from hemexp.expansion.model import ExpansionModel, GrowthModel
from hemexp.expansion.timed import TimedModel
from hemexp.outcomes import expansion_begins_ml

LEVEL_SD = float(np.log(2))
"""Prior of the logit's change at the centre's mean patient: odds halved or doubled are 1 SD."""

SLOPE_SD = 0.25
"""Prior of the slope, about 1: 30 patients tell it to +-0.5, so most of that is chance."""

SHIFT_SD = 0.5
"""Prior of a law's shift, in SDs of the released law: growth by a third more or less is 1 SD."""

LN_FACTOR_SD = 0.25
"""Prior of ln(new SD / released SD). What the four priors cost: `benchmarks/recalibrate.py`."""

FOLDS = 5


class Change(NamedTuple):
    """How a law moves, in SDs of the released one.

    Attributes:
        shift: Of its mean.
        factor: Of its SD.
    """

    shift: float
    factor: float


@dataclass(frozen=True)
class Update:
    """What is changed in one model.

    Attributes:
        intercept: The new logit is this plus ...
        slope: ... this times the released one.
        expanders: Of the law of ln growth that is cut where HE begins.
        stable: Of the growth of who does not expand.
    """

    intercept: float
    slope: float
    expanders: Change
    stable: Change

    def as_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return asdict(self) | {
            name: getattr(self, name)._asdict() for name in ("expanders", "stable")
        }


@dataclass(frozen=True)
class TimedUpdate:
    """What is changed in a model of growth in time.

    Attributes:
        amplitude: Of the law of ln amplitude.
        onsets_h: What stands for an unknown onset.
    """

    amplitude: Change
    onsets_h: tuple[float, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return asdict(self) | {"amplitude": self.amplitude._asdict()}


def fit_line(
    logit: NDArray[np.float64],
    expands: NDArray[np.bool_],
    weight: NDArray[np.float64] | float = 1.0,
) -> tuple[float, float]:
    """Intercept and slope of the logit of what happened on the released logit, shrunk to 0 and 1.

    Args:
        logit: (n,) released logits.
        expands: (n,) what happened.
        weight: (n,) part that each patient has in the likelihood.
    """
    # At the mean the two priors do not meddle with one another.
    center = float(logit.mean())
    sign = np.where(expands, -1.0, 1.0)

    def loss(line: NDArray[np.float64]) -> float:
        level, slope = line
        missed = np.logaddexp(0, sign * (logit + level + (slope - 1) * (logit - center)))
        unlikely = (weight * missed).sum()
        return unlikely + (level / LEVEL_SD) ** 2 / 2 + ((slope - 1) / SLOPE_SD) ** 2 / 2

    level, slope = minimize(loss, np.array([0.0, 1.0]), bounds=[(None, None), (0, None)]).x
    return float(level + (1 - slope) * center), float(slope)


def fit_change(away: NDArray[np.float64], begin: NDArray[np.float64] | float = -np.inf) -> Change:
    """Shift and factor of a normal law that is seen from `begin` on, shrunk to 0 and 1.

    Args:
        away: (n,) distance from the released mean in released SDs.
        begin: (n,) where each patient's law is cut, likewise; nowhere by default.
    """

    def loss(change: NDArray[np.float64]) -> float:
        shift, ln_factor = change
        now, cut = (np.atleast_1d((at - shift) / np.exp(ln_factor)) for at in (away, begin))
        above = np.broadcast_to(log_ndtr(-cut), now.shape)
        unlikely = (now**2 / 2 + ln_factor + above).sum()
        return unlikely + (shift / SHIFT_SD) ** 2 / 2 + (ln_factor / LN_FACTOR_SD) ** 2 / 2

    shift, ln_factor = minimize(loss, np.zeros(2)).x
    return Change(float(shift), float(np.exp(ln_factor)))


def fit_update(model: GrowthModel, table: pd.DataFrame) -> Update | TimedUpdate:
    """What the patients of a centre change in a model.

    Args:
        model: As released.
        table: What its predictors read, `he` (0/1) and `growth_ml` in mL, a row a patient.
    """
    if isinstance(model, TimedModel):
        new = recalibrate_timed(model, table, SHIFT_SD, LN_FACTOR_SD)
        moved = new.log_amplitude.intercept - model.log_amplitude.intercept
        amplitude = Change(moved / model.log_sd, new.log_sd / model.log_sd)
        return TimedUpdate(amplitude, new.onsets_h)
    expands, volume_ml = table["he"].to_numpy() == 1, table["baseline_iph_ml"].to_numpy()
    growth_ml = table["growth_ml"].to_numpy()
    both = np.stack([growth_ml, expansion_begins_ml(volume_ml)])
    mean = model.log_growth(table)[expands]
    away, begin = (np.log(both[:, expands]) - mean) / model.log_sd
    center, sd = _stable_law(model)
    # The growth of the others ends where HE begins: upside down it is cut like that of expanders.
    scaled = both[:, ~expands] / volume_ml[~expands] ** model.stable_power
    mirrored = fit_change(*(center - scaled) / sd)
    intercept, slope = fit_line(model.logit(table), expands, certainty(table))
    stable = Change(-mirrored.shift, mirrored.factor)
    return Update(intercept, slope, fit_change(away, begin), stable)


def _stable_law(model: ExpansionModel) -> tuple[float, float]:
    """Mean and SD of the growth of who did not expand, over V^power."""
    return float(np.mean(model.stable)), max(float(np.std(model.stable)), LEAST_GROWTH_ML)


def update_model(model: GrowthModel, update: Update | TimedUpdate) -> GrowthModel:
    """The model with the update in its own numbers: whoever draws from it draws from the new."""
    if isinstance(update, TimedUpdate):
        line, (shift, factor) = model.log_amplitude, update.amplitude
        level = line.intercept + model.log_sd * shift
        line, log_sd = replace(line, intercept=level), model.log_sd * factor
        return replace(model, log_amplitude=line, log_sd=log_sd, onsets_h=update.onsets_h)
    old, growth = model.logit, model.log_growth
    center, sd = _stable_law(model)
    moved = center + sd * update.stable.shift
    return replace(
        model,
        logit=replace(
            old,
            coefficients=tuple(update.slope * weight for weight in old.coefficients),
            intercept=update.intercept + update.slope * old.intercept,
        ),
        log_growth=replace(
            growth, intercept=growth.intercept + model.log_sd * update.expanders.shift
        ),
        log_sd=model.log_sd * update.expanders.factor,
        stable=tuple(moved + update.stable.factor * (one - center) for one in model.stable),
    )


def recalibrate(model: GrowthModel, table: pd.DataFrame) -> GrowthModel:
    """`fit_update` on a centre's patients, taken into the model."""
    return update_model(model, fit_update(model, table))


def folds_of(table: pd.DataFrame, seed: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Rows to learn from and rows held out, `FOLDS` times where there are patients enough."""
    return split_folds(table["he"].to_numpy() == 1, FOLDS, seed)


def cross_fit(model: GrowthModel, table: pd.DataFrame, seed: int) -> list[GrowthDistribution]:
    """Every patient's distribution, recalibrated on the patients of the other folds."""
    found: dict[int, GrowthDistribution] = {}
    for others, held_out in folds_of(table, seed):
        given = recalibrate(model, table.iloc[others]).distributions(table.iloc[held_out])
        found |= zip(held_out.tolist(), given, strict=True)
    return [found[row] for row in range(len(table))]
