"""Cells, tables and their LaTeX."""

import csv
import re

import numpy as np
import pandas as pd
import pytest
from reporting_folder import make_reportable, write_tables

from hemexp.evaluation.cohort import forecast_table
from hemexp.reporting import (
    cells,
    cohort_table,
    consistency_table,
    expansion_tables,
    forecast_tables,
    image_tables,
    latex,
    model_names,
    what_if_table,
)
from hemexp.reporting.catalogue import TABLES


def read_csv(path):
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_numbers_with_intervals():
    assert cells.with_interval(1.234, 1.006, 1.449, 2) == "1.23 [1.01, 1.45]"
    assert cells.with_interval(1.234, np.nan, np.nan, 2) == "1.23"
    assert cells.with_interval(np.nan, np.nan, np.nan, 2) == cells.UNKNOWN
    assert cells.number(-0.001, 2) == "0.00"


def test_unknown_values_are_counted():
    assert cells.median(pd.Series([1.0, 3.0, np.nan])) == "2.0 [1.5, 2.5]; 1 unknown"
    assert cells.share(pd.Series([1.0, 0.0, np.nan])) == "1/2 (50 %)"


def test_the_copy_of_the_baseline_stands_beside_ours():
    names = ["true_distribution", "climatology", "copy_baseline", "tabular", "hemexp", "other"]
    table = pd.DataFrame({"target": ["b", "a"] * 6, "model": np.repeat(names, 2)})
    ordered = model_names.in_model_order(table, "target")
    assert list(ordered["target"]) == ["b"] * 6 + ["a"] * 6
    assert list(ordered["model"])[:6] == [
        "hemexp",
        "copy_baseline",
        "climatology",
        "tabular",
        "true_distribution",
        "other",
    ]


def test_latex_escapes():
    assert latex.escape("50 % of A_1 & B #2 ~ {x}^2 \\ $") == (
        r"50 \% of A\_1 \& B \#2 \textasciitilde{} \{x\}\textasciicircum{}2 "
        r"\textbackslash{} \$"
    )
    assert latex.escape("-0.12 [-1.2, A-1]") == "$-$0.12 [$-$1.2, A-1]"
    assert latex.escape("≥ 6 mL, R²") == r"$\geq$ 6 mL, R$^2$"


def test_latex_table_is_balanced():
    table = pd.DataFrame({"Model & kind": ["a_b", "c"], "n": [1, 2], "Remark": ["why {", ""]})
    text = latex.latex_table(table, "50 % of {all}", "tab:x")
    assert_valid(text)
    assert r"\caption{50 \% of \{all\}}" in text and r"\label{tab:x}" in text
    assert r"a\_b & 1\textsuperscript{1} \\" in text
    assert r"\begin{tabular}{lr}" in text and "Remark" not in text
    assert text.index(r"\bottomrule") < text.index(r"\textsuperscript{1} why \{")


def assert_valid(text):
    bare = re.sub(r"\\[\\&%$#_{}]", "", text)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    begun, ended = (re.findall(rf"\\{word}{{(\w+)}}", text) for word in ("begin", "end"))
    assert sorted(begun) == sorted(ended)
    columns = len(re.search(r"\\begin{tabular}{(\w*)}", text)[1])
    lines = [re.sub(r"\\&", "", line) for line in text.split("\n") if line.endswith(r"\\")]
    assert {line.count("&") for line in lines} <= {columns - 1}


@pytest.fixture(scope="module")
def printed(tmp_path_factory, settings):
    root = tmp_path_factory.mktemp("results")
    make_reportable(root, settings)
    return write_tables(root, settings)[0].parent


@pytest.mark.slow
def test_every_table_is_there_twice(printed):
    names = [table.name for table in TABLES if not table.optional]
    # Rows of patients are no table for people.
    there = {p.name for p in printed.iterdir() if p.suffix != ".json"} - {"patients.csv"}
    assert there == {f"{name}.{end}" for name in names for end in ("csv", "tex")}
    for name in names:
        text = (printed / f"{name}.tex").read_text()
        assert_valid(text)
        assert rf"\label{{tab:{name}}}" in text
        assert all("nan" not in row.values() for row in read_csv(printed / f"{name}.csv"))


