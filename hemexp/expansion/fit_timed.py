"""Fits growth in time (`timed`) to training patients.

The weights are the peak of the likelihood times a normal prior. The error is summed over cells;
an unknown onset is averaged over likely ones. The same function recalibrates: there the prior
is the released model.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, ndtr

from hemexp.columns import LEAST_ONSETS
from hemexp.expansion.linear import Linear, scale
from hemexp.expansion.logistic import Folds
from hemexp.expansion.predictors import FOUR, IMAGE
from hemexp.expansion.timed import LEAST_SHARE, TimedModel, TimeLaw, interval_h, likely_onsets_h

FOUR_IN_TIME = tuple(name for name in FOUR if name != "ln_onset")
"""The established variables; the onset stands in F."""

TIMED_MODELS = {
    "timed_four_variable": FOUR_IN_TIME,
    "timed_image_clinical": (*FOUR_IN_TIME, *IMAGE),
}
"""Predictors of ln amplitude."""

EDGES = np.linspace(-4, 4, 34)
"""Ends of cells of a standard normal error, in which its density is taken as even."""

_CELLS = np.diff(ndtr(EDGES)) / np.diff(EDGES) / np.diff(ndtr(EDGES)).sum()
EDGE_WEIGHTS = np.diff(_CELLS, prepend=0.0, append=0.0)
"""Steps of that density. So no error is a point that a growth near 0 could be fitted to."""

OUTLIER_SHARE, OUTLIER_SDS, OUTLIER_FLOOR = 0.01, 6.0, 1e-6
"""One reading in a hundred is off by six times the usual error: it must not bend the fit."""

FARTHEST_SD = 6.0
"""No number is looked for farther from where its prior expects it, in SDs of the prior."""

UNKNOWN_ONSETS = 9
"""Levels of known onsets that stand for an unknown one."""


class Prior(NamedTuple):
    """A normal prior of one number.

    Attributes:
        mean: Where it is expected.
        sd: How far from there; 0: it is known.
    """

    mean: float
    sd: float


LEVEL = Prior(1.5, 3.0)
"""Of ln(amplitude / mL) at the mean patient: next to nothing is said."""

LN_TAU = Prior(float(np.log(4.0)), 0.5)
LN_POWER = Prior(float(np.log(1.2)), 0.3)
"""Half of the growth in the first 4 h: of those scanned within 3 h a quarter grow within an hour,
an eighth more by 20 h (Brott 1997, Stroke 28:1)."""

LN_LOG_SD = Prior(0.0, 0.5)
LN_ERROR_SD = Prior(float(np.log(0.12)), 0.5)
ERROR_MEAN = Prior(0.0, 0.1)
"""A bleed of 16 mL is read with an SD of half a mL, about the truth."""


@dataclass(frozen=True)
class Pairs:
    """What is seen of n patients.

    Attributes:
        x: (n, predictors), scaled.
        onset_h: (n, onsets) equally likely hours from onset to the baseline scan.
        interval_h: (n, 1) hours between the scans.
        growth_ml: (n, 1).
        root_ml: (n, 1) root of the baseline volume in mL.
        certainty: (n,) part of each in the likelihood.
    """

    x: NDArray[np.float64]
    onset_h: NDArray[np.float64]
    interval_h: NDArray[np.float64]
    growth_ml: NDArray[np.float64]
    root_ml: NDArray[np.float64]
    certainty: NDArray[np.float64]

    @classmethod
    def of_table(
        cls, table: pd.DataFrame, x: NDArray[np.float64], onsets_h: tuple[float, ...]
    ) -> Self:
        """Patients as `read_patients` gives them, with `growth_ml`; see `likely_onsets_h`."""
        onset_h = likely_onsets_h(table, onsets_h)
        growth_ml, volume_ml = (
            table[name].to_numpy(dtype=float)[:, None] for name in ("growth_ml", "baseline_iph_ml")
        )
        sure = table.get("label_certainty", pd.Series(1.0, table.index)).to_numpy(dtype=float)
        hours = interval_h(table)[:, None]
        return cls(x, onset_h, hours, growth_ml, np.sqrt(volume_ml), sure)

    def rows(self, index: NDArray[np.intp]) -> Self:
        """Some of the patients."""
        fields = ("x", "onset_h", "interval_h", "growth_ml", "root_ml", "certainty")
        return replace(self, **{name: getattr(self, name)[index] for name in fields})


class Weights(NamedTuple):
    """The numbers that are fitted, from one vector.

    Attributes:
        level: Of ln amplitude.
        slopes: (predictors,) of ln amplitude per SD.
        ln_tau: Of F.
        ln_power: Of F.
        ln_log_sd: Of ln amplitude.
        ln_error_sd: Of the error per root mL.
        error_mean: Of the error per root mL.
    """

    level: float
    slopes: NDArray[np.float64]
    ln_tau: float
    ln_power: float
    ln_log_sd: float
    ln_error_sd: float
    error_mean: float

    @classmethod
    def of_vector(cls, vector: NDArray[np.float64]) -> Self:
        """From level, slopes and the other five."""
        return cls(vector[0], vector[1:-5], *vector[-5:])


def log_likelihood(
    weights: Weights, pairs: Pairs
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ln density of each patient's growth (n,), and its slope in every weight (n, weights)."""
    tau, power = np.exp(weights.ln_tau), np.exp(weights.ln_power)
    log_between, by_time = _log_between(pairs, tau, power)
    mean = weights.level + (pairs.x @ weights.slopes)[:, None] + log_between  # (n, onsets)
    log_sd, error_sd = np.exp(weights.ln_log_sd), np.exp(weights.ln_error_sd)
    reading_ml = error_sd * pairs.root_ml  # (n, 1)
    grown_ml = pairs.growth_ml - pairs.root_ml * weights.error_mean - reading_ml * EDGES
    seen, grown_ml = grown_ml > 0, np.where(grown_ml > 0, grown_ml, 1.0)
    away = (np.log(grown_ml)[:, None, :] - mean[:, :, None]) / log_sd  # (n, onsets, edges)
    usual_share = (1 - OUTLIER_SHARE) / pairs.onset_h.shape[1]
    step = (usual_share * seen * EDGE_WEIGHTS / reading_ml)[:, None, :]
    usual = (step * ndtr(away)).sum(axis=(1, 2))
    wide = OUTLIER_SDS * reading_ml[:, 0]
    far = norm_pdf(pairs.growth_ml[:, 0] / wide) / wide
    total = usual + OUTLIER_SHARE * (far + OUTLIER_FLOOR)
    bell = step * norm_pdf(away) / total[:, None, None]
    by_mean = -bell.sum(axis=2) / log_sd  # (n, onsets)
    by_grown = bell.sum(axis=1) / log_sd / grown_ml  # (n, edges)
    of_far = OUTLIER_SHARE * far * ((pairs.growth_ml[:, 0] / wide) ** 2 - 1)
    slope = np.column_stack(
        [
            by_mean.sum(axis=1),
            pairs.x * by_mean.sum(axis=1, keepdims=True),
            *((by_mean * one).sum(axis=1) for one in by_time),
            -(bell * away).sum(axis=(1, 2)),
            -(by_grown * EDGES).sum(axis=1) * reading_ml[:, 0] + (of_far - usual) / total,
            -by_grown.sum(axis=1) * pairs.root_ml[:, 0],
        ]
    )
    return np.log(total), slope


