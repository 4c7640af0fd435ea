"""The cohort's table of consistency, its allowed and warnings, and what people see of it."""

import json
import logging

import numpy as np
import pandas as pd
import pytest
from results_folder import make_results, read_samples

from hemexp.evaluation.cohort import consistency
from hemexp.evaluation.cohort.consistency_judgement import judge, warn_of_departures, widen
from hemexp.evaluation.cohort.consistency_measures import MEASURES, MODELS, SUBSETS, Tolerance
from hemexp.evaluation.cohort.summarise import run_summarise_scores
from hemexp.evaluation.patient import series
from hemexp.evaluation.patient.consistency import COLUMNS
from hemexp.evaluation.patient.inputs import Followup
from hemexp.evaluation.patient.score import run_score_patient
from hemexp.grid_scan import read_grid_scan
from hemexp.layout import Layout
from hemexp.reporting.consistency_table import describe_consistency
from hemexp.reporting.figures.consistency import draw_consistency
from hemexp.statistics.bootstrap import Resampling
from hemexp.tables import read_table

RESAMPLING = Resampling(100, 1)
SCORED = ("007", "T1", "T2")
TRUE_ML = {"a": 10.0, "b": 0.5, "c": 4.0}


def followup(patient_id, model, growth_ml, sample=0, target_ml=None, **measures):
    """A row of a patient's table, as cohort tables read it."""
    row = {
        "patient_id": patient_id,
        "split": "test",
        "center": "D",
        "baseline_iph_ml": 20.0,
        "model": model,
        "indicator": "predicted" if model in ("hemexp", "shell_alone") else "none",
        "sample": sample,
        "target_growth_ml": growth_ml if target_ml is None else target_ml,
        "growth_ml": growth_ml,
        "hu_growth_ml": 0.9 * growth_ml,
        "midline_shift_mm": -0.05 * growth_ml,
        "midline_away_mm": 0.05 * growth_ml,
        "ventricle_change_ml": -0.1 * growth_ml,
        "ivh_growth_ml": 1.0,
        "mask_hu_dice": 0.9,
        "new_mask_hu_dice": 0.8,
        "new_blood_hu": 55.0,
        "pieces": 1.0,
        "far_ml": 0.1,
        "texture": 0.4,
        "noise_sd_hu": 2.0,
        "noise_lag1": 0.1,
        "note": "",
    }
    assert set(COLUMNS) <= set(row)
    return row | measures


def cohort(drawn, others=()):
    """Rows of drawn follow-ups, of true scans and of copies; the samples' table of volumes."""
    rows = [*drawn, *others]
    rows += [followup(name, "truth", growth) for name, growth in TRUE_ML.items()]
    still = {"midline_shift_mm": 0.0, "midline_away_mm": 0.0}
    rows += [
        followup(name, "copy_baseline", 0.0, target_ml=growth, **still)
        for name, growth in TRUE_ML.items()
    ]
    volumes = [
        {
            "patient_id": row["patient_id"],
            "sample": row["sample"],
            "iph_raw_ml": 20 + row["raw_growth_ml"],
            "redrawn": 0,
            "disagrees": 0,
            "logit_offset": row["logit_offset"],
        }
        for row in drawn
    ]
    measured = pd.DataFrame(rows).drop(columns=["raw_growth_ml", "logit_offset"])
    return measured, pd.DataFrame(volumes)


def samples(growths=(0.5, 1.5, 5.0, 12.0), raw=0.8, offset=-1.5, **measures):
    return [
        followup(
            name, "hemexp", growth, k, raw_growth_ml=raw * growth, logit_offset=offset, **measures
        )
        for name in TRUE_ML
        for k, growth in enumerate(growths)
    ]


def tabulate(drawn=None, others=()):
    rows = consistency.followup_rows(*cohort(drawn or samples(), others))
    table = consistency.tabulate_consistency(rows, RESAMPLING)
    assert table.loc[table["value"].isna(), "note"].ne("").all()
    return table