def test_cohort(printed):
    by_group = {(row["Centre"], row["Split"]): row for row in read_csv(printed / "cohort.csv")}
    assert by_group["all", "all"]["Patients"] == "10"
    # Training patients of centre A have 15, 27 and 39 mL; none of them grows.
    group = by_group["A", "train"]
    assert group["Baseline IPH, mL"] == "27.0 [21.0, 33.0]"
    assert group["Expansion (HE), n (%)"] == "0/3 (0 %)"
    assert by_group["B", "train"]["Expansion (HE), n (%)"] == "2/3 (67 %)"
    assert by_group["B", "predict"]["Expansion (HE), n (%)"] == cells.UNKNOWN
    assert by_group["all", "all"]["Antiplatelet, n (%)"] == cells.UNKNOWN
    # The sheet has no column `sex`.
    assert by_group["all", "all"]["Female, n (%)"] == cells.UNKNOWN


def test_women_are_counted_among_those_whose_sex_is_known():
    sheet = pd.DataFrame({"sex": ["female", "male", "", "female"]})
    assert cells.share(cohort_table._female(sheet)) == "2/3 (67 %)"


def test_reconstruction():
    scores = pd.DataFrame(
        {
            "center": "A",
            "split": "train",
            "iph_dice": [0.9, 0.8, 0.7],
            "ivh_dice": [np.nan, 0.5, 0.7],
            "psnr_db": [30.0, 31, 32],
        }
    )
    rows = cohort_table.describe_reconstruction(scores)
    assert len(rows) == 2
    assert rows.loc[0, "IPH Dice"] == "0.800 [0.750, 0.850]"
    assert rows.loc[0, "Scans with IVH"] == 2
    assert rows.loc[0, "IVH Dice"] == "0.600 [0.550, 0.650]"


def test_forecast_table_says_why_a_cell_is_empty(printed):
    rows = read_csv(printed / "forecasts.csv")
    copy = next(r for r in rows if r["Model"] == "Copy of baseline" and r["Centre"] == "all")
    assert copy["CRPS, mL [95 % CI]"].startswith("1.00 [0.50, ")
    assert copy["Coverage of 50 %"] == cells.UNKNOWN
    assert "point forecast" in copy["Remark"]


def test_expected_scores_have_a_row_a_forecast(printed):
    rows = {
        row["Model"]: row for row in read_csv(printed / "expected.csv") if row["Centre"] == "all"
    }
    assert rows["True distribution"]["Skill fraction [95 % CI]"].startswith("1.00")
    assert rows["HemExp"]["AUC of expansion [95 % CI]"] != cells.UNKNOWN
    assert rows["Copy of baseline"]["Spread ratio [95 % CI]"] == cells.UNKNOWN


def test_samples_that_knew_are_no_forecast():
    row = dict.fromkeys(forecast_table.COLUMNS, 0.5) | {
        "split": "test",
        "center": "all",
        "target": "iph_ml",
        "n": 3,
        "k": 5,
        "note": "",
    }
    table = pd.DataFrame(
        [
            row | {"model": "hemexp", "indicator": "oracle"},
            row | {"model": "copy_baseline", "indicator": "none"},
        ]
    )
    assert list(forecast_tables.describe_forecasts(table)["Model"]) == ["Copy of baseline"]
    assert list(forecast_tables.describe_oracle(table)["Indicator"]) == ["oracle"]
    both = forecast_tables.describe_ablations({"no_flag": table, "as_is": table})
    assert list(both["Ablation"]) == ["no flag", "as is"]


def test_an_ablation_is_a_row_of_what_its_large_followups_show():
    row = {"split": "test", "center": "all", "indicator": "predicted", "subset": "large"}
    row |= {"measure": "pieces", "note": ""}
    drawn = [row | {"model": "hemexp", "value": value} for value in (1.25, 3.0)]
    drawn[1]["subset"] = "all"
    truth = row | {"model": "truth", "indicator": "none", "value": 1.0}
    table = pd.DataFrame([*drawn, truth])
    both = consistency_table.describe_ablations({"no_shell": table, "as_designed": table})
    assert list(both["Ablation"]) == ["True scans", "no shell", "as designed"]
    assert list(both["Pieces of the IPH mask"]) == ["1.00", "1.25", "1.25"]
    assert set(both["IVH growth, mL"]) == {cells.UNKNOWN}


