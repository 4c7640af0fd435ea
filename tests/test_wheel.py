"""A wheel in an empty environment, away from the repository: what a hospital installs."""

import gzip
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile

import pandas as pd
import pytest
from mini import REPOSITORY
from test_bundle import save_models
from test_predict_masks import LARGER
from tiny_head import write_head
from tiny_series import draw

from hemexp import HemexpError, __version__
from hemexp.config import SettingsError, load_settings
from hemexp.desk import side_run
from hemexp.layout import Layout
from hemexp.release.bundle import run_export_bundle
from hemexp.reporting.report.glossary import read_glossary

OUTSIDE = ("config", "docs/reference")
"""Folders that the package only links."""


def test_the_package_links_what_stands_outside_and_copies_nothing():
    shipped = REPOSITORY / "hemexp" / "shipped"
    links = sorted(shipped.iterdir())
    assert all(link.is_symlink() for link in links)
    assert {link.resolve() for link in links} == {REPOSITORY / name for name in OUTSIDE}


def test_what_an_installation_lacks_is_named(tmp_path, monkeypatch):
    with pytest.raises(SettingsError, match=f"{tmp_path}: found no presets; .* Install hemexp"):
        load_settings({}, tmp_path)
    with pytest.raises(HemexpError, match="glossary.md: found no file; expected the glossary"):
        read_glossary(tmp_path / "glossary.md")
    monkeypatch.setattr(side_run, "WORKFLOW", tmp_path / "Snakefile")
    with pytest.raises(HemexpError, match="Snakefile: found no file.* in a clone"):
        side_run.run_workflow(tmp_path / "run", {}, 1)
    assert not (tmp_path / "run").exists()


def call(*command, folder, check=True):
    """Runs a program without this process's paths; gives what it printed."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [*map(str, command)],
        cwd=folder,
        env=kept | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    text = done.stdout + done.stderr
    assert (done.returncode == 0) == check, text[-4000:]
    return text


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built of an sdist, as from the registry; without network, the sources stay untouched."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("hemexp", *OUTSIDE):
        left_out = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / name, source / name, symlinks=True, ignore=left_out)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    build = f"from setuptools import build_meta; print(build_meta.build_sdist({str(folder)!r}))"
    call(sys.executable, "-c", build, folder=source)
    shutil.rmtree(source)
    pip = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation")
    call(*pip, "--wheel-dir", folder, next(folder.glob("*.tar.gz")), folder=folder)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """An environment with the wheel: `hemexp` in it. Other packages are those that run the test.

    It lies below a git repository of somebody else.
    """
    folder = tmp_path_factory.mktemp("elsewhere")
    git = ("git", "-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
    call(*git, "init", "--quiet", folder=folder)
    call(*git, "commit", "--quiet", "--allow-empty", "--message", "theirs", folder=folder)
    environment = folder / ".venv"
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index")
    call(*pip, wheel, folder=folder)
    (own,) = environment.glob("lib/python*/site-packages")
    # A path alone: links of editable installations there are not followed.
    (own / "others.pth").write_text(sysconfig.get_path("purelib"))
    return environment / "bin" / "hemexp"


@pytest.mark.slow
def test_a_wheel_holds_each_settings_file_of_the_repository_once(wheel):
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name: archive.read(name) for name in archive.namelist() if "/shipped/" in name}
    config = [REPOSITORY / "config/base.yaml", *REPOSITORY.glob("config/presets/*.yaml")]
    expected = {f"hemexp/shipped/{p.relative_to(REPOSITORY)}": p.read_bytes() for p in config}
    glossary = REPOSITORY / "docs/reference/glossary.md"
    assert shipped == expected | {"hemexp/shipped/reference/glossary.md": glossary.read_bytes()}


@pytest.mark.slow
def test_a_sheet_is_drafted_and_checked(installed, tmp_path):
    scans = tmp_path / "scans"
    scans.mkdir()
    for session in ("baseline", "FU"):
        for image, path in write_head(scans).items():
            path.rename(scans / f"007_{session}_{image}.nii.gz")
    rows = tmp_path / "rows.tsv"
    text = call(installed, "new-center", scans, "--center", "E", "--out", rows, folder=tmp_path)
    assert "1 patient" in text
    filled = pd.read_csv(rows, sep="\t", dtype=str, keep_default_na=False)
    filled.assign(onset_to_ct_h="2", split="train").to_csv(rows, sep="\t", index=False)
    (tmp_path / "config.yaml").write_text("preset: full\n")
    check = (installed, "check", "--samples", rows, "--settings", "config.yaml", "--images")
    assert "1 patient" in call(*check, folder=tmp_path)
    (tmp_path / "config.yaml").write_text("preset: fall\n")
    text = call(*check, folder=tmp_path, check=False)
    assert "found 'fall'; expected one of demo, full, paper, validation" in text


IDENTITY = {
    "PatientName": "Surname^Givenname",
    "PatientID": "HOSPITAL4711",
    "PatientBirthDate": "19500102",
    "AccessionNumber": "ACCESSION4711",
    "StudyDate": "20240708",
    "SeriesDescription": "DESCRIPTION4711",
}
"""What a series says of a patient; its folder is called `Surname`, too."""


@pytest.fixture(scope="module")
def predicted(installed, tmp_path_factory):
    """What `predict` leaves of a patient who came as DICOM, with made-up released models."""
    folder = tmp_path_factory.mktemp("desk")
    settings = load_settings(LARGER)
    save_models(folder / "run", settings)
    run_export_bundle(Layout(folder / "run"), folder / "bundle", settings)
    draw(folder / "Surname" / "series", **IDENTITY)
    files = write_head(folder / "Surname") | {"ct": folder / "Surname" / "series"}
    options = [part for name, path in files.items() for part in (f"--baseline-{name}", path)]
    options += ["--onset-to-ct-h", "2", "--patient-id", "P7", "--device", "cpu"]
    call(installed, "predict", *options, "--model", "bundle", "--out", "out", folder=folder)
    return folder / "out"


@pytest.mark.slow
def test_a_patient_is_drawn_from_released_models(installed, predicted):
    made, options = Layout(predicted), ("--results", predicted)
    assert len(pd.read_csv(made.sample_volumes("P7"), sep="\t")) == 2
    assert "not a medical device" in made.patient_page("P7").read_text()
    record = json.loads(made.sample_volumes("P7").with_suffix(".json").read_text())
    assert record["git"] == "unknown"
    folder = predicted.parent
    assert call(installed, "--version", folder=folder).strip() == __version__
    text = call(installed, "provenance", made.sample_volumes("P7"), *options, folder=folder)
    assert "files behind it" in text and "hemexp strip-skull" in text
    text = call(installed, "stack-samples", "--patient", "P7", *options, folder=folder)
    assert text.count("desc-stacked") == 2
    assert all((folder / line).stat().st_size for line in text.splitlines())


@pytest.mark.slow
def test_nothing_that_is_left_says_who_the_patient_is(predicted):
    """`SECURITY.md` says so."""
    words = {word for value in IDENTITY.values() for word in value.split("^")}
    files = [path for path in predicted.rglob("*") if path.is_file()]
    assert {"P7" in path.name for path in files} == {True, False}
    for path in files:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        assert not [word for word in words if word.encode() in content], path
