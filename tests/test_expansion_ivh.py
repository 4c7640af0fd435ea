"""IVH growth given growth: a hurdle that is recovered, rises with growth and stays possible."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from hemexp import HemexpError
from hemexp.expansion.compare_ivh import (
    CLIMATOLOGY,
    COPIED,
    HURDLE,
    TOLD,
    compare_ivh,
    cross_fit_ivh,
    score_ivh,
)
from hemexp.expansion.distribution import FORECAST_QUANTILES, PointGrowth
from hemexp.expansion.features import FARTHEST_MM, WITHIN_MM
from hemexp.expansion.fit_ivh import CAP, fit_ivh
from hemexp.expansion.ivh import IVH_EVENT_ML, IvhModel, ivh_forecast, load_ivh
from hemexp.expansion.predictors import FREE_COLUMNS, predictors
from hemexp.outcomes import is_expansion
from hemexp.release.adopt import IVH_COMPARISON

GROWTHS_ML = np.linspace(-5, 60, 200)
LN_SHARE, LN_SD = -1.2, 0.4


def draw_cohort(n, seed=0):
    """Patients whose IVH grows by a known hurdle: `p` of growth and distance, a share of 1 + g."""
    rng = np.random.default_rng(seed)
    away, volume = rng.uniform(0, 25, n), np.exp(rng.normal(2.6, 0.5, n))
    growth = np.where(rng.uniform(size=n) < 0.4, np.exp(rng.normal(2.2, 0.5, n)), 0.2)
    before = np.where(rng.uniform(size=n) < 0.3, rng.uniform(1, 10, n), 0.0)
    p = expit(-1.5 + 1.5 * np.log1p(growth) - 1.0 * np.log1p(away))
    happens = rng.uniform(size=n) < p
    grown = (1 + growth) * np.exp(LN_SHARE + LN_SD * rng.normal(size=n))
    stable = np.where(before > 0, -0.1 * rng.uniform(size=n) * before, 0.0)
    near = {
        name: (mm - away).clip(min=0) for name, mm in zip(FREE_COLUMNS, WITHIN_MM, strict=True)
    }
    table = pd.DataFrame(
        {
            "baseline_iph_ml": volume,
            "baseline_ivh_ml": before,
            "growth_ml": growth,
            "ventricle_mm": away,
            **near,
            "true_p": p,
            "happens": happens,
            "ivh_growth_ml": np.where(happens, grown.clip(min=IVH_EVENT_ML), stable),
        },
        index=[f"P{i:03d}" for i in range(n)],
    )
    return table.assign(he=is_expansion(growth, volume).astype(float))


@pytest.fixture(scope="module")
def cohort():
    return draw_cohort(600)


@pytest.fixture(scope="module")
def model(cohort):
    return fit_ivh(cohort)


def patient(cohort, **changes):
    """A patient 1 mm from a ventricle that holds a mL for each mm within reach."""
    away = changes.get("ventricle_mm", 1.0)
    free = {name: max(mm - away, 0.0) for name, mm in zip(FREE_COLUMNS, WITHIN_MM, strict=True)}
    known = {"baseline_iph_ml": 15.0, "baseline_ivh_ml": 0.0, "ventricle_mm": 1.0, **free}
    return pd.Series({**cohort.iloc[0], **known, **changes})


def test_a_known_hurdle_is_recovered(cohort, model):
    new = draw_cohort(400, seed=1)
    p = np.array(
        [model.of_patient(row).probability(row["growth_ml"])[0] for _, row in new.iterrows()]
    )
    assert np.corrcoef(p, new["true_p"])[0, 1] > 0.95
    assert p.mean() == pytest.approx(new["true_p"].mean(), abs=0.03)
    assert np.mean(np.abs(p - new["true_p"])) < 0.06
    assert model.events == cohort["happens"].sum() and model.patients == 600
    drawn = model.of_patient(patient(cohort)).draw(
        np.full(999, 9.0), np.zeros(999), np.arange(1, 1000) / 1000
    )
    assert np.log(np.median(drawn) / 10) == pytest.approx(LN_SHARE, abs=0.15)
    assert np.log(drawn).std() == pytest.approx(LN_SD, abs=0.06)


@pytest.mark.parametrize("ivh_ml", [0.0, 6.0])
@pytest.mark.parametrize("away_mm", [0.0, 1.0, 14.0, 40.0])
def test_probability_and_amount_never_fall_with_growth(cohort, model, away_mm, ivh_ml):
    given = model.of_patient(patient(cohort, ventricle_mm=away_mm, baseline_ivh_ml=ivh_ml))
    p = given.probability(GROWTHS_ML)
    assert (np.diff(p) >= 0).all() and p[-1] > p[0] and ((p > 0) & (p < 1)).all()
    for uniforms in ((0.0, 0.05), (0.3, 0.5), (0.6, 0.99), (0.999, 0.5)):
        drawn = given.draw(GROWTHS_ML, *(np.full(len(GROWTHS_ML), u) for u in uniforms))
        assert (np.diff(drawn) >= 0).all()


def falling(happens_below_ml=np.inf):
    """Patients whose IVH grows where the bleed grows little, and the less the more it grows."""
    growth = pd.Series(np.random.default_rng(7).uniform(0, 20, 300))
    ivh = np.where(growth < happens_below_ml, 30 / (1 + growth), 0.0)
    table = draw_cohort(300, seed=2).reset_index(drop=True)
    return table.assign(growth_ml=growth, ivh_growth_ml=ivh, baseline_ivh_ml=0.0)


def test_growth_is_never_read_against_its_direction(cohort):
    model = fit_ivh(falling(happens_below_ml=8.0))
    assert 50 < model.events < 250
    for away_mm in (1.0, 14.0):
        p = model.of_patient(patient(cohort, ventricle_mm=away_mm)).probability(GROWTHS_ML)
        assert p == pytest.approx(p[0])
    dry = falling().assign(
        ivh_growth_ml=lambda table: table["ivh_growth_ml"].mask(table.index < 9, 0.0)
    )
    model = fit_ivh(dry)
    assert model.events == 291
    given = model.of_patient(patient(cohort))
    drawn = given.draw(GROWTHS_ML, 0 * GROWTHS_ML, np.full(200, 0.5))
    assert (np.diff(drawn) >= -1e-9).all() and drawn[-1] < 1.3 * drawn[0]


def test_draws_rise_with_the_amount_and_fall_with_the_presence_uniform(cohort, model):
    u, ones = np.linspace(0.001, 0.999, 300), np.ones(300)
    for ivh_ml in (0.0, 6.0):
        given = model.of_patient(patient(cohort, baseline_ivh_ml=ivh_ml))
        assert (np.diff(given.draw(12 * ones, u, 0.6 * ones)) <= 0).all()
        for presence in (0.01, 0.999):
            assert (np.diff(given.draw(12 * ones, presence * ones, u)) >= 0).all()


def test_without_an_event_only_ivh_that_is_there_changes(cohort, model):
    v, high = np.linspace(0.001, 0.999, 50), np.full(50, 0.9999)
    measured = IvhModel(**{**vars(model), "stable": (-0.2, 0.2), "stable_power": 0.0})
    for learned in (model, measured):
        assert (learned.of_patient(patient(cohort)).draw(np.zeros(50), high, v) == 0).all()
    bled = model.of_patient(patient(cohort, baseline_ivh_ml=5.0)).draw(np.zeros(50), high, v)
    assert -0.55 < bled.min() < bled.max() < 0.05 and len(np.unique(bled)) > 10
    assert model.stable_power == pytest.approx(1, abs=0.3)
    # 0.2 of 2 mL are an event: nobody without one grows by so much.
    cleared = IvhModel(**{**vars(model), "stable": (-3.0, 0.1, 0.2), "stable_power": 1.0})
    gone = cleared.of_patient(patient(cohort, baseline_ivh_ml=2.0)).draw(np.zeros(50), high, v)
    assert gone.min() == -2.0 and 0.1 < gone.max() <= 0.2 < IVH_EVENT_ML


def test_where_no_ventricle_is_seen_none_fills(cohort, model):
    u = np.linspace(0, 0.999, 50)
    none = model.of_patient(patient(cohort, ventricle_mm=FARTHEST_MM))
    assert (none.probability(GROWTHS_ML) == 0).all()
    assert (none.draw(np.full(50, 40.0), u, u) == 0).all()
    near, far = (model.of_patient(patient(cohort, ventricle_mm=mm)) for mm in (0.5, 30.0))
    assert near.probability(10.0)[0] > 3 * far.probability(10.0)[0] > 0


def test_no_share_is_larger_than_half_as_much_again_as_any_seen(cohort, model):
    happens = cohort["happens"]
    largest = (cohort["ivh_growth_ml"] / (1 + cohort["growth_ml"]))[happens].max()
    assert model.largest_share == pytest.approx(CAP * largest)
    wild = IvhModel(**{**vars(model), "residuals": (0.0, 9.0)})
    given = wild.of_patient(patient(cohort))
    drawn = given.draw(np.full(3, 19.0), np.zeros(3), np.array([0.0, 0.9, 1.0]))
    assert drawn.max() == pytest.approx(CAP * largest * 20) and drawn.min() < drawn.max() / 2


@pytest.mark.parametrize("events", [0, 1, 2])
def test_few_events_give_their_rate_and_a_guess(cohort, events):
    rest, some = cohort[~cohort["happens"]].iloc[:40], cohort[cohort["happens"]].iloc[:events]
    few = pd.concat([rest, some])
    model = fit_ivh(few)
    given = model.of_patient(patient(cohort))
    assert np.allclose(given.probability(GROWTHS_ML), (events + 0.5) / (len(few) + 1))
    drawn = given.draw(np.full(5, 10.0), np.zeros(5), np.linspace(0.1, 0.9, 5))
    assert (drawn >= IVH_EVENT_ML).all() and (drawn < 0.8 * 11).all() and len(set(drawn)) == 5
    assert np.isfinite([*model.presence.coefficients, model.presence.intercept]).all()


def test_patients_without_ivh_before_or_after_are_enough(cohort):
    dry = cohort[(cohort["baseline_ivh_ml"] == 0) & ~cohort["happens"]]
    model = fit_ivh(dry)
    assert model.events == 0 and model.stable == ()
    bled = model.of_patient(patient(cohort, baseline_ivh_ml=3.0))
    assert (bled.draw(np.zeros(3), np.full(3, 0.99), np.full(3, 0.5)) == 0).all()


def test_an_unknown_distance_takes_no_side(cohort, model):
    unknown = dict.fromkeys(("ventricle_mm", *FREE_COLUMNS), np.nan)
    near, far = patient(cohort, ventricle_mm=0.5), patient(cohort, ventricle_mm=30.0)
    p = [
        model.of_patient(row).probability(10.0)[0]
        for row in (far, patient(cohort, **unknown), near)
    ]
    assert p[0] < p[1] < p[2]
    some = cohort.copy()
    some.loc[some.index[:300], list(unknown)] = np.nan
    again = fit_ivh(some).of_patient(patient(cohort, **unknown))
    drawn = again.draw(GROWTHS_ML, np.full(200, 0.1), np.full(200, 0.5))
    assert np.isfinite(drawn).all()


def test_a_feature_that_was_not_measured_is_no_unknown_value(cohort, model):
    with pytest.raises(KeyError, match="free_ventricle"):
        model.of_patient(patient(cohort).drop(FREE_COLUMNS[0]))
    with pytest.raises(KeyError, match="ventricle_mm"):
        fit_ivh(cohort.drop(columns="ventricle_mm"))


def test_one_sample_and_a_bleed_that_shrinks(cohort, model):
    given = model.of_patient(patient(cohort, baseline_ivh_ml=1.0))
    one = given.draw([4.0], [0.01], [0.5])
    assert one.shape == (1,)
    many = given.draw([1.0, 4.0, 9.0], [0.5, 0.01, 0.5], [0.5, 0.5, 0.5])
    assert many[1] == one[0]
    assert given.draw([-8.0], [0.0], [0.95]) == given.draw([0.0], [0.0], [0.95]) > IVH_EVENT_ML
    assert given.probability([-8.0]) == given.probability([0.0])


def test_an_unknown_growth_is_refused(cohort, model):
    with pytest.raises(ValueError, match="unknown growth"):
        model.of_patient(patient(cohort)).draw([np.nan], [0.1], [0.5])


def test_the_ventricle_within_reach_is_read_between_the_measured_distances(cohort):
    row = patient(cohort, **dict(zip(FREE_COLUMNS, [0.0, 1.0, 3.0, 3.0, 8.0, 9.0], strict=True)))
    # Growth round a bleed of next to nothing: even shells of 1.5, 2.5 and 62 mm.
    growths_ml = [0.0, 4.5 * np.pi / 1000, 62.5 / 3 * np.pi / 1000, 1000.0]
    asked = pd.DataFrame([row] * 4).assign(baseline_iph_ml=1e-12, growth_ml=growths_ml)
    reached = np.expm1(predictors(asked, ["ln_reached_ml"])[:, 0])
    assert reached == pytest.approx([0.0, 0.5, 2.0, 9.0], abs=0.01)


def test_quantiles_and_draws_agree(cohort, model):
    rng = np.random.default_rng(0)
    given = model.of_patient(patient(cohort, baseline_ivh_ml=4.0))
    growths = rng.choice([0.0, 3.0, 15.0], 60_000)
    drawn = given.draw(growths, rng.uniform(size=60_000), rng.uniform(size=60_000))
    p, quantiles = ivh_forecast(given, [0.0, 3.0, 15.0])
    assert p == pytest.approx(np.mean(drawn >= IVH_EVENT_ML), abs=0.01)
    assert np.mean(quantiles >= IVH_EVENT_ML) == pytest.approx(p, abs=0.01)
    assert np.abs(quantiles - np.quantile(drawn, FORECAST_QUANTILES)).mean() < 0.03
    assert (np.diff(quantiles) >= 0).all()


def test_the_model_survives_its_file_and_an_older_file_is_named(cohort, model, tmp_path):
    path = tmp_path / "model.json"
    path.write_text(json.dumps({"ivh": model.as_json()}))
    assert load_ivh(path) == model
    path.write_text(json.dumps({"chosen": "brain"}))
    with pytest.raises(HemexpError, match=r"no model of IVH growth.*[Ff]it them again"):
        load_ivh(path)


@pytest.fixture(scope="module")
def few(settings):
    return settings.expansion.model_copy(update={"folds": 3, "bootstrap": 50})


def test_cross_fitted_forecasts_beat_climatology_and_no_change(few):
    table = draw_cohort(150, seed=3)
    growth = [PointGrowth.of_points(np.array([ml]), 99.0) for ml in table["growth_ml"]]
    scores = score_ivh(table, growth, cross_fit_ivh(table, few, seed=1))
    assert list(scores["patient_id"].unique()) == list(table.index)
    found = compare_ivh(scores, few, seed=1)
    assert list(found.columns) == list(IVH_COMPARISON)
    found = found.set_index("model")
    assert list(found.index) == [HURDLE, TOLD, CLIMATOLOGY, COPIED]
    assert (found["n"] == 150).all() and (found["events"] == table["happens"].sum()).all()
    assert found.loc[TOLD, "auc"] > 0.75 and (found.loc[[CLIMATOLOGY, COPIED], "auc"] == 0.5).all()
    assert found.loc[COPIED, "crps_ml"] == pytest.approx(table["ivh_growth_ml"].abs().mean())
    assert found["crps_ml"].idxmin() in (HURDLE, TOLD)
    # Growth is known here: being told it adds nothing.
    assert found.loc[HURDLE, "crps_ml"] == pytest.approx(found.loc[TOLD, "crps_ml"], rel=1e-6)
    assert ((found["crps_low"] < found["crps_ml"]) & (found["crps_ml"] < found["crps_high"])).all()


def test_cross_fitting_does_not_know_its_own_outcome(few):
    table = draw_cohort(60, seed=4)
    rng = np.random.default_rng(5)
    table["ivh_growth_ml"] = rng.permutation(table["ivh_growth_ml"])
    event = table["ivh_growth_ml"] >= IVH_EVENT_ML

    def gap(given):
        p = [one.probability(ml)[0] for one, ml in zip(given, table["growth_ml"], strict=True)]
        p = pd.Series(p, table.index)
        return p[event].mean() - p[~event].mean()

    model = fit_ivh(table)
    fitted = [model.of_patient(row) for _, row in table.iterrows()]
    assert gap(cross_fit_ivh(table, few, seed=1)) < gap(fitted) - 0.02


def test_one_expander_is_fitted_without_folds(few):
    table = draw_cohort(30, seed=6)
    table["he"] = [1.0] + [0.0] * 29
    assert len(cross_fit_ivh(table, few, seed=1)) == 30
