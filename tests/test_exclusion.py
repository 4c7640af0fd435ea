"""A patient who cannot be used: the run stops, or goes on without the patient and says so."""

import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from mini import MINI, mini_rows, snakemake, write_sheet

from hemexp import Fault, HemexpError
from hemexp.cohort import read_sheet
from hemexp.layout import Layout
from hemexp.outcomes import read_excluded
from hemexp.preprocess.collect import run_collect_qc
from hemexp.preprocess.exclude import NothingFound, run_or_exclude
from hemexp.preprocess.rows import read_row, write_row
from hemexp.provenance import StorageError, write_text

NATIVE = {"iph_ml": 20.0, "ivh_ml": 0.0, "brain_ml": 1500.0, "notes": "padding clamped"}
GRID = {"iph_grid_ml": 20.1, "ivh_grid_ml": 0.0}
MOTION = {
    "rotation_deg": 3.0,
    "translation_mm": 2.0,
    "registration_metric": -0.9,
    "correlation": 0.99,
    "overlap": 0.97,
}


def failing(error):
    def step():
        raise error

    return step


def test_a_failure_stops_or_leaves_empty_files_and_the_reason(tmp_path):
    image, table = tmp_path / "x_mask.nii.gz", tmp_path / "x_volumes.tsv"
    write_text(tmp_path / "x_mask.json", "{}")
    fault = HemexpError(Fault("patient P1, ct", "two\nlines", "one", "Mend it."))
    arguments = (failing(fault), "P1", table, [image, table])
    with pytest.raises(HemexpError, match="patient P1"):
        run_or_exclude(*arguments, "stop")
    assert not image.exists() and not table.exists()
    run_or_exclude(*arguments, "exclude")
    assert image.read_bytes() == b"" and not (tmp_path / "x_mask.json").exists()
    assert read_row(table, "P1")["failure"] == str(fault).replace("\n", " ")


def test_a_scan_without_a_found_bleed_never_stops_the_run(tmp_path):
    table = tmp_path / "x_volumes.tsv"
    none = NothingFound(Fault("patient P1, baseline", "no IPH", "a voxel", "Draw it."))
    run_or_exclude(failing(none), "P1", table, [table], "stop")
    assert read_row(table, "P1")["failure"] == str(none).replace("\n", " ")


def test_a_full_disk_excludes_nobody(tmp_path):
    full = StorageError(Fault("x.nii.gz", "no space left", "room", "Make room."))
    with pytest.raises(StorageError):
        run_or_exclude(failing(full), "P1", tmp_path / "t.tsv", [], "exclude")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """One-row tables of eight good patients as the steps leave them, and their sheet."""
    monkeypatch.chdir(write_sheet(mini_rows(), tmp_path))
    layout = Layout()
    for row in mini_rows().itertuples():
        sessions = ["baseline"] if row.split == "predict" else ["baseline", "followup"]
        for session in sessions:
            for files, measured in ((layout.native, NATIVE), (layout.grid, GRID)):
                cells = {"patient_id": row.patient_id, "session": session, **measured}
                write_row(files(row.patient_id, session).volumes, cells)
        if len(sessions) == 2:
            write_row(layout.pair(row.patient_id).qc, {"patient_id": row.patient_id, **MOTION})
    return layout


def fail(path, patient_id, reason):
    write_row(path, {"patient_id": patient_id, "failure": reason})


def collect(layout, settings, on_failure):
    sheet, room = "config/samples.tsv", settings.preprocess
    room = room.model_copy(update={"on_failure": on_failure})
    run_collect_qc(layout, read_sheet(sheet), sheet, room)
    tables = layout.qc, layout.excluded, layout.outcomes
    return [pd.read_csv(path, sep="\t", keep_default_na=False) for path in tables]


