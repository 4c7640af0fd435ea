"""Figures made of numbers: what they show, and that every axis says its unit."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from reporting_folder import answers

from hemexp.outcomes import expansion_outcomes
from hemexp.reporting.figures import calibration, growth, reliability, training, volumes, what_if
from hemexp.reporting.style import MM, NARROW, STYLE, WIDE
from hemexp.statistics.wilson import wilson_interval

UNITS = ("mL", "0–1", "h", "no unit", "PIT")
COUNTS = ("Model", "Patient", "Number of patients", "Optimiser step")


@pytest.fixture(autouse=True)
def style():
    with matplotlib.rc_context(STYLE):
        yield


def assert_readable(figure):
    """Axes say their unit or what they count, no letter is small, the width fits a page."""
    for axes in figure.axes:
        for label in (axes.get_xlabel(), axes.get_ylabel()):
            assert label.startswith(COUNTS) or any(
                f"({u}" in label or f"{u})" in label for u in UNITS
            ), label
    texts = [text for text in figure.findobj(Text) if text.get_text()]
    assert min(text.get_fontsize() for text in texts) >= 7
    assert figure.get_figwidth() in (NARROW, WIDE)


def cohort(n):
    ids = [f"T{k:03d}" for k in range(n)]
    table = pd.DataFrame(
        {
            "patient_id": ids,
            "baseline_iph_ml": 20.0,
            "baseline_ivh_ml": 0.0,
            "followup_iph_ml": 20 + np.arange(n) / 2.0,
            "followup_ivh_ml": 0.0,
        }
    )
    return expansion_outcomes(table).set_index("patient_id")


def draws(outcomes, growths):
    return pd.DataFrame(
        {
            "patient_id": np.repeat(outcomes.index, len(growths)),
            "indicator": "predicted",
            "ivh_ml": 0.0,
            "iph_ml": np.tile(20.0 + np.array(growths), len(outcomes)),
        }
    )


def test_widths_of_a_journal():
    assert pytest.approx(85) == NARROW / MM
    assert pytest.approx(175) == WIDE / MM


def test_of_many_patients_some_are_shown_by_growth():
    outcomes = cohort(100).sample(frac=1, random_state=1)
    figure = volumes.draw_volumes(draws(outcomes, [0, 1, 3]), outcomes, 40)
    shown = [label.get_text() for axes in figure.axes for label in axes.get_xticklabels()]
    assert len(shown) == 40
    assert shown == sorted(shown)
    assert (shown[0], shown[-1]) == ("T000", "T099")
    assert len(figure.axes) == 2
    assert figure.axes[0].get_title() == "n = 40 of 100 patients"
    assert all(axes.get_ylim() == figure.axes[0].get_ylim() for axes in figure.axes)
    assert figure.axes[0].get_ylim()[1] > outcomes["followup_iph_ml"].max()
    assert_readable(figure)


def test_patients_without_follow_up_come_last():
    outcomes = cohort(3)
    outcomes.loc["T000", ["followup_iph_ml", "growth_ml"]] = np.nan
    assert volumes.choose_shown(outcomes, 5) == ["T001", "T002", "T000"]


def test_oracle_volumes_are_told():
    outcomes = cohort(2)
    figure = volumes.draw_volumes(draws(outcomes, [0, 1]).assign(indicator="oracle"), outcomes, 9)
    assert "knew the outcome" in figure.axes[0].get_title()


def scores(indicator):
    values = {
        "median_ml": 22,
        "q05_ml": 19,
        "q25_ml": 21,
        "q75_ml": 24,
        "q95_ml": 90,
        "observed_ml": 25,
        "baseline_ml": 20,
    }
    return pd.DataFrame(
        [
            {
                "patient_id": name,
                "model": "hemexp",
                "target": "iph_ml",
                "indicator": indicator,
                "metric": metric,
                "value": value + 5 * (name == "b"),
            }
            for name in "ab"
            for metric, value in values.items()
        ]
    )


def test_growth_is_volume_less_baseline():
    figure = growth.draw_growth(scores("predicted"))
    axes = figure.axes[0]
    points = axes.collections[-1].get_offsets()
    assert points.tolist() == [[5, 2], [5, 2]]
    assert axes.get_xlim() == axes.get_ylim()
    assert axes.get_ylim()[1] > 70
    assert "n = 2" in axes.get_xlabel()
    assert_readable(figure)


def test_growth_that_was_told_is_not_shown():
    assert not growth.draw_growth(scores("oracle")).axes


def forecast_row(model, indicator, **values):
    return {
        "split": "test",
        "center": "all",
        "target": "iph_ml",
        "model": model,
        "n": 8,
        "k": 5,
        "indicator": indicator,
        "coverage50": 0.5,
        "coverage90": 0.8,
    } | values


def test_calibration_shows_forecasts_before_and_after():
    forecasts = pd.DataFrame(
        [
            forecast_row("climatology", "none"),
            forecast_row("hemexp", "predicted"),
            forecast_row("hemexp", "oracle"),
            forecast_row("hemexp", "predicted", center="D"),
            forecast_row("copy_baseline", "none", coverage50=np.nan),
        ]
    )
    bars = pd.DataFrame(
        {
            "model": "hemexp",
            "target": "iph_ml",
            "indicator": "predicted",
            "pit": [0.25, 0.75],
            "n": 8,
            "share": [0.25, 0.75],
            "expected": 0.5,
        }
    )
    after = pd.DataFrame(
        {
            "split": "test",
            "center": "all",
            "target": "iph_ml",
            "model": "hemexp",
            "indicator": "predicted",
            "level": [0.5, 0.9],
            "coverage_after": [0.625, np.nan],
        }
    )
    figure = calibration.draw_calibration(forecasts, bars, after)
    pit, coverage = figure.axes
    assert [bar.get_height() for bar in pit.patches[:2]] == [2, 6]
    assert [label.get_text() for label in coverage.get_yticklabels()] == [
        "HemExp\n(K = 5)",
        "Climatology\n(K = 5)",
    ]
    lines = {line.get_label(): line for line in coverage.lines}
    assert lines["50 %, after calibration"].get_xdata().tolist() == [0.625]
    assert "90 %, after calibration" not in lines
    assert_readable(figure)


def test_wilson_interval_at_the_ends():
    # Newcombe 1998, table I: 0 of 20 gives 0 to .1611.
    low, high = wilson_interval(np.array([0.0]), np.array([20]))
    assert low[0] == pytest.approx(0, abs=1e-9)
    assert high[0] == pytest.approx(0.1611, abs=1e-4)


def test_groups_by_prediction():
    probability = np.linspace(0, 1, 20)[::-1]
    groups = reliability.group_by_prediction(probability, (probability > 0.5).astype(float))
    assert list(groups["n"]) == [10, 10]
    assert list(groups["observed"]) == [0, 1]
    assert groups["forecast"][0] == pytest.approx(np.linspace(0, 1, 20)[:10].mean())
    assert (groups["low"] <= groups["observed"]).all()
    few = reliability.group_by_prediction(np.array([0.2, 0.4]), np.array([0.0, 1.0]))
    assert few[["forecast", "observed"]].to_numpy().tolist() == [[pytest.approx(0.3), 0.5]]


def test_expansion_probability_is_a_share_of_samples():
    outcomes = cohort(14)
    outcomes.loc["T001", "he"] = np.nan
    tabular = pd.Series(0.5, outcomes.index)
    table = reliability.expansion_probabilities(
        draws(outcomes, [0, 1, 2, 12]), tabular, None, outcomes
    )
    ours = table[table["model"] == "hemexp"].set_index("patient_id")
    assert len(ours) == 13 and (ours["probability"] == 0.25).all()
    assert ours.loc["T013", "observed"] == 1 and ours.loc["T000", "observed"] == 0
    assert set(table["model"]) == {"hemexp", "tabular"}


def test_reliability_diagrams():
    probabilities = pd.DataFrame(
        {
            "patient_id": list("abcd"),
            "model": "hemexp",
            "probability": [0.1, 0.2, 0.3, 0.4],
            "observed": [0, 0, 1, 1],
        }
    )
    maps = pd.DataFrame(
        {
            "region": "band",
            "reference": "outcome",
            "model": "hemexp",
            "indicator": "predicted",
            "bin": [0, 5, 9],
            "n_voxels": [900, 80, 3],
            "forecast": [0.02, 0.55, 0.95],
            "observed": [0.1, 0.5, 0.0],
        }
    )
    figure = reliability.draw_reliability(probabilities, maps)
    patients, outcome, truth = figure.axes
    assert patients.lines[1].get_xydata().tolist() == [[pytest.approx(0.25), 0.5]]
    # The bin of three voxels is left out.
    assert outcome.lines[1].get_xydata().tolist() == [[0.02, 0.1], [0.55, 0.5]]
    assert [text.get_text() for text in truth.texts] == ["no such map"]
    assert_readable(figure)


def test_what_if_shows_both_states_and_the_truth():
    predicted, true = answers(["a", "b"], 1.0), answers(["a", "b", "c"], 2.0)
    predicted.loc[predicted["patient_id"] == "b", "median_growth_ml"] += 2
    true.loc[true["patient_id"] == "c", "median_growth_ml"] += 30
    figure = what_if.draw_what_if(predicted, true)
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert list(lines) == [
        "Predicted, off anticoagulant",
        "Truth, off anticoagulant",
        "Predicted, on anticoagulant",
        "Truth, on anticoagulant",
    ]
    at_one_hour = {name: line.get_ydata()[1] for name, line in lines.items()}
    assert list(at_one_hour.values()) == [6, 5, 7, 7]
    assert lines["Truth, on anticoagulant"].get_linestyle() == "--"
    assert "n = 2 patients" in figure.get_suptitle()
    assert_readable(figure)


def test_what_if_without_truth():
    figure = what_if.draw_what_if(answers(["a"], 1.0), None)
    assert len(figure.axes[0].lines) == 2
    assert not what_if.draw_what_if(answers(["a"], 1.0), answers(["b"], 1.0)).axes


def test_training_curves():
    history = pd.DataFrame({"step": [10, 20], "ct": [1.0, 0.5], "never": [0.0, 0.0]})
    figure = training.draw_training({"Autoencoder": history, "Diffusion": history})
    assert [line.get_label() for line in figure.axes[1].lines] == ["CT"]
    assert_readable(figure)
