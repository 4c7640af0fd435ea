"""What each verb does with its options: find the files, load the settings, run the room.

Rooms are imported inside their verb, so that light verbs start fast. Results lie where the
workflow puts them, below `--results`.
"""

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from hemexp.cohort import (
    IMAGES,
    SESSIONS,
    is_phantom,
    patient_file,
    read_excluded,
    read_samples,
)
from hemexp.config import load_section, load_settings, read_config
from hemexp.provenance import leave_empty

Arguments = argparse.Namespace


def _section(args: Arguments, name: str) -> Any:  # noqa: ANN401 - the class that `name` says
    return load_section(name, args.settings)


def _sheet(args: Arguments) -> pd.DataFrame:
    """The whole sheet; whether it has to hold training patients was asked before any job."""
    return read_samples(args.samples, need_training=False)


def _kept(args: Arguments) -> pd.DataFrame:
    """The sheet without the patients whom preprocessing excluded."""
    excluded = read_excluded(args.results / "preprocess" / "excluded.tsv")
    return _sheet(args).drop(index=excluded, errors="ignore")


def _training(args: Arguments) -> pd.DataFrame:
    samples = _kept(args)
    return samples[samples["split"] == "train"]


def _phantom_ids(args: Arguments) -> list[str]:
    samples = _sheet(args)
    return [p for p, ct in samples["baseline_ct"].items() if is_phantom(ct)]


def draw_cohort(args: Arguments) -> None:
    """Write a sample sheet of phantom patients."""
    from hemexp.phantom.sheet import run_draw_cohort

    run_draw_cohort(args.out, _section(args, "phantom"), per_center=args.per_center)


def draw_patient(args: Arguments) -> None:
    """Draw a phantom patient's raw scans."""
    from hemexp.phantom.draw import run_draw_patient

    center = read_samples(args.samples, args.patient)["center"].iloc[0]
    run_draw_patient(args.patient, center, args.results / "phantom", _section(args, "phantom"))


def collect_truth(args: Arguments) -> None:
    """Gather what the phantom knows."""
    from hemexp.phantom.draw import run_collect_truth

    folder = args.results / "phantom"
    run_collect_truth(_phantom_ids(args), folder, folder / "truth.tsv", _section(args, "phantom"))


def collect_what_if_truth(args: Arguments) -> None:
    """Gather what is true of the phantom's patients had they come earlier or later."""
    from hemexp.phantom.what_if import run_collect_what_if_truth

    out = args.results / "phantom" / "what_if_truth.tsv"
    run_collect_what_if_truth(_phantom_ids(args), out, _section(args, "phantom"))


def draw_truth_map(args: Arguments) -> None:
    """Draw a phantom patient's true expansion map."""
    from hemexp.phantom.truth_map import run_draw_truth_map

    endings = (f"ses-baseline_space-grid_desc-{name}_mask.nii.gz" for name in ("iph", "ivh"))
    run_draw_truth_map(
        args.patient, read_samples(args.samples, args.patient)["center"].iloc[0],
        tuple(_product(args, ending) for ending in endings),
        args.results / "evaluation", _section(args, "phantom"), args.draws, args.reference,
    )  # fmt: skip


def check(args: Arguments) -> None:
    """Check the sheet, and its images with --images."""
    from hemexp.preprocess.check import run_check

    limits = _section(args, "preprocess") if args.images else None
    config = args.settings
    told = not config.lstrip().startswith("{") and Path(config).is_file()
    needed = not told or load_settings(read_config(config)).need_training
    run_check(Path(args.samples), limits, need_training=needed)


def _product(args: Arguments, ending: str) -> Path:
    return patient_file(args.results / "preprocess", args.patient, ending)


def _native(args: Arguments, session: str) -> dict[str, Path]:
    """A scan's files in standard form."""
    from hemexp.preprocess.scans import NATIVE

    return _products(args, f"ses-{session}_space-native", NATIVE)


def _products(args: Arguments, start: str, endings: dict[str, str]) -> dict[str, Path]:
    return {name: _product(args, f"{start}_{ending}") for name, ending in endings.items()}


