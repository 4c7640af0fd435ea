"""What-if answers: the same patient under another cause, beside the phantom's truth."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from hemexp.expansion.model import ExpansionModel, Linear
from hemexp.expansion.what_if import answer, summarise
from hemexp.layout import Layout
from hemexp.phantom.model import MODEL, PlainGrowth, draw_case, expansion_probability
from hemexp.phantom.what_if import run_collect_what_if_truth, true_answer
from hemexp.what_if_cases import ANTICOAGULANT, ONSETS_H, ask

PATIENTS = [f"A{number:02d}" for number in range(1, 21)]


@pytest.fixture(scope="module")
def cases(settings):
    return {name: draw_case(settings.phantom.seed, name) for name in PATIENTS}


@pytest.fixture(scope="module")
def patients(cases):
    columns = ("onset_to_ct_h", "anticoagulant", "baseline_iph_ml", "sbp", "pockets")
    rows = {name: {c: getattr(case, c) for c in columns} for name, case in cases.items()}
    return pd.DataFrame.from_dict(rows, orient="index").assign(antiplatelet=0)


@pytest.fixture(scope="module")
def truth(settings, tmp_path_factory):
    layout = Layout(tmp_path_factory.mktemp("truth"))
    run_collect_what_if_truth(layout, {name: name[0] for name in PATIENTS}, settings.phantom)
    return pd.read_csv(layout.what_if_truths, sep="\t")


def model(onset, anticoagulant):
    """A model with these log odds, everything else about right."""
    chance = Linear(
        ("ln_onset", "ln_iph_ml", "anticoagulant"),
        (np.log(2.5), np.log(13.0), 0.0),
        (1.0,) * 3,
        (onset, MODEL.log_volume, anticoagulant),
        -1.0,
    )
    growth = Linear(("ln_iph_ml",), (np.log(13.0),), (1.0,), (0.6,), np.log(9.2))
    return ExpansionModel("four_variable", chance, growth, 0.5, (-0.6, 0.0, 0.6), 0.0)


def test_every_patient_gets_every_question():
    asked = ask(["P1", "P2"])
    assert len(asked) == 2 * len(ONSETS_H) * len(ANTICOAGULANT) and not asked.duplicated().any()


def test_the_truth_is_the_model_of_the_changed_case(truth, cases):
    one = truth.set_index(["patient_id", "onset_to_ct_h", "anticoagulant"])
    changed = replace(cases["A03"], onset_to_ct_h=6.0, anticoagulant=1)
    assert one.loc[("A03", 6.0, 1), "p_expansion"] == pytest.approx(
        expansion_probability(changed), abs=1e-5
    )
    # Median growth is an expander's where more than half expand, and near nothing elsewhere.
    likely = truth["p_expansion"] > 0.5
    assert (truth.loc[likely, "median_growth_ml"] > 0.6).all()
    assert (truth.loc[~likely, "median_growth_ml"].abs() <= 1.8).all()
    assert (truth["p_growth_6ml"] <= truth["p_expansion"] + 1e-3).all()
    as_is = true_answer(PlainGrowth(cases["A03"]), 2000)
    assert as_is["p_expansion"] == expansion_probability(cases["A03"])


def test_answers_move_as_the_model_says_and_nothing_else_does(patients):
    given = answer(model(MODEL.onset, 0.0), patients).set_index(
        ["patient_id", "anticoagulant", "onset_to_ct_h"]
    )
    assert given.xs(0, level="anticoagulant").equals(given.xs(1, level="anticoagulant"))
    for _, over_time in given.groupby(["patient_id", "anticoagulant"]):
        assert over_time["p_expansion"].is_monotonic_decreasing
        assert over_time["median_growth_ml"].is_monotonic_decreasing
    assert "outside" not in given  # and an outside probability would not change the answer:
    outside = answer(model(MODEL.onset, 0.0), patients.assign(expansion_prob=0.5))
    assert outside["p_expansion"].nunique() > 20


def test_the_summary_tells_a_right_model_from_wrong_ones(patients, truth):
    def at_all(onset, anticoagulant):
        table = summarise(answer(model(onset, anticoagulant), patients), truth)
        return table[table["at"] == "all"].set_index(["contrast", "quantity"])

    right = at_all(MODEL.onset, MODEL.anticoagulant)
    assert (right["n"] == 2 * len(PATIENTS)).all()
    assert (right["share_right_direction"] == 1).all()
    assert right["ratio"].between(0.6, 1.6).all()
    turned = at_all(-MODEL.onset, MODEL.anticoagulant)["share_right_direction"]
    assert (turned.loc["onset 1 h against 12 h"] == 0).all()
    assert (turned.loc["anticoagulant on against off"] == 1).all()
    weak = at_all(MODEL.onset, 0.3).loc[("anticoagulant on against off", "p_growth_6ml")]
    assert weak["ratio"] < 0.5
    assert weak["ratio"] == pytest.approx(weak["mean_effect"] / weak["mean_true_effect"])


def test_real_patients_have_effects_but_no_truth(patients):
    table = summarise(answer(model(MODEL.onset, MODEL.anticoagulant), patients), None)
    assert table[["share_right_direction", "mean_true_effect", "ratio"]].isna().all().all()
    assert (table["share_raised"] == 1).all() and (table["note"] != "").all()
    stranger = pd.DataFrame(columns=table.columns)
    empty = summarise(answer(model(-1, 1), patients), ask([]).assign(median_growth_ml=0.0))
    assert list(empty.columns) == list(stranger.columns) and empty.empty
