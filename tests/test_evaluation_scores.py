"""Scores against known answers."""

import numpy as np
import pytest
import scoringrules
from scipy.stats import norm
from scipy.stats.qmc import Halton
from sklearn.metrics import roc_auc_score

from hemexp.anatomy.blood import bleed_band, blood_distance_mm
from hemexp.evaluation.cohort.expectations import expected_crps
from hemexp.evaluation.patient import images, masks
from hemexp.evaluation.patient.inputs import Followup, Truth
from hemexp.evaluation.patient.match import ImageMatch
from hemexp.statistics import bootstrap, scores
from hemexp.statistics.bootstrap import Resamples, estimate
from hemexp.statistics.calibration import (
    NO_SLOPE,
    calibration_cells,
    fit_rows,
    levels,
    oe_ratios,
    slopes,
)
from hemexp.statistics.discrimination import ONE_CLASS, auc
from hemexp.statistics.line import fit_line
from hemexp.tables import cells


def rng(seed=0):
    return np.random.default_rng(seed)


def test_fair_crps_is_unbiased_in_the_number_of_draws():
    # N(0, 1) scored against itself: 1 / sqrt(pi); the default estimator gives .680 at K = 5.
    draws = rng().normal(size=(40_000, 5))
    observed = rng(1).normal(size=40_000)
    few = np.mean([scores.crps(y, x) for y, x in zip(observed, draws, strict=True)])
    assert few == pytest.approx(1 / np.sqrt(np.pi), abs=0.01)


@pytest.mark.parametrize("k", [99, 199])
def test_crps_of_quantiles_is_that_of_the_distribution(k):
    observed = rng().normal(size=2_000)
    quantiles = norm.ppf(np.arange(1, k + 1) / (k + 1))
    found = np.mean([scores.crps(y, quantiles, "quantiles") for y in observed])
    assert found == pytest.approx(np.mean(scoringrules.crps_normal(observed, 0, 1)), abs=5e-4)


def perfect(kind, k, n, source):
    """n ensembles of k draws of N(0, 1)."""
    if kind == "independent":
        return source.normal(size=(n, k))
    return np.array([norm.ppf(Halton(1, rng=source).random(k)[:, 0]) for _ in range(n)])


@pytest.mark.parametrize("k", [5, 20, 50])
@pytest.mark.parametrize("kind", ["independent", "even"])
def test_a_perfect_forecast_has_its_true_score_however_it_was_drawn(kind, k):
    # N(0, 1) scored against itself: 1 / sqrt(pi). As the other kind, 5 draws have .63 and .48.
    source, true = rng(k), 1 / np.sqrt(np.pi)
    draws = perfect(kind, k, 3_000, source)
    outcomes = norm.ppf((np.arange(200) + 0.5) / 200)
    other = {"independent": "even", "even": "independent"}[kind]
    found = np.mean([expected_crps(outcomes, x, kind) for x in draws])
    assert found == pytest.approx(true, abs=0.06 / k)
    wrong = np.mean([expected_crps(outcomes, x, other) for x in draws])
    assert abs(wrong - true) > 0.3 / k
    some = source.choice(outcomes, size=(len(draws), 4))
    pit = [
        scores.randomised_pit(y, x, source, kind)
        for x, four in zip(draws, some, strict=True)
        for y in four
    ]
    # Five Halton points are not quite even; of independent ones no number is too small.
    slack = 0.1 / k if kind == "even" else 0
    for level in (0.5, 0.9):
        assert scores.coverage(pit, level) == pytest.approx(level, abs=0.012 + slack)
    variance = np.mean([scores.ensemble_sd(x, kind) ** 2 for x in draws])
    assert variance == pytest.approx(1, abs=0.5 / k + 0.01)


@pytest.mark.parametrize("kind", ["independent", "even"])
def test_intervals_of_enough_draws_hold_their_level(kind):
    # 19 independent draws are the fewest whose outermost two hold 90 %.
    source = rng(2)
    draws = perfect(kind, 19, 4_000, source)
    for level in (0.5, 0.9):
        ends = ((1 - level) / 2, (1 + level) / 2)
        low, high = np.array([scores.quantiles(x, ends, kind) for x in draws]).T
        assert (norm.cdf(high) - norm.cdf(low)).mean() == pytest.approx(level, abs=0.012)


def test_quantiles_lie_where_the_pit_counts():
    draws = [3.0, 1.0, 2.0, 4.0]
    assert scores.quantiles(draws, [0.2, 0.5, 0.8, 0.99]) == pytest.approx([1, 2.5, 4, 4])
    even = scores.quantiles(draws, [0.125, 0.5, 0.875, 0.99], "even")
    assert even == pytest.approx([1, 2.5, 4, 4])


