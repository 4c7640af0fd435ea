"""Figures made of numbers: what they show, and that every axis says its unit."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from reporting_folder import answers

from hemexp.evaluation.cohort import calibration_curves as curves
from hemexp.evaluation.cohort import decision_curve as decisions
from hemexp.evaluation.cohort import roc as rocs
from hemexp.evaluation.cohort.event_table import tabulate_expansion
from hemexp.outcomes import expansion_outcomes
from hemexp.reporting.figures import (
    calibration,
    calibration_curves,
    decision_curve,
    growth,
    reliability,
    roc,
    subgroups,
    training,
    volumes,
    what_if,
)
from hemexp.reporting.style import MM, NARROW, STYLE, WIDE
from hemexp.statistics.bootstrap import Resampling
from hemexp.statistics.wilson import wilson_interval

UNITS = ("mL", "0–1", "%", "h", "no unit", "PIT")
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


def test_reliability_diagrams():
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
    figure = reliability.draw_reliability(maps)
    outcome, truth = figure.axes
    # The bin of three voxels is left out.
    assert outcome.lines[1].get_xydata().tolist() == [[0.02, 0.1], [0.55, 0.5]]
    assert [text.get_text() for text in truth.texts] == ["no such map"]
    assert_readable(figure)


def expansion_tables(n, centers="A", models=("hemexp", "tabular_brain", "climatology")):
    """Tables of p(expansion) that are drawn, of n patients of whom every third expands."""
    p = np.linspace(0.02, 0.98, n)
    rows = pd.DataFrame(
        {
            "patient_id": [f"T{k:03d}" for k in range(n)],
            "split": "test",
            "center": [centers[k % len(centers)] for k in range(n)],
            "event": "he",
            "probability": p,
            "observed": (np.arange(n) % 3 == 0).astype(float),
        }
    )
    kinds = {"hemexp": "predicted"}
    table = pd.concat([rows.assign(model=m, indicator=kinds.get(m, "none")) for m in models])
    resampling = Resampling(20, 1)
    return {
        "decision_curve": decisions.tabulate_decision_curve(table, resampling),
        "roc": rocs.tabulate_roc(table),
        "thresholds": rocs.tabulate_thresholds(table),
        "expansion": tabulate_expansion(table, resampling),
        "calibration_curves": curves.tabulate_calibration_curves(table, resampling),
    }


def labels(axes):
    return [line.get_label() for line in axes.lines if not line.get_label().startswith("_")]


def test_the_decision_curve_shows_ours_a_tabular_model_and_the_two_strategies():
    table = expansion_tables(24)["decision_curve"]
    figure = decision_curve.draw_decision_curve(table)
    (axes,) = figure.axes
    assert labels(axes) == ["HemExp", "Tabular: BRAIN score", "Treat all", "Treat none"]
    assert axes.lines[-1].get_ydata().tolist() == [0.0] * 46
    assert axes.get_ylim()[0] == decision_curve.LEAST_SHOWN
    assert_readable(figure)


def test_the_roc_curve_marks_fixed_thresholds_and_tells_the_area():
    tables = expansion_tables(24)
    figure = roc.draw_roc(tables["roc"], tables["thresholds"], tables["expansion"])
    (axes,) = figure.axes
    area = tables["expansion"].set_index("model").loc["hemexp", "auc"]
    assert labels(axes)[0].startswith(f"HemExp: AUC {area:.2f} [")
    assert [text.get_text() for text in axes.texts] == ["10 %", "20 %", "30 %", "50 %"]
    assert_readable(figure)
    nobody = roc.draw_roc(tables["roc"].iloc[:0], tables["thresholds"], tables["expansion"])
    assert "only one class" in nobody.texts[0].get_text()


def test_calibration_curves_of_models_and_of_centres():
    figure = calibration_curves.draw_calibration_curves(
        expansion_tables(60, "AB")["calibration_curves"]
    )
    models, centers = figure.axes
    assert labels(models) == ["HemExp (n = 60)", "Tabular: BRAIN score (n = 60)"]
    assert labels(centers) == ["Centre A (n = 30)", "Centre B (n = 30)"]
    assert not models.texts and not centers.texts
    assert_readable(figure)


def test_few_patients_have_groups_without_a_curve():
    table = expansion_tables(8)["calibration_curves"]
    models, centers = calibration_curves.draw_calibration_curves(table).axes
    assert [text.get_text() for text in models.texts] == ["too few patients for a curve"]
    assert labels(centers) == ["The only centre (n = 8)"]
    told = expansion_tables(8, models=("tabular_brain",))["calibration_curves"]
    _, centers = calibration_curves.draw_calibration_curves(told).axes
    assert [text.get_text() for text in centers.texts] == ["no forecast by HemExp"]


def test_a_subgroup_without_patients_keeps_its_row():
    known = {"crps": 2.0, "auc": 0.75, "coverage90": 0.5}
    rows = [
        {"variable": name, "level": level, "n": n, "n_events": n // 4}
        | {
            f"{score}{end}{'_ml' if score == 'crps' else ''}": value + away if n else np.nan
            for score, value in known.items()
            for end, away in (("", 0), ("_low", -0.25), ("_high", 0.25))
        }
        for name, level, n in (("all", "all", 20), ("onset", "< 3 h", 20), ("onset", ">= 3 h", 0))
    ]
    table = pd.DataFrame(rows).assign(split="test", indicator="predicted")
    volume, discrimination, inside = subgroups.draw_subgroups(table).axes
    assert [text.get_text() for text in volume.get_yticklabels()] == [
        "All patients (20, 5)",
        "Onset to CT: < 3 h (20, 5)",
        "≥ 3 h (0, 0)",
    ]
    # Dashed: that of all patients, and the goal of coverage.
    assert [axes.lines[0].get_xdata()[0] for axes in (volume, discrimination, inside)] == [
        2.0,
        0.75,
        0.9,
    ]
    assert volume.lines[1].get_xdata()[:2].tolist() == [2.0, 2.0]
    assert subgroups.draw_subgroups(table.iloc[:0]).texts[0].get_text().startswith("No forecast")


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
