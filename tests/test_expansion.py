"""p(expansion) and growth: honest probabilities, a distribution whose numbers agree."""

from typing import get_args

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, truncnorm

from hemexp import HemexpError
from hemexp.expansion.compare import choose, compare_models, cross_fit, score_training
from hemexp.expansion.distribution import LogisticLognormal
from hemexp.expansion.fit import GROWTH_MODELS, calibrate, fit_brain, fit_model, fit_models
from hemexp.expansion.fit_timed import TIMED_MODELS
from hemexp.expansion.model import ExpansionModel, load_models, patient_distribution
from hemexp.expansion.predictors import FOUR, IMAGE
from hemexp.expansion.train import check_volumes, without_a_part
from hemexp.outcomes import expansion_begins_ml, has_shrunk
from hemexp.provenance import write_json
from hemexp.reporting.model_names import MODEL_NAMES
from hemexp.settings import Expansion


@pytest.fixture(scope="module")
def settings(settings):
    few = {"folds": 4, "image_penalties": [3, 30], "bootstrap": 100}
    return settings.model_copy(update={"expansion": settings.expansion.model_copy(update=few)})


@pytest.fixture(scope="module")
def cohort():
    """400 patients whose expansion and growth follow the models that are fitted.

    `dark_hu` carries risk; the other features are noise.
    """
    rng = np.random.default_rng(0)
    n = 400
    onset, volume = rng.uniform(0.5, 12, n), np.exp(rng.normal(2.6, 0.6, n))
    anticoagulant = rng.integers(0, 2, n).astype(float)
    dark = rng.choice(3, n) ** 2.0
    score = -2.5 - 1.0 * np.log(onset / 3.5) + 1.5 * anticoagulant + 0.8 * (np.log(volume) - 2.6)
    true_p = 1 / (1 + np.exp(-score - 1.3 * np.sqrt(dark)))
    he = (rng.uniform(size=n) < true_p).astype(float)
    mean, begin = 2.3 + 0.5 * (np.log(volume) - 2.6), np.log(expansion_begins_ml(volume))
    expanders = truncnorm((begin - mean) / 0.4, np.inf, mean, 0.4)
    grown = np.exp(expanders.ppf(norm.cdf(rng.normal(size=n))))
    growth = np.where(he == 1, grown, 0.1 * volume**0.5 * rng.normal(size=n))
    anticoagulant[:20] = np.nan
    noise = {name: rng.normal(size=n) for name in ("gcs", "sbp", "hu_mean", "hu_sd", "hu_skew")}
    share = {name: rng.uniform(size=n) for name in ("sphericity", "irregularity", "dark_share")}
    return pd.DataFrame(
        {
            "onset_to_ct_h": onset,
            "baseline_iph_ml": volume,
            "anticoagulant": anticoagulant,
            "antiplatelet": np.full(n, np.nan),
            "he": he,
            "growth_ml": growth,
            "true_p": true_p,
            "age": rng.normal(70, 9, n),
            "baseline_ivh_ml": rng.choice([0.0, 2.0], n),
            **noise,
            **share,
            "dark_hu": dark,
            "dark_spots": 0.0,
            "ventricle_mm": rng.uniform(0, 20, n),
        },
        index=[f"P{i:03d}" for i in range(n)],
    )


def row(table, **changes):
    return pd.DataFrame([{**table.iloc[50], **changes}])


def test_the_four_variables_have_their_directions_and_growth_its_size(cohort, settings):
    model = fit_model("four_variable", cohort, settings.expansion, seed=1)
    onset, volume, anticoagulant, antiplatelet = model.logit.coefficients
    assert onset < -0.3 and volume > 0.2 and anticoagulant > 0.3
    assert antiplatelet == 0  # unknown for all: it takes no side
    assert model.growth_note == ""
    assert model.log_growth.intercept == pytest.approx(2.3, abs=0.15)
    assert model.log_sd == pytest.approx(0.4, abs=0.06)
    assert model.stable_power == pytest.approx(0.5, abs=0.15)
    spread_ml = np.std(model.stable) * np.array([5.0, 13.0, 40.0]) ** model.stable_power
    assert np.allclose(spread_ml, 0.1 * np.sqrt([5, 13, 40]), rtol=0.25)
    assert model.probability(cohort).mean() == pytest.approx(cohort["he"].mean(), abs=0.01)


