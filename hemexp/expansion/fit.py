"""Fits the three expansion models on training patients."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from hemexp import Fault, HemexpError
from hemexp.expansion.distribution import expansion_begins_ml
from hemexp.expansion.model import ExpansionModel, Linear
from hemexp.expansion.predictors import BRAIN, FOUR, IMAGE, predictors
from hemexp.expansion.truncated import fit_lognormal
from hemexp.settings import Expansion

BRAIN_INTERCEPT, BRAIN_SLOPE = -3.347, 0.2144
"""logit p of the BRAIN score's published table: 3.4 % at 0 points, 85.8 % at 24 (Wang 2015)."""

BRAIN_WARFARIN, BRAIN_IVH = 6.0, 2.0

SLOPE_SD = 0.5
"""How far a calibration slope is expected from 1: few patients must not turn a model round."""

LEAST_GROWTH_ML = 1e-3
STABLE_POWERS = (0.0, 1.0)
"""Growth without expansion is measurement error: between the same for all and in proportion."""


GROWTH_MODELS = ("four_variable", "image_clinical", "brain")
"""Where they forecast equally well, the first is taken."""


def fit_models(table: pd.DataFrame, settings: Expansion, seed: int) -> dict[str, ExpansionModel]:
    """All models by name, see `fit_model`."""
    return {name: fit_model(name, table, settings, seed) for name in GROWTH_MODELS}


def fit_model(name: str, table: pd.DataFrame, settings: Expansion, seed: int) -> ExpansionModel:
    """Fits one model.

    Args:
        name: One of `GROWTH_MODELS`.
        table: Training patients: what its predictors read, `he` (0/1) and `growth_ml`.
        settings: The room's settings.
        seed: Decides the folds of the inner loop.

    Raises:
        HemexpError: All patients expand, or none does.
    """
    expands = table["he"].to_numpy() == 1
    if expands.all() or not expands.any():
        raise HemexpError(
            Fault(
                f"sample sheet, {len(table)} training patients",
                f"{int(expands.sum())} with expansion",
                "both patients with and without",
                "Add training patients of the missing kind.",
            )
        )
    if name == "four_variable":
        logit_p = fit_four_variable(table, settings.penalty)
    elif name == "image_clinical":
        logit_p = fit_image_clinical(table, settings, seed)
    else:
        logit_p = fit_brain(table)
    return ExpansionModel(name, logit_p, **fit_growth(table))


