"""Fixtures shared by all rooms."""

import pytest
from mini import mini_rows, snakemake, write_sheet

from hemexp.config import load_settings
from hemexp.settings import Settings


@pytest.fixture(scope="session")
def settings() -> Settings:
    """The embedded default."""
    return load_settings({"preset": "demo"})


@pytest.fixture(scope="session")
def mini_run(tmp_path_factory):
    """The whole workflow, run once on the mini cohort: the folder that holds its results."""
    folder = write_sheet(mini_rows(), tmp_path_factory.mktemp("mini"))
    snakemake(folder, "--cores", "2")
    return folder


@pytest.fixture(scope="module")
def one_thread():
    """Sums in another order end in other bits: as many threads here as in the child processes."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
