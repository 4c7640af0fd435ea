"""Scores under masks a voxel larger and smaller: tiny masks, outcomes by hand."""

import numpy as np
import pandas as pd
import pytest
from reporting_folder import make_reportable

from hemexp.evaluation.cohort.forecasts import Forecast
from hemexp.evaluation.cohort.robustness import (
    changed_outcomes,
    limit_distance_ml,
    tabulate_robustness,
)
from hemexp.evaluation.patient.resized_masks import resize_mask, resized_ml, slice_axis
from hemexp.reporting.robustness_table import CHANGES, describe_robustness
from hemexp.statistics.bootstrap import Resampling
from hemexp.tables import read_table
from hemexp.volumes import Volume


def block():
    """3 x 3 x 2 voxels in 7 x 8 x 5."""
    mask = np.zeros((7, 8, 5), bool)
    mask[2:5, 3:6, 1:3] = True
    return mask


def test_outlines_move_in_the_slice_alone():
    larger = resize_mask(block(), 2, 1)
    # A 3 x 3 square gains 4 sides of 3 voxels and no corner.
    assert larger.sum(axis=(0, 1)).tolist() == [0, 21, 21, 0, 0]
    smaller = resize_mask(block(), 2, -1)
    assert smaller.sum(axis=(0, 1)).tolist() == [0, 1, 1, 0, 0]
    assert resize_mask(smaller, 2, -1).sum() == 0


def test_an_outline_at_the_edge_of_the_scan_moves_too():
    mask = np.zeros((4, 4, 2), bool)
    mask[0, 0] = True
    assert resize_mask(mask, 2, 1).sum() == 2 * 3
    whole = np.ones((3, 3, 2), bool)
    # Outside the scan there is no blood.
    assert resize_mask(whole, 2, -1).sum() == 2


def test_slices_follow_each_other_from_feet_to_head():
    turned = np.array([[0, 0, 1.0, 0], [0.5, 0, 0, 0], [0.1, -5.0, 0, 0], [0, 0, 0, 1]])
    assert slice_axis(turned) == 1
    assert slice_axis(np.diag([0.5, 0.5, 5, 1])) == 2


def test_what_is_ivh_stays_ivh():
    ivh = np.zeros((7, 8, 5), bool)
    ivh[5] = True
    found = resized_ml(Volume(block().astype(float), np.diag([10.0, 10, 10, 1])), ivh)
    assert found == pytest.approx({"larger": 2 * (21 - 3), "smaller": 2})


def outcomes():
    table = pd.DataFrame(
        {
            "patient_id": ["a", "b", "c"],
            "split": "test",
            "center": "A",
            "baseline_iph_ml": [10.0, 30.0, 3.0],
            "baseline_ivh_ml": 0.0,
            "followup_iph_ml": [13.0, 37.5, 3.0],
            "followup_ivh_ml": 0.0,
        }
    ).set_index("patient_id")
    growth = table["followup_iph_ml"] - table["baseline_iph_ml"]
    return table.assign(growth_ml=growth, he=[0.0, 1.0, 0.0])


RESIZED = {
    "a": {
        "larger": {"baseline": 12.0, "followup": 17.0},
        "smaller": {"baseline": 8.0, "followup": 9.0},
    },
    "b": {
        "larger": {"baseline": 34.0, "followup": 42.0},
        "smaller": {"baseline": 26.0, "followup": 31.0},
    },
    "c": {
        "larger": {"baseline": 5.0, "followup": 5.0},
        "smaller": {"baseline": 0.0, "followup": 0.0},
    },
}


def test_the_limit_is_the_lower_of_6_ml_and_a_third():
    # 3.3 mL for a, 6 mL for b, 0.99 mL for c.
    assert limit_distance_ml(outcomes()).round(6).tolist() == [0.3, 1.5, 0.99]


def test_outcomes_are_measured_again():
    found = changed_outcomes(outcomes(), RESIZED)
    assert list(found) == ["as_given", "clear_of_limit", "larger", "smaller"]
    assert found["larger"]["he"].to_dict() == {"a": 1, "b": 1, "c": 0}
    # c vanishes: nothing can grow by a third of nothing.
    assert found["smaller"]["he"].to_dict() == {"a": 0, "b": 0}
    assert list(found["clear_of_limit"].index) == ["b"]


def tabulate(patients=("a", "b", "c")):
    table = outcomes().loc[list(patients)]
    draws = {name: np.array([ml + 4.0]) for name, ml in table["baseline_iph_ml"].items()}
    events = pd.DataFrame(
        {
            "patient_id": table.index,
            "event": "he",
            "model": "hemexp",
            "indicator": "predicted",
            "probability": [0.6, 0.9, 0.1][: len(table)],
        }
    )
    forecasts = [Forecast("hemexp", "predicted", "iph_ml", draws)]
    return tabulate_robustness(forecasts, events, table, RESIZED, Resampling(20, 1))


def test_forecast_growth_stays_as_it_was_drawn():
    rows = tabulate().set_index("change")
    # Growth of 4 mL was said: 3, 7.5 and 0 mL came; 5, 8 and 0 of the larger masks.
    assert rows["crps_ml"].to_dict() == pytest.approx(
        {"as_given": 8.5 / 3, "clear_of_limit": 3.5, "larger": 9 / 3, "smaller": 4 / 2}
    )
    assert rows["n_left_out"].to_dict() == {
        "as_given": 0,
        "clear_of_limit": 2,
        "larger": 0,
        "smaller": 1,
    }
    assert rows["n_relabelled"].tolist() == [0, 0, 1, 1]
    assert rows["baseline_change_ml"].tolist() == pytest.approx([0, 0, 8 / 3, -3])
    assert rows.loc["larger", "auc"] == 1.0 and "one class" in rows.loc["smaller", "note"]


def test_nobody_left_is_said():
    row = tabulate(["a"]).set_index("change").loc["clear_of_limit"]
    assert row["n"] == 0 and np.isnan(row["crps_ml"]) and row["note"] == "no patient is left"


def test_scores_of_masks_as_given_are_those_of_the_other_tables(tmp_path, settings):
    make_reportable(tmp_path, settings)
    table = read_table(tmp_path / "evaluation/robustness.tsv")
    ours = table[(table["model"] == "hemexp") & (table["change"] == "as_given")].iloc[0]
    known = read_table(tmp_path / "evaluation/forecasts.tsv")
    known = known[known["model"].eq("hemexp") & known["target"].eq("iph_ml")]
    known = known[known["center"] == "all"].iloc[0]
    columns = ["n", "crps_ml", "crps_low_ml", "crps_high_ml"]
    assert ours[columns].tolist() == known[columns].tolist()
    described = describe_robustness(table)
    assert set(described["Outcomes"]) == set(CHANGES.values())
    assert described["Left out"].dtype == int
