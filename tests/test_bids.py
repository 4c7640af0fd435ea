"""The results as a BIDS derivatives dataset, by the validator of BIDS itself where it is there."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from results_folder import Grid, bleeds, read_samples, save, sheet_of, write_scan

from hemexp.layout import MAPS, NOT_BIDS, Layout
from hemexp.outcomes import expansion_outcomes
from hemexp.provenance import write_sidecars
from hemexp.reporting.bids import PARTICIPANT, run_write_bids
from hemexp.volumes import read_volume, write_volume

VOLUMES_ML = {"baseline_iph_ml": 20.0, "baseline_ivh_ml": 4.0, "followup_iph_ml": 30.0}

MADE = {"verb": "strip-skull", "settings": {}, "inputs": [], "started": 0.0}


@pytest.fixture
def layout(tmp_path):
    """A patient with both scans and maps, one with a baseline, one who was excluded."""
    root = tmp_path / "results"
    layout, grid, rng = Layout(root), Grid(), np.random.default_rng(1)
    rows = [
        {"patient_id": name, "center": "A", "split": split, **VOLUMES_ML, "followup_ivh_ml": 4.0}
        for name, split in (("007", "test"), ("P1", "predict"), ("X9", "train"))
    ]
    outcomes = expansion_outcomes(pd.DataFrame(rows))
    save(outcomes, layout.outcomes)
    save(sheet_of(outcomes, rng).assign(sex=["female", "", "male"]), root / "samples.tsv")
    for name, session in (("007", "baseline"), ("007", "followup"), ("P1", "baseline")):
        write_scan(root, grid, name, session, *bleeds(grid, 20.0, 4.0), rng, "native")
        write_sidecars(layout.native(name, session).images, **MADE)
    for name in MAPS:
        path = layout.sample_map("007", name)
        write_volume(path, 0.5 * bleeds(grid, 20.0, 4.0)[0], grid.affine, np.float32)
        write_sidecars([path], **MADE)
    row = {"patient_id": "X9", "session": "baseline", "step": "strip-skull", "reason": "no head"}
    save(pd.DataFrame([row]), layout.excluded)
    (root / "README.md").write_text("Results.\n")
    return layout


def write(layout):
    sheet = layout.root / "samples.tsv"
    run_write_bids(layout, read_samples(layout.root), sheet)
    if sheet.exists():  # it lies in `config/` of a real run
        shutil.copy(sheet, layout.root.parent / "samples.tsv")


def validate(layout):
    """Errors of the validator: code and place of each."""
    places = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    program = shutil.which("bids-validator-deno", path=places)
    if program is None:
        pytest.skip("no bids-validator-deno: pip install bids-validator-deno")
    command = [program, "--format", "json", str(layout.root)]
    done = subprocess.run(command, capture_output=True, text=True)
    issues = json.loads(done.stdout)["issues"]["issues"]
    return [(issue["code"], issue["location"]) for issue in issues if issue["severity"] == "error"]


def test_the_validator_finds_no_error_and_would_find_one(layout):
    write(layout)
    (layout.root / "samples.tsv").unlink()
    assert validate(layout) == []
    layout.bidsignore.unlink()
    assert "NOT_INCLUDED" in {code for code, _ in validate(layout)}


def test_links_show_the_images_and_go_when_these_are_gone(layout):
    write(layout)
    links = [path for path in layout.root.rglob("*") if path.is_symlink()]
    assert len(links) == 2 * (3 + 3 + 3 + len(MAPS))  # masks of three scans, maps, sidecars
    assert all(json.loads(link.read_text())["verb"] for link in links if link.suffix == ".json")
    native = layout.native("007", "followup").iph
    link = layout.root / "sub-007" / "ses-followup" / "anat" / native.name
    assert not link.readlink().is_absolute()
    assert (read_volume(link).data == read_volume(native).data).all()
    assert (layout.root / "sub-007/anat/sub-007_desc-expansion_probseg.nii.gz").is_symlink()
    facts = json.loads((layout.root / "space-native_desc-brain_mask.json").read_text())
    assert facts["Type"] == "Brain" and facts["SpatialReference"]
    for path in layout.native("P1", "baseline").images:
        path.unlink()
    native.unlink()
    write(layout)
    assert [path.name for path in layout.bids_folders()] == ["sub-007"]
    assert not link.is_symlink() and link.parent.is_dir()


def test_a_file_of_ones_own_in_such_a_folder_stays(layout):
    write(layout)
    own = layout.root / "sub-P1" / "notes.txt"
    own.write_text("read twice")
    for path in layout.native("P1", "baseline").images:
        path.unlink()
    write(layout)
    assert own.read_text() == "read twice" and not (own.parent / "ses-baseline").exists()


def test_participants_are_the_rows_of_the_sheet_and_are_explained(layout):
    write(layout)
    table = pd.read_csv(layout.participants, sep="\t", dtype=str, keep_default_na=False)
    assert [*table["participant_id"]] == ["sub-007", "sub-P1", "sub-X9"]
    assert [*table["excluded"]] == ["0", "0", "1"]
    assert [*table["sex"]] == ["female", "n/a", "male"]
    assert set(table["antiplatelet"]) == {"n/a"} and set(table["sbp"]) == {"170"}
    told = json.loads(layout.participants.with_suffix(".json").read_text())
    assert [*table.columns] == [*PARTICIPANT] and {*PARTICIPANT} <= {*told}
    assert told["age"]["Units"] == "year" and told["verb"] == "write-bids"


def test_the_dataset_says_what_made_it_from_what(layout):
    write(layout)
    record = json.loads(layout.dataset.read_text())
    (made,) = record["GeneratedBy"]
    assert record["DatasetType"] == "derivative" and made["Name"] == "hemexp"
    assert record["git"] in made["Description"] and record["versions"]["hemexp"] == made["Version"]
    assert record["SourceDatasets"][0]["URL"] == "file:samples.tsv"


def test_every_folder_of_a_run_is_ignored_or_known_to_bids():
    layout = Layout()
    paths = [
        value
        for name, member in vars(Layout).items()
        if isinstance(member, property)
        for value in [getattr(layout, name)]
    ]
    paths += [*layout.raw("P", "baseline"), layout.log("x")]
    paths += [layout.network(room).model for room in ("autoencoder", "diffusion")]
    paths += [layout.sample_volumes("P"), layout.table("x"), layout.figure("x")]
    paths += [layout.segmenter().model, layout.benchmark("x"), layout.ablation("x", "y")]
    paths += [layout.scored_models(1), *layout.native("P", "baseline"), layout.latents("P")]
    tops = {path.relative_to(layout.root).parts[0] for path in paths}
    assert tops - {*NOT_BIDS} == {".bidsignore", "dataset_description.json", "participants.tsv"}
    assert {*NOT_BIDS} <= tops
