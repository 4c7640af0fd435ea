"""The environments hold the same pins: the lock, the conda file, the Apptainer definition."""

import re
import tomllib

import pytest
import yaml
from mini import REPOSITORY

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


def test_every_rule_names_the_conda_file():
    for path in (REPOSITORY / "workflow" / "rules").glob("*.smk"):
        text = path.read_text()
        jobs = re.findall(r"^ +shell:", text, re.MULTILINE)
        assert len(jobs) == text.count('"../../envs/hemexp.yaml"'), path.name