def value(table, measure, subset, model="hemexp", column="value"):
    (found,) = table.query(
        "measure == @measure and subset == @subset and model == @model and center == 'all'"
    )[column]
    return found


def test_every_row_has_the_number_it_was_made_with():
    table = tabulate()
    expected = {
        ("hu_growth_per_ml", "large"): 0.9,
        ("midline_mm_per_ml", "all"): 0.05,
        ("ventricle_ml_per_ml", "large"): -0.1,
        ("midline_right_sign", "large"): 1,
        ("midline_error_mm", "large"): 0,
        ("pieces", "all"): 1,
        ("raw_slope", "large"): 0.8,
        ("raw_slope", "small"): 0.8,
        ("raw_r2", "large"): 1,
        ("raw_sd_ratio", "small"): 0.8,
        ("logit_offset_median", "large"): 1.5,
        ("logit_offset_p90", "all"): 1.5,
        ("texture", "all"): 0.4,
    }
    for key, number in expected.items():
        assert value(table, *key) == pytest.approx(number), key
    assert value(table, "hu_growth_per_ml", "large", "truth") == pytest.approx(0.9)


def test_follow_ups_are_parted_by_what_was_asked_or_happened():
    table = tabulate()
    counts = {
        subset: value(table, "raw_slope", subset, column="n_followups") for subset in SUBSETS
    }
    assert counts == {"all": 12, "large": 6, "small": 6}
    for model in ("truth", "copy_baseline"):
        assert value(table, "pieces", "large", model, "n") == 2
        assert value(table, "pieces", "all", model, "n") == 3
    # Of the patients, two grew by more than 3 mL, whatever was asked of their samples.
    assert value(table, "midline_error_mm", "large", column="n") == 2
    assert table.query("model == 'truth'")["measure"].isin(["raw_slope"]).sum() == 0


def test_slopes_are_those_of_numpy():
    rng = np.random.default_rng(0)
    drawn = [
        row
        | {
            "raw_growth_ml": row["growth_ml"] + rng.normal(),
            "hu_growth_ml": row["growth_ml"] + rng.normal(),
        }
        for row in samples()
    ]
    table = tabulate(drawn)
    x, raw, hu = (
        np.array([row[name] for row in drawn])
        for name in ("growth_ml", "raw_growth_ml", "hu_growth_ml")
    )
    assert value(table, "raw_slope", "all") == pytest.approx(np.polyfit(x, raw, 1)[0])
    assert value(table, "raw_r2", "all") == pytest.approx(np.corrcoef(x, raw)[0, 1] ** 2)
    assert value(table, "hu_growth_per_ml", "all") == pytest.approx((x @ hu) / (x @ x))
    within = [np.var(one.reshape(3, 4), axis=1).mean() for one in (raw, x)]
    assert value(table, "raw_sd_ratio", "all") == pytest.approx(np.sqrt(within[0] / within[1]))
    assert value(table, "raw_slope", "all", column="low") < value(table, "raw_slope", "all")


def test_offsets_are_pooled_whatever_the_number_of_samples():
    drawn = samples()[:5]
    for size, row in enumerate(drawn):
        row["logit_offset"] = -float(size)
    table = tabulate(drawn)
    assert value(table, "logit_offset_median", "all") == 2
    assert value(table, "logit_offset_p90", "all") == pytest.approx(3.6)


def test_the_midline_is_judged_at_the_true_growth():
    drawn = samples(midline_shift_mm=0.0)
    for row in drawn:
        row["midline_shift_mm"] = -0.04 * row["growth_ml"]
    table = tabulate(drawn)
    error = 0.01 * np.array([10.0, 0.5, 4.0])
    assert value(table, "midline_error_mm", "all") == pytest.approx(error.mean())
    copied = 0.05 * np.array([10.0, 0.5, 4.0])
    found = value(table, "midline_error_mm", "all", "copy_baseline")
    assert found == pytest.approx(copied.mean())


def test_what_a_copy_cannot_have_is_said():
    table = tabulate()
    assert value(table, "hu_growth_per_ml", "all", "copy_baseline", "note") == "nothing grew"
    assert np.isnan(value(table, "midline_mm_per_ml", "all", "copy_baseline"))