def _step(
    args: Arguments,
    step: Callable[[], None],
    table: str,
    products: dict[str, Path],
    hidden: dict[str, str] | None = None,
) -> None:
    """Runs a step of one patient, who is set aside if it fails and `--on-failure` says so."""
    from hemexp.preprocess.exclude import run_or_exclude

    row = {"patient_id": args.patient}
    run_or_exclude(step, products[table], products.values(), row, args.on_failure, hidden)


def strip_skull(args: Arguments) -> None:
    """Check a scan, mask its brain, measure its blood."""
    from hemexp.preprocess.scans import STRIPPED
    from hemexp.preprocess.strip import run_strip_skull

    row = read_samples(args.samples, args.patient).iloc[0]
    names = {image: row.get(f"{args.session}_{image}") for image in (*IMAGES, "brain")}
    raw = {image: name for image, name in names.items() if name}
    outputs = _products(args, f"ses-{args.session}_space-native", STRIPPED)
    settings = _section(args, "preprocess.skull_strip")
    limits = load_section("preprocess.raw", args.raw)
    step = partial(run_strip_skull, args.patient, args.session, raw, outputs, settings, limits)
    # The reason of an exclusion leaves the project with the report; the log keeps the path.
    named = {path: f"{args.session}_{image} of the sheet" for image, path in raw.items()}
    hidden = {path: name for path, name in named.items() if not is_phantom(path)}
    _step(args, step, "volumes", outputs, hidden)


def register_followup(args: Arguments) -> None:
    """Align a pair of scans rigidly."""
    from hemexp.preprocess.register import run_register_followup
    from hemexp.preprocess.scans import PAIR

    scans = (_native(args, session) for session in SESSIONS)
    outputs = {name: _product(args, ending) for name, ending in PAIR.items()}
    settings = _section(args, "preprocess.registration")
    step = partial(run_register_followup, args.patient, *scans, outputs, settings, args.reference)
    _step(args, step, "qc", outputs)


def resample_scan(args: Arguments) -> None:
    """Bring a scan onto the grid."""
    from hemexp.preprocess.resample import run_resample_scan
    from hemexp.preprocess.scans import PAIR, STRIPPED

    split = read_samples(args.samples, args.patient)["split"].iloc[0]
    alone = args.session == args.reference or split == "predict"
    outputs = _products(args, f"ses-{args.session}_space-grid", STRIPPED)
    step = partial(
        run_resample_scan, args.patient, args.session, _native(args, args.session), outputs,
        _section(args, "preprocess.grid"),
        None if alone else _native(args, args.reference)["brain"],
        None if alone else _product(args, PAIR["transform"]),
    )  # fmt: skip
    _step(args, step, "volumes", outputs)


def collect_qc(args: Arguments) -> None:
    """Gather quality, exclusions and outcomes."""
    from hemexp.preprocess.collect import Outputs, run_collect_qc

    folder = args.results / "preprocess"
    outcomes = args.results / "cohort" / "outcomes.tsv"
    outputs = Outputs(folder / "qc.tsv", folder / "excluded.tsv", outcomes)
    run_collect_qc(Path(args.samples), folder, outputs, _section(args, "preprocess"))


def write_qc(args: Arguments) -> None:
    """Write the page that shows every patient's preprocessing."""
    from hemexp.preprocess.page import run_write_qc

    folder = args.results / "preprocess"
    run_write_qc(
        folder / "qc.tsv", folder / "excluded.tsv", folder, folder / "qc.html",
        _section(args, "preprocess.quality"),
    )  # fmt: skip


def train_autoencoder(args: Arguments) -> None:
    """Train the multi-head VAE."""
    from hemexp.autoencoder.train import run_train_autoencoder

    run_train_autoencoder(
        list(_training(args).index), args.results / "preprocess", args.results / "autoencoder",
        _section(args, "autoencoder"), args.seed, args.device,
    )  # fmt: skip