def norm_pdf(away: NDArray[np.float64]) -> NDArray[np.float64]:
    """Density of the standard normal."""
    return np.exp(-(away**2) / 2) / np.sqrt(2 * np.pi)


def _log_between(
    pairs: Pairs, tau: float, power: float
) -> tuple[NDArray[np.float64], tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """ln(F(t1) - F(t0)), (n, onsets), and its slopes in ln tau and ln power."""
    ends = []
    for hours in (pairs.onset_h, pairs.onset_h + pairs.interval_h):
        rise = power * np.log(np.maximum(hours, 1e-9) / tau)
        share = expit(rise)
        ends.append((share, -power * share * (1 - share), rise * share * (1 - share)))
    before, after = ends
    between = np.maximum(after[0] - before[0], LEAST_SHARE)
    slopes = tuple((a - b) / between for a, b in zip(after[1:], before[1:], strict=True))
    return np.log(between), slopes


def fit_weights(pairs: Pairs, priors: list[Prior]) -> Weights:
    """Peak of likelihood times prior.

    Args:
        pairs: The patients.
        priors: Of level, every slope and the other five; what is known (SD 0) stays.
    """
    mean, sd = (np.array(one) for one in zip(*priors, strict=True))
    free = sd > 0

    def loss(away: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Of what is free, in SDs of its prior from the mean."""
        whole = mean.copy()
        whole[free] += sd[free] * away
        value, slope = log_likelihood(Weights.of_vector(whole), pairs)
        pull = (pairs.certainty @ slope)[free] * sd[free] - away
        return -(pairs.certainty @ value) + (away**2).sum() / 2, -pull

    ends = [(-FARTHEST_SD, FARTHEST_SD)] * int(free.sum())
    found = minimize(loss, np.zeros(len(ends)), jac=True, method="L-BFGS-B", bounds=ends).x
    whole = mean.copy()
    whole[free] += sd[free] * found
    return Weights.of_vector(whole)


def slope_priors(names: tuple[str, ...], penalties: tuple[float, float]) -> list[Prior]:
    """Priors about 0 of the slopes, from L2 penalties of established and other predictors."""
    four, other = penalties
    return [Prior(0.0, (four if name in FOUR else other) ** -0.5) for name in names]


def fit_timed(
    name: str,
    names: tuple[str, ...],
    table: pd.DataFrame,
    penalty: float,
    candidates: Sequence[float],
    folds: Folds,
) -> TimedModel:
    """Fits one model.

    Args:
        name: Such as `timed_four_variable`.
        names: Predictors of ln amplitude.
        table: Training patients: what its predictors read, `growth_ml`, onset and, where known,
            `followup_interval_h`.
        penalty: L2 penalty of the established variables.
        candidates: Penalties of the others, of which the inner folds take one.
        folds: Rows to fit on and rows held out; without any the largest penalty is taken.
    """
    bare, x = scale(table, names)
    onsets_h = known_onsets_h(table)
    pairs = Pairs.of_table(table, x, onsets_h)
    tail = [LN_TAU, LN_POWER, LN_LOG_SD, LN_ERROR_SD, ERROR_MEAN]

    def priors(other: float) -> list[Prior]:
        return [LEVEL, *slope_priors(names, (penalty, other)), *tail]

    def unlikely(other: float) -> float:
        """Minus ln density of the patients held out."""
        total = 0.0
        for fit, held_out in folds:
            weights, new = fit_weights(pairs.rows(fit), priors(other)), pairs.rows(held_out)
            total -= float(new.certainty @ log_likelihood(weights, new)[0])
        return total

    wanted = sorted(candidates)[-1:] if len(names) == len(FOUR_IN_TIME) else sorted(candidates)
    best = min(wanted, key=unlikely) if folds and len(wanted) > 1 else wanted[-1]
    return as_model(name, bare, fit_weights(pairs, priors(best)), onsets_h)


def recalibrate_timed(
    model: TimedModel, table: pd.DataFrame, level_sd: float, ln_factor_sd: float
) -> TimedModel:
    """The model with level and SD of ln amplitude moved to a centre's patients.

    What decides who grows, the law of time and the error stay as released. An unknown onset is
    averaged over the centre's known ones where there are enough: centres scan at other hours.

    Args:
        model: As released.
        table: As for `fit_timed`.
        level_sd: SD of the prior of the level's change, in SDs of ln amplitude.
        ln_factor_sd: SD of the prior of ln(new SD / released SD).
    """
    line = model.log_amplitude
    known = int(table["onset_to_ct_h"].notna().sum())
    onsets_h = known_onsets_h(table) if known >= LEAST_ONSETS else model.onsets_h
    pairs = Pairs.of_table(table, line.scaled(table), onsets_h)
    slopes = [Prior(slope, 0.0) for slope in line.coefficients]
    numbers = (np.log(model.time.tau_h), np.log(model.time.power))
    error = Prior(float(np.log(model.error_sd)), 0.0), Prior(model.error_mean, 0.0)
    priors = [
        Prior(line.intercept, level_sd * model.log_sd),
        *slopes,
        *(Prior(float(number), 0.0) for number in numbers),
        Prior(float(np.log(model.log_sd)), ln_factor_sd),
        *error,
    ]
    return as_model(model.name, line, fit_weights(pairs, priors), onsets_h)


def known_onsets_h(table: pd.DataFrame) -> tuple[float, ...]:
    """Equally likely onsets of the patients whose onset is known; half of F where none is."""
    known = table["onset_to_ct_h"].dropna().to_numpy(dtype=float)
    if not len(known):
        return (float(np.exp(LN_TAU.mean)),)
    levels = (np.arange(UNKNOWN_ONSETS) + 0.5) / UNKNOWN_ONSETS
    return tuple(np.quantile(known, levels).tolist())


def as_model(name: str, bare: Linear, weights: Weights, onsets_h: tuple[float, ...]) -> TimedModel:
    """Fitted weights as plain numbers."""
    return TimedModel(
        name=name,
        log_amplitude=replace(
            bare, coefficients=tuple(weights.slopes.tolist()), intercept=float(weights.level)
        ),
        log_sd=float(np.exp(weights.ln_log_sd)),
        time=TimeLaw(float(np.exp(weights.ln_tau)), float(np.exp(weights.ln_power))),
        error_mean=float(weights.error_mean),
        error_sd=float(np.exp(weights.ln_error_sd)),
        onsets_h=onsets_h,
    )