def test_the_image_adds_what_the_four_variables_miss(cohort, settings):
    train, rest = cohort.iloc[:300], cohort.iloc[300:]
    models = fit_models(train, settings.expansion, seed=1)
    error = {
        name: np.mean((model.probability(rest) - rest["true_p"]) ** 2)
        for name, model in models.items()
    }
    assert error["image_clinical"] < 0.4 * error["four_variable"]
    weights = dict(zip(FOUR + IMAGE, models["image_clinical"].logit.coefficients, strict=True))
    assert weights["root_dark_hu"] > 0.6
    assert max(abs(weights[name]) for name in ("hu_sd", "sphericity", "gcs")) < 0.35
    assert weights["dark_spots"] == 0  # the same for all


def test_brain_is_the_published_score(cohort):
    score = fit_brain(cohort)
    low = {"onset_to_ct_h": 6, "baseline_iph_ml": 8, "anticoagulant": 0, "baseline_ivh_ml": 0}
    high = {"onset_to_ct_h": 0.9, "baseline_iph_ml": 21, "anticoagulant": 1, "baseline_ivh_ml": 1}
    middle = {"onset_to_ct_h": 3.0, "baseline_iph_ml": 10.5, "anticoagulant": 0}
    points = [0, 7 + 5 + 6 + 2, 5 + 3 + 2]
    logits = [
        score(row(cohort, **case | {"baseline_ivh_ml": case.get("baseline_ivh_ml", 1)}))[0]
        for case in (low, high, middle)
    ]
    # Published table: 3.4 % at 0 points; 20 of its 24 can be reached without recurrent ICH.
    assert 1 / (1 + np.exp(-logits[0])) == pytest.approx(0.034, abs=0.001)
    assert np.allclose(logits, -3.347 + 0.2144 * np.array(points))
    hours = [0.5, 1.0, 1.5, 2.0, 2.5, 3.5, 4.5, 5.0, 5.5]
    over_time = np.array([score(row(cohort, **low | {"onset_to_ct_h": h}))[0] for h in hours])
    assert np.allclose((over_time + 3.347) / 0.2144, [5, 5, 4, 4, 3, 2, 1, 1, 0])


@pytest.mark.parametrize("name", GROWTH_MODELS)
def test_an_unknown_value_is_not_read_as_zero(cohort, settings, name):
    model = fit_model(name, cohort, settings.expansion, seed=1)
    rows = pd.concat([row(cohort, anticoagulant=value) for value in (0.0, np.nan, 1.0)])
    no, unknown, yes = model.probability(rows)
    assert no < unknown < yes


def test_an_unknown_onset_is_no_early_one(cohort):
    brain = fit_brain(cohort)
    early, unknown, late = (
        brain(row(cohort, onset_to_ct_h=hours))[0] for hours in (0.5, np.nan, 9.0)
    )
    mean = np.mean([max(5 - np.ceil(h - 1), 0) for h in cohort["onset_to_ct_h"].clip(lower=1)])
    assert early - late == pytest.approx(5 * 0.2144)
    assert unknown - late == pytest.approx(mean * 0.2144)
    nobody = cohort.assign(onset_to_ct_h=np.nan)
    assert fit_brain(nobody)(row(nobody))[0] == pytest.approx(late)


def test_what_is_alike_for_all_is_named(cohort):
    found = without_a_part(cohort.assign(onset_to_ct_h=np.nan, gcs=14.0))
    assert found == ["ln_onset", "antiplatelet", "gcs", "dark_spots"]


def test_training_patients_without_volumes_are_refused_by_name(cohort):
    table = cohort.assign(ivh_growth_ml=0.0)
    check_volumes(table)
    table.loc["P003", "baseline_iph_ml"], table.loc["P007", "growth_ml"] = 0.0, np.nan
    with pytest.raises(HemexpError, match="training patients P003, P007.*split train"):
        check_volumes(table)


def test_a_loss_counts_beyond_both_limits_and_what_the_ventricles_took():
    lost = pd.DataFrame(
        {
            "baseline_iph_ml": [9.2, 6.0, 30.0, 30.0, 30.0],
            "growth_ml": [-3.1, -2.9, -9.0, -12.0, -12.0],
            "ivh_growth_ml": [-2.0, 0.0, 0.0, 1.0, 3.0],
        }
    )
    assert has_shrunk(lost).tolist() == [True, False, False, True, False]


