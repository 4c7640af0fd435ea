"""Preprocessing killed at any moment and started again ends with the same bytes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mini import CONFIG, REPOSITORY, demo_rows, snakemake, write_sheet

COHORT = ["A01", "D09"]
"""One pair and one baseline alone."""

MOMENTS = {
    "first scan being read": "logs/strip_skull/*.log",
    "a scan half written": "preprocess/sub-A01/*space-native_ct.nii.gz",
    "the pair registered": "preprocess/sub-A01/*_xfm.tfm",
    "the grid begun": "preprocess/sub-*/*space-grid_ct.nii.gz",
}


def run_and_kill(folder, pattern):
    """Starts preprocessing and kills it, children too, as soon as a file of a name is there."""
    paths = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PATH": paths}
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--cores",
        "2",
        "preprocess",
        "--snakefile",
        REPOSITORY / "Snakefile",
        "--directory",
        folder,
        "--configfile",
        CONFIG,
        "--rerun-incomplete",
    ]
    with open(folder / "killed.txt", "w") as output:  # noqa: PTH123
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,
            cwd=folder,
        )
    while process.poll() is None and not list((folder / "results").glob(pattern)):
        time.sleep(0.01)
    assert process.poll() is None, (folder / "killed.txt").read_text()[-2000:]
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def without_seconds(record):
    return {name: value for name, value in record.items() if name != "seconds"}


def contents(folder):
    """Bytes of every product; of a sidecar all but how long the work took."""
    found = {}
    for path in sorted((folder / "results").rglob("*")):
        part = path.relative_to(folder / "results")
        if path.is_dir() or part.parts[0] in ("logs", "benchmarks"):
            continue
        found[str(part)] = path.read_bytes()
        if path.suffix == ".json":
            found[str(part)] = json.loads(found[str(part)], object_hook=without_seconds)
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nobody disturbed."""
    folder = write_sheet(demo_rows(COHORT), tmp_path_factory.mktemp("whole"))
    snakemake(folder, "--cores", "2", "preprocess")
    return contents(folder)


@pytest.mark.wet
def test_a_killed_run_started_again_ends_with_the_same_bytes(whole, tmp_path):
    folder = write_sheet(demo_rows(COHORT), tmp_path)
    for pattern in MOMENTS.values():
        run_and_kill(folder, pattern)
        snakemake(folder, "--unlock")
    snakemake(folder, "--cores", "2", "preprocess", "--rerun-incomplete")
    found = contents(folder)
    assert found.keys() == whole.keys()
    assert [name for name in whole if found[name] != whole[name]] == []
    assert len([name for name in whole if name.endswith(".nii.gz")]) >= 24
