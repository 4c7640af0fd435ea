"""Verbs of the rooms evaluation and reporting: scores, tables, figures, pages."""

from pathlib import Path

from hemexp.columns import BASELINE
from hemexp.config import read_config, read_json
from hemexp.layout import Layout
from hemexp.verbs.options import Arguments, chosen_patients, kept, section, sheet, training


def fit_climatology(args: Arguments) -> None:
    """Count training patients' new blood by its distance from the old."""
    from hemexp.evaluation.patient.distance_climatology import run_fit_climatology

    run_fit_climatology(Layout(args.results), list(training(args).index))


def fit_pool(args: Arguments) -> None:
    """Weigh expansion maps of three forecasters on patients nothing was trained on."""
    from hemexp.evaluation.patient.fit_pool import run_fit_pool

    patients = kept(args)
    held_out = list(patients.index[patients["split"] == "val"])
    run_fit_pool(Layout(args.results), held_out, section(args, "evaluation"))


def pool_map(args: Arguments) -> None:
    """Pool one patient's expansion map with those that know less."""
    from hemexp.evaluation.patient.pooled_map import run_pool_map

    run_pool_map(Layout(args.results), args.patient)


def score_patient(args: Arguments) -> None:
    """Score a patient's samples."""
    from hemexp.evaluation.patient.score import run_score_patient

    run_score_patient(Layout(args.results), args.patient, section(args, "evaluation"))


def summarise_scores(args: Arguments) -> None:
    """Compare forecasts over all patients."""
    from hemexp.evaluation.cohort.summarise import run_summarise_scores

    run_summarise_scores(Layout(args.results), kept(args), section(args, "evaluation"), args.seed)


def vary_masks(args: Arguments) -> None:
    """Score forecasts again with masks a voxel larger and smaller."""
    from hemexp.evaluation.cohort.vary_masks import run_vary_masks

    run_vary_masks(Layout(args.results), kept(args), section(args, "evaluation"), args.seed)


def score_what_if(args: Arguments) -> None:
    """Compare redrawn what-ifs with the phantom's truth."""
    from hemexp.evaluation.cohort.what_if_images import run_score_what_if

    run_score_what_if(Layout(args.results), chosen_patients(args)[0].index)


def run_ablation(args: Arguments) -> None:
    """Run the cohort again with one part of the method changed."""
    from hemexp.desk.ablations import run_ablation

    run_ablation(
        Layout(args.results),
        args.ablation,
        sheet(args),
        read_json(args.settings),
        args.shared,
        args.cores,
    )


def score_models(args: Arguments) -> None:
    """Score released models on a sheet, a run of the workflow for each."""
    from hemexp.desk.score_models import run_score_models

    config = read_config(args.settings)
    run_score_models(Layout(args.results), args.models, sheet(args), config, args.cores)


def show_scores(args: Arguments) -> None:
    """Print the headline table of scored models, as Markdown."""
    from hemexp.reporting.headline_table import run_show_scores

    print(run_show_scores(Layout(args.results)))


def write_tables(args: Arguments) -> None:
    """Write the tables for people."""
    from hemexp.reporting.tables import run_write_tables

    run_write_tables(Layout(args.results), kept(args), section(args, "reporting"))


def write_patients(args: Arguments) -> None:
    """Write a row a patient for statisticians, with a data dictionary."""
    from hemexp.cohort import read_sheet
    from hemexp.reporting.patients import run_write_patients

    everyone = read_sheet(args.samples, need_training=False, everyone=True)
    run_write_patients(Layout(args.results), everyone, section(args, "evaluation"))


def write_bids(args: Arguments) -> None:
    """Describe the results as a BIDS derivatives dataset."""
    from hemexp.reporting.bids import run_write_bids

    run_write_bids(Layout(args.results), sheet(args), Path(args.samples))


def draw_figures(args: Arguments) -> None:
    """Draw all figures."""
    from hemexp.reporting.catalogue import FIGURES
    from hemexp.reporting.draw import run_draw_figures

    run_draw_figures(Layout(args.results), FIGURES, section(args, "reporting"))


def write_report(args: Arguments) -> None:
    """Write the cohort's report, and the methods paragraph."""
    from hemexp.reporting.methods import run_write_methods
    from hemexp.reporting.report.write import run_write_report

    layout = Layout(args.results)
    run_write_methods(layout)
    run_write_report(layout, section(args, "reporting"), args.preset, args.seed)


def write_patient_page(args: Arguments) -> None:
    """Write the page of one patient: pictures, numbers, what-ifs, how far to trust them."""
    from hemexp.cohort import read_sheet
    from hemexp.expansion.patient_answers import run_answer_patient
    from hemexp.preprocess.collect import judge_baseline, read_failure
    from hemexp.reporting.patient.page import run_write_excluded_page, run_write_patient_page

    layout, patient_id = Layout(args.results), args.patient
    rows = read_sheet(args.samples, patient_id, need_training=False)
    index, failure = layout.report_page("patients").name, read_failure(layout, patient_id)
    if failure is not None:
        run_write_excluded_page(layout, failure, args.seed, index)
        return
    run_answer_patient(layout, rows, layout)
    seen = judge_baseline(layout, patient_id, section(args, "preprocess.quality"))
    reference = args.reference if rows["split"].iloc[0] != "predict" else BASELINE
    run_write_patient_page(layout, rows.loc[patient_id], seen, args.seed, reference, index)


def write_review(args: Arguments) -> None:
    """Write the page for a reviewer, model card and checklists."""
    from hemexp.reporting.review import run_write_review

    run_write_review(Layout(args.results), section(args, "reporting"), args.preset, args.seed)
