"""How a patient compares with the training patients, and what the models answer of one."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from test_expansion_run import folder, settings

from hemexp.expansion.fit_likeness import LEAST_PATIENTS, describe_training
from hemexp.expansion.likeness import COLUMNS, Cohort, beyond, distances, place
from hemexp.expansion.model import load_expansion
from hemexp.expansion.patient_answers import changed_patients, run_answer_patient
from hemexp.layout import Layout
from hemexp.provenance import write_json

__all__ = ["folder", "settings"]
"""Fixtures: models fitted on 40 patients."""


def made_up(n, seed=0):
    """Training patients in whom every measure is drawn by itself."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({name: rng.normal(10, 2, n) for name in COLUMNS})
    table[["dark_share", "dark_hu"]] = rng.uniform(size=(n, 2))
    table["antiplatelet"], table["he"] = np.nan, np.arange(n) % 3 == 0
    table.loc[0, "sbp"] = np.nan
    return table


@pytest.fixture(scope="module")
def table():
    return made_up(200)


@pytest.fixture(scope="module")
def cohort(table):
    return describe_training(table)


def test_the_record_holds_counts_and_ranges_and_nobody(table, cohort):
    assert (cohort.patients, cohort.expanders, cohort.phantoms) == (200, 67, 0)
    assert cohort.ranges["sbp"]["known"] == 199
    assert cohort.ranges["age"]["highest"] == table["age"].max()
    assert cohort.ranges["age"]["median"] == table["age"].median()
    assert cohort.ranges["antiplatelet"] == {
        "known": 0,
        "lowest": None,
        "median": None,
        "highest": None,
    }
    old = describe_training(table.assign(age=table["age"] + 85)).ranges["age"]
    assert old["highest"] == 90.0 and old["lowest"] == table["age"].min() + 85
    assert "antiplatelet" not in cohort.scale.names and "age" in cohort.scale.names
    assert Cohort.from_json(json.loads(json.dumps(cohort.as_json()))) == cohort
    scans = ["results/phantom/sub-A/ct.nii.gz"] * 3 + ["/data/ct.nii.gz"] * 197
    assert describe_training(table.assign(baseline_ct=scans)).phantoms == 3


def test_distances_count_what_is_known_and_how_it_hangs_together():
    covariance = np.array([[1.0, 0.8], [0.8, 1.0]])
    rows = np.array([[1.0, 1.0], [1.0, -1.0], [2.0, np.nan], [np.nan, np.nan]])
    # x' S^-1 x = 2 / 1.8 along the correlation, 2 / 0.2 across it.
    expected = [np.sqrt(1 / 1.8), np.sqrt(1 / 0.2), 2.0, np.nan]
    assert distances(rows, covariance) == pytest.approx(expected, nan_ok=True)


def test_new_patients_of_the_same_kind_lie_at_every_distance(cohort):
    others = made_up(200, seed=1)
    shares = [place(cohort, others.iloc[[n]]).share_nearer for n in range(200)]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.06)
    assert np.mean(np.array(shares) > 0.9) == pytest.approx(0.1, abs=0.05)


def test_a_stranger_lies_outside_and_an_unknown_value_takes_no_side(table, cohort):
    stranger = table.iloc[[5]].assign(age=80.0, hu_mean=40.0)
    found = place(cohort, stranger)
    assert found.share_nearer == 1.0 and found.measures == len(cohort.scale.names)
    unknown = place(cohort, stranger.assign(age=np.nan, hu_mean=np.nan))
    assert unknown.share_nearer < 1.0 and unknown.measures == found.measures - 2


def test_what_lies_clearly_beyond_all_is_named(cohort):
    known = {"known": 9, "lowest": 60.0, "median": 70.0, "highest": 90.0}
    like = replace(cohort, ranges=dict.fromkeys(COLUMNS, known))
    assert beyond(like, {"sbp": 92.9, "gcs": 93.1, "baseline_iph_ml": 56.9}) == [
        "gcs",
        "baseline_iph_ml",
    ]
    # Nobody is too old for a range that ends where ages are told.
    assert beyond(like, {"age": 99.0, "sbp": None}) == [] and beyond(like, {"age": 50.0})
    assert beyond(cohort, {"antiplatelet": 1.0}) == []  # unknown for all


def test_a_few_training_patients_tell_no_distance():
    few = describe_training(made_up(LEAST_PATIENTS - 1))
    assert few.distances == () and place(few, made_up(1)) is None


def patient(**changes):
    return pd.Series({"onset_to_ct_h": 3.0, "anticoagulant": 1.0, "age": 70.0} | changes)


def test_one_value_is_changed_at_a_time_and_never_to_what_it_is():
    cases = list(changed_patients(patient()))
    assert [case[:2] for case in cases[:3]] == [
        ("as_is", None),
        ("onset_to_ct_h", 1.0),
        ("onset_to_ct_h", 6.0),
    ]
    assert [value for name, value, _ in cases if name == "anticoagulant"] == [0.0, None]
    for variable, value, changed in cases[1:]:
        differs = [name for name in changed.index if changed[name] != patient()[name]]
        assert differs == [variable] and (value is None) == np.isnan(changed[variable])
    unknown = patient(anticoagulant=np.nan)
    assert [v for name, v, _ in changed_patients(unknown) if name == "anticoagulant"] == [0.0, 1.0]


def test_the_answers_are_the_chosen_models_own(folder):
    root, sheet = folder
    layout = Layout(root)
    run_answer_patient(layout, sheet.iloc[[40]], layout)
    found = json.loads(layout.patient_answers("P040").read_text())
    model = load_expansion(layout.growth_models)
    first, early = found["cases"][0], found["cases"][1]
    assert found["model"] == model.name and first["variable"] == "as_is"
    assert first["p_expansion"] == pytest.approx(found["forecast"]["p_expansion"])
    assert early["value"] == 1.0 and early["p_expansion"] > first["p_expansion"]
    assert found["training"]["patients"] == 40 and found["training"]["likeness"]["measures"] > 5
    assert found["values"]["antiplatelet"] is None and found["outside_probability"] is None
    assert found["over_time"] is None and found["verb"] == "write-patient-page"


def test_an_outside_probability_wins_the_forecast_but_no_what_if(folder):
    root, sheet = folder
    layout = Layout(root)
    run_answer_patient(layout, sheet.loc[["P041"]], layout)
    found = json.loads(layout.patient_answers("P041").read_text())
    assert found["forecast"]["p_expansion"] == found["outside_probability"] == 0.9
    assert found["cases"][0]["p_expansion"] < 0.9


def test_models_without_a_record_of_their_patients_still_answer(folder, tmp_path):
    root, sheet = folder
    record = json.loads(Layout(root).growth_models.read_text())
    del record["training"]
    write_json(Layout(tmp_path).growth_models, record)
    run_answer_patient(Layout(root), sheet.iloc[[42]], Layout(tmp_path))
    found = json.loads(Layout(root).patient_answers("P042").read_text())
    assert found["training"] is None and found["patients"] == 40