def test_a_feature_that_was_not_measured_is_no_unknown_value(cohort, settings):
    model = fit_model("image_clinical", cohort, settings.expansion, seed=1)
    with pytest.raises(KeyError, match="dark_hu"):
        model.probability(cohort.drop(columns="dark_hu"))


def test_cross_fitted_forecasts_do_not_know_their_own_outcome(cohort, settings):
    small = cohort.iloc[20:80]
    rng = np.random.default_rng(1)
    shuffled = small.assign(he=rng.permutation(small["he"].to_numpy()))
    shuffled.loc[shuffled["he"] == 1, "growth_ml"] = 9.0
    fitted = fit_models(shuffled, settings.expansion, seed=1)
    honest = cross_fit(shuffled, settings.expansion, seed=1)

    def gap(p):
        return p[shuffled["he"] == 1].mean() - p[shuffled["he"] == 0].mean()

    for name in ("four_variable", "image_clinical", "image_clinical_published"):
        p = np.array([growth.p_expansion for growth in honest[name]])
        assert gap(p) < gap(fitted[name].probability(shuffled)) - 0.02
    again = cross_fit(shuffled, settings.expansion, seed=1)
    assert again["image_clinical"] == honest["image_clinical"]


@pytest.mark.slow
def test_an_outcome_beyond_all_quantiles_has_an_end_as_its_place():
    table = pd.DataFrame({"he": [0, 0], "growth_ml": [-3.0, 3.0]}, index=["A", "B"])
    law = LogisticLognormal(0.0, 1.0, 0.4, tuple(np.linspace(-1, 1, 21)), 20.0)
    scores, _ = score_training(table, {"one": [law, law]})
    assert scores["pit"].tolist() == [0, 1]


def test_the_better_model_is_chosen_and_scores_say_so(cohort, settings):
    scores, forecasts = score_training(cohort, cross_fit(cohort, settings.expansion, seed=1))
    comparison = compare_models(scores, settings.expansion, seed=1)
    found = comparison.set_index("model")
    best = choose(comparison, dict.fromkeys(GROWTH_MODELS), "best")
    assert best == "image_clinical_published" == found["crps_ml"].idxmin()
    assert choose(comparison, dict.fromkeys(GROWTH_MODELS), "brain") == "brain"
    assert found.loc["image_clinical", "auc"] > found.loc["four_variable", "auc"] + 0.03
    assert found.loc["image_clinical", "brier"] < found.loc["four_variable", "brier"]
    assert 0.6 < found.loc["image_clinical", "calibration_slope"] < 1.6
    assert ((found["auc_low"] < found["auc"]) & (found["auc"] < found["auc_high"])).all()
    assert ((found["crps_low"] < found["crps_ml"]) & (found["crps_ml"] < found["crps_high"])).all()
    assert (found["n"] == 400).all() and (found["events"] == cohort["he"].sum()).all()
    of_one = forecasts.query("model == 'brain' and patient_id == 'P007'")
    assert list(of_one["draw"]) == list(range(199)) and of_one["growth_ml"].is_monotonic_increasing
    assert scores.groupby("model")["pit"].mean().drop("brain").between(0.42, 0.58).all()


def test_calibration_undoes_a_stretched_score():
    rng = np.random.default_rng(0)
    score = rng.normal(-0.5, 1.5, 4000)
    expands = rng.uniform(size=4000) < 1 / (1 + np.exp(-score))
    slope, offset = calibrate(2 * score + 1, expands)
    assert slope == pytest.approx(0.5, abs=0.05) and offset == pytest.approx(-0.5, abs=0.1)
    few = calibrate(np.array([3.0, 2.0, -2.0]), np.array([False, False, True]))
    assert 0 <= few[0] < 1


def test_one_patient_of_a_kind_still_gives_a_forecast(cohort, settings):
    few = pd.concat([cohort[cohort["he"] == 0].iloc[:4], cohort[cohort["he"] == 1].iloc[:1]])
    given = cross_fit(few, settings.expansion, seed=1)
    assert {growth.p_expansion for name in GROWTH_MODELS for growth in given[name]} == {0.2}
    scores, _ = score_training(few, given)
    comparison = compare_models(scores, settings.expansion, seed=1)
    chosen = choose(comparison, dict.fromkeys(GROWTH_MODELS), "best")
    assert chosen == "four_variable_published"
    assert (comparison["note"] != "").all()
    models = fit_models(few, settings.expansion, seed=1)
    far = row(cohort, baseline_iph_ml=200.0)
    for model in models.values():
        if model.name not in TIMED_MODELS:
            assert "fewer than 5 patients (1)" in model.growth_note
        assert np.isfinite(model.distributions(far)[0].quantiles(np.array([0.01, 0.99]))).all()