def split_folds(
    expands: NDArray[np.bool_], folds: int, seed: int
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Rows to fit on and rows held out, both kinds in every part; none with one of a kind."""
    count = min(folds, int(expands.sum()), int((~expands).sum()))
    if count < 2:
        return []
    splitter = StratifiedKFold(count, shuffle=True, random_state=seed % 2**32)
    return list(splitter.split(np.zeros(len(expands)), expands))


def scale(table: pd.DataFrame, names: tuple[str, ...]) -> tuple[Linear, NDArray[np.float64]]:
    """Mean and SD of predictors over known values, without weights yet; and them scaled."""
    raw = predictors(table, names)
    known = ~np.isnan(raw).all(axis=0)
    columns = [column if ok else np.zeros(1) for column, ok in zip(raw.T, known, strict=True)]
    mean, sd = (np.array([f(column) for column in columns]) for f in (np.nanmean, np.nanstd))
    # A column that is the same for all takes no side; rounding gives it an SD near 0.
    sd[sd < 1e-9 * (1 + np.abs(mean))] = 1.0
    bare = Linear(names, tuple(mean.tolist()), tuple(sd.tolist()), (0.0,) * len(names), 0.0)
    return bare, bare.standardise(raw)


def weigh(bare: Linear, coefficients: NDArray[np.float64], intercept: float) -> Linear:
    """Gives scaled predictors (see `scale`) their weights."""
    return Linear(bare.names, bare.mean, bare.sd, tuple(coefficients.tolist()), float(intercept))


def fit_four_variable(table: pd.DataFrame, penalty: float) -> Linear:
    """Logistic regression on onset, volume, anticoagulant and antiplatelet (the 2018 form)."""
    bare, scaled = scale(table, FOUR)
    fitted = LogisticRegression(C=1 / penalty).fit(scaled, table["he"] == 1)
    return weigh(bare, fitted.coef_[0], fitted.intercept_[0])


def fit_brain(table: pd.DataFrame) -> Linear:
    """The BRAIN score as published; only what an unknown value counts is learned.

    Recurrent ICH is not in the sheet and counts 0; any anticoagulant counts as warfarin; the
    published outcome is growth >= 6 mL. What is unknown counts its mean over training patients,
    0 where it is unknown for all.
    """
    scores = predictors(table, BRAIN)
    known = ~np.isnan(scores)
    mean = np.where(known, scores, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    points = np.array([1.0, BRAIN_WARFARIN, BRAIN_IVH, 1.0]) * BRAIN_SLOPE
    bare = Linear(BRAIN, tuple(mean.tolist()), (1.0,) * 4, (0.0,) * 4, 0.0)
    return weigh(bare, points, BRAIN_INTERCEPT + float(points @ mean))


def fit_image_clinical(table: pd.DataFrame, settings: Expansion, seed: int) -> Linear:
    """Penalised logistic regression on all variables and the image, recalibrated.

    The four established variables keep the light `penalty`, so that what-if answers are not
    shrunk with the rest; the others' penalty is the one of `image_penalties` with the best log
    loss in an inner cross-fitting, whose scores then calibrate the model.
    """
    names, expands = FOUR + IMAGE, table["he"].to_numpy() == 1
    bare, scaled = scale(table, names)
    folds = split_folds(expands, settings.folds, seed)
    best = (np.inf, max(settings.image_penalties), np.array([]))
    for penalty in settings.image_penalties if folds else ():
        p = cross_val_predict(
            LogisticRegression(C=1 / settings.penalty, max_iter=1000),
            scaled * _shrink(penalty / settings.penalty),
            expands,
            cv=folds,
            method="predict_proba",
        )[:, 1]
        if (loss := log_loss(expands, p)) < best[0]:
            best = (loss, penalty, logit(p))
    shrink = _shrink(best[1] / settings.penalty)
    fitted = LogisticRegression(C=1 / settings.penalty, max_iter=1000)
    fitted.fit(scaled * shrink, expands)
    slope, offset = calibrate(best[2], expands) if folds else (1.0, 0.0)
    return weigh(bare, slope * fitted.coef_[0] * shrink, slope * fitted.intercept_[0] + offset)


def _shrink(ratio: float) -> NDArray[np.float64]:
    """Factors of the columns: one made smaller by sqrt(r) is penalised r times as much."""
    return np.array([1.0] * len(FOUR) + [ratio**-0.5] * len(IMAGE))


def calibrate(score: NDArray[np.float64], expands: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and offset that calibrate logits which did not see their own outcome (Platt)."""

    def loss(line: NDArray[np.float64]) -> float:
        p = np.clip(expit(line[0] * score + line[1]), 1e-12, 1 - 1e-12)
        away = (line[0] - 1) / SLOPE_SD
        return log_loss(expands, p, normalize=False) + away**2 / 2

    slope, offset = minimize(loss, np.array([1.0, 0.0]), bounds=[(0, None), (None, None)]).x
    return float(slope), float(offset)


def fit_growth(table: pd.DataFrame) -> dict[str, object]:
    """Growth of expanders (log-normal given volume, cut where HE begins) and of the others.

    Returns fields of the model.

    Image features are left out: with 100 expanders they cost more than they tell (docs/method.md
    5).
    """
    expands, growth_ml = table["he"].to_numpy() == 1, table["growth_ml"].to_numpy()
    baseline_ml = table["baseline_iph_ml"].to_numpy()
    bare, scaled = scale(table, ("ln_iph_ml",))
    begin = np.log(expansion_begins_ml(baseline_ml[expands]))
    law = fit_lognormal(scaled[expands, 0], np.log(growth_ml[expands]), begin)
    stable, power = fit_stable(growth_ml[~expands], baseline_ml[~expands])
    return {
        "log_growth": weigh(bare, np.array([law.slope]), law.intercept),
        "log_sd": law.log_sd,
        "stable": stable,
        "stable_power": power,
        "growth_note": law.note,
    }


def fit_stable(
    growth_ml: NDArray[np.float64], baseline_ml: NDArray[np.float64]
) -> tuple[tuple[float, ...], float]:
    """Growth over V^power, sorted, and the power at which its size no longer follows V.

    Args:
        growth_ml: (n,) of patients in whom nothing happened.
        baseline_ml: (n,) their volume V, above 0.
    """
    log_volume = np.log(baseline_ml)
    away = log_volume - log_volume.mean()
    size = np.log(np.maximum(np.abs(growth_ml), LEAST_GROWTH_ML))
    power = float(np.clip((away * size).sum() / (np.sum(away**2) + 1), *STABLE_POWERS))
    return tuple(np.sort(growth_ml / baseline_ml**power).tolist()), power
