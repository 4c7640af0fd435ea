"""The page for a reviewer and what it is made of: flow, failures, model card, checklists."""

import csv
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from reporting_folder import make_reportable, write_tables

from hemexp import HemexpError
from hemexp.columns import FILES, LEFT_OUT
from hemexp.layout import Layout
from hemexp.preprocess.collect import _step_tables
from hemexp.provenance import write_json
from hemexp.reporting import run_facts
from hemexp.reporting.catalogue import FIGURES, TABLES
from hemexp.reporting.checklists import CHECKLISTS, OPEN, STATUS, fill_checklist, read_items
from hemexp.reporting.draw import run_draw_figures
from hemexp.reporting.failures import explain, read_failures, worst_patients
from hemexp.reporting.figures.failures import read_failure
from hemexp.reporting.figures.flow import STEPS, describe_end, describe_excluded
from hemexp.reporting.flow import count_flow, read_flow
from hemexp.reporting.reader import Reader
from hemexp.reporting.review import SECTIONS, run_write_review
from hemexp.reporting.run_facts import say_external
from hemexp.tables import read_table


def flow_of(screened, excluded, kept, scored):
    outcomes = pd.DataFrame(kept, columns=["patient_id", "center", "split", "he"])
    outcomes = outcomes.set_index("patient_id")
    outcomes["followup_iph_ml"] = outcomes["he"]
    gone = pd.DataFrame(excluded, columns=["patient_id", "step"])
    # A patient has a row for each scan in qc.tsv.
    qc = pd.DataFrame({"patient_id": [*screened, *screened]})
    volumes = pd.DataFrame({"patient_id": [*scored, *scored]})
    return count_flow(qc, gone, outcomes, volumes, ["d"])


KEPT = [
    ("a", "A", "train", 1.0),
    ("b", "A", "train", 0.0),
    ("c", "B", "test", 1.0),
    ("d", "B", "predict", np.nan),
    ("g", "B", "test", 0.0),
]
GONE = [("e", "strip-skull"), ("f", "register-followup")]


def test_the_counts_of_the_flow_add_up():
    flow = flow_of("abcdefg", GONE, KEPT, ["c"])
    assert (flow.screened, flow.kept, flow.scored, flow.centers) == (7, 5, 1, 2)
    assert flow.screened == flow.kept + sum(flow.excluded.values())
    train, test, predict = flow.splits.values()
    assert (train.kept, train.followed, train.expanded, train.scored) == (2, 2, 1, 0)
    assert (test.kept, test.followed, test.expanded, test.scored) == (2, 2, 1, 1)
    assert (predict.kept, predict.followed, predict.forecast) == (1, 0, 1)
    assert describe_excluded(flow) == (
        "Excluded: n = 2\ncould not be read or skull-stripped: 1\ncould not be registered: 1"
    )
    ends = [describe_end(name, split) for name, split in flow.splits.items()]
    assert ends == ["Learned from: n = 2", "Scored: n = 1\nnot scored: 1", "Forecast: n = 1"]


def test_every_reason_to_leave_a_patient_out_has_words():
    masked = dict.fromkeys(FILES, "there") | {"patient_id": "P1"}
    rows = masked, masked | {"baseline_iph": "", "followup_iph": ""}
    steps = [_step_tables(Layout(Path()), pd.Series(row), "baseline") for row in rows]
    assert {step for found in steps for step, *_ in found} | LEFT_OUT.keys() == STEPS.keys()


def test_who_is_left_out_by_the_sheet_stands_in_the_flow():
    """Of them no scan was looked at, so quality control does not know them."""
    flow = flow_of("abcdefg", [*GONE, ("h", "died"), ("i", "evacuated")], KEPT, ["c"])
    assert flow.screened == 9 and flow.screened == flow.kept + sum(flow.excluded.values())
    assert "evacuated between the scans: 1" in describe_excluded(flow)
    assert "died before the follow-up scan: 1" in describe_excluded(flow)


@pytest.mark.parametrize(
    ("screened", "excluded", "scored", "stray"),
    [
        ("abcdg", GONE, [], "e, f"),
        ("abcdefgh", GONE, [], "h"),
        ("abcdefg", [*GONE, ("a", "strip-skull")], [], "a"),
        ("abcdefg", GONE, ["e"], "e"),
    ],
    ids=["unscreened", "lost", "kept-and-excluded", "scored-but-excluded"],
)
def test_a_flow_that_does_not_add_up_is_refused(screened, excluded, scored, stray):
    with pytest.raises(HemexpError, match=f"patient {stray} of"):
        flow_of(screened, excluded, KEPT, scored)


def volumes_of(**crps_ml):
    rows = [
        {"patient_id": name, "center": "A", "model": model, "indicator": "predicted"}
        | {"target": "iph_ml", "metric": "crps_ml", "value": ml * (model == "hemexp")}
        for name, ml in crps_ml.items()
        for model in ("hemexp", "climatology")
    ]
    return pd.DataFrame(rows)