def test_fair_crps_of_a_point_forecast_is_its_absolute_error():
    assert scores.crps(7.0, [4.0]) == 3.0
    assert scores.crps(7.0, [4.0, 4.0]) == 3.0


@pytest.mark.parametrize("k", [3, 8, 50])
def test_coverage_of_a_perfect_forecast_is_nominal_for_every_k(k):
    source = rng(k)
    pit = [scores.randomised_pit(x[0], x[1:], source) for x in source.normal(size=(20_000, k + 1))]
    assert scores.coverage(pit, 0.5) == pytest.approx(0.5, abs=0.015)
    assert scores.coverage(pit, 0.9) == pytest.approx(0.9, abs=0.01)


def test_coverage_of_an_always_wrong_forecast_depends_on_k():
    # scoring.md, in numbers: a point forecast already scores about .55 at level .9 with 8 draws.
    source = rng()
    few = [scores.randomised_pit(1.0, np.zeros(8), source) for _ in range(20_000)]
    many = [scores.randomised_pit(1.0, np.zeros(100), source) for _ in range(5_000)]
    assert scores.coverage(few, 0.9) == pytest.approx(0.55, abs=0.02)
    assert scores.coverage(many, 0.9) == 0


def test_pit_of_ties_is_uniform():
    source = rng()
    pit = [scores.randomised_pit(2.0, np.full(5, 2.0), source) for _ in range(20_000)]
    counts, _ = np.histogram(pit, bins=4, range=(0, 1))
    assert counts / 20_000 == pytest.approx(0.25, abs=0.02)


def test_spread_ratio():
    assert scores.spread_ratio([1.0, 1.0], [2.0, -2.0]).value == 0.5
    undefined = scores.spread_ratio([1.0, 1.0], [0.0, 0.0])
    assert undefined.value is None
    assert "no error" in undefined.note


def test_spread_ratio_of_a_perfect_forecast():
    members = rng().normal(size=(20_000, 9))
    observed, draws = members[:, 0], members[:, 1:]
    ratio = scores.spread_ratio(draws.std(axis=1, ddof=1), draws.mean(axis=1) - observed)
    assert ratio.value == pytest.approx(np.sqrt(8 / 9), abs=0.01)


def test_auc_agrees_with_scikit_learn_also_with_ties():
    probability = np.round(rng().uniform(size=60), 1)
    event = (rng(1).uniform(size=60) < probability).astype(float)
    rows = np.stack([probability, event], axis=-1)[None]
    assert auc(rows)[0] == pytest.approx(roc_auc_score(event, probability))


def test_what_rounding_sets_apart_is_a_tie():
    """As points of one score are, which every fold of a cross-fitting adds up otherwise."""
    assert auc(np.array([[(0.1 + 0.2, 1), (0.3, 0)]]))[0] == 0.5


def test_auc_of_one_class_is_empty_with_a_reason():
    found = estimate([(0.2, 1), (0.7, 1)], auc, Resamples(50, rng()), ONE_CLASS)
    assert found[:3] == (None, None, None)
    assert "one class" in found.note


def test_auc_interval_leaves_out_resamples_of_one_class():
    patients = list(zip([0.1, 0.4, 0.3, 0.9], [0, 0, 1, 1], strict=True))
    value, low, high, note = estimate(patients, auc, Resamples(500, rng()))
    assert 0 <= low < 0.75 == value < high <= 1 and not note


def test_brier():
    assert scores.brier([0.0, 1.0, 0.5], [0, 1, 1]) == pytest.approx(0.25 / 3)


def test_bootstrap_interval_matches_the_standard_error():
    values = rng().normal(size=400)
    value, low, high, _ = estimate(values, bootstrap.means, Resamples(2000, rng(1)))
    assert value == pytest.approx(values.mean())
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.08)


def test_one_patient_has_a_value_but_no_interval():
    found = estimate([3.0], bootstrap.means, Resamples(10, rng()), note="as chosen")
    assert cells(n=1, **found.named("crps", "_ml")) == {
        "n": 1,
        "crps_ml": 3.0,
        "crps_low_ml": None,
        "crps_high_ml": None,
        "note": f"as chosen; {bootstrap.ONE_PATIENT}",
    }


def test_what_has_no_value_has_no_interval_for_the_same_reason():
    found = bootstrap.undefined("classes set apart")
    nothing = dict.fromkeys(("value", "low", "high"))
    assert cells(n=30, **found.columns()) == {"n": 30, **nothing, "note": "classes set apart"}


def test_skill_of_pairs():
    pairs = np.array([[1.0, 2.0], [3.0, 6.0]])
    assert scores.skill(pairs[None])[0] == pytest.approx(0.5)