def comparison(reference, measure, value, note=""):
    return {
        "split": "test",
        "center": "all",
        "target": "iph_ml",
        "model": "hemexp",
        "indicator": "predicted",
        "reference": reference,
        "measure": measure,
        "n": 8,
        "value": value,
        "low": value - 1,
        "high": value + 1,
        "note": note,
    }


def test_comparisons_have_a_row_a_reference():
    table = pd.DataFrame(
        [
            comparison("climatology", "crps_difference_ml", -0.5),
            comparison("climatology", "twcrps_difference_ml", -0.25),
            comparison("true_distribution", "crps_difference_ml", 0.5),
            comparison("copy_baseline", "crps_difference_ml", -2),
            comparison("best_tabular", "crps_difference_ml", 0.1, "tabular_brain"),
            comparison("true_distribution", "skill_fraction", 0.8),
            comparison("climatology", "auc_difference", 0.25) | {"target": "he"},
        ]
    )
    rows = forecast_tables.describe_comparisons(table).set_index("Against")
    assert list(rows.index) == [
        "Copy of baseline",
        "Climatology",
        "True distribution",
        "Best tabular model, in hindsight",
    ]
    assert rows.loc["Climatology", "CRPS difference, mL [95 % CI]"] == "-0.50 [-1.50, 0.50]"
    assert rows.loc["Climatology", "Tail CRPS difference, mL [95 % CI]"] == "-0.25 [-1.25, 0.75]"
    assert rows.loc["True distribution", "Skill fraction [95 % CI]"] == "0.80 [-0.20, 1.80]"
    assert rows.loc["Climatology", "Skill fraction [95 % CI]"] == cells.UNKNOWN
    assert rows.loc["Climatology", "AUC difference [95 % CI]"] == "0.25 [-0.75, 1.25]"
    assert rows.loc["Copy of baseline", "AUC difference [95 % CI]"] == cells.UNKNOWN
    assert rows.iloc[3]["Remark"] == "Tabular: BRAIN score"


def test_coverage_before_and_after():
    row = {
        "split": "test",
        "center": "D",
        "model": "hemexp",
        "indicator": "predicted",
        "target": "iph_ml",
        "level": 0.9,
        "n": 8,
        "n_calibration": 26,
        "coverage_before": 0.75,
        "coverage_after": np.nan,
        "band_low": 0.625,
        "band_high": 1.0,
        "width_before_ml": 12.44,
        "width_after_ml": np.nan,
        "note": "why",
    }
    shown = forecast_tables.describe_coverage(pd.DataFrame([row])).iloc[0]
    assert shown["Coverage before"] == "75 %"
    assert shown["Coverage after"] == shown["Width after, mL"] == cells.UNKNOWN
    assert shown["Range if calibrated"] == "62 % to 100 %"
    assert shown["Width before, mL"] == "12.4"


def test_predictors_on_training_and_scored_patients(printed):
    rows = read_csv(printed / "predictors.csv")
    assert [row["Patients"] for row in rows] == ["training, cross-fitted"] * 2 + ["test"] * 2
    assert {(row["Model"], row["Drawn from"]) for row in rows} == {
        ("Tabular: four variables", "yes"),
        ("tabular_brain_score", "no"),
    }
    chosen = next(row for row in rows if row["Drawn from"] == "yes")
    assert chosen["CRPS of growth, mL [95 % CI]"] == "2.00 [1.00, 3.13]"
    assert chosen["Calibration in the large [95 % CI]"] == "0.10 [-0.40, 0.60]"
    assert chosen["O/E [95 % CI]"] == "1.05 [0.55, 1.55]"
    assert chosen["Calibration slope [95 % CI]"] == "1.25 [0.75, 1.75]"


def test_what_if_beside_the_truth(printed):
    rows = read_csv(printed / "what_if.csv")
    drug = [row for row in rows if row["Contrast"] == "anticoagulant on against off"]
    growth = next(row for row in drug if row["Held"] == "both" and "Median" in row["Quantity"])
    assert (growth["Mean effect"], growth["Mean true effect"]) == ("1.000", "2.000")
    assert growth["Predicted / true"] == "0.50"
    assert growth["Patients with a rise"] == "100 %"


