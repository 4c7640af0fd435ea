"""The chain behind a product, what changed since, and names that give nobody away."""

import json
import time

import pytest

from hemexp import Fault, HemexpError
from hemexp.desk.provenance_chain import chain_lines, trace
from hemexp.layout import Layout
from hemexp.preprocess.exclude import run_or_exclude
from hemexp.preprocess.strip import name_raw
from hemexp.provenance import hash_value, write_sidecars


def product(path, inputs, **record):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(path.name)
    facts = {"verb": "v", "settings": {}, "started": time.perf_counter()} | record
    write_sidecars([path], inputs=inputs, **facts)
    return path


@pytest.fixture
def run(tmp_path):
    """A table made of two patients' scans, which were made of raw files and one model."""
    results = tmp_path / "results"
    model = product(results / "autoencoder/model.safetensors", [], verb="train", seed=3)
    scans, raw = [], {}
    for patient in ("P1", "P2"):
        secret = tmp_path / f"hospital/{patient}_MUELLER/ct.nii.gz"
        secret.parent.mkdir(parents=True)
        secret.write_text(patient)
        named = name_raw(patient, "baseline", {"ct": str(secret)})
        raw |= named
        scan = results / f"preprocess/sub-{patient}/sub-{patient}_ct.nii.gz"
        scans.append(product(scan, named, verb="strip-skull", settings={"k": 1}))
    table = product(results / "tables/t.csv", [*scans, model], verb="write-tables")
    return table, results, raw


def test_the_chain_reaches_raw_files_and_settings(run):
    table, results, raw = run
    chain = trace(table, Layout(results), raw)
    assert set(chain.behind()) == {
        "autoencoder/model.safetensors",
        "sub-P1/sub-P1_ct.nii.gz",
        "sub-P2/sub-P2_ct.nii.gz",
        "raw/sub-P1_ses-baseline_ct",
        "raw/sub-P2_ses-baseline_ct",
    }
    lines = chain_lines(chain)
    assert lines[0].startswith("t.csv [hemexp write-tables")
    (scan,) = [line for line in lines if "sub-P1_ct.nii.gz [hemexp strip-skull, settings" in line]
    assert scan.endswith("unchanged (and 1 of other patients)")
    assert any(line.endswith("raw/sub-P1_ses-baseline_ct [raw] unchanged") for line in lines)
    assert any("hemexp train, seed 3" in line for line in lines)
    assert [line for line in lines if line.startswith("settings")] == [
        f'settings {hash_value({"k": 1})} = {{"k":1}}'
    ]
    assert lines[-1] == "5 files behind it, 0 changed since or missing"
    assert len(chain_lines(chain, whole=True)) == len(lines) + 2


def test_what_changed_is_named_even_among_many_alike(run, tmp_path):
    table, results, raw = run
    (tmp_path / "hospital/P2_MUELLER/ct.nii.gz").write_text("drawn again")
    (results / "autoencoder/model.safetensors").unlink()
    lines = chain_lines(trace(table, Layout(results), raw))
    assert "5 files behind it, 2 changed since or missing" in lines[-1]
    assert "CHANGED: raw/sub-P2_ses-baseline_ct" in lines[-1]
    assert "missing: autoencoder/model.safetensors" in lines[-1]


def test_without_the_sheet_raw_files_are_missing_and_nothing_else(run):
    table, results, _ = run
    states = {
        name: link.state for name, link in trace(table, Layout(results), {}).behind().items()
    }
    assert {name for name, state in states.items() if state == "missing"} == {
        "raw/sub-P1_ses-baseline_ct",
        "raw/sub-P2_ses-baseline_ct",
    }


def test_a_file_without_a_sidecar_is_refused(tmp_path):
    (tmp_path / "x.csv").touch()
    with pytest.raises(HemexpError, match=r"x.csv: found a file without a sidecar"):
        trace(tmp_path / "x.csv", Layout(tmp_path), {})


def test_no_sidecar_says_where_or_as_whom_a_hospital_keeps_a_scan(run):
    _, results, _ = run
    for path in results.rglob("*.json"):
        assert "MUELLER" not in path.read_text() and "hospital" not in path.read_text()
    record = json.loads((results / "preprocess/sub-P1/sub-P1_ct.json").read_text())
    assert list(record["inputs"]) == ["raw/sub-P1_ses-baseline_ct"]


def test_dicom_files_are_numbered_and_the_phantoms_keep_their_names(tmp_path, monkeypatch):
    for number in (2, 1):
        (tmp_path / "MUELLER").mkdir(exist_ok=True)
        (tmp_path / f"MUELLER/{number}.dcm").write_text("x")
    named = name_raw("P1", "followup", {"ct": tmp_path / "MUELLER"})
    assert {name: path.name for name, path in named.items()} == {
        "raw/sub-P1_ses-followup_ct/00000": "1.dcm",
        "raw/sub-P1_ses-followup_ct/00001": "2.dcm",
    }
    drawn = "results/phantom/sub-A01/sub-A01_ses-baseline_ct.nii.gz"
    assert list(name_raw("A01", "baseline", {"ct": drawn})) == [
        "sub-A01/sub-A01_ses-baseline_ct.nii.gz"
    ]


def test_the_reason_of_an_exclusion_hides_the_path(tmp_path):
    path = "/data/MUELLER/ct.nii.gz"

    def step():
        raise HemexpError(Fault(f"patient P1, {path}", "noise", "a head", "Mend it."))

    table = tmp_path / "volumes.tsv"
    hidden = {path: "baseline_ct of the sheet"}
    run_or_exclude(step, "P1", table, [table], "exclude", hidden)
    assert "MUELLER" not in table.read_text()
    assert "patient P1, baseline_ct of the sheet: found noise" in table.read_text()
