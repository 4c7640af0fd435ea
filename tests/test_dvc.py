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

PRESETS = sorted((REPOSITORY / "config" / "presets").glob("*.yaml"))


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


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_every_parameter_stands_in_every_preset(pipeline, rules, preset):
    config = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text())
    settings = yaml.safe_load(preset.read_text())
    for room, stage in pipeline["stages"].items():
        (own, of_config), (other, of_preset) = (
            next(iter(params.items())) for params in stage["params"]
        )
        assert (own, other) == ("config/config.yaml", "config/presets/${preset}.yaml")
        assert set(of_config) == {"preset", room} and set(of_config) <= set(config)
        assert room in of_preset and set(of_preset) <= set(settings)
        seeded = any("seed" in rule.params for rule in rules.values() if rule.file == room)
        assert seeded == ("seed" in of_preset), room


def test_metrics_and_plots_lie_in_outputs(pipeline):
    made = [out for stage in pipeline["stages"].values() for out in outs(stage)]
    shown = [next(iter(p)) if isinstance(p, dict) else p for p in pipeline["plots"]]
    for path in [*pipeline["metrics"], *shown]:
        assert any(below(path, out) for out in made), path


def dvc(folder, *arguments):
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder).stdout


@pytest.mark.slow
def test_dvc_reads_it_and_sees_that_nothing_was_made(tmp_path):
    for name in ("hemexp", "workflow", "config"):
        shutil.copytree(
            REPOSITORY / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(REPOSITORY / "dvc.yaml", tmp_path)
    dvc(tmp_path, "init", "--no-scm", "--quiet")
    edges = {
        tuple(line.strip('"; ').split('" -> "'))
        for line in dvc(tmp_path, "dag", "--dot").splitlines()
        if "->" in line
    }
    assert all(ROOMS.index(before) < ROOMS.index(after) for before, after in edges)
    assert {after for _, after in edges} == set(ROOMS[1:])
    assert set(json.loads(dvc(tmp_path, "status", "--json"))) == set(ROOMS)