def test_line_through_requests():
    x = np.linspace(0, 10, 200)
    line = fit_line(x, 0.8 * x - 1 + rng().normal(scale=0.5, size=200))
    assert line.slope == pytest.approx(0.8, abs=0.03)
    assert line.intercept == pytest.approx(-1, abs=0.2)
    assert line.residual_sd == pytest.approx(0.5, abs=0.06)
    assert line.r2 == pytest.approx(0.64 * x.var() / (0.64 * x.var() + 0.25), abs=0.02)
    assert fit_line([1, 1, 1], [1, 2, 3]) is None


def box(*where):
    mask = np.zeros((12, 10, 6), dtype=bool)
    mask[where] = True
    return mask


def test_dice_decides_empties():
    one, other = box(slice(0, 4)), box(slice(2, 6))
    assert masks.dice(one, other).value == 0.5
    assert masks.dice(box(slice(0, 0)), one).value == 0.0
    # One who sees blood where there is none leaves the same patient out as one who does not.
    for forecast in (box(slice(0, 0)), one):
        assert masks.dice(forecast, box(slice(0, 0))) == scores.Score(None, masks.NO_TRUTH)


def test_psnr_looks_at_the_brain_and_the_window_only():
    truth = rng().uniform(0, 80, size=(12, 10, 6))
    brain = box(slice(2, 10))
    forecast = truth + 10.0
    forecast[~brain] = 500
    assert images.psnr_db(forecast, truth, brain).value == pytest.approx(20.0, abs=1e-6)
    bone = truth.copy()
    bone[5, 5, 3], truth[5, 5, 3] = 300, 1000
    assert images.psnr_db(bone, truth, brain).value is None


def match(forecast_hu, true_hu, brain, band):
    nothing = np.zeros_like(brain)
    followup = Followup(true_hu, nothing, nothing)
    others = {"shift_mm": scores.Score(0.0), "spacing_mm": np.ones(3), "surface_mm": 1.0}
    others["ventricle_ml"] = 0.0
    empty = dict.fromkeys(("baseline_blood", "expansion", "distance_mm", "ventricles"), nothing)
    return ImageMatch(forecast_hu, Truth(followup, brain=brain, band=band, **empty, **others))


def test_ssim_is_one_for_equal_images_and_falls_with_noise():
    truth = rng().uniform(0, 80, size=(12, 10, 6))
    brain, band = box(slice(2, 10)), box(slice(6, 8))
    noise = np.where(brain & ~band, rng(1).normal(scale=20, size=truth.shape), 0)
    assert match(truth, truth, brain, band).ssim("brain").value == pytest.approx(1.0)
    noisy = match(truth + noise, truth, brain, band)
    assert noisy.ssim("brain").value < 0.9
    assert noisy.psnr_db("brain").value is not None and noisy.psnr_db("band").value is None
    # The window reaches 3 voxels into the noise, no further.
    apart = match(truth + np.where(box(slice(2, 3)), 50, 0), truth, brain, band)
    assert apart.ssim("band").value == pytest.approx(1.0)
    nowhere = match(truth, truth, brain, box(slice(0, 0)))
    assert nowhere.ssim("band").value is None and "no voxel" in nowhere.ssim("band").note


def test_band_measures_in_millimetres():
    distance_mm = blood_distance_mm(box(5, 5, 3), (2.0, 3.0, 5.0))
    band = bleed_band(distance_mm, 5.0)
    assert not band[5, 5, 3]
    assert band[7, 5, 3]
    assert not band[8, 5, 3]
    assert band[5, 6, 3]
    assert not band[5, 7, 3]
    assert band[5, 5, 4]
    nothing = blood_distance_mm(box(slice(0, 0)), (1, 1, 1))
    assert not bleed_band(nothing, 5.0).any()


@pytest.mark.parametrize("k", [4, 50])
def test_tail_crps_is_that_of_the_normal_distribution_above_the_threshold(k):
    # Of N(0, 1) raised to 1, scored against itself: half the mean difference of two such numbers.
    source = rng(5)
    pairs = np.maximum(source.normal(size=(200_000, 2)), 1.0)
    exact = np.abs(pairs[:, 0] - pairs[:, 1]).mean() / 2
    draws = source.normal(size=(20_000, k + 1))
    found = np.mean([scores.tail_crps(x[0], x[1:], 1.0) for x in draws])
    assert found == pytest.approx(exact, abs=0.004)


def test_tail_crps_sees_nothing_below_the_threshold():
    assert scores.tail_crps(2.0, [1.0, 4.0, 5.0], 6.0) == 0
    assert scores.tail_crps(9.0, [4.0], 6.0) == 3
    assert scores.tail_crps(9.0, [7.0], 6.0, "quantiles") == 2


