"""What a reviewer asks of p(expansion): decisions, thresholds, curves, differences, subgroups."""

import numpy as np
import pandas as pd
import pytest

from hemexp.evaluation.cohort import auc_differences, calibration_curves, decision_curve, roc
from hemexp.evaluation.cohort.characteristics import VARIABLES, clinical_values, levels_of
from hemexp.evaluation.cohort.missing import tabulate_missing
from hemexp.evaluation.cohort.subgroups import NOBODY, TOO_FEW, tabulate_subgroups
from hemexp.reporting import review_tables
from hemexp.statistics.bootstrap import Resampling
from hemexp.statistics.calibration_curve import (
    ONE_PROBABILITY,
    estimate_ici,
    ici,
    no_curve,
    smooth,
)
from hemexp.statistics.calibration_curve import TOO_FEW as NO_CURVE
from hemexp.statistics.delong import ONE_CLASS, auc_difference
from hemexp.statistics.discrimination import auc
from hemexp.tables import read_table, write_table

RESAMPLING = Resampling(50, 1)


def probabilities(p, event, model="hemexp", indicator="predicted", center="A"):
    n = len(p)
    return pd.DataFrame(
        {
            "patient_id": [f"P{k:02d}" for k in range(n)],
            "split": "test",
            "center": center,
            "event": "he",
            "model": model,
            "indicator": indicator,
            "probability": np.asarray(p, dtype=float),
            "observed": np.asarray(event, dtype=float),
        }
    )


# Decision curve


def test_net_benefit_by_hand():
    rows = np.array([[[0.1, 0], [0.3, 1], [0.6, 0], [0.7, 1], [0.2, 1]]])
    # At .25 three are treated: two events, one needless; (2 - 1 / 3) / 5.
    assert decision_curve.net_benefit(rows, 0.25) == pytest.approx((2 - 1 / 3) / 5)
    # A probability that equals the threshold is treated.
    assert decision_curve.net_benefit(rows, 0.7) == pytest.approx(1 / 5)


def test_treating_all_and_none_stand_beside_the_models():
    table = decision_curve.tabulate_decision_curve(
        probabilities([0.1, 0.2, 0.6, 0.9], [0, 0, 1, 0]), RESAMPLING
    )
    assert list(table["model"].unique()) == ["hemexp", "treat_all", "treat_none"]
    at = table[np.isclose(table["threshold"], 0.2)].set_index("model")["net_benefit"]
    assert at["treat_all"] == pytest.approx(0.25 - 0.75 * 0.25)
    assert at["treat_none"] == 0
    assert at["hemexp"] == pytest.approx((1 - 2 * 0.25) / 4)
    assert table["threshold"].min() == 0.05 and table["threshold"].max() == 0.5
    shown = review_tables.describe_decisions(table).set_index("Strategy")
    assert shown.loc["Treat none", "Net benefit at 20 % [95 % CI]"] == "0.000 [0.000, 0.000]"
    assert shown.loc["Treat all", "Net benefit at 20 % [95 % CI]"].startswith("0.062 [")


# ROC and thresholds


def test_thresholds_by_hand():
    table = roc.tabulate_thresholds(
        probabilities([0.05, 0.15, 0.25, 0.35, 0.6, 0.8], [0, 0, 1, 0, 1, 1])
    ).set_index(["criterion", "threshold"])
    row = table.loc[("fixed", 0.3)]
    shares = row[["sensitivity", "specificity", "ppv", "npv"]].astype(float)
    assert shares.tolist() == pytest.approx([2 / 3] * 4)
    # Wilson 1927 for 2 of 3.
    assert row["ppv_low"] == pytest.approx(0.2077, abs=1e-4)
    assert row["ppv_high"] == pytest.approx(0.9385, abs=1e-4)
    # .25 and .6 have the same index, 2/3; the lower is taken.
    assert list(table.loc["youden"].index) == [0.25]