def test_the_worst_come_first_and_equals_in_order():
    worst = worst_patients(volumes_of(b=2.0, a=2.0, d=1.0, c=7.0), 3)
    assert list(worst.index) == ["c", "a", "b"]


OK = pd.DataFrame(
    {"session": ["baseline", "followup"], "status": "ok", "reason": "", "patient_id": "a"}
)


def explained(observed_ml, qc=OK, ivh=(0.0, 0.0), dice=0.9, disagree=0.0, q05=9.0):
    row = {"observed_ml": observed_ml, "baseline_ml": 10.0, "median_ml": 12.0}
    row |= {"q05_ml": q05, "q95_ml": q05 + 6}
    outcome = {"baseline_ivh_ml": ivh[0], "ivh_growth_ml": ivh[1]}
    return explain(pd.Series(row), pd.Series(outcome), qc, dice, disagree)


def test_what_went_wrong_is_found_by_rule():
    told = "+10.0 mL, median forecast +2.0 mL, 90 % interval -1.0 to +5.0 mL"
    assert explained(20.0) == f"grew more than said: {told}"
    assert explained(8.0).startswith("grew less than said: -2.0 mL")
    assert explained(15.0).startswith("inside what was said")
    assert explained(12.0, q05=np.nan).endswith("one draw has no interval")
    marked = OK.assign(status=["ok", "warning"], reason=["", "brain <850 mL"])
    found = explained(20.0, marked, (0.0, 2.0), 0.65, 0.25).split("; ")
    assert found[1:] == [
        "new IVH: +2.0 mL",
        "follow-up mask doubtful: Dice with what looks like blood 0.65",
        "quality control of the followup: brain <850 mL",
        "25 % of the samples disagree with what they were told",
    ]
    assert "IVH grew: +1.0 mL" in explained(20.0, ivh=(3.0, 1.0))
    # What is undefined is not doubtful.
    assert ";" not in explained(20.0, ivh=(3.0, 0.99), dice=np.nan, disagree=0.19)


# 27 items of TRIPOD+AI have 52 parts: by item, how many parts it has.
TRIPOD_PARTS = [1, 1, 3, 1, 2, 3, 1, 3, 3, 1, 1, 7, 1, 1, 1, 1, 1, 6, 1, 3, 1, 1, 2, 1, 1, 1, 3]
NUMBERS = {
    "tripod_ai": [
        f"{item}{letter}"
        for item, parts in enumerate(TRIPOD_PARTS, 1)
        for letter in ("abcdefg"[:parts] if parts > 1 else [""])
    ],
    "claim": [str(n) for n in range(1, 45)],
}


@pytest.mark.parametrize("name", CHECKLISTS)
def test_a_checklist_holds_every_item_in_few_words_of_our_own(name):
    items = read_items(name)
    assert [item["item"] for item in items] == NUMBERS[name]
    for item in items:
        assert 1 <= len(item["topic"].split()) <= 10, item
        assert item["status"] in STATUS
        assert (item["status"] == "authors") == (not item["answer"]) == (not item["where"]), item
        assert (item["status"] == "partly") == ("authors" in item["answer"]), item


def products():
    layout = Layout()
    shown = [layout.table(table.name) for table in TABLES]
    shown += [layout.figure(name) for name in FIGURES]
    shown += [layout.network(room).model for room in ("autoencoder", "diffusion")]
    shown += [layout.qc, layout.qc_page, layout.excluded, layout.outcomes, layout.settings]
    shown += [layout.growth_models, layout.growth("training"), layout.methods]
    shown += [layout.model_card, layout.failures]
    return {path.relative_to(layout.root).as_posix() for path in shown}


@pytest.mark.parametrize("name", CHECKLISTS)
def test_a_checklist_sends_the_reader_to_files_that_runs_make(name):
    named = {
        path for item in read_items(name) if item["where"] for path in item["where"].split("; ")
    }
    assert named <= products()


def test_whether_scored_patients_are_external():
    outcomes = pd.DataFrame({"center": list("AABC"), "split": ["train", "test", "test", "test"]})
    assert say_external(outcomes, {1, 3}) == (
        "Scored patients come from centres without a training patient: C; and from centres that "
        "trained, too: A."
    )
    assert "all that is scored is external" in say_external(outcomes.iloc[1:], {1})
    assert say_external(outcomes, set()) == "No forecast was scored."


PARTS = ("Patients", "Images", "Autoencoder", "Growth", "Diffusion", "Sampling", "Software")


