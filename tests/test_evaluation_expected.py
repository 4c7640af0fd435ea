"""Scores over everything that might have happened, against known answers."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from hemexp.evaluation.cohort import expected_scores as expected
from hemexp.evaluation.cohort.conformal import Levels
from hemexp.evaluation.cohort.expectations import expected_crps
from hemexp.evaluation.cohort.forecasts import Forecast
from hemexp.statistics import scores
from hemexp.statistics.bootstrap import Resampling
from hemexp.statistics.discrimination import auc, expected_auc

QUANTILES = np.arange(1, 100) / 100
EDGES = norm.ppf(np.arange(201) / 200)
PARTS = -200 * np.diff(norm.pdf(EDGES))
"""Mean of each of 200 equally likely parts of a normal distribution."""

SD_ML, BASELINE_ML = 4.0, 30.0
WHOLE, MIDDLE = (Levels(0.0, 1.0),) * 2, (Levels(0.25, 0.75),) * 2


def cohort(n=40):
    """Patients of different mean growth: the truth, and forecasts that are wrong in one way."""
    rng = np.random.default_rng(0)
    means = dict(zip([f"P{i}" for i in range(n)], rng.normal(5, 6, n), strict=True))
    whole = np.quantile([m + SD_ML * norm.ppf(QUANTILES) for m in means.values()], QUANTILES)

    def of(model, draw, indicator="none"):
        draws = {name: BASELINE_ML + draw(mean) for name, mean in means.items()}
        return Forecast(model, indicator, "iph_ml", draws, "quantiles")

    forecasts = [
        of("hemexp", lambda mean: mean + SD_ML / 2 * norm.ppf(QUANTILES), "predicted"),
        of("tabular", lambda mean: mean + 1 + SD_ML * norm.ppf(QUANTILES)),
        of("climatology", lambda _: whole),
        of("copy_baseline", lambda _: np.zeros(1)),
        replace(of("true_distribution", lambda mean: mean + SD_ML * PARTS), kind="even"),
    ]
    outcomes = pd.DataFrame({"split": "test", "center": "D"}, index=list(means))
    p = norm.sf(6, list(means.values()), SD_ML)
    said = {("hemexp", "predicted"): p**2, ("true_distribution", "none"): p}
    events = pd.concat(
        [
            pd.DataFrame(
                {
                    "patient_id": list(means),
                    "event": "he",
                    "model": model,
                    "indicator": indicator,
                    "probability": one,
                }
            )
            for (model, indicator), one in said.items()
        ]
    )
    return forecasts, events, outcomes, p


@pytest.fixture(scope="module")
def table():
    forecasts, events, outcomes, _ = cohort()
    fitted = {"hemexp": WHOLE}
    return expected.tabulate_expected(forecasts, events, outcomes, fitted, Resampling(200, 1))


def value(table, model, measure, reference="none"):
    rows = table.query("model == @model and measure == @measure and reference == @reference")
    assert len(rows) == 1, (model, measure, reference)
    return rows.iloc[0]


@pytest.mark.parametrize("kind", ["independent", "even", "quantiles"])
@pytest.mark.parametrize("k", [1, 7])
def test_mean_crps_over_outcomes(kind, k):
    rng = np.random.default_rng(k)
    outcomes, draws = rng.normal(size=30), rng.normal(1, 2, size=k)
    each = np.mean([scores.crps(one, draws, kind) for one in outcomes])
    assert expected_crps(outcomes, draws, kind) == pytest.approx(each, abs=1e-12)


def patients(probability, event):
    return np.stack([probability, event], axis=-1)[None]


def test_auc_is_that_of_cohorts_drawn_from_the_truth():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.05, 0.8, 60)
    said = np.round(np.clip(truth + rng.normal(0, 0.2, 60), 0, 1), 1)
    pairs = [(y, 60 - y.sum()) for y in rng.uniform(size=(4000, 60)) < truth]
    # Every cohort counts by its pairs of an expander and another.
    weights = [y.sum() * rest for y, rest in pairs]
    drawn = [auc(patients(said, y))[0] for y, _ in pairs]
    found = np.average(drawn, weights=weights)
    (area,), (best,) = (expected_auc(patients(one, truth)) for one in (said, truth))
    assert area == pytest.approx(found, abs=0.003)
    assert area < best
    assert np.isnan(expected_auc(patients([0.4], [0.3]))).all()


def test_the_truth_is_the_best_forecast_of_itself(table):
    assert value(table, "true_distribution", "skill_fraction", "true_distribution")["value"] == 1
    for level in (50, 90):
        found = value(table, "true_distribution", f"coverage{level}")["value"]
        assert found == pytest.approx(level / 100, abs=0.015)
    assert value(table, "true_distribution", "spread_ratio")["value"] == pytest.approx(1, abs=0.02)
    crps = table.query("measure == 'crps_ml'").set_index("model")["value"]
    assert crps.idxmin() == "true_distribution"
    # CRPS of a normal distribution against itself: SD / sqrt(pi).
    assert crps["true_distribution"] == pytest.approx(SD_ML / np.sqrt(np.pi), rel=2e-4)
    # Against N(m, s) an outcome of N(m + 1, s) is away by E|N(1, s sqrt 2)|, less half the spread.
    away = SD_ML * np.sqrt(2)
    mean_away = away * np.sqrt(2 / np.pi) * np.exp(-0.5 / away**2) + 1 - 2 * norm.cdf(-1 / away)
    assert crps["tabular"] == pytest.approx(mean_away - SD_ML / np.sqrt(np.pi), rel=2e-3)


def test_what_is_wrong_with_a_forecast_is_told(table):
    assert value(table, "hemexp", "spread_ratio")["value"] == pytest.approx(0.5, abs=0.02)
    # Half the true SD: the 90 % interval holds +-0.82 true SD.
    assert value(table, "hemexp", "coverage90")["value"] == pytest.approx(0.59, abs=0.02)
    assert value(table, "hemexp", "coverage90_conformal")["value"] == 1
    assert value(table, "tabular", "bias_ml")["value"] == pytest.approx(1)
    gain = value(table, "tabular", "crps_difference_ml", "climatology")
    assert gain["low"] <= gain["value"] <= gain["high"] < 0
    crps = {
        name: value(table, name, "crps_ml")["value"]
        for name in ("tabular", "climatology", "true_distribution")
    }
    fraction = (crps["climatology"] - crps["tabular"]) / (
        crps["climatology"] - crps["true_distribution"]
    )
    found = value(table, "tabular", "skill_fraction", "true_distribution")["value"]
    assert found == pytest.approx(fraction)
    assert not set(table.query("model == 'copy_baseline'")["measure"]) & {
        "spread_ratio",
        "coverage50",
        "coverage90",
    }


def test_probabilities_are_scored_by_the_true_ones(table):
    *_, p = cohort()
    # A square keeps the order: as good a rank, but neither calibrated nor accurate.
    assert value(table, "hemexp", "auc_difference", "true_distribution")["value"] == 0
    assert value(table, "true_distribution", "brier")["value"] == pytest.approx(
        np.mean(p * (1 - p))
    )
    assert value(table, "hemexp", "brier")["value"] == pytest.approx(
        np.mean(p * (1 - p) + (p**2 - p) ** 2)
    )
    assert value(table, "true_distribution", "calibration_slope")["value"] == pytest.approx(
        1, abs=0.01
    )
    assert value(table, "hemexp", "calibration_slope")["value"] < 0.8
    large = "calibration_in_the_large"
    assert value(table, "true_distribution", large)["value"] == pytest.approx(0, abs=0.01)
    assert value(table, "hemexp", large)["value"] > 0.3
    assert value(table, "hemexp", "oe_ratio")["value"] == pytest.approx(p.sum() / (p**2).sum())


def test_without_a_true_distribution_there_is_nothing_to_expect():
    forecasts, events, outcomes, _ = cohort()
    empty = expected.tabulate_expected(forecasts[:-1], events, outcomes, {}, Resampling(20, 1))
    assert empty.empty and list(empty.columns) == list(expected.COLUMNS)


def test_one_patient_has_scores_but_no_interval():
    forecasts, events, outcomes, _ = cohort(1)
    table = expected.tabulate_expected(forecasts, events, outcomes, {}, Resampling(20, 1))
    row = value(table, "hemexp", "crps_ml")
    assert row["n"] == 1 and row["low"] is None and "2 patients" in row["note"]
    assert "fewer than two" in value(table, "hemexp", "auc")["note"]