def test_redrawn_what_ifs_are_turned_to_one_direction(printed):
    """The patient goes off the drug and to 12 h: shifts are told for on, and for earlier."""
    drug, onset = read_csv(printed / "what_if_images.csv")
    assert (drug["Patients"], onset["Patients"]) == ("1", "1")
    assert (drug["IPH growth, mL: drawn"], drug["IPH growth, mL: true"]) == ("4.00", "4.00")
    assert (onset["p(expansion): drawn"], onset["p(expansion): true"]) == ("0.600", "0.300")
    assert drug["Error of the map shift, mL"] == "0.00"
    # The only voxel of the made-up map has nothing to be correlated with.
    assert drug["Correlation of map shifts"] == cells.UNKNOWN and "alike" in drug["Remark"]
    # Twice the true shift misses by as much as none.
    assert onset["Error of the map shift, mL"] == onset["The same of no shift, mL"] != "0.00"


def test_what_if_means_are_over_the_same_patients():
    """One patient earlier, one unknown as is, one real: the first alone has both shifts."""
    row = {"case": "onset", "value": 12.0, "changed_to": 1.0, "note": ""}
    shifts = [f"{name}{part}" for name in what_if_table.SHIFT_WORDS for part in ("", "_true")]
    row |= {f"{name}_shift": 2.0 for name in shifts}
    row |= {"map_correlation": 0.5, "map_error_ml": 1.0, "map_moved_ml": 3.0}
    real = row | dict.fromkeys([name for name in row if "true" in name], np.nan)
    real |= {"iph_growth_ml_shift": 8.0, "note": "real"}
    rows = [row, row | {"value": np.nan, "iph_growth_ml_shift": 9.0}, real]
    (found,) = what_if_table.describe_what_if_images(pd.DataFrame(rows)).to_dict("records")
    assert found["Patients"] == 1 and found["IPH growth, mL: drawn"] == "2.00"
    assert found["Remark"] == "1 left out: unknown as is; 1 left out: no true shift"
    (alone,) = what_if_table.describe_what_if_images(pd.DataFrame([real])).to_dict("records")
    assert alone["IPH growth, mL: drawn"] == "8.00"
    assert alone["IPH growth, mL: true"] == cells.UNKNOWN and alone["Remark"] == "real"


def test_the_model_of_ivh_stands_beside_climatology(printed):
    rows = read_csv(printed / "ivh.csv")
    assert [row["Model"] for row in rows][:1] == ["IVH model"]
    assert "Climatology" in [row["Model"] for row in rows]
    assert rows[0]["CRPS of IVH growth, mL [95 % CI]"] == "0.40 [0.30, 0.53]"


def test_maps_and_coherence():
    head = {"split": "test", "center": "all", "model": "hemexp", "indicator": "predicted"}
    values = {
        "n": 8,
        "brier": 0.12345,
        "brier_low": 0.1,
        "brier_high": 0.2,
        "nll": 0.4,
        "skill": 0.1,
        "skill_low": -0.1,
        "skill_high": 0.2,
        "slope": np.nan,
        "slope_low": np.nan,
        "slope_high": np.nan,
        "intercept": np.nan,
        "note": "flat",
    }
    row = head | {"region": "band", "reference": "true_map"} | values
    shown = image_tables.describe_maps(pd.DataFrame([row])).iloc[0]
    assert shown["Voxel Brier [95 % CI]"] == "0.1235 [0.1000, 0.2000]"
    assert (shown["Region"], shown["Against"]) == ("Band round the bleed", "True map")
    assert shown["Reliability slope [95 % CI]"] == cells.UNKNOWN
    row = head | {"n": 8, "value": 0.7854, "low": 0.7, "high": 0.8, "note": ""}
    shown = image_tables.describe_coherence(pd.DataFrame([row])).iloc[0]
    assert shown["Lag-1 correlation [95 % CI]"] == "0.785 [0.700, 0.800]"


def test_every_event_and_quantity_has_a_name(printed):
    assert {row["Event"] for row in read_csv(printed / "expansion.csv")} <= set(
        cells.EVENT_NAMES.values()
    )
    assert {row["Quantity"] for row in read_csv(printed / "what_if.csv")} == set(
        expansion_tables.QUANTITY_NAMES.values()
    )
