"""Weights pulled to published effects: how far, where to, and until when."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from hemexp.expansion.fit import choose_four, fit_four_variable, split_folds
from hemexp.expansion.logistic import Ridge, choose_ridge, fit_logistic
from hemexp.expansion.published import PUBLISHED_EFFECTS, published_weights


def events(n, weights, seed=0):
    """Scaled predictors and events of a logistic law without an intercept."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, len(weights)))
    return x, rng.uniform(size=n) < 1 / (1 + np.exp(-x @ np.array(weights)))


def ridge(penalty, *toward):
    return Ridge(np.full(len(toward), float(penalty)), np.array(toward))


def patients(n, effect=1.0, seed=0):
    """Patients whose expansion follows the published effects, multiplied."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "onset_to_ct_h": np.exp(rng.normal(1, 0.8, n)),
            "baseline_iph_ml": np.exp(rng.normal(2.6, 0.8, n)),
            "anticoagulant": (rng.uniform(size=n) < 0.3).astype(float),
            "antiplatelet": (rng.uniform(size=n) < 0.3).astype(float),
        }
    )
    known = table.assign(ln_onset=np.log(table["onset_to_ct_h"]) - 1)
    score = sum(effect * each * known[name] for name, each in PUBLISHED_EFFECTS.items())
    p = 1 / (1 + np.exp(1 - score))
    return table.assign(he=(rng.uniform(size=n) < p).astype(float))


def effects(table, settings, *, published):
    """Fitted change of the logit per unit of the four variables."""
    folds = split_folds(table["he"].to_numpy() == 1, settings.folds, 1)
    line = fit_four_variable(table, choose_four(table, settings, folds, published=published))
    return np.array(line.coefficients) / np.array(line.sd)


def test_a_pull_to_nothing_is_that_of_scikit_learn():
    x, happens = events(60, (1.0, -0.5, 0.0))
    weights, intercept = fit_logistic(x, happens, ridge(4, 0.0, 0.0, 0.0))
    known = LogisticRegression(C=1 / 4, tol=1e-8).fit(x, happens)
    assert np.allclose(weights, known.coef_[0], atol=1e-3)
    assert intercept == pytest.approx(known.intercept_[0], abs=1e-3)


def test_a_pull_reaches_its_aim_and_fades_with_the_patients():
    x, happens = events(20_000, (1.0, -0.5))
    few = [fit_logistic(x[:20], happens[:20], ridge(p, 3.0, 2.0))[0] for p in (1e6, 30, 1e-3)]
    assert np.allclose(few[0], [3, 2], atol=1e-3) and 0 < np.abs(few[1] - [3, 2]).max() < 2
    assert np.abs(few[2] - [3, 2]).max() > 1
    assert np.allclose(fit_logistic(x, happens, ridge(30, 3.0, 2.0))[0], [1, -0.5], atol=0.1)


def test_weights_stay_above_their_least():
    x, happens = events(400, (1.0, -1.0))
    weights, _ = fit_logistic(x, happens, ridge(1, 0.0, 0.0), least=np.array([-np.inf, 0.0]))
    assert weights[0] > 0.6 and weights[1] == 0


def test_the_pull_is_chosen_by_patients_held_out():
    candidates = [ridge(penalty, 1.0, -0.5) for penalty in (0.1, 1e4)]
    for weights, chosen in (((1.0, -0.5), 1), ((-1.0, 0.5), 0)):
        x, happens = events(120, weights)
        folds = split_folds(happens, 5, 1)
        found, logits = choose_ridge(x, happens, candidates, folds)
        assert found is candidates[chosen] and logits.shape == (120,)
    found, logits = choose_ridge(x, happens, candidates, [])
    assert found is candidates[1] and logits.size == 0


def test_published_effects_are_per_unit_and_need_a_zero_point():
    names = ("ln_onset", "ln_iph_ml", "anticoagulant", "antiplatelet")
    raw = np.array([[1.0, 2.0, 0.0, np.nan], [2.0, 3.0, 0.0, np.nan]])
    weights = published_weights(names, (0.5, 0.5, 1.0, 1.0), raw)
    assert np.allclose(weights, [np.log(0.5) / 2, 0, np.log(3.48), 0])


def test_few_patients_get_published_effects_and_many_their_own(settings):
    section = settings.expansion
    published = np.log([0.50, 3.48, 1.68])
    alike, reversed_ = patients(60), patients(4000, effect=-1.0)
    away = [
        np.abs(effects(alike, section, published=known)[[0, 2, 3]] - published).sum()
        for known in (True, False)
    ]
    assert away[0] < 0.6 * away[1]
    turned = effects(reversed_, section, published=True)[[0, 2, 3]]
    assert np.allclose(turned, -published, atol=0.25)


def test_a_drug_that_nobody_took_keeps_its_published_effect(settings):
    nobody = patients(80).assign(anticoagulant=0.0, antiplatelet=np.nan)
    found = effects(nobody, settings.expansion, published=True)
    assert found[2] == pytest.approx(np.log(3.48)) and found[3] == 0
    assert effects(nobody, settings.expansion, published=False)[2] == 0
