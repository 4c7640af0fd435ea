"""Fixtures shared by all rooms."""

import fcntl
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from mini import CONFIG, REPOSITORY, frozen, mini_rows, snakemake, write_bundle, write_sheet

from hemexp.config import load_settings
from hemexp.settings import Settings

LONG = (
    "test_mini_run",  # makes the run, while another process does the next two files
    "test_preprocess_safety",
    "test_training",
    "test_slurm",
    "test_exclusion",
    "test_ablations",
    "test_workflow",
    "test_dvc_repro",
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


@pytest.fixture(scope="session")
def mini_run(tmp_path_factory):
    """The whole workflow, run once on the mini cohort: the folder that holds its results.

    Processes that share the tests share it: the first to ask makes it, others wait. Nobody may
    write into it.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "mini"
    finished = folder.with_suffix(".finished")
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not finished.exists():
            snakemake(write_sheet(mini_rows(), folder), "--cores", "2")
            finished.touch()
    return folder


@pytest.fixture(scope="session")
def rules(tmp_path_factory):
    """Every rule that runs something, as Snakemake reads it, by name: `workflow_rules.of_rule`."""
    folder = write_sheet(mini_rows(), tmp_path_factory.mktemp("rules"))
    bundle = write_bundle(folder / "bundle")
    program = [sys.executable, REPOSITORY / "tests/workflow_rules.py", REPOSITORY / "Snakefile"]
    found = {}
    for config in (CONFIG, frozen(folder, bundle, "autoencoder", "diffusion", "expansion")):
        done = subprocess.run([*program, config], cwd=folder, stdout=subprocess.PIPE, check=True)
        found |= json.loads(done.stdout.splitlines()[-1])
    return {name: SimpleNamespace(**rule) for name, rule in found.items()}


@pytest.fixture(scope="module")
def one_thread():
    """Sums in another order end in other bits: as many threads here as in the child processes."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
