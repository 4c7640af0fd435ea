"""The probability model: calibration of the cohort, exactness of the truth."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import truncnorm
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from hemexp.phantom.model import (
    GROWTH_PROBABILITIES,
    MODEL,
    PlainGrowth,
    draw_case,
    draw_growth,
    expansion_probability,
    generator,
    growth_parts_ml,
    growth_quantile,
    he_threshold_ml,
    mean_growth_ml,
)

ROWS = 2000


@pytest.fixture(scope="module")
def cases():
    return [draw_case(5, f"P{number}") for number in range(ROWS)]


@pytest.fixture(scope="module")
def expanded(cases):
    grown = [draw_growth(case, generator(5, case.patient_id, "test"))[0] for case in cases]
    limits = [he_threshold_ml(case.baseline_iph_ml) for case in cases]
    return np.array(grown) >= np.array(limits)


def test_prevalence_and_auc_of_2000_rows(cases, expanded):
    # SD between cohorts of 2,000: .010 (share), .009 (true AUC), .0125 (tabular AUC); allowed .03.
    tabular = [
        [np.log(c.onset_to_ct_h), c.anticoagulant, c.antiplatelet, np.log(c.baseline_iph_ml)]
        for c in cases
    ]
    fitted = LogisticRegression(C=1e6, max_iter=500).fit(tabular, expanded)
    true_p = [expansion_probability(case) for case in cases]
    assert expanded.mean() == pytest.approx(0.30, abs=0.03)
    assert roc_auc_score(expanded, true_p) == pytest.approx(0.80, abs=0.03)
    assert roc_auc_score(expanded, fitted.predict_proba(tabular)[:, 1]) == pytest.approx(
        0.72, abs=0.03
    )


def test_probability_is_calibrated(cases, expanded):
    true_p = np.array([expansion_probability(case) for case in cases])
    for low, high in ((0.0, 0.15), (0.15, 0.4), (0.4, 1.0)):
        group = (true_p >= low) & (true_p < high)
        assert expanded[group].mean() == pytest.approx(true_p[group].mean(), abs=0.05)


def test_variables_lie_in_their_ranges(cases):
    volumes = np.array([case.baseline_iph_ml for case in cases])
    assert 12 < np.median(volumes) < 14
    assert volumes.min() >= 2 and volumes.max() <= 60
    assert all(0.5 <= case.onset_to_ct_h <= 12 for case in cases)
    assert all(3 <= case.gcs <= 15 and 100 <= case.sbp <= 250 for case in cases)


@pytest.mark.parametrize(
    ("change", "sign"),
    [
        ({"onset_to_ct_h": 6.0}, -1),
        ({"anticoagulant": 1}, 1),
        ({"antiplatelet": 1}, 1),
        ({"baseline_iph_ml": 40.0}, 1),
        ({"sbp": 220}, 1),
        ({"pockets": 2}, 1),
        ({"irregularity": 1.0}, 1),
    ],
)
def test_effects_have_the_published_direction(change, sign):
    case = replace(
        draw_case(1, "A01"),
        onset_to_ct_h=2.0,
        anticoagulant=0,
        antiplatelet=0,
        baseline_iph_ml=13.0,
        sbp=160,
        pockets=0,
        irregularity=0.2,
    )
    difference = expansion_probability(replace(case, **change)) - expansion_probability(case)
    assert sign * difference > 0.003


@pytest.mark.parametrize("volume_ml", [2.0, 13.0, 60.0])
def test_probability_is_that_of_he_among_draws(volume_ml):
    case = replace(draw_case(1, "A01"), baseline_iph_ml=volume_ml)
    growth = draw_growth(case, np.random.default_rng(0), 20_000)
    share = np.mean((growth >= 6) | (growth >= 0.33 * volume_ml))
    assert share == pytest.approx(expansion_probability(case), abs=0.011)
    assert growth.max() <= MODEL.growth_limit_ml
    assert growth.min() > -0.31 * volume_ml


def test_quantiles_and_mean_match_draws():
    case = draw_case(1, "A02")
    growth = draw_growth(case, np.random.default_rng(1), 200_000)
    quantiles = growth_quantile(case, GROWTH_PROBABILITIES)
    assert np.all(np.diff(quantiles) > 0)
    below = [(growth <= value).mean() for value in quantiles]
    assert np.allclose(below, GROWTH_PROBABILITIES, atol=0.005)
    assert mean_growth_ml(PlainGrowth(case), 2000) == pytest.approx(growth.mean(), rel=0.02)


def test_the_distribution_function_is_the_inverse_of_the_quantiles():
    law = PlainGrowth(draw_case(1, "A02"))
    levels = np.linspace(0.001, 0.999, 999)
    assert np.allclose(law.below(law.quantile(levels)), levels, atol=1e-9)
    assert law.below(np.array([he_threshold_ml(law.case.baseline_iph_ml)])) == pytest.approx(
        1 - law.p_expansion
    )


def test_growth_of_expanders_is_log_normal_between_its_ends():
    case = replace(draw_case(1, "A01"), baseline_iph_ml=30.0)
    growth = draw_growth(case, np.random.default_rng(2), 100_000)
    median_ml = MODEL.growth_offset_ml + MODEL.growth_share * 30.0
    ends = np.log(np.array([6.0, MODEL.growth_limit_ml]) / median_ml) / MODEL.growth_log_sd
    expected = truncnorm(*ends)
    scaled = np.log(growth[growth >= 6.0] / median_ml) / MODEL.growth_log_sd
    assert scaled.mean() == pytest.approx(expected.mean(), abs=0.03)
    assert scaled.std() == pytest.approx(expected.std(), abs=0.03)


def test_a_patient_depends_on_seed_and_id_alone():
    alone = draw_case(3, "B07")
    in_a_crowd = {name: draw_case(3, name) for name in ("Z99", "B07", "A01")}
    assert in_a_crowd["B07"] == alone
    assert draw_case(4, "B07") != alone
    assert in_a_crowd["A01"] != replace(alone, patient_id="A01")


@pytest.mark.parametrize("volume_ml", [4.0, 13.0, 40.0])
def test_parts_of_the_law_keep_its_mean_and_its_distance_to_itself(volume_ml):
    case = replace(draw_case(1, "A01"), baseline_iph_ml=volume_ml)
    n = 200_000
    law = growth_quantile(case, (np.arange(n) + 0.5) / n)
    parts = growth_parts_ml(PlainGrowth(case))

    def distance_ml(ordered):
        """Mean distance of two growths, from the ranks: 2 x the CRPS of the law to itself."""
        ranks = 2 * np.arange(1, len(ordered) + 1) - len(ordered) - 1
        return 2 * (ranks * ordered).sum() / len(ordered) ** 2

    assert len(parts) == 200 and (np.diff(parts) > 0).all()
    assert parts.mean() == pytest.approx(law.mean(), rel=1e-3)
    assert distance_ml(parts) == pytest.approx(distance_ml(law), rel=1e-3)
    percentiles = growth_quantile(case, GROWTH_PROBABILITIES)
    assert distance_ml(percentiles) < 0.985 * distance_ml(law)  # what leaves out the tails
