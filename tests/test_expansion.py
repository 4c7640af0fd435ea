"""p(expansion) and growth: honest probabilities, a distribution whose numbers agree."""

import numpy as np
import pandas as pd
import pytest

from hemexp import HemexpError
from hemexp.expansion.distribution import ExpansionModel, LogisticLognormal
from hemexp.expansion.fit import cross_fit, fit_expansion, patient_distribution, predictors


@pytest.fixture(scope="module")
def cohort():
    """400 patients whose expansion and growth follow the model that is fitted."""
    rng = np.random.default_rng(0)
    n = 400
    onset, volume = rng.uniform(0.5, 12, n), np.exp(rng.normal(2.6, 0.6, n))
    anticoagulant = rng.integers(0, 2, n).astype(float)
    score = -1.5 - 1.0 * np.log(onset / 3.5) + 1.5 * anticoagulant + 0.8 * (np.log(volume) - 2.6)
    he = (rng.uniform(size=n) < 1 / (1 + np.exp(-score))).astype(float)
    grown = np.exp(2.3 + 0.5 * (np.log(volume) - 2.6) + 0.4 * rng.normal(size=n))
    growth = np.where(he == 1, grown, 0.3 * rng.normal(size=n))
    anticoagulant[:20] = np.nan
    return pd.DataFrame(
        {
            "onset_to_ct_h": onset,
            "baseline_iph_ml": volume,
            "anticoagulant": anticoagulant,
            "antiplatelet": np.full(n, np.nan),
            "he": he,
            "growth_ml": growth,
        }
    )


def test_fit_finds_the_directions_and_the_growth(cohort, settings):
    model = fit_expansion(cohort, settings.expansion)
    onset, volume, anticoagulant, antiplatelet = model.coefficients
    assert onset < -0.3 and volume > 0.2 and anticoagulant > 0.3
    assert antiplatelet == 0  # unknown for all: it takes no side
    assert model.log_intercept == pytest.approx(2.3, abs=0.15)
    assert model.log_sd == pytest.approx(0.4, abs=0.06)
    p = model.probability(predictors(cohort))
    assert p.mean() == pytest.approx(cohort["he"].mean(), abs=0.01)


def test_an_unknown_value_is_not_read_as_zero(cohort, settings):
    model = fit_expansion(cohort, settings.expansion)
    rows = pd.concat([cohort.iloc[[50]]] * 3, ignore_index=True)
    rows["anticoagulant"] = [0.0, np.nan, 1.0]
    no, unknown, yes = model.probability(predictors(rows))
    assert no < unknown < yes


def test_cross_fitted_probabilities_do_not_know_their_own_outcome(cohort, settings):
    small = cohort.iloc[20:60]
    rng = np.random.default_rng(1)
    shuffled = small.assign(he=rng.permutation(small["he"].to_numpy()))
    shuffled.loc[shuffled["he"] == 1, "growth_ml"] = 9.0
    fitted = fit_expansion(shuffled, settings.expansion).probability(predictors(shuffled))
    honest = cross_fit(shuffled, settings.expansion, seed=1)

    def gap(p):
        return p[shuffled["he"] == 1].mean() - p[shuffled["he"] == 0].mean()

    assert gap(honest) < gap(fitted) - 0.02
    again = cross_fit(shuffled, settings.expansion, seed=1)
    assert (honest == again).all()


def test_one_class_is_refused(cohort, settings):
    with pytest.raises(HemexpError, match="both patients with and without"):
        fit_expansion(cohort[cohort["he"] == 1], settings.expansion)


def test_quantiles_samples_and_probability_agree():
    growth = LogisticLognormal(0.3, np.log(10), 0.5, tuple(np.linspace(-1, 1, 21)), 12.0)
    drawn = growth.sample(200_000, np.random.default_rng(0))
    assert np.mean(drawn > 1.0) == pytest.approx(0.3, abs=0.005)
    probabilities = np.array([0.05, 0.25, 0.5, 0.8, 0.95])
    expected = np.quantile(drawn, probabilities)
    assert np.allclose(growth.quantiles(probabilities), expected, rtol=0.02, atol=0.02)


def test_a_bleed_never_shrinks_below_nothing():
    growth = LogisticLognormal(0.0, 0.0, 0.1, (-5.0, -4.0), 3.0)
    assert growth.sample(100, np.random.default_rng(0)).min() == -3.0


def test_the_model_survives_its_file(cohort, settings):
    model = fit_expansion(cohort, settings.expansion)
    again = ExpansionModel.from_json(model.as_json())
    assert (again.probability(predictors(cohort)) == model.probability(predictors(cohort))).all()


def test_an_outside_probability_wins(cohort, settings):
    model = fit_expansion(cohort, settings.expansion)
    patient = cohort.iloc[100]
    assert patient_distribution(model, patient).p_expansion != 0.93
    given = pd.concat([patient, pd.Series({"expansion_prob": 0.93})])
    assert patient_distribution(model, given).p_expansion == 0.93
