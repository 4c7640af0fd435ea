"""Conformal calibration on a toy whose faults are known."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from hemexp.evaluation.cohort.conformal import (
    Levels,
    fit_levels,
    nominal,
    share_inside,
    tabulate_conformal,
    training_pit,
    widths_ml,
)
from hemexp.evaluation.cohort.forecast_scores import score_draws
from hemexp.evaluation.cohort.forecasts import Forecast

P = np.arange(1, 200) / 200


def pit_of(outcomes, spread, bias=0.0):
    """PIT of outcomes N(0, 1) under a forecast N(bias, spread^2)."""
    return norm.cdf((outcomes - bias) / spread)


@pytest.mark.parametrize("level", [0.5, 0.9])
@pytest.mark.parametrize(("spread", "bias"), [(0.5, 0.0), (2.0, 0.0), (1.0, 1.0), (1.0, 0.0)])
def test_coverage_is_restored_whatever_the_fault(level, spread, bias):
    rng = np.random.default_rng(1)
    test = pit_of(rng.normal(size=20_000), spread, bias)
    levels = fit_levels(pit_of(rng.normal(size=2_000), spread, bias), level)
    assert share_inside(test, levels) == pytest.approx(level, abs=0.03)
    if (spread, bias) != (1.0, 0.0):
        assert abs(share_inside(test, nominal(level)) - level) > 0.04


def test_coverage_holds_on_average_for_few_patients():
    """The finite-sample promise: at least the level, at most 2 / (n + 1) more."""
    rng = np.random.default_rng(2)
    shares = [share_inside(rng.random(2000), fit_levels(rng.random(39), 0.9)) for _ in range(2000)]
    assert 0.9 - 0.003 < np.mean(shares) < 0.9 + 2 / 40


def test_too_few_patients_give_the_widest_interval():
    assert fit_levels(np.linspace(0.1, 0.9, 18), 0.9) == Levels(0.0, 1.0)
    assert fit_levels(np.linspace(0.1, 0.9, 19), 0.9) == Levels(0.1, 0.9)


def test_widths_follow_the_levels():
    draws = {"a": P.copy(), "b": 10 * P}
    found = widths_ml(draws, ["a", "b"], Levels(0.25, 0.75), "quantiles")
    assert found == pytest.approx([0.5, 5.0])


def cohort(n, seed, split):
    growth = np.random.default_rng(seed).normal(size=n)
    ids = [f"{split}{k:03d}" for k in range(n)]
    return pd.DataFrame(
        {
            "split": split,
            "center": np.where(np.arange(n) % 2, "A", "B"),
            "baseline_iph_ml": 50.0,
            "followup_iph_ml": 50.0 + growth,
            "growth_ml": growth,
        },
        index=ids,
    )


def test_the_table_of_a_forecast_half_as_wide_as_it_should_be():
    outcomes = pd.concat([cohort(300, 0, "train"), cohort(400, 1, "test")])
    train, test = (outcomes.index[outcomes["split"] == split] for split in ("train", "test"))
    narrow = 0.5 * norm.ppf(P)
    training = pd.concat(
        pd.DataFrame({"patient_id": name, "draw": range(199), "growth_ml": narrow})
        for name in train
    )
    pit = training_pit(training, outcomes, seed=1)
    assert len(pit) == 300
    forecast = Forecast("tabular", "none", "iph_ml", dict.fromkeys(test, 50 + narrow), "quantiles")
    scored = score_draws(forecast, outcomes, seed=1)
    table = tabulate_conformal(scored, [forecast], pit).set_index(["center", "level"])
    assert set(table.index) == {(c, level) for c in ("all", "A", "B") for level in (0.5, 0.9)}
    before, after = table.loc[("all", 0.5), ["coverage_before", "coverage_after"]]
    assert before < 0.32
    assert after == pytest.approx(0.5, abs=0.08)
    row = table.loc[("all", 0.5)]
    assert not row["band_low"] <= before <= row["band_high"]
    assert row["width_after_ml"] / row["width_before_ml"] == pytest.approx(2, rel=0.15)
    assert row["band_low"] == pytest.approx(0.5 - 1.96 * 0.5 / 20, abs=0.005)
    missing = tabulate_conformal(scored, [forecast], None)
    assert missing["coverage_after"].isna().all() and missing["note"].ne("").all()