def test_an_excluded_patient_is_listed_with_the_first_reason(tables, settings):
    fail(tables.pair("D02").qc, "D02", "no overlap")
    fail(tables.grid("D02", "followup").volumes, "D02", "a file of 0 bytes")
    qc, excluded, outcomes = collect(tables, settings, "exclude")
    assert excluded.values.tolist() == [["D02", "followup", "register-followup", "no overlap"]]
    assert read_excluded(tables.excluded) == ["D02"]
    assert set(outcomes["patient_id"]) == set(mini_rows()["patient_id"]) - {"D02"}
    rows = qc.set_index(["patient_id", "session"])
    assert rows.loc[("D02", "followup"), ["status", "reason"]].tolist() == ["failed", "no overlap"]
    assert rows.loc[("D02", "baseline"), "status"] == "failed"
    assert "followup" in rows.loc[("D02", "baseline"), "reason"]
    others = rows.drop(index="D02", level=0)
    assert (others["status"] == "ok").all() and (others["notes"] == NATIVE["notes"]).all()


def test_who_has_no_found_bleed_is_left_out_of_a_strict_run_too(tables, settings):
    sheet = read_sheet("config/samples.tsv")
    sheet.loc["D02", ["baseline_iph", "baseline_ivh"]] = ""
    names = {"patient_id": "D02", "session": "baseline"}
    write_row(tables.stripped("D02", "baseline"), names | NATIVE)
    fail(tables.native("D02", "baseline").volumes, "D02", "no IPH in the masks")
    assert settings.preprocess.on_failure == "stop"
    run_collect_qc(tables, sheet, "config/samples.tsv", settings.preprocess)
    excluded = pd.read_csv(tables.excluded, sep="\t")
    row = ["D02", "baseline", "segment-scan", "no IPH in the masks"]
    assert excluded.values.tolist() == [row]


def test_a_failure_left_from_an_excluding_run_stops_a_strict_one(tables, settings):
    fail(tables.pair("D02").qc, "D02", "no overlap")
    with pytest.raises(HemexpError, match=r"patient D02, register-followup.*no overlap.*sub-D02"):
        collect(tables, settings, "stop")
    assert not tables.qc.exists()


def test_a_cohort_without_a_training_patient_left_stops(tables, settings):
    for patient_id in MINI["train"]:
        fail(tables.native(patient_id, "baseline").volumes, patient_id, "no skull")
    with pytest.raises(HemexpError, match="all 5 training patients excluded"):
        collect(tables, settings, "exclude")


def spoil(path):
    image = nib.load(path)
    nib.save(nib.Nifti1Image(np.zeros(image.shape, np.uint8), image.affine), path)


@pytest.mark.wet
def test_a_run_goes_on_without_the_patients_it_cannot_use(mini_run, tmp_path):
    """One training and one test patient lose a mask: stop by default, else leave both out."""
    run = shutil.copytree(mini_run, tmp_path / "run")
    for patient, session in (("A02", "followup"), ("D02", "baseline")):
        spoil(Layout(run / "results").raw(patient, session).iph)
    # Who is left out decides here, not how well the networks learn: they learn for a moment.
    short = ["--config", "autoencoder={steps: 20}", "diffusion={steps: 10}"]
    text = snakemake(run, "--cores", "2", "--keep-going", *short, check=False)
    assert "strip_skull" in text
    for patient, session in (("A02", "followup"), ("D02", "baseline")):
        log = run / "results" / "logs" / "strip_skull" / f"{patient}_{session}.log"
        assert f"patient {patient}, {session} iph" in log.read_text()
        assert "an empty mask" in log.read_text()

    exclude = [*short, "sampling={evaluations: 3}", "preprocess={on_failure: exclude}"]
    snakemake(run, "--cores", "2", *exclude)
    excluded = run / "results" / "preprocess" / "excluded.tsv"
    assert read_excluded(excluded) == ["A02", "D02"]
    outcomes = pd.read_csv(run / "results" / "cohort" / "outcomes.tsv", sep="\t")
    assert set(outcomes["patient_id"]) == set(mini_rows()["patient_id"]) - {"A02", "D02"}
    scored = pd.read_csv(run / "results" / "evaluation" / "volumes.tsv", sep="\t")
    assert "D02" not in set(scored["patient_id"]) and "D06" in set(scored["patient_id"])
    page = (run / "results" / "report" / "quality.html").read_text()
    assert "A02" in page and "an empty mask" in page
    alone = Layout(run / "results").patient_page("D02").read_text()
    assert "an empty mask" in alone and "there is no forecast" in alone
    assert "Nothing to be done" in snakemake(run, "--cores", "2", *exclude)
