"""The environments hold the same pins: the lock, the conda file, the Apptainer definition."""

import os
import re
import shutil
import subprocess
import sys
import tomllib

import pytest
import yaml
from mini import REPOSITORY, mini_rows, snakemake, write_sheet

from hemexp import __version__

ENVS = REPOSITORY / "envs"


def pins(lines):
    """Versions by package, in one spelling of names; every line has to be a pin."""
    found = [re.fullmatch(r"([\w.-]+)==([\w.]+)", line) for line in lines]
    assert all(found), [line for line, pin in zip(lines, found, strict=True) if not pin]
    return {re.sub(r"[-_.]+", "-", pin[1]).lower(): pin[2] for pin in found}


@pytest.fixture(scope="module")
def lock():
    lines = (ENVS / "requirements.lock").read_text().splitlines()
    return pins([line for line in lines if not line.startswith("#")])


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


def test_the_conda_file_has_the_pins_of_the_lock(lock):
    python, pip, packages = yaml.safe_load((ENVS / "hemexp.yaml").read_text())["dependencies"]
    assert pip == "pip" and python.startswith("python=3.")
    assert pins(packages["pip"]) == lock


def test_the_container_installs_the_lock_on_the_same_python():
    text = (ENVS / "hemexp.def").read_text()
    assert "envs/requirements.lock /opt/requirements.lock" in text
    assert "pip install --no-cache-dir --requirement /opt/requirements.lock" in text
    version = re.search(r"^From: python:([\d.]+)-", text, re.MULTILINE)[1]
    assert f"python={version}\n" in (ENVS / "hemexp.yaml").read_text()


def test_the_lock_pins_every_dependency_within_its_bound(lock, project):
    extras = [name for names in project["optional-dependencies"].values() for name in names]
    for requirement in [*project["dependencies"], *extras]:
        name, least = re.fullmatch(r"([\w.-]+)>=([\d.]+)", requirement).groups()
        version = lock[re.sub(r"[-_.]+", "-", name).lower()]
        assert [*map(int, re.findall(r"\d+", version))] >= [*map(int, least.split("."))], name


def test_every_rule_names_the_conda_file(rules):
    assert {rule.conda for rule in rules.values()} == {str(ENVS / "hemexp.yaml")}


STAND_IN = """#!/bin/bash
# Notes how it was called, then runs the job on the host.
[ "$1" = --version ] && echo "apptainer version 1.4.0" && exit
echo "$@" >> {log}
while [ "$1" != -c ]; do shift; done
exec bash -c "$2"
"""


@pytest.mark.slow
def test_apptainer_runs_every_job_in_the_container(tmp_path, monkeypatch):
    program, log = tmp_path / "bin" / "apptainer", tmp_path / "calls.txt"
    program.parent.mkdir()
    program.write_text(STAND_IN.format(log=log))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    folder = write_sheet(mini_rows(), tmp_path / "run")
    wanted = "results/phantom/what_if_truth.tsv"
    snakemake(folder, "--cores", "1", "--sdm", "apptainer", "--apptainer-args=--nv", wanted)
    assert (folder / wanted).is_file()
    (call,) = log.read_text().splitlines()
    assert "--nv" in call and " .snakemake/hemexp.sif " in call
    assert (folder / ".snakemake/hemexp.sif").readlink() == REPOSITORY / "envs/hemexp.sif"
    assert "hemexp collect-what-if-truth" in call


def test_who_cites_it_cites_this_version():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert citation["version"] == __version__
    assert citation["references"][0]["identifiers"][0]["value"] == "arXiv:2606.15304"


INSTALLED = """#!/bin/bash
# In place of Python: makes an environment whose Python is this program, too; installs nothing.
[ "$1" = -c ] && exit {too_old}
mkdir -p .venv/bin
ln -sf {program} .venv/bin/python
"""
CPU = "PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu"


@pytest.fixture
def make_demo_environment(tmp_path, monkeypatch):
    """Runs `make .venv/installed` without installing: what it says, and its exit code."""
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "envs").mkdir()
    for name in ("Makefile", "pyproject.toml", "envs/requirements.lock"):
        shutil.copy(REPOSITORY / name, tmp_path / name)

    def make(*variables, gpu=False, too_old=0):
        programs = {"nvidia-smi": f"#!/bin/bash\nexit {int(not gpu)}\n"}
        programs["python0"] = INSTALLED.format(program=tmp_path / "python0", too_old=too_old)
        for name, text in programs.items():
            (tmp_path / name).write_text(text)
            (tmp_path / name).chmod(0o755)
        (tmp_path / ".venv" / "installed").unlink(missing_ok=True)
        command = ["make", ".venv/installed", "PYTHON=python0", *variables]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        return done.stdout, done.returncode

    return make


@pytest.mark.skipif(sys.platform != "linux", reason="CUDA comes with PyTorch for Linux alone")
def test_a_machine_without_a_gpu_is_told_how_to_do_without_cuda(make_demo_environment):
    said, code = make_demo_environment()
    assert code == 0 and f"type: make .venv/installed {CPU}" in said
    for said, code in (make_demo_environment(CPU), make_demo_environment(gpu=True)):
        assert code == 0 and "No GPU" not in said


def test_an_old_python_is_told_before_anything_is_installed(make_demo_environment, tmp_path):
    said, code = make_demo_environment(too_old=1)
    assert code == 2 and "Python 3.11 or newer" in said and not (tmp_path / ".venv").exists()