def test_a_flag_asks_for_no_volume():
    drawn = samples()
    for row in drawn:
        row["target_growth_ml"] = np.nan
    table = tabulate(drawn)
    assert value(table, "raw_slope", "large", column="note") == "no such follow-up has it"
    assert value(table, "pieces", "large", column="n_followups") == 6


def test_the_shell_alone_has_its_own_row():
    shells = [
        followup(name, "shell_alone", g, k) for name in TRUE_ML for k, g in enumerate([1, 9])
    ]
    table = tabulate(others=shells)
    assert value(table, "raw_slope", "all", "shell_alone") == pytest.approx(1)
    assert set(table["model"]) == set(MODELS)


@pytest.mark.parametrize(
    ("ends", "tolerance", "allowed"),
    [
        ((0.8, 0.9), Tolerance(0.05, 0.1), (0.75, 1.0)),
        ((1, 2), Tolerance(0.5, 2, factor=True), (0.5, 4)),
        ((-2, -1), Tolerance(0.5, 2, factor=True), (-4, -0.5)),
        ((-1, 2), Tolerance(0.5, 2, factor=True), (-2, 4)),
        ((1, 1), Tolerance(np.inf, 0.02), (-np.inf, 1.02)),
    ],
)
def test_allowed(ends, tolerance, allowed):
    assert widen(*ends, tolerance) == pytest.approx(allowed)


def test_allowed_in_words():
    words = [widen(1, 2, Tolerance(*t)).words(1) for t in ((0.5, 0.5), (0, np.inf), (np.inf, 0))]
    assert words == ["0.5 to 2.5", "at least 1.0", "at most 2.0"]


def departures(table):
    return {(one.row["measure"], one.row["subset"]) for one in judge(table) if not one.holds}


def test_drawn_scans_that_are_like_the_true_ones_are_let_pass(caplog):
    table = tabulate(samples(raw=1.0, offset=0.3))
    assert len([*judge(table)]) > 10
    warn_of_departures(table)
    assert not caplog.records


def test_each_departure_is_named(caplog):
    drawn = samples(raw=1.0, offset=0.3, pieces=3.2, new_blood_hu=45.0)
    for row in drawn:
        row["midline_away_mm"] = -0.02 * row["growth_ml"]
    table = tabulate(drawn)
    assert departures(table) == {
        ("pieces", "large"),
        ("new_blood_hu", "large"),
        ("midline_mm_per_ml", "large"),
        ("midline_right_sign", "large"),
    }
    with caplog.at_level(logging.WARNING):
        warn_of_departures(table)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 4
    (line,) = [line for line in lines if "Pieces" in line]
    assert "3.20; true scans: 1.00; allowed at most 1.02" in line


def test_every_measure_is_judged_where_it_is_shown():
    for measure in MEASURES.values():
        assert {*measure.judged} <= {*measure.subsets} <= {*SUBSETS}
        assert isinstance(measure.against, float) or measure.against in MODELS
    words = [measure.words for measure in MEASURES.values()]
    assert len(set(words)) == len(words)


def test_the_table_for_people_sets_the_models_side_by_side():
    shown = describe_consistency(tabulate(samples(pieces=2.0)))
    rows = shown[shown["Follow-ups"] == "growth > 3 mL"].set_index("Measure")
    row = rows.loc["Pieces of the IPH mask"]
    assert row["HemExp [95 % CI]"] == "2.00 [2.00, 2.00]"
    assert row["True scans [95 % CI]"] == "1.00 [1.00, 1.00]"
    assert row["Shell alone, no network [95 % CI]"] == "–"
    assert (row["Allowed"], row["Within"]) == ("at most 1.02", "no")
    assert (row["Patients, true"], row["Patients, drawn"]) == (2, 3)
    row = rows.loc["Raw growth on request, slope"]
    assert row["True scans [95 % CI]"] == "1.00 by definition"