def test_calibration_line_finds_the_recalibration():
    source = rng(2)
    logits = source.normal(scale=1.2, size=20_000)
    event = source.uniform(size=20_000) < 1 / (1 + np.exp(-logits))
    said = 1 / (1 + np.exp(-(2 * logits - 0.6)))
    patients = np.stack([said[:4000], event[:4000]], axis=-1)
    intercept, slope = fit_rows(*patients.T[:, None])[0]
    assert slope == pytest.approx(0.5, abs=0.05)
    assert intercept == pytest.approx(0.3, abs=0.12)
    found = estimate(patients, slopes, Resamples(100, rng()))
    assert found.value == slope
    assert found.low < 0.5 < found.high and found.high - found.low < 0.15


@pytest.mark.parametrize(
    ("probability", "event"),
    [
        ([0.2, 0.4, 0.6], [1, 1, 1]),
        ([0.3, 0.3, 0.3], [0, 1, 1]),
        ([0.1, 0.2, 0.8], [0, 0, 1]),
        ([0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1]),
        ([0.01, 0.01, 0.5, 0.5, 0.99, 0.99], [1, 1, 1, 0, 0, 0]),
    ],
)
def test_a_calibration_line_that_does_not_exist_has_a_reason(probability, event):
    patients = np.array(list(zip(probability, event, strict=True)))
    assert np.isnan(fit_rows(*patients.T[:, None])).all()
    found = estimate(patients, slopes, Resamples(20, rng()), NO_SLOPE)
    assert found[:3] == (None, None, None) and found.note


def group(*parts):
    """Patients (n, 2) from (probability said, number, events) of each part."""
    return np.concatenate(
        [np.column_stack([np.full(n, p), np.arange(n) < events]) for p, n, events in parts]
    )


def calibration(patients):
    return {
        name: score.value for name, score in calibration_cells(patients, few_resamples).items()
    }


def few_resamples():
    return Resamples(200, rng())


def test_calibration_in_the_large_is_the_intercept_at_slope_1():
    calibrated = calibration(group((0.2, 100, 20), (0.4, 50, 20), (0.8, 20, 16)))
    assert calibrated["calibration_in_the_large"] == pytest.approx(0, abs=1e-6)
    assert calibrated["oe_ratio"] == pytest.approx(1)
    assert calibrated["calibration_slope"] == pytest.approx(1, abs=1e-6)
    # Odds said to be half of what they are: 1:4 for 1:2, 1:2 for 1:1.
    half_odds = calibration(group((1 / 5, 90, 30), (1 / 3, 60, 30)))
    assert half_odds["calibration_in_the_large"] == pytest.approx(np.log(2), abs=1e-6)
    assert half_odds["calibration_slope"] == pytest.approx(1, abs=1e-6)
    assert half_odds["oe_ratio"] == pytest.approx(60 / 38)
    # Probabilities halved: twice as many events, whatever the line.
    halved = calibration(group((0.1, 100, 20), (0.2, 50, 20), (0.4, 20, 16)))
    assert halved["oe_ratio"] == pytest.approx(2)
    assert halved["oe_ratio_low"] < 2 < halved["oe_ratio_high"]


def test_a_slope_does_not_hide_in_the_intercept():
    # Logits said to be twice what they are: the joint line has intercept 0, yet too few expand.
    patients = group((1 / 10, 80, 20), (1 / 2, 40, 20))
    joint = fit_rows(*patients.T[:, None])[0]
    assert joint == pytest.approx((0, 0.5), abs=1e-6)
    level = levels(patients[None])[0]
    said = 1 / (1 / patients[:, 0] - 1) * np.exp(level)
    assert level > 0.4 and (said / (1 + said)).sum() == pytest.approx(40)
    assert oe_ratios(patients[None])[0] == pytest.approx(40 / 28)


def test_calibration_of_few_or_of_one_class_has_a_reason():
    few = calibration_cells(group((0.2, 12, 2), (0.4, 6, 2)), few_resamples)
    assert few["oe_ratio"].value == pytest.approx(4 / 4.8) and few["oe_ratio"].note == ""
    for name in ("calibration_slope", "calibration_in_the_large"):
        assert few[name].value is None and "fewer than 5" in few[name].note
    none = calibration_cells(group((0.2, 30, 0)), few_resamples)
    assert {score.value for score in none.values()} == {None}
    assert all(score.note for score in none.values())
    constant = calibration_cells(group((0.2, 30, 10)), few_resamples)
    assert constant["calibration_in_the_large"].value == pytest.approx(np.log(2), abs=1e-6)
    assert constant["calibration_slope"].note == NO_SLOPE


def test_map_brier_of_an_empty_region_has_a_reason():
    event = box(slice(0, 6))
    assert masks.map_brier(np.full((12, 10, 6), 0.5), event, box()).value == 0.25
    assert masks.map_brier(event, event, box(slice(0, 0))).value is None
