"""The shell blocks of README, the sheet's page and the start pages run on the mini cohort."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from mini import CONFIG, REPOSITORY, mini_rows

from hemexp.columns import IMAGES, SESSIONS

START = REPOSITORY / "docs" / "start"
PAGES = [REPOSITORY / "README.md", REPOSITORY / "config/README.md", *sorted(START.glob("*.md"))]
FIRST_COHORT = START / "first_cohort.md"
SHELL = ("bash", "sh", "shell", "console")

SKIPPED = {
    "make ": "installs, then runs for minutes or hours",
    "git clone ": "needs the network",
    "source .venv/": "the copy has no environment of its own",
    "snakemake --profile ": "needs Slurm: tests/test_slurm.py",
    "dvc ": "needs git and dvc's cache: tests/test_dvc_repro.py",
    "snakemake --cores 2 preprocess": "minutes: the mini run did it",
    "snakemake --cores 2 --until fit_expansion": "minutes: the mini run did it",
}
"""How commands begin that are not run here, each with its reason."""

WHOLE_RUN = "snakemake --cores 2"
"""Is run where the results are finished, and has nothing to do."""


def blocks(page):
    """Language and text of every fenced block of a page."""
    return re.findall(r"^ *```(\S*)\n(.*?)^ *```$", page.read_text(), re.MULTILINE | re.DOTALL)


def commands(page):
    """Commands of a page's shell blocks, in their order; a line that goes on is one command."""
    lines = "".join(text for language, text in blocks(page) if language in SHELL)
    joined = re.sub(r"\\\n\s*", "", lines).splitlines()
    return [line.strip() for line in joined if line.strip() and not line.lstrip().startswith("#")]


def why_not(command):
    """The reason not to run a command here, empty for one that is run."""
    return next((why for start, why in SKIPPED.items() if f"{command} ".startswith(start)), "")


def make_tree(folder, mini_run, *, finished):
    """A clone of the repository with the settings of the mini run, and its results if asked."""
    if finished:
        shutil.copytree(mini_run, folder)
    (folder / "config").mkdir(parents=True, exist_ok=True)
    for path in REPOSITORY.iterdir():
        if path.name not in ("config", "results") and not path.name.startswith("."):
            (folder / path.name).symlink_to(path)
    for path in (REPOSITORY / "config").iterdir():
        if path.name not in ("config.yaml", "samples.tsv"):
            (folder / "config" / path.name).symlink_to(path)
    settings = {"preset": "demo"} | yaml.safe_load(CONFIG.read_text())
    (folder / "config/config.yaml").write_text(yaml.safe_dump(settings))
    return folder


def lay_out_scans(folder, mini_run):
    """Raw scans of the mini run, named as the page on a first cohort names them."""
    for row in mini_rows().to_dict("records"):
        # The page's centres are A, B and C.
        centre = folder / "scans" / row["center"].replace("D", "C")
        centre.mkdir(parents=True, exist_ok=True)
        for column in (f"{session}_{image}" for session in SESSIONS for image in IMAGES):
            if row[column]:
                source = (mini_run / "config" / row[column]).resolve()
                (centre / f"{row['patient_id']}_{column}.nii.gz").symlink_to(source)


def fill_in(folder):
    """What the page asks a person to do with the joined drafts: say who is learned from."""
    path = folder / "config/samples.tsv"
    sheet = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    sheet.loc[sheet["center"] != "C", "split"] = "train"
    sheet.to_csv(path, sep="\t", index=False)


def run_shell(command, folder):
    """Runs a command as a shell does; gives exit code and all that was printed."""
    environment = os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    environment["OMP_WAIT_POLICY"] = "PASSIVE"
    environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    shell = ["bash", "-euo", "pipefail", "-c", command]
    done = subprocess.run(
        shell, cwd=folder, env=environment, capture_output=True, text=True, timeout=240
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_block_says_its_language(page):
    """A block without one would be neither run nor skipped."""
    assert [text for language, text in blocks(page) if not language] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_the_commands_of_a_page_run(page, mini_run, tmp_path):
    first = page == FIRST_COHORT
    folder = make_tree(tmp_path / "tree", mini_run, finished=not first)
    if first:
        lay_out_scans(folder, mini_run)
    for command in filter(lambda one: not why_not(one), commands(page)):
        if first and command == WHOLE_RUN:
            continue  # Nothing is finished here: it would take minutes, as the mini run did.
        code, text = run_shell(command, folder)
        assert code == 0, f"{page.name}: {command}\n{text[-3000:]}"
        if command == WHOLE_RUN:
            assert "Nothing to be done" in text
        if first and ">> config/samples.tsv" in command:
            fill_in(folder)


def test_commands_are_found_and_unknown_ones_fail(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```bash\nhemexp a \\\n    --b\n\n# why\nmake demo\n```\n```text\nc\n```\n")
    assert commands(page) == ["hemexp a --b", "make demo"]
    assert [bool(why_not(one)) for one in commands(page)] == [False, True]
    for command in ("no-such-program", "no-such-program | head -n 1", "hemexp no-such-verb"):
        assert run_shell(command, tmp_path)[0] != 0
