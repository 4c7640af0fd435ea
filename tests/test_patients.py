"""The table of patients: one row each, nobody dropped, no gap without a reason, all explained."""

import json

import numpy as np
import pandas as pd
import pytest
from results_folder import make_results, read_samples, save

from hemexp.evaluation.patient.consistency import COLUMNS as CONSISTENCY
from hemexp.layout import Layout
from hemexp.preprocess.collect import left_out_table
from hemexp.reporting.patient_columns import COLUMNS, FORECAST, LEVELS, quantile_name
from hemexp.reporting.patient_forecasts import describe_samples
from hemexp.reporting.patients import run_write_patients

Q90 = [quantile_name("growth_{}_ml", level) for level in LEVELS]


def write(root, settings, **options):
    """The table of a made-up run with an excluded patient, read back as a statistician would."""
    make_results(root, **options)
    layout, sheet = Layout(root), read_samples(root)
    sheet.loc["X9"] = sheet.loc["T1"]
    sheet.loc["X9", "patient_id"] = "X9"
    sheet.loc["E5"] = sheet.loc["T2"]
    sheet.loc["E5", "patient_id"] = "E5"
    sheet[["evacuated", "died"]] = 0.0
    sheet["bp_lowered"] = np.nan
    sheet.loc["E5", "evacuated"] = sheet.loc["T1", "bp_lowered"] = 1.0
    excluded = pd.read_csv(layout.excluded, sep="\t", dtype=str)
    gone = left_out_table({"E5": "evacuated"})
    save(pd.concat([excluded, gone]), layout.excluded)
    for name in ("007", "T1", "T2"):
        row = dict.fromkeys(CONSISTENCY, 0.0) | {"patient_id": name, "indicator": "none"}
        measured = [
            row | {"model": "truth", "midline_shift_mm": -1.5, "ventricle_change_ml": -2.5},
            *(row | {"model": "hemexp", "ventricle_change_ml": -k} for k in range(5)),
        ]
        save(pd.DataFrame(measured), layout.consistency(name))
    path = run_write_patients(layout, sheet, settings.evaluation)
    assert path == layout.patients
    return pd.read_csv(path, dtype={"patient_id": str}).set_index("patient_id", drop=False)


@pytest.fixture(scope="module")
def table(tmp_path_factory, settings):
    return write(tmp_path_factory.mktemp("patients"), settings)


def test_every_row_of_the_sheet_stands_once(table):
    assert [*table.index] == [*(f"R{n}" for n in range(6)), "007", "T1", "T2", "P0", "X9", "E5"]
    assert table.loc[["X9", "E5"], "excluded"].eq(1).all() and table["excluded"].sum() == 2
    assert table.loc["E5", "excluded_reason"].startswith("followup, evacuated: evacuated between")
    assert table.loc["X9", "excluded_reason"] == (
        "baseline, strip-skull: found <air>; expected a head"
    )
    assert table.loc["X9", "baseline_qc"] == "failed"
    assert table.loc["R2", "baseline_qc"] == "warning"
    assert table.loc["R2", "qc_reason"].startswith("baseline: brain <850 mL")


def test_the_dictionary_explains_every_column(tmp_path, settings):
    table = write(tmp_path, settings)
    record = json.loads((tmp_path / "tables" / "patients.json").read_text())
    assert {*record["columns"]} == {*table.columns} and [*table.columns] == [*COLUMNS]
    for name, words in record["columns"].items():
        assert words["Description"]
        ending = name.rsplit("_", 1)[-1]
        assert words.get("Units") == {"ml": "mL", "mm": "mm", "h": "h"}.get(
            ending, words.get("Units")
        )
        if levels := words.get("Levels"):
            said = [f"{x:g}" if isinstance(x, float) else str(x) for x in table[name].dropna()]
            assert {*said} <= {*levels}, name
    assert record["settings"] == {"ivh_present_ml": settings.evaluation.ivh_present_ml}


def test_no_cell_of_a_forecast_is_empty_without_a_reason(table):
    cells = table[[*FORECAST]].drop(columns=["forecast_note", "p_he_tabular_source"])
    empty = cells.isna().any(axis=1)
    assert table.loc[empty, "forecast_note"].notna().all()
    assert table.loc[~empty, "forecast_note"].isna().all() and (~empty).any()
    assert "training" in table.loc["R0", "forecast_note"]
    assert "follow-up is known" in table.loc["P0", "forecast_note"]


def test_outcomes_and_inputs_are_those_of_their_tables(table):
    patient = table.loc["T1"]  # growth and IVH of row 7 of the made-up outcomes
    assert (patient["baseline_iph_ml"], patient["growth_ml"]) == (57, 2)
    assert (patient["baseline_ivh_ml"], patient["ivh_growth_ml"]) == (4, 2)
    assert (patient["he"], patient["he_6ml"], patient["rhe"]) == (0, 0, 1)
    assert np.isnan(patient["new_ivh"])
    assert patient["midline_shift_mm"] == -1.5 and patient["ventricle_change_ml"] == -2.5
    assert patient["sbp"] == 170 and np.isnan(patient["antiplatelet"])
    assert (table.loc["P0", "baseline_mask"], patient["followup_mask"]) == ("given", "given")
    assert table.loc["P0", ["followup_mask", "he", "growth_ml"]].isna().all()


def test_what_came_after_the_baseline_is_told_where_the_sheet_tells_it(table):
    assert table["evacuated"].to_dict() == dict.fromkeys(table.index, 0) | {"E5": 1}
    assert table.loc["T1", "bp_lowered"] == 1 and table["bp_lowered"].notna().sum() == 1
    assert (table["died"] == 0).all() and table["reversed"].isna().all()


def test_quantiles_count_draws_as_they_were_made():
    outcomes = pd.DataFrame({"baseline_iph_ml": 10.0, "baseline_ivh_ml": 0.0}, index=["A"])
    volumes = pd.DataFrame(
        {
            "patient_id": "A",
            "draws": "even",
            "iph_ml": [10.0, 12.0, 14.0, 16.0],
            "ivh_ml": [0.0, 0.0, 0.0, 4.0],
            "midline_shift_mm": [0.0, 1.0, np.nan, 2.0],
            "indicator": "predicted",
        }
    )
    measured = pd.DataFrame(columns=[*CONSISTENCY])
    (row,) = describe_samples(volumes, measured, outcomes, 0.5).to_dict("records")
    # The k-th of 4 even draws lies at (k - 1/2) / 4: .25 is half way from the first to the second.
    assert [row[name] for name in Q90] == [0.0, 1.0, 3.0, 5.0, 6.0]
    # Independent draws lie at k / 5: .75 is three quarters of the way from the third to the last.
    assert row["forecast_ivh_q75_ml"] == pytest.approx(3.0)
    assert row["forecast_midline_q50_mm"] == 1.0
    assert np.isnan(row["forecast_ventricles_q50_ml"])
    # HE from 3.3 mL; the last also has new IVH.
    assert (row["p_he"], row["p_he_6ml"], row["p_rhe"], row["p_new_ivh"]) == (0.5, 0.25, 0.5, 0.25)


def test_samples_that_knew_the_outcome_are_no_forecast(tmp_path, settings):
    table = write(tmp_path, settings, indicator="oracle")
    assert table.loc["T1", "indicator"] == "oracle"
    assert table.loc["T1", [*Q90, "p_he", "samples"]].isna().all()
    assert "told what happened" in table.loc["T1", "forecast_note"]
    assert table.loc["T1", "p_he_tabular"] > 0
