"""What an edit of the code costs: the exact rules that a dry run plans again."""

import shutil

import pytest
from mini import REPOSITORY, jobs, snakemake

REPORTED = {"write_tables", "draw_figures", "write_report", "write_review"}
EVALUATED = {"summarise_scores", "vary_masks", *REPORTED}
SCORED = {"score_patient", "write_patients", *EVALUATED}
# A patient drawn again with one value changed, and what is true of it.
WHAT_IF = {"redraw_what_if", "score_what_if", *REPORTED}
PAGES = {"write_bids", "write_patient_page"}
SAMPLED = {"sample_followups", "fit_pool", "pool_map", *PAGES, *SCORED, *WHAT_IF}
DENOISED = {"train_diffusion", *SAMPLED}
ENCODED = {"encode_patients", "encode_patient", "fit_scale", *DENOISED}
# What the push is fitted with is what references, and so latents, are made with.
PUSHED = {"fit_push", *ENCODED}
FORECAST = {"predict_expansion", "answer_what_if"}
FITTED = {"fit_expansion", *FORECAST, *SAMPLED}
# The follow-up moves on the grid; native volumes and the baseline stay.
REGISTERED = {
    "register_followup",
    "resample_scan",
    "collect_qc",
    "write_qc",
    "train_autoencoder",
    "fit_climatology",
    *PUSHED,
}
MEASURED = {"measure_bleeds", "measure_bleed", *FITTED}
STRIPPED = {"strip_skull", "draw_truth_map", "draw_true_what_if", *MEASURED, *REGISTERED}

EDITS = {
    "the phantom's model": (
        "phantom/model.py",
        {"draw_patient", "collect_truth", "collect_what_if_truth", *STRIPPED},
    ),
    "how the phantom's truth is gathered": (
        "phantom/collect_truth.py",
        {"collect_truth", *EVALUATED},
    ),
    "the skull strip": ("preprocess/skull.py", STRIPPED),
    "registration": ("preprocess/fit.py", REGISTERED),
    "a limit of the quality control": (
        "preprocess/quality.py",
        {"collect_qc", "write_qc", "write_patients", *PAGES, *EVALUATED},
    ),
    "the style of the QC page": ("preprocess/page_style.py", {"write_qc", "write_report"}),
    "the autoencoder's loss": ("autoencoder/losses.py", {"train_autoencoder", *ENCODED}),
    "what is measured of a bleed": ("expansion/features.py", MEASURED),
    "the ventricle measure": ("anatomy/ventricles.py", STRIPPED),
    "the distribution of growth": ("expansion/distribution.py", FITTED),
    "what-if answers": ("expansion/what_if.py", {"answer_what_if", *REPORTED}),
    "redrawn what-ifs": ("sampling/what_if.py", WHAT_IF),
    "true what-ifs": (
        "phantom/what_if_map.py",
        {"draw_true_what_if", *WHAT_IF} - {"redraw_what_if"},
    ),
    "the denoiser's loss": ("diffusion/objective.py", DENOISED),
    "the sampler": ("sampling/samplers.py", SAMPLED),
    "the midline measure": ("anatomy/midline.py", PUSHED),
    "how the push is fitted": ("anatomy/push_fit.py", PUSHED),
    "how a bleed grows in the reference": ("anatomy/shell.py", ENCODED),
    "where latents lie": ("latents/place.py", ENCODED),
    "the finish of a sample": ("sampling/finish.py", SAMPLED),
    "one score of a patient": ("evaluation/patient/images.py", SCORED),
    "a metric": ("evaluation/metrics.py", SCORED),
    "one table of the cohort": ("evaluation/cohort/conformal.py", EVALUATED),
    "a caption": (
        "reporting/catalogue/tables.py",
        {"write_tables", "write_report", "write_review"},
    ),
    "a figure": ("reporting/figures/growth.py", {"draw_figures", "write_report", "write_review"}),
    "the table of patients": (
        "reporting/patient_columns.py",
        {"write_patients", "write_bids", "write_report"},
    ),
    "a piece of the pages": ("reporting/page.py", {"write_report", "write_review"}),
    "the first page": ("reporting/report/overview.py", {"write_report"}),
    "what a robust score is": (
        "evaluation/cohort/robustness.py",
        {"vary_masks", "write_tables", "write_report", "write_review"},
    ),
    "a patient's page": ("reporting/patient/facts.py", {"write_patient_page", "write_report"}),
    "a patient's what-ifs": (
        "expansion/patient_answers.py",
        {"write_patient_page", "write_report"},
    ),
    "the page for a reviewer": ("reporting/review.py", {"write_review"}),
}
"""What is edited, where, and the rules that this makes run again."""

HARMLESS = (
    "cli.py",
    "sheet.py",
    "sheet_faults.py",
    "ranges.py",
    "layout.py",
    "settings/run.py",
    "phantom/hard.py",
    "desk/predict.py",
    "desk/new_center.py",
    "release/bundle_texts.py",
    "release/check.py",
    "../benchmarks/rules.py",
)
"""What no job of a run without released models runs."""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the code to edit: a checkout of its own."""
    folder = tmp_path_factory.mktemp("checkout")
    left_out = shutil.ignore_patterns("__pycache__")
    for name in ("hemexp", "workflow", "config", "docs", "envs", "benchmarks"):
        shutil.copytree(REPOSITORY / name, folder / name, symlinks=True, ignore=left_out)
    shutil.copy(REPOSITORY / "Snakefile", folder)
    return folder


def planned(run, checkout):
    """Rules that a dry run of the finished cohort plans with a checkout's code."""
    return set(jobs(snakemake(run, "--dry-run", repository=checkout)))


def append(checkout, name, text):
    path = checkout / "hemexp" / name
    path.write_text(path.read_text() + text)
    return path


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_reruns_what_it_could_change_and_nothing_else(mini_run, checkout, edit):
    name, expected = EDITS[edit]
    before = (checkout / "hemexp" / name).read_text()
    path = append(checkout, name, "\nEDITED = True\n")
    try:
        assert planned(mini_run, checkout) == expected
    finally:
        path.write_text(before)


DATA = {
    "hemexp/pages/style.css": {"write_qc", "write_report", "write_review"},
    "docs/reference/glossary.md": {"write_report", "write_review"},
}


@pytest.mark.parametrize("name", DATA)
def test_an_edit_of_what_pages_are_made_of_writes_them_again(mini_run, checkout, name):
    path = checkout / name
    before = path.read_text()
    path.write_text(f"{before}\n")
    try:
        assert planned(mini_run, checkout) == DATA[name]
    finally:
        path.write_text(before)


def test_words_comments_and_what_no_job_runs_rerun_nothing(mini_run, checkout):
    for name, _ in EDITS.values():
        path = append(checkout, name, "\n# A remark.\n")
        path.write_text(path.read_text().replace('"""', '"""Put otherwise: ', 1))
    for name in HARMLESS:
        append(checkout, name, "\nEDITED = True\n")
    assert planned(mini_run, checkout) == set()
