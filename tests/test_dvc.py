"""What `dvc repro` is told: stages in the order of rooms, all they read, disjoint outputs."""

import json
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from mini import REPOSITORY
from test_architecture import ROOMS

PRESET = "config/presets/${preset}.yaml"


@pytest.fixture(scope="module")
def pipeline():
    return yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())


def outs(stage):
    """Paths of a stage's outputs."""
    return [next(iter(out)) if isinstance(out, dict) else out for out in stage["outs"]]


def below(path, folder):
    return Path(path) == Path(folder) or Path(folder) in Path(path).parents


def room_of(path):
    """The stage that makes a file of `results`."""
    renamed = {
        "cohort": "preprocess",
        "samples": "sampling",
        "tables": "reporting",
        "figures": "reporting",
        "report": "reporting",
    }
    name = Path(path).parts[1]
    return renamed.get(name, name)


def test_stages_are_the_rooms_and_outputs_are_disjoint(pipeline):
    assert tuple(pipeline["stages"]) == ROOMS
    made = sorted(out for stage in pipeline["stages"].values() for out in outs(stage))
    assert len(made) == len(set(made))
    assert not [pair for pair in pairwise(made) if below(pair[1], pair[0])]
    for room, stage in pipeline["stages"].items():
        assert stage["cmd"].split()[-1] == room
        assert {room_of(out) for out in outs(stage)} == {room}
        assert all(next(iter(out.values()))["persist"] for out in stage["outs"])


def test_a_stage_reads_what_earlier_ones_made(pipeline):
    made = {out for stage in pipeline["stages"].values() for out in outs(stage)}
    for room, stage in pipeline["stages"].items():
        read = {dep for dep in stage["deps"] if dep.startswith("results/")}
        assert read <= made
        assert {room_of(dep) for dep in read} <= set(ROOMS[: ROOMS.index(room)])


def test_a_stage_depends_on_the_code_and_leaves_it_to_snakemake_what_an_edit_reruns(pipeline):
    for stage in pipeline["stages"].values():
        assert {"config/samples.tsv", "hemexp", "workflow"} <= set(stage["deps"])


def test_a_stage_reads_its_own_settings_and_the_preset(pipeline, rules):
    config, base = (
        yaml.safe_load((REPOSITORY / "config" / name).read_text())
        for name in ("config.yaml", "base.yaml")
    )
    for room, stage in pipeline["stages"].items():
        (own, of_config), (other, of_base) = (
            next(iter(params.items())) for params in stage["params"]
        )
        assert (own, other) == ("config/config.yaml", "config/base.yaml")
        # Masks that are made lie between strip and registration.
        runs = {"preprocess", "segmentation"} if room == "preprocess" else {room}
        assert set(of_config) == {"preset", *runs} and set(of_config) <= set(config)
        assert runs <= set(of_base) and set(of_base) <= set(base)
        # A preset need not have the section: it is read whole.
        assert PRESET in stage["deps"]
        seeded = any("seed" in rule.params for rule in rules.values() if rule.file in runs)
        assert seeded == ("seed" in of_base), room


def test_metrics_and_plots_lie_in_outputs(pipeline):
    made = [out for stage in pipeline["stages"].values() for out in outs(stage)]
    shown = [next(iter(p)) if isinstance(p, dict) else p for p in pipeline["plots"]]
    for path in [*pipeline["metrics"], *shown]:
        assert any(below(path, out) for out in made), path


COMPARED = ("evaluation/metrics.json", "tables/cohort.csv", "tables/forecasts.csv")
PRIVATE = (
    "evaluation/volumes.tsv",
    "evaluation/sub-1/scores.tsv",
    "tables/cohort.tex",
    "tables/patients.csv",
    "qc.tsv",
)


@pytest.fixture
def checkout(tmp_path):
    """A repository with results: a metric and tables beside tables of patients."""
    shutil.copytree(REPOSITORY / "config", tmp_path / "config")
    for name in ("dvc.yaml", ".gitignore"):
        shutil.copy(REPOSITORY / name, tmp_path)
    for name in (*COMPARED, *PRIVATE):
        path = tmp_path / "results" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"crps": 1.5}')
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "as published")
    return tmp_path


def git(folder, *arguments):
    who = ("-c", "user.name=reviewer", "-c", "user.email=reviewer@example.org")
    command = ["git", *who, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def test_git_keeps_what_is_compared_and_no_row_of_a_patient(checkout, pipeline):
    kept = git(checkout, "ls-files", "results").split()
    assert kept == sorted(f"results/{name}" for name in COMPARED)
    # Else dvc would have both git and its cache keep them.
    uncached = [
        next(iter(out))
        for stage in pipeline["stages"].values()
        for out in stage["outs"]
        if next(iter(out.values())).get("cache") is False
    ]
    assert all(any(below(path, out) for out in uncached) for path in kept)


@pytest.mark.slow
def test_a_reviewer_sees_which_metric_moved(checkout):
    dvc(checkout, "init", "--quiet")
    (checkout / "results/evaluation/metrics.json").write_text('{"crps": 1.75}')
    (moved,) = json.loads(dvc(checkout, "metrics", "diff", "--json")).values()
    assert moved == {"crps": {"old": 1.5, "new": 1.75, "diff": 0.25}}


def dvc(folder, *arguments):
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder).stdout


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["demo", "full"])
def test_dvc_reads_it_and_sees_that_nothing_was_made(tmp_path, preset):
    for name in ("hemexp", "workflow", "config", "docs"):
        shutil.copytree(
            REPOSITORY / name,
            tmp_path / name,
            symlinks=True,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    shutil.copy(REPOSITORY / "dvc.yaml", tmp_path)
    config = tmp_path / "config" / "config.yaml"
    config.write_text(config.read_text().replace("preset: demo", f"preset: {preset}"))
    dvc(tmp_path, "init", "--no-scm", "--quiet")
    edges = {
        tuple(line.strip('"; ').split('" -> "'))
        for line in dvc(tmp_path, "dag", "--dot").splitlines()
        if "->" in line
    }
    assert all(ROOMS.index(before) < ROOMS.index(after) for before, after in edges)
    assert {after for _, after in edges} == set(ROOMS[1:])
    assert set(json.loads(dvc(tmp_path, "status", "--json"))) == set(ROOMS)
