"""`benchmarks/full_size.py`: what it counts, times and leaves out; its last stages as they run."""

import argparse
import math
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

BENCHMARKS = str(Path(__file__).parents[1] / "benchmarks")
TRAINING = """
import signal, time
from tqdm import trange
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
for step in trange(10000, desc="training", disable=None):
    time.sleep(0.02)
    if asked:
        raise SystemExit("stopped on request")
"""


@pytest.fixture(scope="module")
def programs():
    """The benchmark's modules."""
    sys.path.insert(0, BENCHMARKS)
    import full_size
    import full_size_flop
    import full_size_jobs

    sys.path.remove(BENCHMARKS)
    return full_size, full_size_jobs, full_size_flop


def test_a_budget_says_what_it_leaves_out(programs):
    budget = programs[0].Budget(100)
    assert budget.allows("short", 50) and not budget.allows("long", 200)
    assert budget.report().startswith("missing: long: not begun, takes 200 s")
    assert programs[0].Budget(None).allows("any", 1e9)


def test_steps_are_timed_past_the_first_ones_and_without_waiting(programs):
    seen = [(0, 0), (9, 1), (10, 3), (11, 3), (12, 5), (14, 7), (17, 7)]
    assert programs[1].steady(seen) == (4, 4)
    assert programs[1].steady([(0, 0), (5, 2)]) == (0, 0.0)


def test_a_training_is_stopped_once_it_was_timed(programs, tmp_path):
    command = [sys.executable, "-c", TRAINING]
    done = programs[1].run_job(command, tmp_path, tmp_path / "log", 30, 0.5)
    assert done.finished and done.stopped and 2 <= done.steps < 1000 and done.steps_s >= 0.4
    assert "stopped on request" in (tmp_path / "log").read_text()


def test_a_job_that_fails_shows_its_log(programs, tmp_path):
    with pytest.raises(RuntimeError, match="no such thing"):
        programs[1].run_job(
            [sys.executable, "-c", "raise SystemExit('no such thing')"],
            tmp_path,
            tmp_path / "l",
            9,
        )


def test_flop_are_those_of_the_networks(programs):
    one, two = torch.ones(3, 4), torch.ones(4, 5)
    assert programs[2].flop_of(lambda: one @ two) == 2 * 3 * 4 * 5
    settings = programs[0].load_settings({"preset": "full"} | programs[0].TINY)
    more = settings.model_copy(
        update={"sampling": settings.sampling.model_copy(update={"evaluations": 22})}
    )
    few, many = (programs[2].stage_flop(s) for s in (settings, more))
    assert few["train-diffusion"] == many["train-diffusion"] > 0
    assert many["sample-followups"] < 2 * few["sample-followups"]
    # A step goes forth and back: some three evaluations for each of its stacks.
    evaluation = (many["sample-followups"] - few["sample-followups"]) / 11
    stacks = settings.diffusion.batch_stacks * settings.diffusion.accumulate
    assert 2.5 < few["train-diffusion"] / (stacks * evaluation) < 3.1


def test_a_study_pays_for_starts_and_units(programs):
    full_size, jobs, _ = programs
    stage = full_size.Stage("sample-followups", [[]], "sample", 5, 3600, 36, inner_s=lambda: 10.0)
    facts = {"rate": 1e12, "flop": {"sample-followups": 10**12}}
    row = full_size.measured(stage, [jobs.Done(30.0, 1.5, True)], facts)
    assert row["start_s"] == 20 and row["s_a_unit"] == 2 and row["of_rate"] == 0.5
    assert row["study_hours"] == pytest.approx((36 * 20 + 3600 * 2) / 3600)
    assert full_size.as_line(row).count("|") == len(full_size.COLUMNS) + 1


def test_every_verb_has_its_row_when_it_is_measured_and_in_the_table(
    programs, monkeypatch, capsys, tmp_path
):
    full_size, jobs, _ = programs
    facts = {"device": "a card", "rate": 1e12, "flop": {"train-diffusion": 10**12}}
    run = {"seconds": 3.0, "host_gb": 0.5, "finished": True, "steps": 4, "steps_s": 2.0}
    monkeypatch.setattr(full_size, "run_job", lambda *_: jobs.Done(**run))
    monkeypatch.setattr(full_size, "find_facts", lambda *_: facts)
    monkeypatch.setattr(sys.modules["full_size_stages"], "sidecar_seconds", lambda *_: 1.0)
    monkeypatch.setattr(sys, "argv", ["full_size.py", "--tiny", "--out", str(tmp_path)])
    monkeypatch.setenv("PYTHONPATH", "")
    full_size.main()
    printed = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines()]
    rows = [row for row in rows if row and row[0] not in ("verb", "---")]
    settings = full_size.load_settings(full_size.read_config(tmp_path / "config/config.yaml"))
    verbs = [stage.verb for stage in full_size.list_stages(settings, tmp_path)]
    assert [row[0] for row in rows] == 2 * verbs and len(verbs) == 17
    assert all(len(row) == len(full_size.COLUMNS) for row in rows)
    training = dict(zip(full_size.COLUMNS, rows[verbs.index("train-diffusion")], strict=True))
    assert (training["units"], training["s_a_unit"], training["of_rate"]) == ("4", "0.5", "2.000")


@pytest.mark.parametrize(("visible", "watched"), [("", "--id=0"), ("GPU-7,1", "--id=GPU-7")])
def test_one_card_is_watched_the_first_that_jobs_see(
    programs, visible, watched, tmp_path, monkeypatch
):
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/bash\necho "$@" > "$0.args"; echo "2048, 50"; echo "1024, [N/A]"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    card = programs[1].Card()
    card._process.wait(timeout=10)
    card._thread.join(timeout=10)
    assert watched in program.with_suffix(".args").read_text().split()
    taken = card.take()
    assert taken["card_gb"] == 2 and math.isnan(taken["busy"])


@pytest.mark.slow
def test_training_sampling_and_scores_run_as_they_stand(programs, mini_run, tmp_path):
    full_size = programs[0]
    shutil.copytree(mini_run / "results", tmp_path / "results")
    config = full_size.choose_config(argparse.Namespace(tiny=True, device="cpu", config=None))
    full_size.write_inputs(tmp_path, config)
    stages = full_size.list_stages(full_size.load_settings(config), tmp_path)
    names = [stage.verb for stage in stages]
    last = [replace(stage, estimate_s=0) for stage in stages[names.index("train-diffusion") :]]
    budget, facts = full_size.Budget(None), {"rate": 1e12, "flop": {}}
    lines = full_size.run_all(last, tmp_path, budget, facts, 0.1)
    assert len(lines) == len(last) and budget.missing == []
    assert [line.split()[1] for line in lines] == [stage.verb for stage in last]