def write_review(root, settings, monkeypatch):
    """Writes the page; records of networks are made up."""
    monkeypatch.setattr(run_facts, "make_paragraphs", lambda layout: {p: f"<{p}>" for p in PARTS})
    layout = Layout(root)
    made = {"verb": "train", "git": "abc", "seed": 7, "device": "cpu"}
    models = [layout.network(room).model for room in ("autoencoder", "diffusion")]
    for path in (*models, layout.growth_models):
        write_json(path, made)
    write_tables(root, settings)
    names = {name for figures, _ in SECTIONS.values() for name in figures if name in FIGURES}
    run_draw_figures(layout, names, settings.reporting.model_copy(update={"dpi": 40}))
    run_write_review(layout, settings.reporting, "<demo>", 7)
    return layout


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory, settings):
    root = tmp_path_factory.mktemp("review")
    make_reportable(root, settings)
    with pytest.MonkeyPatch.context() as patch:
        yield write_review(root, settings, patch)


def test_the_page_holds_all_and_needs_no_other_file(reviewed):
    text = reviewed.review.read_text()
    assert "not a medical device" in text
    ids = ["patients", "failures", "robustness", "model-card", "tripod+ai", "claim-2024"]
    assert all(f"<section id='{name}'>" in text and f"href='#{name}'" in text for name in ids)
    sources = re.findall(r"<img[^>]* src='([^']*)'", text)
    assert len(sources) > 4
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    # It can be sent alone: links stay on the page.
    assert set(re.findall(r"href='(.)", text)) == {"#"}
    assert text.count("<script>") == text.count("<script") == 1 and "href='http" not in text
    assert "<air>" not in text and "&lt;air&gt;" in text
    assert "<demo>" not in text and "<Growth>" not in text
    assert not re.search(r"\bnan\b", re.sub("base64,[^']*", "", text), re.IGNORECASE)


def test_checklists_are_filled_in_from_the_run(reviewed):
    for name in CHECKLISTS:
        with reviewed.checklist(name).open(newline="") as handle:
            rows = list(csv.DictReader(handle))
        assert [row["Item"] for row in rows] == NUMBERS[name]
        assert not [row for row in rows if "{" in row["Answer"]]
        assert [row["Answer"] == OPEN for row in rows] == [
            row["Answered by"] == "the authors" for row in rows
        ]
    flow = {row["Item"]: row["Answer"] for row in rows}["35"]
    assert flow == (
        "11 patients screened, 1 excluded, 10 analysed (6 train, 3 test, 1 predict), 3 scored."
    )


def test_an_answer_that_names_what_no_run_knows_is_a_fault():
    with pytest.raises(KeyError):
        fill_checklist("claim", {})


def test_the_model_card_says_whom_and_what_for(reviewed):
    text = reviewed.model_card.read_text()
    headings = re.findall("^## (.*)$", text, re.MULTILINE)
    assert headings[:3] == ["Model", "Intended use", "Misuse"]
    assert "Not for the care of a patient" in text
    assert "The cohort holds phantoms" in text
    assert "diffusion: train, commit abc, seed 7, device cpu." in text
    scores = read_table(reviewed.evaluation("forecasts")).set_index(["model", "target", "center"])
    crps = scores.loc[("hemexp", "iph_ml", "all"), "crps_ml"]
    assert f"CRPS {crps:.2f} [" in text


def test_failures_are_those_of_the_scores(reviewed):
    failures = read_failures(Reader(reviewed))
    scores = read_table(reviewed.evaluation("volumes"))
    ours = scores[(scores["model"] == "hemexp") & (scores["target"] == "iph_ml")]
    crps = ours[ours["metric"] == "crps_ml"].set_index("patient_id")["value"]
    assert failures["Patient"].tolist() == list(crps.sort_values(ascending=False).index)
    assert failures["CRPS, mL"].tolist() == [f"{crps[name]:.2f}" for name in failures["Patient"]]
    # No table that git may keep has a row of a patient.
    assert reviewed.failures.parent.name == "report"


def test_a_failure_is_shown_where_most_blood_came(reviewed):
    reader = Reader(reviewed)
    row = read_failure(reader, reader.outcomes().loc["T1"])
    blood = row.patient.followup.blood.sum(axis=(0, 1))
    assert row.patient.view.z == blood.argmax() and len(row.samples) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("unseen", "options"),
    [(["T0"], {"phantom": False}), (["P0"], {}), (["T0", "T1"], {"indicator": "oracle"})],
    ids=["no-phantom", "nobody-scored", "oracle"],
)
def test_small_cohorts_have_a_page_too(tmp_path, settings, monkeypatch, unseen, options):
    splits = {"T": "test", "P": "predict"}
    patients = {"R0": "train", "R1": "train"} | {name: splits[name[0]] for name in unseen}
    make_reportable(tmp_path, settings, patients=patients, **options)
    layout = write_review(tmp_path, settings, monkeypatch)
    text = re.sub("base64,[^']*", "", layout.review.read_text())
    assert not re.search(r"\bnan\b", text, re.IGNORECASE)
    assert read_flow(Reader(layout)).kept == len(patients)