def encode_patients(args: Arguments) -> None:
    """Cache the posterior means of scans."""
    from hemexp.latents.encode import run_encode_patients

    sheet, kept = _sheet(args), _kept(args)
    chosen = kept[kept["split"].isin(args.splits) | kept.index.isin(args.patients)]
    sessions = {
        p: SESSIONS[:1] if s == "predict" else SESSIONS for p, s in chosen["split"].items()
    }
    run_encode_patients(
        sessions, args.results / "preprocess", args.results / "autoencoder",
        args.results / "latents", _section(args, "latents"), args.seed, args.device,
    )  # fmt: skip
    # The rule names the latents of whole splits: an excluded patient's are empty files.
    gone = sheet[sheet["split"].isin(args.splits)].index.difference(kept.index)
    endings = ("latents.safetensors", "reconstruction.tsv")
    leave_empty(patient_file(args.results / "latents", p, e) for p in gone for e in endings)


def fit_scale(args: Arguments) -> None:
    """Measure latents over training patients."""
    from hemexp.latents.scale import run_fit_scale

    folder = args.results / "latents"
    run_fit_scale(list(_training(args).index), folder, folder / "scale.json")


def measure_bleed(args: Arguments) -> None:
    """Measure a baseline's bleed: form, densities, surroundings."""
    from hemexp.expansion.run import run_measure_bleed

    row = read_samples(args.samples, args.patient)
    run_measure_bleed(row, args.results / "preprocess", args.results / "expansion")


def fit_expansion(args: Arguments) -> None:
    """Fit and compare the models of p(expansion) and growth."""
    from hemexp.expansion.run import run_fit_expansion

    run_fit_expansion(
        _training(args), args.results / "preprocess", args.results / "expansion",
        _section(args, "expansion"), args.seed,
    )  # fmt: skip


def predict_expansion(args: Arguments) -> None:
    """Forecast growth of all patients."""
    from hemexp.expansion.run import run_predict_expansion

    run_predict_expansion(_kept(args), args.results / "preprocess", args.results / "expansion")


def answer_what_if(args: Arguments) -> None:
    """Forecast growth for other onset times and anticoagulant states."""
    from hemexp.expansion.what_if import run_answer_what_if

    samples, truth = _kept(args), args.results / "phantom" / "what_if_truth.tsv"
    run_answer_what_if(
        samples[samples["split"] != "train"], args.results / "preprocess",
        args.results / "expansion", truth if truth.exists() else None,
    )  # fmt: skip


def train_diffusion(args: Arguments) -> None:
    """Train the conditional denoiser."""
    from hemexp.diffusion.train import run_train_diffusion

    run_train_diffusion(
        _training(args), args.results / "preprocess", args.results / "latents",
        args.results / "latents" / "scale.json", args.results / "diffusion",
        _section(args, "diffusion"), args.seed, args.device,
    )  # fmt: skip


def sample_followups(args: Arguments) -> None:
    """Draw a patient's follow-ups."""
    from hemexp.sampling.run import run_sample_followups

    run_sample_followups(
        read_samples(args.samples, args.patient), args.results,
        _section(args, "sampling"), args.seed, args.device,
    )  # fmt: skip


def fit_climatology(args: Arguments) -> None:
    """Count training patients' new blood by its distance from the old."""
    from hemexp.evaluation.distance import run_fit_climatology

    run_fit_climatology(
        list(_training(args).index), args.results / "preprocess",
        args.results / "evaluation" / "climatology.tsv",
    )  # fmt: skip


def score_patient(args: Arguments) -> None:
    """Score a patient's samples."""
    from hemexp.evaluation.score import run_score_patient

    run_score_patient(
        args.patient, args.results / "samples", args.results / "preprocess",
        args.results / "evaluation", _section(args, "evaluation"),
    )  # fmt: skip


def summarise_scores(args: Arguments) -> None:
    """Compare forecasts over all patients."""
    from hemexp.evaluation.summarise import run_summarise_scores

    truth = args.results / "phantom" / "truth.tsv"
    evaluation = args.results / "evaluation"
    run_summarise_scores(
        args.results / "cohort" / "outcomes.tsv", args.results / "samples",
        args.results / "expansion", evaluation, truth if truth.exists() else None, evaluation,
        _section(args, "evaluation"), args.seed,
    )  # fmt: skip


def compare_tables(args: Arguments) -> None:
    """Say which cells of two folders' tables differ; exit code 1 if any does."""
    from hemexp.evaluation.compare import run_compare_tables

    if run_compare_tables(args.one, args.other, args.tolerance):
        sys.exit(1)