def test_one_class_is_refused(cohort, settings):
    with pytest.raises(HemexpError, match="both patients with and without"):
        fit_models(cohort[cohort["he"] == 1], settings.expansion, seed=1)


def test_quantiles_samples_and_probabilities_agree():
    growth = LogisticLognormal(0.3, np.log(10), 0.5, tuple(np.linspace(-1, 1, 21)), 12.0)
    drawn = growth.sample(200_000, np.random.default_rng(0))
    assert np.mean(drawn > 1.0) == pytest.approx(0.3, abs=0.005)
    probabilities = np.array([0.05, 0.25, 0.5, 0.8, 0.95])
    expected = np.quantile(drawn, probabilities)
    assert np.allclose(growth.quantiles(probabilities), expected, rtol=0.02, atol=0.02)
    assert growth.probability_from(6.0) == pytest.approx(np.mean(drawn >= 6), abs=0.005)
    assert growth.probability_from(-0.5) == pytest.approx(np.mean(drawn >= -0.5), abs=0.005)


def test_expanders_grow_by_what_counts_as_expansion():
    growth = LogisticLognormal(1.0, np.log(5), 0.6, (0.0,), 30.0)
    v = np.array([1e-9, 0.5, 1 - 1e-9])
    least, middle, most = growth.quantile(np.zeros(3), v)
    assert least == pytest.approx(6.0, abs=1e-3) and 6 < middle < 10 < most < 1000
    far = LogisticLognormal(1.0, np.log(0.01), 0.1, (0.0,), 30.0)
    assert np.isfinite(far.quantile(np.zeros(3), v)).all()


@pytest.mark.parametrize("stable_ml", [(-1.0, 0.0, 0.5, 1.2, 4.0), (1.2, 4.0)])
def test_growth_without_expansion_is_no_expansion_of_a_small_bleed(stable_ml):
    """4 mL are no HE of a bleed of 40 mL, and HE of one of 3 mL."""
    growth = LogisticLognormal(0.3, np.log(5), 0.6, stable_ml, 3.0)
    assert growth.probability_from(float(expansion_begins_ml(3.0))) == pytest.approx(0.3)
    drawn = growth.sample(1000, np.random.default_rng(0))
    assert np.mean(drawn >= expansion_begins_ml(3.0)) == pytest.approx(0.3, abs=0.05)


def test_a_bleed_never_shrinks_below_nothing():
    growth = LogisticLognormal(0.0, 0.0, 0.1, (-5.0, -4.0), 3.0)
    assert growth.sample(100, np.random.default_rng(0)).min() == -3.0


def test_models_survive_their_file_with_the_chosen_one_first(cohort, settings, tmp_path):
    models = fit_models(cohort, settings.expansion, seed=1)
    record = {"chosen": "brain", "models": {n: model.as_json() for n, model in models.items()}}
    write_json(tmp_path / "model.json", record)
    again = load_models(tmp_path / "model.json")
    assert next(iter(again)) == "brain" and again == models
    assert isinstance(again["brain"], ExpansionModel)


def test_an_outside_probability_wins(cohort, settings):
    model = fit_model("image_clinical", cohort, settings.expansion, seed=1)
    patient = cohort.iloc[100]
    assert patient_distribution(model, patient).p_expansion != 0.93
    given = pd.concat([patient, pd.Series({"expansion_prob": 0.93})])
    assert patient_distribution(model, given).p_expansion == 0.93


@pytest.mark.parametrize(("events", "chosen"), [(14, "first"), (15, "best"), (86, "first")])
def test_the_lowest_crps_wins_where_patients_can_tell(events, chosen):
    compared = {"model": ["first", "best"], "n": 100, "events": events, "crps_ml": [2.0, 1.0]}
    assert choose(pd.DataFrame(compared), dict.fromkeys(compared["model"]), "best") == chosen


def test_every_model_may_be_chosen_by_name_and_has_one_for_people():
    assert set(get_args(Expansion.model_fields["model"].annotation)) == {"best", *GROWTH_MODELS}
    assert {f"tabular_{name}" for name in GROWTH_MODELS} <= MODEL_NAMES.keys()