def test_the_figure_has_a_panel_a_measure_and_says_when_there_is_nothing():
    table = tabulate()
    figure = draw_consistency(table)
    titled = [axes for axes in figure.axes if axes.get_title()]
    assert len(titled) == len(MEASURES)
    pieces = titled[list(MEASURES).index("pieces")]
    assert {tuple(line.get_xdata()) for line in pieces.lines} == {(0,), (1,), (3,)}
    assert "No drawn" in draw_consistency(table[table["model"] == "truth"]).texts[0].get_text()


@pytest.fixture(scope="module")
def run(tmp_path_factory, settings):
    """A toy run whose samples rest on shells: here the true follow-up, every time."""
    root = tmp_path_factory.mktemp("results")
    make_results(root)
    layout = Layout(root)

    def shells(layout, patient_id, baseline, volumes):
        true = Followup.of_scan(read_grid_scan(layout, patient_id, "followup"))
        return (true for _ in range(len(volumes)))

    room = settings.evaluation.model_copy(update={"bootstrap": 20})
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(series, "read_shell_followups", shells)
        for patient_id in SCORED:
            run_score_patient(layout, patient_id, room)
        run_summarise_scores(layout, read_samples(root), room, seed=1)
    return layout


def test_a_patient_has_a_row_a_follow_up(run):
    table = read_table(run.consistency("T1"))
    assert tuple(table) == COLUMNS
    assert table.groupby("model")["sample"].count().to_dict() == {
        "copy_baseline": 1,
        "hemexp": 5,
        "shell_alone": 5,
        "truth": 1,
    }
    measures = ["growth_ml", "mask_hu_dice", "midline_shift_mm", "pieces"]
    by_model = table.groupby("model")[measures].first()
    assert by_model.loc["shell_alone"].tolist() == by_model.loc["truth"].tolist()
    drawn = table[table["model"] == "hemexp"]
    volumes = read_table(run.sample_volumes("T1"))
    for name in ("target_growth_ml", "midline_shift_mm"):
        assert drawn[name].tolist() == pytest.approx(volumes[name].tolist(), rel=1e-5)
    assert run.consistency("T1").with_suffix(".json").is_file()


def test_the_shell_alone_stands_in_every_table_of_images_maps_and_volumes(run):
    for name in ("images", "maps", "coherence", "forecasts", "comparisons", "consistency"):
        column = "reference" if name == "comparisons" else "model"
        assert "shell_alone" in set(read_table(run.evaluation(name))[column]), name
    scores = read_table(run.scores("T1")).set_index(["model", "metric"])["value"]
    # These shells are what happened: their masks and their map are perfect.
    assert scores["shell_alone", "iph_dice_map"] == 1
    assert scores["shell_alone", "expansion_brier_brain"] == 0
    assert scores["shell_alone", "midline_shift_error_mm"] == 0
    maps = read_table(run.map_sums("T1")).query("reference == 'outcome' and region == 'brain'")
    sums = maps[maps["model"] == "shell_alone"][["pp", "py", "yy"]].sum()
    assert sums["pp"] == sums["py"] == sums["yy"] > 0


def test_volumes_of_the_shell_alone_are_baseline_and_growth_of_the_grid(run):
    volumes = read_table(run.evaluation("volumes")).query("patient_id == 'T1'")
    baseline = read_table(run.outcomes).set_index("patient_id").loc["T1", "baseline_iph_ml"]
    grown = read_table(run.consistency("T1")).query("model == 'truth'")["growth_ml"].item()
    (median,) = volumes.query(
        "model == 'shell_alone' and target == 'iph_ml' and metric == 'median_ml'"
    )["value"]
    assert median == pytest.approx(baseline + grown, rel=1e-5)


def test_headlines_hold_drawn_and_true(run):
    numbers = json.loads(run.metrics.read_text())
    assert numbers["obedience_slope_raw_small"] == pytest.approx(0.8, abs=0.01)
    assert numbers["raw_sd_ratio"] == pytest.approx(0.8, abs=0.01)
    assert numbers["pieces"] == numbers["pieces_true"] == 1
