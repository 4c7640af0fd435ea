"""Fits the models of expansion and growth on training patients."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.model_selection import StratifiedKFold

from hemexp import Fault, HemexpError
from hemexp.expansion.fit_timed import TIMED_MODELS, fit_timed
from hemexp.expansion.linear import Linear, scale, weigh
from hemexp.expansion.logistic import Folds, Ridge, choose_ridge, fit_logistic
from hemexp.expansion.model import ExpansionModel, GrowthModel
from hemexp.expansion.predictors import BRAIN, FOUR, IMAGE, predictors
from hemexp.expansion.published import PUBLISHED_EFFECTS, published_weights
from hemexp.expansion.truncated import fit_lognormal
from hemexp.outcomes import expansion_begins_ml
from hemexp.settings import Expansion

BRAIN_INTERCEPT, BRAIN_SLOPE = -3.347, 0.2144
"""logit p of the BRAIN score's published table: 3.4 % at 0 points, 85.8 % at 24 (Wang 2015)."""

BRAIN_WARFARIN, BRAIN_IVH = 6.0, 2.0

SLOPE_SD = 0.5
"""How far a calibration slope is expected from 1: few patients must not turn a model round."""

LEAST_GROWTH_ML = 1e-3
STABLE_POWERS = (0.0, 1.0)
"""Growth without expansion is measurement error: between the same for all and in proportion."""

PUBLISHED = "_published"
GROWTH_MODELS = (
    f"four_variable{PUBLISHED}",
    "four_variable",
    f"image_clinical{PUBLISHED}",
    "image_clinical",
    "brain",
    *TIMED_MODELS,
)
"""The first is taken where they forecast equally well, or patients are too few to tell."""


def fit_models(table: pd.DataFrame, settings: Expansion, seed: int) -> dict[str, GrowthModel]:
    """All models by name, see `fit_model`."""
    return {name: fit_model(name, table, settings, seed) for name in GROWTH_MODELS}


def fit_model(name: str, table: pd.DataFrame, settings: Expansion, seed: int) -> GrowthModel:
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
    if name in TIMED_MODELS:
        folds = split_folds(expands, settings.folds, seed)
        names = TIMED_MODELS[name]
        return fit_timed(name, names, table, settings.penalty, settings.image_penalties, folds)
    logit_p = fit_brain(table) if name == "brain" else _fit_refitted(name, table, settings, seed)
    return ExpansionModel(name, logit_p, **fit_growth(table))


def _fit_refitted(name: str, table: pd.DataFrame, settings: Expansion, seed: int) -> Linear:
    folds = split_folds(table["he"].to_numpy() == 1, settings.folds, seed)
    four = choose_four(table, settings, folds, published=name.endswith(PUBLISHED))
    if name.startswith("four_variable"):
        return fit_four_variable(table, four)
    return fit_image_clinical(table, settings, folds, four)


def split_folds(expands: NDArray[np.bool_], folds: int, seed: int) -> Folds:
    """Rows to fit on and rows held out, both kinds in every part; none with one of a kind."""
    count = min(folds, int(expands.sum()), int((~expands).sum()))
    if count < 2:
        return []
    splitter = StratifiedKFold(count, shuffle=True, random_state=seed % 2**32)
    return list(splitter.split(np.zeros(len(expands)), expands))


def certainty(table: pd.DataFrame) -> NDArray[np.float64]:
    """Part that each patient has in a fit of p: how sure it is that HE is told rightly.

    1 where both masks are given (method.md 5).
    """
    return table.get("label_certainty", pd.Series(1.0, table.index)).to_numpy()


def choose_four(
    table: pd.DataFrame, settings: Expansion, folds: Folds, *, published: bool
) -> Ridge:
    """How the four established variables' weights are pulled.

    Args:
        table: Training patients.
        settings: `penalty` to 0; or, to published effects, the one of `published_penalties` with
            the best log loss of patients held out. A variable without such an effect keeps
            `penalty`.
        folds: Of those patients.
        published: Whether to published effects.
    """
    light = np.full(len(FOUR), settings.penalty)
    if not published:
        return Ridge(light, np.zeros(len(FOUR)))
    bare, scaled = scale(table, FOUR)
    toward = published_weights(FOUR, bare.sd, predictors(table, FOUR))
    known = np.array([name in PUBLISHED_EFFECTS for name in FOUR])
    candidates = [
        Ridge(np.where(known, penalty, light), toward)
        for penalty in sorted(settings.published_penalties)
    ]
    expands = table["he"].to_numpy() == 1
    return choose_ridge(scaled, expands, candidates, folds, certainty(table))[0]


def fit_four_variable(table: pd.DataFrame, four: Ridge) -> Linear:
    """Logistic regression on onset, volume, anticoagulant and antiplatelet (the 2018 form)."""
    bare, scaled = scale(table, FOUR)
    expands = table["he"].to_numpy() == 1
    return weigh(bare, *fit_logistic(scaled, expands, four, weight=certainty(table)))


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


def fit_image_clinical(
    table: pd.DataFrame, settings: Expansion, folds: Folds, four: Ridge
) -> Linear:
    """Penalised logistic regression on all variables and the image, recalibrated.

    The four established variables keep their own pull, so that what-if answers are not shrunk
    with the rest; the others' penalty is the one of `image_penalties` with the best log loss in an
    inner cross-fitting, whose scores then calibrate the model.
    """
    expands, weight = table["he"].to_numpy() == 1, certainty(table)
    bare, scaled = scale(table, FOUR + IMAGE)
    toward = np.append(four.toward, np.zeros(len(IMAGE)))
    candidates = [
        Ridge(np.append(four.penalty, np.full(len(IMAGE), penalty)), toward)
        for penalty in sorted(settings.image_penalties)
    ]
    ridge, logits = choose_ridge(scaled, expands, candidates, folds, weight)
    weights, intercept = fit_logistic(scaled, expands, ridge, weight=weight)
    slope, offset = calibrate(logits, expands, weight) if folds else (1.0, 0.0)
    return weigh(bare, slope * weights, slope * intercept + offset)


def calibrate(
    score: NDArray[np.float64],
    expands: NDArray[np.bool_],
    weight: NDArray[np.float64] | None = None,
) -> tuple[float, float]:
    """Slope and offset that calibrate logits which did not see their own outcome (Platt).

    Args:
        score: (n,) the logits.
        expands: (n,) what happened.
        weight: (n,) as for `fit_logistic`.
    """
    counts = np.ones(len(score)) if weight is None else weight
    signs = np.where(expands, 1.0, -1.0)

    def loss(line: NDArray[np.float64]) -> float:
        missed = (counts * np.logaddexp(0, -signs * (line[0] * score + line[1]))).sum()
        away = (line[0] - 1) / SLOPE_SD
        return missed + away**2 / 2

    slope, offset = minimize(loss, np.array([1.0, 0.0]), bounds=[(0, None), (None, None)]).x
    return float(slope), float(offset)


def fit_growth(table: pd.DataFrame) -> dict[str, object]:
    """Growth of expanders (log-normal given volume, cut where HE begins) and of the others.

    Returns fields of the model.

    Image features are left out: with 100 expanders they cost more than they tell (method.md
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