def test_one_class_has_no_curve_and_says_so(tmp_path):
    nobody = probabilities([0.1, 0.4, 0.6], [0, 0, 0])
    assert roc.tabulate_roc(nobody).empty
    table = roc.tabulate_thresholds(nobody)
    assert table.loc[table["criterion"] == "youden", "note"].tolist() == [roc.NO_YOUDEN]
    assert (table.loc[table["criterion"] == "fixed", "sensitivity"]).isna().all()
    # No empty cell without a reason, in the file; a dash in print.
    write_table(tmp_path / "t.tsv", table)
    shown = review_tables.describe_thresholds(read_table(tmp_path / "t.tsv"))
    assert "nan" not in shown.to_csv().lower()


def test_the_curve_has_the_area_of_the_auc():
    p, event = [0.1, 0.4, 0.4, 0.6, 0.9], [0, 1, 0, 1, 0]
    curve = roc.tabulate_roc(probabilities(p, event))
    area = np.trapezoid(curve["sensitivity"], curve["false_positive_rate"])
    assert area == pytest.approx(auc(np.stack([p, event], axis=-1)[None])[0])
    assert curve["threshold"].iloc[0] == roc.NOBODY and np.isfinite(curve["threshold"]).all()


# DeLong


def by_pairs(p, q, event):
    """Difference and its variance from every pair of patients, as DeLong 1988 writes it."""
    yes, no = np.flatnonzero(event), np.flatnonzero(1 - event)
    kernel = [[[(a[i] > a[j]) + 0.5 * (a[i] == a[j]) for j in no] for i in yes] for a in (p, q)]
    apart = np.array(kernel[0]) - np.array(kernel[1])
    variance = apart.mean(1).var(ddof=1) / len(yes) + apart.mean(0).var(ddof=1) / len(no)
    return apart.mean(), variance


def test_delong_is_the_sum_over_pairs_ties_included():
    rng = np.random.default_rng(0)
    event = (rng.random(40) < 0.4).astype(float)
    p, q = np.round(rng.random((2, 40)) + 0.3 * event, 1)
    found = auc_difference(p, q, event)
    value, variance = by_pairs(p, q, event)
    assert found.value == pytest.approx(value)
    assert found.value == pytest.approx(
        auc(np.stack([p, event], -1)[None])[0] - auc(np.stack([q, event], -1)[None])[0]
    )
    assert found.high - found.value == pytest.approx(1.959964 * np.sqrt(variance), rel=1e-5)
    assert found.value - found.low == pytest.approx(found.high - found.value)


def test_delong_covers_what_it_promises():
    rng = np.random.default_rng(1)
    covered = []
    for _ in range(400):
        event = np.repeat([0.0, 1.0], [40, 25])
        shared = rng.normal(size=65) + event
        both = shared + rng.normal(scale=0.7, size=(2, 65))
        found = auc_difference(*both, event)
        covered.append(found.low <= 0 <= found.high)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.035)


def test_delong_of_one_class_or_one_event():
    p, q = np.array([0.1, 0.5, 0.9]), np.array([0.3, 0.2, 0.1])
    assert auc_difference(p, q, np.zeros(3)).note == ONE_CLASS
    one = auc_difference(p, q, np.array([0.0, 0.0, 1.0]))
    assert one.value == 1.0 and one.low is None and "one patient alone" in one.note


def test_auc_differences_are_on_patients_that_both_know():
    event = [0, 1, 0, 1, 0, 1]
    ours = probabilities([0.1, 0.9, 0.2, 0.8, 0.3, 0.7], event)
    other = probabilities([0.5, 0.4, 0.5, 0.6], event[:4], "tabular", "none")
    (row,) = auc_differences.tabulate_auc_differences(pd.concat([ours, other])).to_dict("records")
    assert (row["target"], row["reference"], row["n"]) == ("he", "tabular", 4)
    assert row["value"] == pytest.approx(1 - 0.5)


# Calibration curve


def test_a_straight_curve_is_found_and_its_distance():
    p = np.linspace(0, 1, 201)
    share = 0.2 + 0.5 * p
    at = np.array([0.0, 0.3, 1.0])
    assert smooth(p, share, at) == pytest.approx(0.2 + 0.5 * at)
    distance = ici(np.stack([p, share], axis=-1)[None])
    assert distance == pytest.approx([np.abs(share - p).mean()])


