"""A patient who cannot be used: the run stops, or goes on without the patient and says so."""

import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from mini import MINI, mini_rows, snakemake, write_sheet

from hemexp import Fault, HemexpError
from hemexp.outcomes import read_excluded
from hemexp.preprocess.collect import Outputs, run_collect_qc
from hemexp.preprocess.exclude import run_or_exclude
from hemexp.preprocess.rows import read_row, write_row
from hemexp.provenance import StorageError, patient_file, write_text

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
    arguments = (failing(fault), table, [image, table], {"patient_id": "P1"})
    with pytest.raises(HemexpError, match="patient P1"):
        run_or_exclude(*arguments, "stop")
    assert not image.exists() and not table.exists()
    run_or_exclude(*arguments, "exclude")
    assert image.read_bytes() == b"" and not (tmp_path / "x_mask.json").exists()
    assert read_row(table, "P1")["failure"] == str(fault).replace("\n", " ")


def test_a_full_disk_excludes_nobody(tmp_path):
    full = StorageError(Fault("x.nii.gz", "no space left", "room", "Make room."))
    with pytest.raises(StorageError):
        run_or_exclude(failing(full), tmp_path / "t.tsv", [], {"patient_id": "P1"}, "exclude")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """One-row tables of eight good patients as the steps leave them, and their sheet."""
    folder = write_sheet(mini_rows(), tmp_path)
    monkeypatch.chdir(folder)
    for row in mini_rows().itertuples():
        sessions = ["baseline"] if row.split == "predict" else ["baseline", "followup"]
        for session in sessions:
            for space, measured in (("native", NATIVE), ("grid", GRID)):
                ending = f"ses-{session}_space-{space}_volumes.tsv"
                cells = {"patient_id": row.patient_id, "session": session, **measured}
                write_row(patient_file(folder, row.patient_id, ending), cells)
        if len(sessions) == 2:
            path = patient_file(folder, row.patient_id, "desc-registration_qc.tsv")
            write_row(path, {"patient_id": row.patient_id, **MOTION})
    return folder


def fail(folder, patient_id, ending, reason):
    row = {"patient_id": patient_id, "failure": reason}
    write_row(patient_file(folder, patient_id, ending), row)


def collect(folder, settings, on_failure):
    outputs = Outputs(*(folder / f"{name}.tsv" for name in Outputs._fields))
    room = settings.preprocess.model_copy(update={"on_failure": on_failure})
    run_collect_qc(folder / "config" / "samples.tsv", folder, outputs, room)
    return [pd.read_csv(path, sep="\t", keep_default_na=False) for path in outputs]


def test_an_excluded_patient_is_listed_with_the_first_reason(tables, settings):
    fail(tables, "D02", "desc-registration_qc.tsv", "no overlap")
    fail(tables, "D02", "ses-followup_space-grid_volumes.tsv", "a file of 0 bytes")
    qc, excluded, outcomes = collect(tables, settings, "exclude")
    assert excluded.values.tolist() == [["D02", "followup", "register-followup", "no overlap"]]
    assert read_excluded(tables / "excluded.tsv") == ["D02"]
    assert set(outcomes["patient_id"]) == set(mini_rows()["patient_id"]) - {"D02"}
    rows = qc.set_index(["patient_id", "session"])
    assert rows.loc[("D02", "followup"), ["status", "reason"]].tolist() == ["failed", "no overlap"]
    assert rows.loc[("D02", "baseline"), "status"] == "failed"
    assert "followup" in rows.loc[("D02", "baseline"), "reason"]
    others = rows.drop(index="D02", level=0)
    assert (others["status"] == "ok").all() and (others["notes"] == NATIVE["notes"]).all()


def test_a_failure_left_from_an_excluding_run_stops_a_strict_one(tables, settings):
    fail(tables, "D02", "desc-registration_qc.tsv", "no overlap")
    with pytest.raises(HemexpError, match=r"patient D02, register-followup.*no overlap.*sub-D02"):
        collect(tables, settings, "stop")
    assert not (tables / "qc.tsv").exists()


def test_a_cohort_without_a_training_patient_left_stops(tables, settings):
    for patient_id in MINI["train"]:
        fail(tables, patient_id, "ses-baseline_space-native_volumes.tsv", "no skull")
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
        spoil(patient_file(run / "results" / "phantom", patient, f"ses-{session}_iph.nii.gz"))
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
    page = (run / "results" / "report" / "index.html").read_text()
    assert "A02" in page and "an empty mask" in page
    assert "Nothing to be done" in snakemake(run, "--cores", "2", *exclude)
