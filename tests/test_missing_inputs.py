"""Every rule's verb without each of its inputs: one sentence that names the file, no traceback."""

import logging
import re
import shlex
import shutil
from contextlib import chdir

import pytest
from mini import snakemake

from hemexp.cli import main

NOT_READ = {
    "write_patient_page": "pooled-probseg",  # `predict` pools no map: the page shows what there is
    "measure_bleed": "space-grid_ct",
    "measure_bleeds": "space-grid_ct",
    "write_qc": "outcomes|png$",  # the page says which picture is not there
    "fit_pool": "volumes.tsv|dseg",
    "pool_map": "volumes.tsv|dseg",
    "summarise_scores": "dseg|model.json",
    "write_tables": "images_oracle|reliability|volumes.tsv|calibration|roc|metrics.json",
    # Who is forecast shows in what there is of them.
    "write_patients": r"volumes.tsv|pooled|consistency",
    "write_bids": r"volumes.tsv|qc.tsv|outcomes.tsv",
    "draw_figures": r"(?<!forecasts)\.\w+$",  # the first of many, each of which takes seconds
    "write_report": "(tex|svg|html)$|sub-",
    "vary_masks": "dseg|model.json",
    # Few of the tables and figures, and of the evaluation four tables, are on that page.
    "write_review": r"(tex|svg)$|metrics.json$"
    r"|tables/(reconstruction|expected|predictors|ivh|what_if\.|consistency|coherence|images)"
    r"|tables/(obedience|oracle)|figures/(panels|volumes|consistency|what_if\.|training|registration)"
    r"|evaluation/(comparisons|expected|obedience|images|coherence|consistency|reliability)"
    r"|evaluation/(calibration|conformal|decision_curve|roc|thresholds|subgroups|missing)",
}
"""Inputs that stand for others in a rule's list, by a pattern."""

TRUTH = r"results/phantom/\w+\.tsv|desc-expansion_truth|what_if_truth"
"""Known of the phantom's patients alone: no verb needs it."""

RULES = [
    "register_followup",
    "resample_scan",
    "collect_qc",
    "write_qc",
    "collect_truth",
    "draw_truth_map",
    "draw_true_what_if",
    "train_autoencoder",
    "fit_push",
    "encode_patients",
    "encode_patient",
    "fit_scale",
    "measure_bleeds",
    "measure_bleed",
    "fit_expansion",
    "predict_expansion",
    "answer_what_if",
    "train_diffusion",
    "sample_followups",
    "redraw_what_if",
    "fit_climatology",
    "fit_pool",
    "pool_map",
    "score_patient",
    "summarise_scores",
    "vary_masks",
    "score_what_if",
    "write_tables",
    "write_patients",
    "write_bids",
    "draw_figures",
    "write_report",
    "write_review",
    "write_patient_page",
]
"""All but `strip_skull`, whose inputs are raw: `tests/test_bad_inputs.py`."""


@pytest.fixture(scope="module")
def run(mini_run, tmp_path_factory):
    """A copy of the finished run, to take files away from."""
    return shutil.copytree(mini_run, tmp_path_factory.mktemp("missing") / "run")


@pytest.fixture(scope="module")
def jobs(run):
    """Options of the verb and inputs of a rule's first job, of every rule that has inputs."""
    text = snakemake(run, "--dry-run", "--forceall", "--printshellcmds")
    found, name, inputs = {}, "", []
    for line in map(str.strip, text.splitlines()):
        if rule := re.fullmatch(r"(?:local)?(?:rule|checkpoint) (\w+):", line):
            name, inputs = rule[1], []
        elif line.startswith("input: "):
            inputs = line.removeprefix("input: ").split(", ")
        elif (command := re.search(r"python -m hemexp (.*) > ", line)) and inputs:
            found.setdefault(name, (shlex.split(command[1]), inputs))
    return found


def of_a_kind(rule, inputs):
    """One input of each kind that the rule's verb reads: patients and sessions are alike."""
    skipped = re.compile(f"{TRUTH}|{NOT_READ.get(rule, '^$')}")
    wanted = [path for path in inputs if not skipped.search(path)]
    return {re.sub(r"sub-[A-Za-z0-9]+|ses-\w+?_", "", path): path for path in wanted}.values()


def test_the_list_holds_every_rule_that_has_inputs(jobs):
    assert sorted(jobs) == sorted([*RULES, "strip_skull"])


@pytest.mark.parametrize("rule", RULES)
def test_a_missing_input_is_told_in_one_sentence(rule, run, jobs, caplog):
    options, inputs = jobs[rule]
    kinds = of_a_kind(rule, inputs)
    assert kinds
    for name in kinds:
        away = (run / name).rename(run / "away")
        caplog.clear()
        try:
            with chdir(run), caplog.at_level(logging.ERROR), pytest.raises(SystemExit) as stopped:
                main(options)
        finally:
            away.rename(run / name)
        assert stopped.value.code == 2
        (said,) = [record.message for record in caplog.records if record.levelname == "ERROR"]
        assert said.startswith(f"hemexp {options[0]}: {name}: found no such file; expected ")
        assert said.endswith(f"`snakemake --cores 2 -- {name}` makes it."), said