def test_perfect_probabilities_have_a_small_index_and_wrong_ones_a_large_one():
    rng = np.random.default_rng(2)
    p = rng.uniform(0.05, 0.95, 2000)
    event = (rng.random(2000) < p).astype(float)
    right, wrong = (ici(np.stack([q, event], -1)[None])[0] for q in (p, np.clip(p - 0.2, 0, 1)))
    assert right < 0.02
    assert wrong == pytest.approx(0.2, abs=0.03)


def test_the_curve_stays_between_0_and_1_and_stands_ties():
    p = np.repeat([0.0, 0.5, 1.0], 10)
    event = np.repeat([0.0, 1.0, 1.0], 10)
    curve = smooth(p, event, np.linspace(0, 1, 11))
    assert np.isfinite(curve).all() and curve.min() >= 0 and curve.max() <= 1
    assert curve[[0, -1]] == pytest.approx([0, 1], abs=0.05)


@pytest.mark.parametrize(
    ("p", "event", "reason"),
    [
        (np.linspace(0, 1, 19), np.arange(19) % 2, NO_CURVE),
        (np.linspace(0, 1, 30), np.arange(30) < 4, NO_CURVE),
        (np.full(30, 0.3), np.arange(30) % 2, ONE_PROBABILITY),
    ],
)
def test_too_few_patients_or_one_probability_have_no_curve(p, event, reason):
    assert no_curve(p, event.astype(float)) == reason
    pairs = np.stack([p, event.astype(float)], axis=-1)
    assert estimate_ici(pairs, RESAMPLING.of_row("x")).note == reason
    table = calibration_curves.tabulate_calibration_curves(probabilities(p, event), RESAMPLING)
    assert table.loc[table["kind"] == "curve", "note"].tolist() == [reason]
    assert (table.loc[table["kind"] == "group", "note"] == "").all()


def test_curves_have_a_band_round_them_and_groups_beside():
    rng = np.random.default_rng(3)
    p = rng.random(60)
    table = calibration_curves.tabulate_calibration_curves(
        probabilities(p, rng.random(60) < p, center=["A", "B"] * 30), RESAMPLING
    )
    assert set(table["center"]) == {"all", "A", "B"}
    curve = table[(table["kind"] == "curve") & (table["center"] == "all")]
    assert curve["predicted"].is_monotonic_increasing and (curve["n"] == 60).all()
    assert (
        (curve["low"] <= curve["observed"]) & (curve["observed"] <= curve["high"])
    ).mean() > 0.9
    assert table.loc[table["kind"] == "group"].groupby("center")["n"].sum().to_dict() == {
        "all": 60,
        "A": 30,
        "B": 30,
    }


def test_groups_by_prediction():
    probability = np.linspace(0, 1, 20)[::-1]
    groups = calibration_curves.group_by_prediction(probability, (probability > 0.5).astype(float))
    assert list(groups["n"]) == [10, 10]
    assert list(groups["observed"]) == [0, 1]
    assert groups["predicted"][0] == pytest.approx(np.linspace(0, 1, 20)[:10].mean())
    assert (groups["low"] <= groups["observed"]).all()
    few = calibration_curves.group_by_prediction(np.array([0.2, 0.4]), np.array([0.0, 1.0]))
    assert few[["predicted", "observed"]].to_numpy().tolist() == [[pytest.approx(0.3), 0.5]]


# Subgroups and missing values


def patients(n, **columns):
    values = {
        "center": "A",
        "age": 70.0,
        "sex": np.nan,
        "location": "deep",
        "baseline_ivh_ml": 0.0,
        "baseline_iph_ml": 20.0,
        "anticoagulant": 0.0,
        "onset_to_ct_h": 2.0,
    }
    return pd.DataFrame(values | columns, index=[f"P{k:02d}" for k in range(n)])


def counts(table, name):
    return {level: len(members) for level, members in levels_of(table, name)}


def test_limits_belong_to_the_level_that_their_name_says():
    ages = patients(5, age=[59.9, 60, 75, 75.1, np.nan])
    assert counts(ages, "age") == {
        "< 60 years": 1,
        "60-75 years": 2,
        "> 75 years": 1,
        "unknown": 1,
    }
    volumes = patients(4, baseline_iph_ml=[9.99, 10, 30, 30.01])
    assert list(counts(volumes, "baseline_iph").values()) == [1, 2, 1]
    assert counts(patients(2, onset_to_ct_h=[2.99, 3]), "onset") == {"< 3 h": 1, ">= 3 h": 1}


