"""What each verb does with its options: find the files, load the settings, run the room.

Rooms are imported inside their verb, so that light verbs start fast. Results lie where the
workflow puts them, below `--results`.
"""

import argparse
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


def _kept(args: Arguments) -> pd.DataFrame:
    """The sheet without the patients whom preprocessing excluded."""
    excluded = read_excluded(args.results / "preprocess" / "excluded.tsv")
    return read_samples(args.samples).drop(index=excluded, errors="ignore")


def _training(args: Arguments) -> pd.DataFrame:
    samples = _kept(args)
    return samples[samples["split"] == "train"]


def _phantom_ids(args: Arguments) -> list[str]:
    samples = read_samples(args.samples)
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


def check(args: Arguments) -> None:
    """Check the sheet, and its images with --images."""
    from hemexp.preprocess.check import run_check

    run_check(Path(args.samples), _section(args, "preprocess") if args.images else None)


def _product(args: Arguments, ending: str) -> Path:
    return patient_file(args.results / "preprocess", args.patient, ending)


def _native(args: Arguments, session: str) -> dict[str, Path]:
    """A scan's files in standard form."""
    from hemexp.preprocess.scans import NATIVE

    return _products(args, f"ses-{session}_space-native", NATIVE)


def _products(args: Arguments, start: str, endings: dict[str, str]) -> dict[str, Path]:
    return {name: _product(args, f"{start}_{ending}") for name, ending in endings.items()}


def _step(
    args: Arguments, step: Callable[[], None], table: str, products: dict[str, Path]
) -> None:
    """Runs a step of one patient, who is set aside if it fails and `--on-failure` says so."""
    from hemexp.preprocess.exclude import run_or_exclude

    row = {"patient_id": args.patient}
    run_or_exclude(step, products[table], products.values(), row, args.on_failure)


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
    _step(args, step, "volumes", outputs)


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

    sheet, kept = read_samples(args.samples), _kept(args)
    chosen = kept[kept["split"].isin(args.splits) | kept.index.isin(args.patients)]
    sessions = {
        p: SESSIONS[:1] if s == "predict" else SESSIONS for p, s in chosen["split"].items()
    }
    run_encode_patients(
        sessions, args.results / "preprocess", args.results / "autoencoder",
        args.results / "latents", _section(args, "latents"), args.device,
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


def fit_expansion(args: Arguments) -> None:
    """Fit p(expansion) and growth."""
    from hemexp.expansion.fit import run_fit_expansion

    folder = args.results / "expansion"
    run_fit_expansion(
        _training(args), args.results / "preprocess", folder / "model.json",
        folder / "training.tsv", _section(args, "expansion"), args.seed,
    )  # fmt: skip


def predict_expansion(args: Arguments) -> None:
    """Forecast growth of all patients."""
    from hemexp.expansion.fit import run_predict_expansion

    folder = args.results / "expansion"
    run_predict_expansion(
        _kept(args), args.results / "preprocess", folder / "model.json",
        folder / "training.tsv", folder / "predictions.tsv", folder / "forecasts.tsv",
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


def write_tables(args: Arguments) -> None:
    """Write the tables for people."""
    from hemexp.reporting.tables import run_write_tables

    run_write_tables(
        _kept(args), args.results / "cohort" / "outcomes.tsv",
        args.results / "evaluation", args.results / "tables", _section(args, "reporting"),
    )  # fmt: skip


def draw_figures(args: Arguments) -> None:
    """Draw all figures."""
    from hemexp.reporting.figures import run_draw_figures

    run_draw_figures(
        args.results / "cohort" / "outcomes.tsv",
        *(args.results / folder for folder in ("preprocess", "samples", "evaluation")),
        args.results / "autoencoder" / "history.tsv", args.results / "diffusion" / "history.tsv",
        args.results / "figures", _section(args, "reporting"),
    )  # fmt: skip


def write_report(args: Arguments) -> None:
    """Write the page that holds it all."""
    from hemexp.reporting.page import run_write_report

    run_write_report(
        args.results / "tables", args.results / "figures", args.results / "preprocess",
        args.results / "report" / "index.html", _section(args, "reporting"), args.preset,
        args.seed,
    )  # fmt: skip


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