def run_ablation(args: Arguments) -> None:
    """Run the cohort again with one part of the method changed."""
    from hemexp.ablations import run_ablation

    run_ablation(
        args.ablation, _sheet(args), args.results, json.loads(args.settings), args.shared,
        args.cores,
    )  # fmt: skip


def write_tables(args: Arguments) -> None:
    """Write the tables for people."""
    from hemexp.reporting.tables import run_write_tables

    run_write_tables(
        _kept(args), args.results, args.results / "tables", _section(args, "reporting")
    )


def draw_figures(args: Arguments) -> None:
    """Draw all figures."""
    from hemexp.reporting.figures import run_draw_figures

    run_draw_figures(args.results, args.results / "figures", _section(args, "reporting"))


def write_report(args: Arguments) -> None:
    """Write the page that holds it all, and the methods paragraph."""
    from hemexp.reporting.methods import run_write_methods
    from hemexp.reporting.page import run_write_report

    run_write_methods(args.results, args.results / "report" / "methods.md")

    run_write_report(
        args.results / "tables", args.results / "figures", args.results / "preprocess",
        args.results / "report" / "index.html", _section(args, "reporting"), args.preset,
        args.seed,
    )  # fmt: skip


def new_center(args: Arguments) -> None:
    """Draft rows of a sample sheet from a folder of files; a person completes them."""
    from hemexp.draft import run_new_center, tell_draft

    draft = run_new_center(args.folder, args.pattern, args.center, args.out)
    print("\n".join(tell_draft(draft, args.out)))


def provenance(args: Arguments) -> None:
    """Say where a product comes from, back to raw files and settings, and what changed since."""
    from hemexp.lineage import tell, trace
    from hemexp.preprocess.strip import name_raw

    raw: dict[str, Path] = {}
    if Path(args.samples).is_file():
        for _, row in _sheet(args).iterrows():
            for session in SESSIONS:
                files = {i: row.get(f"{session}_{i}") for i in (*IMAGES, "brain")}
                raw |= name_raw(row["patient_id"], session, {i: f for i, f in files.items() if f})
    print("\n".join(tell(trace(args.file, args.results, raw), whole=args.whole)))


def predict(args: Arguments) -> None:
    """Draw one patient's follow-ups from raw files and released models, without the workflow."""
    from hemexp.predict import IMAGES, VALUES, run_predict
    from hemexp.released import read_recipe, recipe_of

    config = args.config
    recipe = recipe_of(load_settings(read_config(config))) if config else read_recipe(args.model)
    run_predict(
        args.patient_id, {name: getattr(args, f"baseline_{name}") for name in IMAGES},
        {name: getattr(args, name) for name in VALUES},
        args.model, recipe, args.out, args.seed, args.device,
    )  # fmt: skip


def adopt_autoencoder(args: Arguments) -> None:
    """Take over a released autoencoder."""
    _adopt("autoencoder", args)


def adopt_scale(args: Arguments) -> None:
    """Take over the scale of latents that belongs to a released denoiser."""
    _adopt("scale", args)


def adopt_diffusion(args: Arguments) -> None:
    """Take over a released denoiser."""
    _adopt("diffusion", args)


def adopt_expansion(args: Arguments) -> None:
    """Take over released models of p(expansion) and growth."""
    _adopt("expansion", args)


def _adopt(part: str, args: Arguments) -> None:
    from hemexp.released import run_adopt

    run_adopt(part, args.model, args.results)


def export_bundle(args: Arguments) -> None:
    """Write the trained models as a MONAI bundle."""
    from hemexp.sampling.bundle import run_export_bundle

    run_export_bundle(args.results, args.out, load_settings(read_config(args.settings)))


def where(args: Arguments) -> None:
    """Say where a run's tables, figures and maps lie."""
    maps = sorted(args.results.glob("samples/sub-*/sub-*_desc-expansion_probseg.nii.gz"))
    places = {
        "tables": args.results / "tables",
        "figures": args.results / "figures",
        "page": args.results / "report" / "index.html",
        "one patient's expansion-probability map": maps[0] if maps else "none drawn yet",
    }
    for name, place in places.items():
        print(f"{name}: {place}")
