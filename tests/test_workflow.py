"""Dry runs: which jobs a cohort, a new patient or an edited value costs."""

import re
import shutil

import pandas as pd
import pytest
from mini import MINI, REPOSITORY, demo_rows, jobs, mini_rows, snakemake, write_sheet

pytestmark = pytest.mark.slow


@pytest.fixture
def done(mini_run, tmp_path):
    """A copy of the finished mini run, to edit."""
    return shutil.copytree(mini_run, tmp_path / "run")


ONCE = dict.fromkeys(
    [
        "collect_truth",
        "collect_qc",
        "write_qc",
        "train_autoencoder",
        "fit_push",
        "encode_patients",
        "fit_scale",
        "measure_bleeds",
        "fit_expansion",
        "predict_expansion",
        "collect_what_if_truth",
        "answer_what_if",
        "train_diffusion",
        "fit_climatology",
        "fit_pool",
        "summarise_scores",
        "vary_masks",
        "score_what_if",
        "write_tables",
        "write_patients",
        "write_bids",
        "draw_figures",
        "write_report",
        "write_review",
    ],
    1,
)


def test_a_whole_run_has_every_job_once(tmp_path):
    folder = write_sheet(mini_rows(), tmp_path)
    assert jobs(snakemake(folder, "--dry-run")) == ONCE | {
        "draw_patient": 9,
        "strip_skull": 17,
        "register_followup": 8,
        "resample_scan": 17,
        "encode_patient": 3,
        "measure_bleed": 3,
        "sample_followups": 4,
        "score_patient": 2,
        "draw_truth_map": 2,
        "redraw_what_if": 1,
        "draw_true_what_if": 1,
        "pool_map": 3,
        "write_patient_page": 3,
    }


def test_the_demo_and_the_cluster_profile_plan_the_whole_cohort():
    demo = REPOSITORY / "config" / "config.yaml"
    for arguments in ([], ["--profile", REPOSITORY / "slurm"]):
        planned = jobs(snakemake(REPOSITORY, *arguments, "-n", "--forceall", config=demo))
        assert planned["draw_patient"] == 40 and planned["register_followup"] == 38


def add(folder, patient, **changes):
    rows = mini_rows()
    new = demo_rows([patient])
    for name, value in changes.items():
        new[name] = value
    write_sheet(pd.concat([rows, new]), folder)


AFTER_A_PATIENT = {
    "collect_truth": 1,
    "collect_qc": 1,
    "write_qc": 1,
    "predict_expansion": 1,
    "collect_what_if_truth": 1,
    "answer_what_if": 1,
    "measure_bleed": 1,
    "summarise_scores": 1,
    "vary_masks": 1,
    "write_tables": 1,
    "write_patients": 1,
    "write_bids": 1,
    "draw_figures": 1,
    "write_report": 1,
    "write_review": 1,
    "write_patient_page": 1,
    "draw_patient": 1,
}


def test_a_new_test_patient_trains_nothing(done):
    add(done, "D04")
    assert jobs(snakemake(done, "--dry-run")) == AFTER_A_PATIENT | {
        "strip_skull": 2,
        "register_followup": 1,
        "resample_scan": 2,
        "encode_patient": 1,
        "sample_followups": 1,
        "score_patient": 1,
        "draw_truth_map": 1,
        "pool_map": 1,
    }


def test_a_new_patient_without_followup_trains_nothing(done):
    add(done, "D10")
    assert jobs(snakemake(done, "--dry-run")) == AFTER_A_PATIENT | {
        "strip_skull": 1,
        "resample_scan": 1,
        "encode_patient": 1,
        "sample_followups": 1,
        "pool_map": 1,
    }


def test_a_new_training_patient_retrains(done):
    add(done, "C03")
    planned = jobs(snakemake(done, "--dry-run"))
    assert {"train_autoencoder", "fit_push", "train_diffusion", "fit_expansion"} <= set(planned)
    assert planned["strip_skull"] == 2 and planned["sample_followups"] == 4


def test_a_run_that_will_retrain_says_so_before_it_starts(done):
    broken = done / "broken.nii.gz"
    broken.write_bytes(b"no image")
    add(done, "C03", baseline_ct=str(broken))
    stopped = snakemake(done, "--cores", "1", check=False)
    note = "NOTE: train_autoencoder, fit_expansion, train_diffusion will run again"
    assert 0 < stopped.find(note) < stopped.find("Error in rule strip_skull")
    assert (done / "results/autoencoder/model.safetensors").exists()
    write_sheet(mini_rows(), done)
    assert "will run again" not in snakemake(done, "--cores", "1")


def edit(folder, patient, column, value):
    rows = mini_rows().set_index("patient_id", drop=False)
    rows.loc[patient, column] = value
    write_sheet(rows, folder)


