"""Growth in time: the likelihood and its slope, known laws found again, hours that matter."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from hemexp.columns import CENTER_ONSET, LEAST_ONSETS
from hemexp.expansion.distribution import PointGrowth
from hemexp.expansion.fit_timed import (
    FOUR_IN_TIME,
    Pairs,
    Prior,
    Weights,
    fit_timed,
    fit_weights,
    log_likelihood,
    recalibrate_timed,
)
from hemexp.expansion.linear import Linear, scale
from hemexp.expansion.patient_answers import LEVELS, answer_over_time
from hemexp.expansion.timed import DEFAULT_INTERVAL_H, TimedModel, TimeLaw, likely_onsets_h
from hemexp.outcomes import HE_ML
from hemexp.release.recalibration import fit_update, update_model

TRUE = TimedModel(
    name="timed_four_variable",
    log_amplitude=Linear(FOUR_IN_TIME, (2.5, 0.0, 0.0), (1.0, 1.0, 1.0), (0.7, 0.6, 0.2), 1.6),
    log_sd=0.8,
    time=TimeLaw(3.0, 1.3),
    error_mean=-0.05,
    error_sd=0.1,
    onsets_h=(1.0, 3.0, 8.0),
)


def draw_table(n, seed=1, unknown=0.2):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "baseline_iph_ml": np.exp(rng.normal(2.5, 0.8, n)),
            "anticoagulant": (rng.random(n) < 0.3).astype(float),
            "antiplatelet": (rng.random(n) < 0.3).astype(float),
            "onset_to_ct_h": np.exp(rng.normal(1.0, 0.7, n)),
            "followup_interval_h": np.exp(rng.uniform(np.log(4), np.log(60), n)),
        },
        index=[f"P{row}" for row in range(n)],
    )
    laws = TRUE.distributions(table)
    growth = [float(law.quantile(*rng.random(2))) for law in laws]
    hidden = rng.random(n) < unknown
    table.loc[hidden, "onset_to_ct_h"] = np.nan
    return table.assign(growth_ml=growth)


@pytest.fixture(scope="module")
def table():
    return draw_table(600)


def test_the_slope_of_the_likelihood_is_its_derivative(table):
    few = table.iloc[:40]
    _, x = scale(few, FOUR_IN_TIME)
    pairs = Pairs.of_table(few, x, (1.0, 4.0, 9.0))
    vector = np.array([1.3, 0.3, 0.2, 0.1, 1.2, 0.1, 0.1, -2.2, -0.05])
    _, slope = log_likelihood(Weights.of_vector(vector), pairs)

    def along(step):
        return log_likelihood(Weights.of_vector(vector + step), pairs)[0]

    steps = 1e-6 * np.eye(len(vector))
    measured = np.column_stack([(along(one) - along(-one)) / 2e-6 for one in steps])
    assert np.allclose(slope, measured, atol=1e-5)


def test_the_likelihood_has_no_spikes(table):
    """Errors are cells, no points, so growth near 0 fits none of them best."""
    one = table.iloc[:1].assign(growth_ml=0.3)
    pairs = Pairs.of_table(one, scale(table, FOUR_IN_TIME)[1][:1], (4.0,))
    told = [0.0, 0.3, 0.2, 0.1, 1.2, 0.1, np.log(2.5), np.log(0.15)]
    along = [
        log_likelihood(Weights.of_vector(np.array([*told, mean])), pairs)[0][0]
        for mean in np.linspace(-0.3, 0.3, 2001)
    ]
    assert np.abs(np.diff(along)).max() < 0.05  # with points for cells: 2.4


def test_the_likelihood_is_the_density_of_the_law():
    """Of one patient: it adds up to 1 over growth, and its mean is that of draws."""
    one = draw_table(1, unknown=0)
    growth_ml = np.linspace(-6, 120, 12_001)
    many = pd.concat([one] * len(growth_ml), ignore_index=True).assign(growth_ml=growth_ml)
    x = TRUE.log_amplitude.scaled(many)
    vector = [1.6, 0.7, 0.6, 0.2, np.log(3), np.log(1.3), np.log(0.8), np.log(0.1), -0.05]
    pairs = Pairs.of_table(many, x, TRUE.onsets_h)
    density = np.exp(log_likelihood(Weights.of_vector(np.array(vector)), pairs)[0])
    step = growth_ml[1] - growth_ml[0]
    assert density.sum() * step == pytest.approx(1, abs=0.01)
    middle_ml = TRUE.distributions(one)[0].quantiles(np.array([0.25, 0.5, 0.9]))
    below = np.interp(middle_ml, growth_ml, density.cumsum() * step)
    assert below == pytest.approx([0.25, 0.5, 0.9], abs=0.015)


def test_a_known_law_is_found_again(table):
    found = fit_timed("timed_four_variable", FOUR_IN_TIME, table, 1.0, [10.0], [])
    assert found.log_sd == pytest.approx(0.8, abs=0.1)
    assert found.time.tau_h == pytest.approx(3.0, rel=0.35)
    assert found.error_sd == pytest.approx(0.1, abs=0.05)
    per_unit = np.array(found.log_amplitude.coefficients) / found.log_amplitude.sd
    assert per_unit == pytest.approx([0.7, 0.6, 0.2], abs=0.2)
    new = draw_table(300, seed=2)
    told, true = (model.probability(new) for model in (found, TRUE))
    assert np.abs(told - true).mean() < 0.03


def test_a_reading_far_off_bends_nothing(table):
    swapped = table.copy()
    swapped.iloc[0, swapped.columns.get_loc("growth_ml")] = -30.0
    before, after = (
        fit_timed("timed_four_variable", FOUR_IN_TIME, one, 1.0, [10.0], [])
        for one in (table, swapped)
    )
    assert after.log_sd == pytest.approx(before.log_sd, rel=0.02)
    assert after.log_amplitude.intercept == pytest.approx(before.log_amplitude.intercept, abs=0.02)


def test_few_patients_stay_near_what_is_expected():
    found = fit_timed("timed_four_variable", FOUR_IN_TIME, draw_table(5), 1.0, [10.0], [])
    assert 1 < found.time.tau_h < 12 and 0.3 < found.log_sd < 2
    assert np.abs(found.log_amplitude.coefficients).max() < 2
    unknown = draw_table(8).assign(onset_to_ct_h=np.nan)
    assert np.isfinite(
        fit_timed("timed_four_variable", FOUR_IN_TIME, unknown, 1.0, [10.0], []).log_sd
    )


def test_growth_rises_with_the_hours_between_the_scans():
    row = draw_table(1).assign(onset_to_ct_h=2.0)
    median_ml = [
        TRUE.distributions(row.assign(followup_interval_h=hours))[0].quantiles(np.array([0.5]))[0]
        for hours in (6, 24, 48)
    ]
    assert median_ml[0] < median_ml[1] < median_ml[2]
    late = row.assign(onset_to_ct_h=12.0)
    assert TRUE.probability(late)[0] < 0.7 * TRUE.probability(row)[0]
    told_nothing = row.drop(columns="followup_interval_h")
    expected = row.assign(followup_interval_h=DEFAULT_INTERVAL_H)
    assert TRUE.probability(told_nothing) == pytest.approx(TRUE.probability(expected))


def test_a_patients_answers_over_time_are_those_of_the_laws():
    row = draw_table(1, seed=5).assign(followup_interval_h=30.0, expansion_prob=0.9)
    found = answer_over_time(TRUE, row)
    assert (found["as_is_h"], found["told"]) == (30.0, True)
    assert [one["at_h"] for one in found["answers"]] == [6.0, 12.0, 24.0, 48.0]
    law = TRUE.distributions(row.assign(followup_interval_h=12.0))[0]
    assert found["answers"][1]["p_expansion"] == law.p_expansion != 0.9
    assert found["answers"][1]["growth_ml"] == law.quantiles(np.array(LEVELS)).tolist()
    untold = answer_over_time(TRUE, row.assign(followup_interval_h=np.nan))
    assert (untold["as_is_h"], untold["told"]) == (DEFAULT_INTERVAL_H, False)
    assert answer_over_time(TRUE, row.drop(columns="followup_interval_h"))["told"] is False


def test_an_unknown_onset_is_averaged_over():
    row = draw_table(1).assign(onset_to_ct_h=np.nan)
    at = [TRUE.probability(row.assign(onset_to_ct_h=hours))[0] for hours in TRUE.onsets_h]
    assert TRUE.probability(row)[0] == pytest.approx(np.mean(at), abs=0.005)


def test_points_are_exact_enough():
    row = draw_table(1).assign(onset_to_ct_h=2.0, followup_interval_h=24.0, baseline_iph_ml=16.0)
    law = TRUE.distributions(row)[0]
    mean = TRUE.log_amplitude(row)[0] + TRUE.time.log_between(np.array(2.0), np.array(24.0))
    rng = np.random.default_rng(0)
    drawn = np.exp(rng.normal(mean, 0.8, 400_000)) + rng.normal(-0.2, 0.4, 400_000)
    for level in (0.05, 0.5, 0.95):
        assert law.quantiles(np.array([level]))[0] == pytest.approx(
            np.quantile(drawn, level), rel=0.01, abs=0.01
        )
    assert law.probability_from(HE_ML) == pytest.approx((drawn >= HE_ML).mean(), abs=0.004)


def test_a_found_mask_widens_the_law():
    row = draw_table(1)
    plain, wide = (
        TRUE.distributions(row.assign(baseline_error_ml=error))[0] for error in (0.0, 3.0)
    )
    levels = np.array([0.05, 0.95])
    assert np.diff(wide.quantiles(levels)) > np.diff(plain.quantiles(levels)) + 2


def test_points_on_both_sides_of_the_threshold():
    law = PointGrowth.of_points(np.array([-1.0, 0.0, 1.0, 7.0]), 30.0)
    assert law.p_expansion == 0.25
    assert list(law.quantile(np.array([0.1, 0.9]), np.array([0.5, 0.5]))) == [7.0, 0.0]
    told = replace(law, p_expansion=0.6)
    assert told.quantiles(np.array([0.5]))[0] == 7.0 and told.probability_from(6.0) == 0.6
    nobody = PointGrowth.of_points(np.array([0.0, 0.5]), 30.0)
    assert nobody.p_expansion == 0 and replace(nobody, p_expansion=1.0).quantiles(
        np.array([0.5])
    ) == [6.0]
    assert PointGrowth.of_points(np.array([-50.0, 1.0]), 30.0).stable_ml.min() == -30.0


def test_the_model_survives_its_file():
    assert TimedModel.from_json(TRUE.as_json()) == TRUE


def test_recalibration_moves_level_and_spread_alone(table):
    stronger = replace(TRUE, log_amplitude=replace(TRUE.log_amplitude, intercept=2.0), log_sd=1.0)
    rng = np.random.default_rng(4)
    growth = [float(law.quantile(*rng.random(2))) for law in stronger.distributions(table)]
    found = recalibrate_timed(TRUE, table.assign(growth_ml=growth), 0.5, 0.25)
    assert found.log_amplitude.intercept == pytest.approx(2.0, abs=0.12)
    assert found.log_sd == pytest.approx(1.0, abs=0.1)
    assert found.time.tau_h == pytest.approx(TRUE.time.tau_h)
    assert found.error_sd == pytest.approx(TRUE.error_sd)
    assert found.log_amplitude.coefficients == TRUE.log_amplitude.coefficients


def test_recalibration_averages_an_unknown_onset_over_the_centres_own(table):
    later = table.assign(onset_to_ct_h=table["onset_to_ct_h"] + 20)
    update = fit_update(TRUE, later.assign(he=0.0, growth_ml=1.0))
    found = update_model(TRUE, update)
    assert min(found.onsets_h) > 20 and json.loads(json.dumps(update.as_json()))["onsets_h"]
    few = recalibrate_timed(TRUE, later.head(LEAST_ONSETS - 1).assign(growth_ml=1.0), 0.5, 0.25)
    assert few.onsets_h == TRUE.onsets_h


def test_an_unknown_onset_is_of_the_patients_own_centre_where_its_median_is_known():
    unknown = draw_table(6).assign(onset_to_ct_h=[1.0, *[np.nan] * 5], **{CENTER_ONSET: np.nan})
    unknown.iloc[3:, unknown.columns.get_loc(CENTER_ONSET)] = 8.0
    told, training, own = likely_onsets_h(unknown, (1.0, 2.0, 6.0))[[0, 1, 3]]
    assert list(told) == [1.0] * 3 and list(training) == [1, 2, 6] and list(own) == [4, 8, 24]
    pairs = Pairs.of_table(unknown.assign(growth_ml=1.0), np.zeros((6, 1)), (1.0, 2.0, 6.0))
    assert list(pairs.onset_h[3]) == [4, 8, 24]
    # At a centre that scans late, most growth is over by then.
    late, usual = (
        TRUE.distributions(unknown.assign(**{CENTER_ONSET: hours}))[1].quantiles(np.array([0.9]))
        for hours in (12.0, np.nan)
    )
    assert late < usual / 2


def test_what_is_known_stays():
    pairs = Pairs.of_table(draw_table(30), np.zeros((30, 1)), (2.0,))
    priors = [
        Prior(1.0, 3.0),
        Prior(0.3, 0.0),
        *[Prior(0.1, 0.0)] * 3,
        Prior(-2, 0.5),
        Prior(0, 0.1),
    ]
    found = fit_weights(pairs, priors)
    assert (found.slopes[0], found.ln_tau, found.ln_power) == (0.3, 0.1, 0.1)
    assert found.level != 1.0