def test_a_level_without_patients_stays_and_unknown_comes_only_where_it_is():
    assert counts(patients(3), "location") == {"lobar": 0, "deep": 3, "infratentorial": 0}
    assert counts(patients(3), "sex") == {"female": 0, "male": 0, "unknown": 3}
    unknown = patients(3, onset_to_ct_h=np.nan, anticoagulant=[0, 1, np.nan])
    assert counts(unknown, "anticoagulant") == {"no": 1, "yes": 1, "unknown": 1}
    assert counts(unknown, "onset_and_anticoagulant") == {
        "both known": 0,
        "one or both unknown": 3,
    }


def scored(n, crps, k=20):
    return pd.DataFrame(
        {
            "patient_id": [f"P{i:02d}" for i in range(n)],
            "split": "test",
            "center": "A",
            "model": "hemexp",
            "indicator": "predicted",
            "target": "iph_ml",
            "k": k,
            "crps_ml": crps,
            "pit": np.linspace(0.01, 0.99, n) if k > 1 else np.nan,
        }
    )


def test_subgroups_hold_their_own_patients_scores(tmp_path):
    event = np.tile([0.0, 1.0], 10)
    table = tabulate_subgroups(
        scored(20, np.repeat([1.0, 3.0], 10)),
        probabilities(np.tile([0.2, 0.6], 10), event),
        patients(20, baseline_ivh_ml=np.repeat([0.0, 2.0], 10), age=[50.0] * 2 + [70.0] * 18),
        RESAMPLING,
    )
    rows = table.set_index(["variable", "level"])
    assert set(rows.index.get_level_values(0)) == set(VARIABLES)
    assert rows.loc[("baseline_ivh", "no"), "crps_ml"] == 1
    assert rows.loc[("baseline_ivh", "yes"), "crps_ml"] == 3
    assert rows.loc[("baseline_ivh", "no"), ["n", "n_events", "auc"]].tolist() == [10, 5, 1]
    # PITs .01 to .99 in 20 steps: one at either end lies outside.
    assert rows.loc[("all", "all"), "coverage90"] == pytest.approx(0.9)
    young = rows.loc[("age", "< 60 years")]
    assert young["note"] == TOO_FEW and np.isnan(young["auc"]) and young["crps_ml"] == 1
    assert rows.loc[("age", "> 75 years"), "note"] == NOBODY
    write_table(tmp_path / "t.tsv", table)
    shown = review_tables.describe_subgroups(read_table(tmp_path / "t.tsv"))
    assert "nan" not in shown.to_csv().lower()
    assert shown["Group"].tolist()[:3] == ["all", "< 60 years", "60–75 years"]


def test_one_draw_has_no_coverage():
    table = tabulate_subgroups(
        scored(3, 1.0, k=1), probabilities([0, 1, 0], [0, 1, 1]), patients(3), RESAMPLING
    )
    assert table["coverage90"].isna().all()
    assert table.loc[0, "note"].endswith("a point forecast has no spread")


def test_missing_values_are_counted_by_centre():
    sheet = pd.DataFrame(
        {
            "split": "test",
            "center": ["A", "A", "B"],
            "onset_to_ct_h": np.nan,
            "anticoagulant": [0.0, np.nan, 1.0],
            "antiplatelet": "",
            "age": 70,
            "gcs": [3.0, np.nan, np.nan],
            "sbp": 170,
        },
        index=["P0", "P1", "P2"],
    )
    table = tabulate_missing(clinical_values(sheet)).set_index(["center", "variable"])
    assert table.loc[("all", "gcs"), ["n", "n_unknown"]].tolist() == [3, 2]
    assert table.loc[("A", "gcs"), "share_unknown"] == 0.5
    # Without a column every sex is unknown.
    assert table.loc[("B", "sex"), "share_unknown"] == 1
    shown = review_tables.describe_missing(table.reset_index()).set_index("Centre")
    assert shown.loc["A", "GCS unknown, n (%)"] == "1 (50 %)"
    assert shown.loc["all", "Onset to CT unknown, n (%)"] == "3 (100 %)"