def test_an_edited_clinical_value_of_a_test_patient_reruns_what_reads_it(done):
    edit(done, "D02", "age", "51")
    planned = jobs(snakemake(done, "--dry-run"))
    assert planned["sample_followups"] == 1 and planned["score_patient"] == 1
    assert not set(planned) & {"strip_skull", "resample_scan", "encode_patient", "train_diffusion"}


def test_an_added_sex_reruns_the_tables_of_the_cohort_alone(done):
    write_sheet(mini_rows().assign(sex="f"), done)
    planned = set(jobs(snakemake(done, "--dry-run")))
    tables = {"summarise_scores", "vary_masks", "write_tables", "write_patients", "write_bids"}
    assert planned == {*tables, "draw_figures", "write_report", "write_review"}


def test_an_edited_clinical_value_of_a_training_patient_touches_no_image(done):
    edit(done, MINI["train"][0], "sbp", "151")
    planned = set(jobs(snakemake(done, "--dry-run")))
    assert {"train_diffusion", "fit_expansion"} <= planned
    images = {"draw_patient", "strip_skull", "resample_scan", "fit_push", "encode_patients"}
    assert not planned & {*images, "train_autoencoder"}


@pytest.mark.parametrize(
    ("override", "first", "not_this"),
    [
        ("sampling={samples: 3}", "sample_followups", "train_diffusion"),
        ("diffusion={steps: 5}", "train_diffusion", "train_autoencoder"),
        ("latents={reference: {shell: even}}", "encode_patients", "fit_push"),
        ("latents={moved: 1}", "encode_patients", "train_autoencoder"),
        ("reporting={dpi: 99}", "draw_figures", "summarise_scores"),
        ("preprocess={quality: {rotation_deg: 9}}", "collect_qc", "resample_scan"),
    ],
)
def test_an_edited_setting_reruns_from_its_room_on(done, override, first, not_this):
    planned = jobs(snakemake(done, "--dry-run", "--config", override))
    assert first in planned and not_this not in planned


@pytest.mark.parametrize(
    ("reference", "needed"),
    [
        ("{shell: tilted, warp: true, ivh: true}", True),
        ("{shell: none, warp: true, ivh: false}", True),
        ("{shell: even, warp: false, ivh: true}", True),
        ("{shell: none, warp: false, ivh: false}", False),
    ],
)
def test_a_push_is_fitted_and_references_encoded_where_there_are_any(tmp_path, reference, needed):
    folder = write_sheet(mini_rows(), tmp_path)
    config = f"latents={{reference: {reference}}}"
    text = snakemake(folder, "--dry-run", "--printshellcmds", "--config", config)
    planned = jobs(text)
    assert planned.get("fit_push", 0) == needed
    assert planned["encode_patients"] == planned["fit_scale"] == 1
    commands = [line for line in text.splitlines() if "hemexp encode-patients" in line]
    (cohort,) = (line for line in commands if "--splits" in line)
    assert ("--references" in cohort) == needed
    assert not any("--references" in line for line in commands if line != cohort)


def test_a_cohort_with_one_patient_to_predict_and_none_to_score(tmp_path):
    rows = mini_rows()
    folder = write_sheet(rows[rows["split"] != "test"], tmp_path)
    planned = jobs(snakemake(folder, "--dry-run"))
    assert planned["sample_followups"] == 2 and planned["pool_map"] == 1
    assert "score_patient" not in planned


def test_the_oracle_draws_for_patients_with_an_outcome_alone(tmp_path):
    folder = write_sheet(mini_rows(), tmp_path)
    text = snakemake(folder, "--dry-run", "--config", "sampling={indicator: oracle}")
    assert jobs(text)["sample_followups"] == len(MINI["val"] + MINI["test"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "sampling={sampels: 3}"], "sampling.sampels.*unknown key"),
        (["--config", "preset=dmo"], "preset.*'dmo'"),
        (["--config", "samples=nowhere.tsv"], "nowhere.tsv.*no readable text file"),
    ],
)
def test_nonsense_stops_before_any_job(tmp_path, arguments, message):
    folder = write_sheet(mini_rows(), tmp_path)
    text = snakemake(folder, "--dry-run", *arguments, check=False)
    assert re.search(message, text) and "Job stats" not in text
    assert not (folder / "results").exists()


def test_a_faulty_sheet_stops_before_any_job(tmp_path):
    rows = mini_rows()
    rows.loc[0, "age"] = "old"
    folder = write_sheet(rows, tmp_path)
    text = snakemake(folder, "--dry-run", check=False)
    assert re.search("row 2.*age.*'old'", text) and "Job stats" not in text
