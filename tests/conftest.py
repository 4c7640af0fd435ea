"""Fixtures shared by all rooms."""

import fcntl
import json
import os
import subprocess
import sys
from operator import itemgetter
from types import SimpleNamespace

import pytest
from mini import CONFIG, KEYS, REPOSITORY, frozen, mini_rows, snakemake, write_bundle, write_sheet

from hemexp.config import load_settings
from hemexp.settings import Settings

LONG = (
    "test_slurm",  # mostly waits
    "test_mini_run",  # makes the run, while another process does the next file
    "test_preprocess_safety",
    "test_volumes",  # short: of three processes the first takes it, too, and keeps it for last
    "test_ablations",
    "test_exclusion",
    "test_reruns",
    "test_workflow",
    "test_launch",
    "test_dvc_repro",
    "test_training",
)
"""Files of a minute or more, before all others: what starts last should be short."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Puts the long files first; a test that needs the finished run is `wet`."""
    for item in items:
        if "mini_run" in item.fixturenames:
            item.add_marker("wet")
    order = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.stem, len(LONG)))


@pytest.fixture(scope="session")
def settings() -> Settings:
    """The embedded default."""
    return load_settings({"preset": "demo"})


def once(tmp_path_factory, name, make):
    """A folder that the processes which share the tests share: the first to ask makes it.

    Others wait for it. Nobody may write into it.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    finished = folder.with_suffix(".finished")
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not finished.exists():
            make(write_sheet(mini_rows(), folder))
            finished.touch()
    return folder


@pytest.fixture(scope="session")
def mini_run(tmp_path_factory):
    """The whole workflow, run once on the mini cohort: the folder that holds its results."""
    return once(tmp_path_factory, "mini", lambda folder: snakemake(folder, "--cores", "2"))


@pytest.fixture(scope="session")
def rules(tmp_path_factory):
    """Every rule that runs something, as Snakemake reads it, by name: `workflow_rules.of_rule`."""

    def read(folder):
        released = frozen(folder, write_bundle(folder / "bundle"), *map(itemgetter(0), KEYS))
        program = REPOSITORY / "tests" / "workflow_rules.py"
        command = [sys.executable, program, REPOSITORY / "Snakefile", CONFIG, released]
        done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, check=True)
        (folder / "rules.json").write_bytes(done.stdout)

    found = json.loads((once(tmp_path_factory, "rules", read) / "rules.json").read_text())
    return {name: SimpleNamespace(**rule) for name, rule in found.items()}


@pytest.fixture(scope="module")
def one_thread():
    """Sums in another order end in other bits: as many threads here as in the child processes."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
