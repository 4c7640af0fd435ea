"""The verbs of the room on a tiny made-up results folder."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from results_folder import make_results, read_samples

from hemexp import HemexpError
from hemexp.anatomy.midline import LARGEST_MM
from hemexp.evaluation.cohort import forecasts
from hemexp.evaluation.cohort.forecasts import sampled_forecasts
from hemexp.evaluation.cohort.summarise import run_summarise_scores
from hemexp.evaluation.patient.masks import NO_DISTANCE, NO_TRUTH
from hemexp.evaluation.patient.score import run_score_patient
from hemexp.layout import Layout
from hemexp.provenance import write_json
from hemexp.reporting.forecast_tables import describe_obedience
from hemexp.tables import cells, read_table, write_table
from hemexp.volumes import read_volume, write_volume


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    make_results(root)
    return root


@pytest.fixture(scope="module")
def room(settings):
    return settings.evaluation.model_copy(update={"bootstrap": 200})


def score_all(root, room, ids=("007", "T1", "T2")):
    for name in ids:
        run_score_patient(Layout(root), name, room)


def summarise(root, room, truth=True):
    if not truth:
        Layout(root).truths.unlink()
    run_summarise_scores(Layout(root), read_samples(root), room, seed=1)
    return {path.stem: read_table(path) for path in (root / "evaluation").glob("*.tsv")}


@pytest.fixture(scope="module")
def tables(results, room):
    """All tables, made once: no test may write below `results`."""
    score_all(results, room)
    return summarise(results, room)


@pytest.mark.slow
def test_samples_of_a_patient_who_left_are_named_and_count_nowhere(
    results, tables, room, tmp_path, caplog
):
    root = shutil.copytree(results, tmp_path / "results")
    shutil.copytree(root / "samples/sub-T1", root / "samples/sub-T9")
    again = summarise(root, room)
    (line,) = [r.getMessage() for r in caplog.records if r.name.endswith("cohort.inputs")]
    assert "not in this run (T9)" in line and "delete" in line
    for name, table in tables.items():
        pd.testing.assert_frame_equal(again[name], table)


def value(table, metric, model):
    row = table[(table["metric"] == metric) & (table["model"] == model)]
    assert len(row) == 1, (metric, model)
    return row["value"].item()


def test_scores_of_one_patient(results, room):
    run_score_patient(Layout(results), "007", room)
    path = results / "evaluation/sub-007/sub-007_scores.tsv"
    table = read_table(path)
    assert set(table["patient_id"]) == {"007"}
    assert value(table, "iph_dice_map", "copy_baseline") > 0.8
    # An ensemble of one is its own mean, and its map is its mask.
    for name in ("psnr_db", "ssim"):
        assert value(table, f"{name}_mean_image", "copy_baseline") == pytest.approx(
            value(table, f"{name}_sample", "copy_baseline")
        )
    # Averaging five noisy images leaves less noise.
    gain_db = value(table, "psnr_db_mean_image", "hemexp") - value(
        table, "psnr_db_sample", "hemexp"
    )
    assert gain_db > 1
    # A copy does not move: its error is the true shift.
    shift_mm = value(table, "midline_shift_mm", "truth")
    assert 0 < abs(shift_mm) <= LARGEST_MM
    assert value(table, "midline_shift_crps_mm", "copy_baseline") == abs(shift_mm)
    assert (path.with_suffix(".json")).is_file()


def test_images_are_scored_that_stay_on_disk_and_maps_of_all_samples(tmp_path, results, room):
    layout = Layout(shutil.copytree(results, tmp_path / "r"))
    run_score_patient(layout, "T1", room)
    before = [read_table(path) for path in (layout.scores("T1"), layout.map_sums("T1"))]
    volumes = read_table(layout.sample_volumes("T1"))
    write_table(
        layout.sample_volumes("T1"), volumes.assign(kept=[1, 1, *[0] * (len(volumes) - 2)])
    )
    for k in volumes["sample"][2:]:
        for path in layout.sample("T1", k):
            path.unlink()
    run_score_patient(layout, "T1", room)
    scores, sums = (read_table(path) for path in (layout.scores("T1"), layout.map_sums("T1")))
    rows = read_table(layout.consistency("T1"))
    assert rows.loc[rows["model"] == "hemexp", "sample"].tolist() == [0, 1]
    pd.testing.assert_frame_equal(sums, before[1])
    for metric, same in (("iph_dice_map", True), ("iph_dice_sample", False)):
        assert (value(scores, metric, "hemexp") == value(before[0], metric, "hemexp")) is same


def test_no_ivh_is_left_out_with_a_reason(results, room):
    # 007 is the seventh patient: no IVH, on neither scan nor sample, and all say so.
    run_score_patient(Layout(results), "007", room)
    table = read_table(Layout(results).scores("007"))
    rows = table[table["metric"].str.startswith("ivh_dice")]
    assert rows["value"].isna().all()
    assert set(rows["note"]) == {NO_TRUTH}
    assert (table.query("metric == 'ivh_presence_brier'")["value"] == 0).all()


def test_a_speck_in_one_sample_moves_no_patient_into_the_ivh_scores(tmp_path, results, room):
    layout = Layout(shutil.copytree(results, tmp_path / "r"))
    labels = layout.sample("007", 2).labels
    volume = read_volume(labels)
    volume.data[0, 0, 0] = 2
    write_volume(labels, volume.data, volume.affine, np.uint8)
    run_score_patient(layout, "007", room)
    table = read_table(layout.scores("007")).set_index(["metric", "model"])
    for name in ("ivh_dice_sample", "ivh_surface_dice_sample", "ivh_hd95_mm_sample"):
        assert table.loc[[(name, "hemexp"), (name, "copy_baseline")], "value"].isna().all()
    presence = table.loc["ivh_presence_brier", "value"]
    assert presence[["hemexp", "copy_baseline"]].tolist() == pytest.approx([1 / 25, 0])


def test_one_empty_sample_leaves_no_mean_of_the_others_distances(tmp_path, results, room):
    layout = Layout(shutil.copytree(results, tmp_path / "r"))
    run_score_patient(layout, "T1", room)
    before = read_table(layout.scores("T1")).set_index(["metric", "model"])["value"]
    labels = layout.sample("T1", 2).labels
    volume = read_volume(labels)
    assert (volume.data == 2).any()
    write_volume(labels, volume.data * (volume.data == 1), volume.affine, np.uint8)
    run_score_patient(layout, "T1", room)
    table = read_table(layout.scores("T1")).set_index(["metric", "model"])
    assert table.loc[("ivh_hd95_mm_sample", "hemexp"), "note"] == NO_DISTANCE
    dice = table.loc[("ivh_dice_sample", "hemexp"), "value"]
    assert dice == pytest.approx(0.8 * before["ivh_dice_sample", "hemexp"])


def test_forecast_rows(tables):
    rows = tables["forecasts"].query("center == 'all' and target == 'iph_ml'").set_index("model")
    assert set(rows.index) == {
        "hemexp",
        "hemexp_raw",
        "climatology",
        "copy_baseline",
        "tabular",
        "tabular_brain_score",
        "tabular_four_variable",
        "true_distribution",
    }
    # The chosen model stands under its own name too.
    assert rows.loc["tabular", "crps_ml"] == rows.loc["tabular_four_variable", "crps_ml"]
    assert rows.loc["tabular", "crps_ml"] < rows.loc["tabular_brain_score", "crps_ml"]
    assert (rows["n"] == 3).all()
    assert rows.loc[["hemexp", "climatology", "tabular", "copy_baseline"], "k"].tolist() == [
        5,
        6,
        199,
        1,
    ]
    # Growths are -0.5, 2 and 0.5 mL: the error of a copy is their mean size.
    copy = rows.loc["copy_baseline"]
    assert copy["crps_ml"] == pytest.approx(1.0)
    assert copy["mae_ml"] == pytest.approx(1.0)
    assert copy["bias_ml"] == pytest.approx(-2 / 3)
    assert np.isnan(copy["coverage50"])
    assert "point forecast" in copy["note"]
    climatology = rows.loc["climatology"]
    assert climatology["skill"] == pytest.approx(0)
    assert copy["skill"] == pytest.approx(1 - 1.0 / climatology["crps_ml"], abs=1e-5)
    assert rows.loc["hemexp", "width90_ml"] > rows.loc["hemexp", "width50_ml"] > 0


def test_groups_carry_their_number_of_patients(tables):
    found = tables["forecasts"].query("model == 'hemexp' and target == 'iph_ml'")
    assert found.set_index("center")["n"].to_dict() == {"all": 3, "A": 2, "B": 1}
    alone = found[found["center"] == "B"].iloc[0]
    assert np.isnan(alone["crps_low_ml"])
    assert "fewer than 2 patients" in alone["note"]


def test_expansion_of_one_class_has_no_auc_but_a_brier_score(tables):
    rows = tables["expansion"].query("center == 'all' and event == 'he'").set_index("model")
    assert set(rows.index) == {
        "hemexp",
        "climatology",
        "tabular",
        "tabular_brain_score",
        "tabular_four_variable",
        "true_distribution",
    }
    assert (rows["n_events"] == 0).all()
    assert rows["auc"].isna().all()
    assert rows["note"].str.contains("only one class").all()
    # Two of six training patients expand, no test patient does.
    assert rows.loc["climatology", "brier"] == pytest.approx(1 / 9, rel=1e-4)


def test_obedience_reads_the_gain_back(tables):
    rows = tables["obedience"].set_index("volume")
    assert rows.loc["raw", "slope"] == pytest.approx(0.8, abs=1e-4)
    assert rows.loc["matched", "slope"] == pytest.approx(1.0, abs=1e-4)
    assert rows.loc["matched", "r2"] == pytest.approx(1.0)
    assert rows.loc["matched", "miss_sd_ml"] == pytest.approx(0.0, abs=1e-4)
    assert rows.loc["raw", "abs_logit_offset_median"] == pytest.approx(1.0)
    assert rows.loc["raw", "n_samples"] == 15
    assert rows.loc["raw", ["slope_large", "r2_large"]].tolist() == pytest.approx([0.8, 1.0])
    shown = describe_obedience(tables["obedience"])
    assert shown["Slope above 3 mL"].tolist() == ["0.800", "1.000"]


def test_images_count_the_undefined_apart(tables):
    rows = tables["images"].query("center == 'all' and model == 'hemexp'").set_index("metric")
    assert rows.loc["ivh_dice_map", ["n", "n_undefined"]].tolist() == [1, 2]
    assert rows.loc["iph_dice_map", ["n", "n_undefined"]].tolist() == [3, 0]
    assert tables["images_oracle"].empty


def test_calibration_shares_add_up(tables):
    shares = tables["calibration"].groupby(["model", "target"])["share"].sum()
    assert shares.to_numpy() == pytest.approx(1.0, abs=1e-5)
    assert "copy_baseline" not in shares.index.get_level_values("model")


def test_metrics_are_flat_rounded_numbers(results, tables):
    metrics = json.loads((results / "evaluation/metrics.json").read_text())
    assert metrics["n"] == 3
    assert metrics["obedience_slope_raw"] == 0.8
    assert "he_auc" not in metrics
    assert all(
        isinstance(number, float) and round(number, 4) == number for number in metrics.values()
    )


@pytest.mark.slow
def test_equal_seeds_give_equal_tables(results, room, tables):
    before = (results / "evaluation/forecasts.tsv").read_bytes()
    summarise(results, room)
    assert (results / "evaluation/forecasts.tsv").read_bytes() == before


def test_oracle_samples_are_no_forecast(tmp_path, room):
    make_results(tmp_path, indicator="oracle", phantom=False)
    score_all(tmp_path, room)
    tables = summarise(tmp_path, room, truth=False)
    for name in (
        "forecasts",
        "expansion",
        "images",
        "calibration",
        "volumes",
        "maps",
        "reliability",
        "comparisons",
        "expected",
        "conformal",
    ):
        assert "oracle" not in set(tables[name]["indicator"]), name
        assert not tables[name]["model"].str.startswith("hemexp").any(), name
    assert set(tables["obedience"]["indicator"]) == {"oracle"}
    assert set(tables["images_oracle"]["model"]) == {"hemexp"}
    assert "true_distribution" not in set(tables["forecasts"]["model"])


def test_a_cohort_without_test_patients_gives_empty_tables(tmp_path, room):
    make_results(tmp_path, patients={"R0": "train", "R1": "train", "P0": "predict"})
    tables = summarise(tmp_path, room)
    assert tables["forecasts"].empty
    assert "crps_ml" in tables["forecasts"]
    assert json.loads((tmp_path / "evaluation/metrics.json").read_text()) == {}


def test_one_sample_a_patient_has_scores_and_no_intervals(tmp_path, room):
    make_results(tmp_path, samples=1, phantom=False)
    score_all(tmp_path, room)
    tables = summarise(tmp_path, room, truth=False)
    ours = {name: tables[name].query("model == 'hemexp'") for name in ("conformal", "subgroups")}
    for name, column in (("conformal", "coverage_before"), ("subgroups", "coverage90")):
        some = ours[name].query("n > 0")
        assert len(some) and some[column].isna().all()
        assert some["note"].str.contains("a point forecast has no spread").all()
    assert (ours["subgroups"].query("n > 0")["crps_ml"] > 0).all()


def test_subgroups_read_the_sheet_and_the_place_of_the_bleed(tables):
    rows = tables["subgroups"].set_index(["variable", "level"])["n"]
    sheet_says = rows["anticoagulant"]
    assert sheet_says.to_dict() == {"no": 2, "yes": 1}
    assert rows["location"].sum() == 3 and rows["location"].loc["infratentorial"] == 0
    # Every kept patient counts, those who are trained on too.
    missing = tables["missing"].query("variable == 'antiplatelet' and center == 'all'")
    assert missing.set_index("split")["n_unknown"].to_dict() == {
        "predict": 1,
        "test": 3,
        "train": 6,
    }


def test_a_scored_patient_without_samples_is_told(tmp_path, room, results):
    shutil.copytree(results, tmp_path / "r")
    (tmp_path / "r/samples/sub-T1/volumes.tsv").unlink()
    with pytest.raises(HemexpError, match="sub-T1"):
        summarise(tmp_path / "r", room)


def drawn_volumes(draws):
    names = ("iph_ml", "iph_raw_ml", "ivh_ml", "ivh_raw_ml")
    rows = {"patient_id": ["a", "b"], "indicator": "predicted"}
    rows |= {name: [1.0, 2.0] for name in names}
    return pd.DataFrame(rows | {"draws": draws})


def test_what_noise_alone_makes_is_scored_as_independent_draws():
    even, noise = (sampled_forecasts(drawn_volumes(draws)) for draws in ("even", "independent"))
    found = {(one.model, one.target): one.kind for one in even}
    assert {found.pop((name, "ivh_ml")) for name in ("hemexp", "hemexp_raw")} == {"independent"}
    assert len(found) == 4 and set(found.values()) == {"even"}
    assert {one.kind for one in noise} == {"independent"}


def test_raw_rows_hold_raw_volumes_alone():
    table = drawn_volumes("even").assign(iph_raw_ml=[5.0, 6.0], ivh_raw_ml=[0.5, 0.25])
    found = {(one.model, one.target): one.draws for one in sampled_forecasts(table)}
    assert found["hemexp_raw", "ivh_ml"]["b"] == 0.25
    assert found["hemexp_raw", "total_ml"]["b"] == 6.25
    assert found["hemexp", "total_ml"]["b"] == 4.0


def test_samples_drawn_in_two_ways_are_no_one_forecast():
    with pytest.raises(HemexpError, match="draws even and independent"):
        sampled_forecasts(drawn_volumes(["even", "independent"]))


def test_mixed_indicators_are_told(tmp_path, room, results):
    shutil.copytree(results, tmp_path / "r")
    path = tmp_path / "r/samples/sub-T1/volumes.tsv"
    table = read_table(path)
    table.loc[0, "indicator"] = "oracle"
    table.to_csv(path, sep="\t", index=False)
    with pytest.raises(HemexpError, match="oracle"):
        score_all(tmp_path / "r", room, ids=["T1"])


def test_no_empty_cell_without_a_reason(tmp_path):
    with pytest.raises(HemexpError, match="no reason"):
        write_table(tmp_path / "x.tsv", pd.DataFrame([cells(a=1.0, b=None)]))


def test_parts_of_the_true_distribution_are_its_draws():
    truth = pd.DataFrame(
        {
            "patient_id": ["b", "a"],
            "growth_part003_ml": [0, 9.0],
            "growth_part001_ml": [0, -30],
            "growth_part002_ml": [0, 5.0],
            "growth_mean_ml": [0, 7.0],
        }
    )
    outcomes = pd.DataFrame({"baseline_iph_ml": [20.0]}, index=["a"])
    forecast = forecasts.true_forecast(truth, outcomes, ["a"])
    assert forecast.draws["a"].tolist() == [0, 25, 29] and forecast.kind == "even"
    with pytest.raises(HemexpError, match=r"truth\.tsv.*patients c"):
        forecasts.true_forecast(truth, outcomes, ["c"])
    with pytest.raises(HemexpError, match=r"no column growth_part001_ml.*collect-truth"):
        forecasts.true_forecast(truth[["patient_id", "growth_mean_ml"]], outcomes, ["a"])


def test_differences_are_paired_and_told_of_each_reference(tables):
    rows = tables["comparisons"].query("center == 'all' and target == 'iph_ml'")
    assert set(rows["model"]) == {"hemexp", "hemexp_raw"}
    ours = rows.query("model == 'hemexp' and measure == 'crps_difference_ml'")
    ours = ours.set_index("reference")
    forecasts = tables["forecasts"].query("center == 'all' and target == 'iph_ml'")
    crps = forecasts.set_index("model")["crps_ml"]
    for name in ("climatology", "copy_baseline", "tabular", "true_distribution"):
        assert ours.loc[name, "value"] == pytest.approx(crps["hemexp"] - crps[name], abs=1e-4)
    assert (ours["low"] <= ours["value"]).all() and (ours["value"] <= ours["high"]).all()
    best = ours.loc["best_tabular"]
    assert best["value"] == ours.loc["tabular_four_variable", "value"]
    assert best["note"].startswith("tabular")
    fraction = rows.query("model == 'hemexp' and measure == 'skill_fraction'")["value"].item()
    gains = crps["climatology"] - crps[["hemexp", "true_distribution"]]
    assert fraction == pytest.approx(gains["hemexp"] / gains["true_distribution"], rel=1e-3)


def test_forecasts_are_held_against_the_true_distribution_too(tables):
    rows = tables["expected"].query("center == 'all'")
    assert {"hemexp", "hemexp_raw", "climatology", "copy_baseline", "tabular"} < set(rows["model"])
    assert set(rows["n"]) == {3}
    calibrated = rows[rows["measure"] == "coverage90_conformal"].set_index("model")["value"]
    assert calibrated.to_dict() == {"hemexp": 1, "tabular": 1}
    truth = rows.query("model == 'true_distribution' and measure == 'skill_fraction'")
    assert truth["value"].item() == pytest.approx(1)


def test_all_blood_is_the_sum_and_its_true_distribution_comes_from_redraws(tables):
    volumes = tables["volumes"].query("patient_id == 'T1' and metric == 'observed_ml'")
    observed = volumes.set_index(["model", "target"])["value"]
    assert observed["hemexp", "total_ml"] == pytest.approx(
        observed["hemexp", "iph_ml"] + observed["hemexp", "ivh_ml"]
    )
    rows = tables["forecasts"].query("center == 'all' and model == 'true_distribution'")
    assert rows.set_index("target")["k"].to_dict() == {"iph_ml": 20, "ivh_ml": 3, "total_ml": 3}


def test_new_ivh_is_asked_of_patients_without_ivh_alone(tables):
    rows = tables["expansion"].query("center == 'all' and model == 'hemexp'").set_index("event")
    # 007 and T2 have no IVH at baseline, T1 has.
    assert rows.loc[["ivh", "new_ivh"], ["n", "n_events"]].to_numpy().tolist() == [[3, 1], [2, 0]]
    true = tables["expansion"].query("center == 'all' and event == 'new_ivh'").set_index("model")
    # Two of three redraws bring 0.4 and 2 mL of IVH.
    assert true.loc["true_distribution", "brier"] == pytest.approx(4 / 9, rel=1e-4)


def test_maps_are_scored_against_what_happened_and_the_true_map(tables):
    rows = tables["maps"].query("center == 'all'").set_index(["model", "reference", "region"])
    assert rows.loc[("climatology_distance", "outcome", "brain"), "skill"] == 0
    # Voxels are so large here that none lies in the band.
    band = rows.loc[("hemexp", "outcome", "band")]
    assert band["n"] == 0 and np.isnan(band["brier"]) and "no voxel" in band["note"]
    assert rows.loc[("true_distribution", "true_map", "brain"), ["brier", "slope"]].tolist() == [
        0,
        1,
    ]
    # A half is said where it happened: the slope of outcome on map is 2.
    assert rows.loc[("true_distribution", "outcome", "brain"), "slope"] == pytest.approx(2)
    copy = rows.loc[("copy_baseline", "true_map", "brain")]
    assert np.isnan(copy["slope"]) and "same everywhere" in copy["note"]


def test_real_patients_have_no_true_map_and_it_is_said(tmp_path, room):
    make_results(tmp_path, phantom=False)
    score_all(tmp_path, room)
    tables = summarise(tmp_path, room, truth=False)
    rows = tables["maps"].query("reference == 'true_map'")
    assert (rows["n"] == 0).all() and rows["note"].str.contains("no true map").all()
    assert "true_distribution" not in set(tables["coherence"]["model"])
    assert "skill_fraction" not in set(tables["comparisons"]["measure"])
    assert tables["expected"].empty


def test_coherence_beside_the_truths(tables):
    rows = tables["coherence"].query("center == 'all'").set_index("model")
    assert rows.loc["true_distribution", "value"] == pytest.approx(1)
    assert -1 <= rows.loc["hemexp", "value"] <= 1


def test_conformal_coverage_is_told_a_centre(tables):
    rows = tables["conformal"].set_index(["center", "model", "level"])
    assert set(rows.index.get_level_values("center")) == {"all", "A", "B"}
    assert (rows["n_calibration"] == 6).all()
    # Six patients are too few for a tail of 5 %: the interval takes everything.
    wide = rows.loc[("all", "tabular", 0.9)]
    assert wide[["lower_level", "upper_level", "coverage_after"]].tolist() == [0, 1, 1]


@pytest.mark.slow
def test_without_crossfitted_forecasts_there_is_no_calibration(tmp_path, room, results, tables):
    root = shutil.copytree(results, tmp_path / "r")
    # As `adopt-expansion` leaves it.
    (root / "expansion/training_forecasts.tsv").write_text("patient_id\tdraw\tgrowth_ml\n")
    write_json(Layout(root).growth_models, {"chosen": "four_variable"})
    table = summarise(root, room)["conformal"]
    assert table["coverage_after"].isna().all()
    assert table["note"].str.contains("cross-fitted").all()
    assert table["coverage_before"].notna().all()
    # Models that were recalibrated bring the PIT values of those patients.
    history = [{"pit": [0.0]}, {"pit": (np.arange(39) / 39).tolist()}]
    write_json(Layout(root).growth_models, {"chosen": "four_variable", "recalibrated": history})
    table = summarise(root, room)["conformal"].query("level == 0.5")
    assert (table["n_calibration"] == 39).all()
    assert table["lower_level"].to_numpy() == pytest.approx(9 / 39, abs=1e-5)


@pytest.mark.slow
def test_one_nameless_tabular_model_is_read_too(tmp_path, room, results, tables):
    root = shutil.copytree(results, tmp_path / "r")
    for name in ("predictions", "forecasts"):
        path = root / f"expansion/{name}.tsv"
        table = read_table(path)
        table = table[table["model"] == "four_variable"]
        table.drop(columns=["model", "chosen"], errors="ignore").to_csv(
            path, sep="\t", index=False
        )
    again = summarise(root, room)["forecasts"].query("model == 'tabular'")
    first = tables["forecasts"].query("model == 'tabular'")
    assert again["crps_ml"].tolist() == first["crps_ml"].tolist()
