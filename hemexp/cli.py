"""`hemexp <verb>`: one verb per rule of the workflow, the same word.

Rooms are imported inside their verb, so that light verbs start fast. Results lie where the
workflow puts them, below `--results`.
"""

import argparse
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from hemexp import HemexpError, __version__
from hemexp.cohort import IMAGES, SESSIONS, is_phantom, patient_file, read_samples
from hemexp.settings import load_section

Arguments = argparse.Namespace


class Verb(NamedTuple):
    """One command.

    Attributes:
        run: What it does.
        help: One line for people.
        arguments: Names of its options, see `ARGUMENTS`.
    """

    run: Callable[[Arguments], None]
    help: str
    arguments: tuple[str, ...]


ARGUMENTS: dict[str, dict[str, Any]] = {
    "samples": {"default": "config/samples.tsv", "help": "sample sheet"},
    "results": {"default": "results", "type": Path, "help": "folder of all results"},
    "settings": {
        "default": "config/config.yaml",
        "help": "the room's settings as JSON, or a config file to take them from",
    },
    "patient": {"required": True, "help": "patient_id of the sheet"},
    "patients": {"nargs": "*", "default": [], "help": "patient_ids of the sheet"},
    "splits": {"nargs": "*", "default": [], "help": "all patients of these splits"},
    "session": {"required": True, "choices": SESSIONS, "help": "which scan"},
    "seed": {"type": int, "default": 1, "help": "run seed"},
    "device": {"default": "auto", "choices": ("auto", "cpu", "cuda"), "help": "where to work"},
    "per-center": {"type": int, "default": 10, "help": "patients in each of the four centres"},
    "images": {"action": "store_true", "help": "read and check every image too"},
    "out": {"required": True, "type": Path, "help": "file to write"},
    "reference": {"default": "baseline", "choices": SESSIONS, "help": "scan that lays the grid"},
    "preset": {"default": "demo", "help": "name of the run's preset, for the page"},
}


def _section(args: Arguments, name: str) -> Any:  # noqa: ANN401 - the class that `name` says
    return load_section(name, args.settings)


def _training(args: Arguments) -> pd.DataFrame:
    samples = read_samples(args.samples)
    return samples[samples["split"] == "train"]


def _phantom_ids(args: Arguments) -> list[str]:
    samples = read_samples(args.samples)
    return [p for p, ct in samples["baseline_ct"].items() if is_phantom(ct)]


def _draw_cohort(args: Arguments) -> None:
    from hemexp.phantom.sheet import run_draw_cohort

    run_draw_cohort(args.out, _section(args, "phantom"), per_center=args.per_center)


def _draw_patient(args: Arguments) -> None:
    from hemexp.phantom.draw import run_draw_patient

    center = read_samples(args.samples, args.patient)["center"].iloc[0]
    run_draw_patient(args.patient, center, args.results / "phantom", _section(args, "phantom"))


def _collect_truth(args: Arguments) -> None:
    from hemexp.phantom.draw import run_collect_truth

    folder = args.results / "phantom"
    run_collect_truth(_phantom_ids(args), folder, folder / "truth.tsv", _section(args, "phantom"))


def _check(args: Arguments) -> None:
    from hemexp.preprocess.check import run_check

    run_check(Path(args.samples), args.images)


NATIVE_BRAIN = "ses-{}_space-native_desc-brain_mask.nii.gz"


def _product(args: Arguments, ending: str) -> Path:
    return patient_file(args.results / "preprocess", args.patient, ending)


def _scan_files(args: Arguments, session: str) -> dict[str, Path | str]:
    """Raw files of one scan, and the brain mask that is made of it."""
    row = read_samples(args.samples, args.patient).iloc[0]
    raw = {image: row[f"{session}_{image}"] for image in IMAGES}
    return raw | {"brain": _product(args, NATIVE_BRAIN.format(session))}


def _strip_skull(args: Arguments) -> None:
    from hemexp.preprocess.skull import run_strip_skull

    row = read_samples(args.samples, args.patient).iloc[0]
    run_strip_skull(
        args.patient, args.session, *(row[f"{args.session}_{image}"] for image in IMAGES),
        _product(args, NATIVE_BRAIN.format(args.session)),
        _product(args, f"ses-{args.session}_space-native_volumes.tsv"),
        _section(args, "preprocess.skull_strip"),
        row.get(f"{args.session}_brain") or None,
    )  # fmt: skip


def _register_followup(args: Arguments) -> None:
    from hemexp.preprocess.register import run_register_followup

    run_register_followup(
        args.patient,
        *(_scan_files(args, session) for session in SESSIONS),
        _product(args, "from-followup_to-baseline_mode-image_xfm.tfm"),
        _product(args, "desc-registration_qc.tsv"),
        _section(args, "preprocess.registration"),
        args.reference,
    )


def _resample_scan(args: Arguments) -> None:
    from hemexp.preprocess.resample import run_resample_scan

    split = read_samples(args.samples, args.patient)["split"].iloc[0]
    alone = args.session == args.reference or split == "predict"
    grid = f"ses-{args.session}_space-grid"
    names = {image: f"desc-{image}_mask.nii.gz" for image in ("iph", "ivh", "brain")}
    names |= {"ct": "ct.nii.gz", "volumes": "volumes.tsv"}
    run_resample_scan(
        args.patient,
        args.session,
        _scan_files(args, args.session),
        {name: _product(args, f"{grid}_{ending}") for name, ending in names.items()},
        _section(args, "preprocess.grid"),
        None if alone else _product(args, NATIVE_BRAIN.format(args.reference)),
        None if alone else _product(args, "from-followup_to-baseline_mode-image_xfm.tfm"),
    )


def _collect_qc(args: Arguments) -> None:
    from hemexp.preprocess.collect import run_collect_qc

    folder = args.results / "preprocess"
    run_collect_qc(
        Path(args.samples), folder, folder / "qc.tsv", args.results / "cohort" / "outcomes.tsv",
        _section(args, "preprocess.quality"), args.reference,
    )  # fmt: skip


def _train_autoencoder(args: Arguments) -> None:
    from hemexp.autoencoder.train import run_train_autoencoder

    run_train_autoencoder(
        list(_training(args).index), args.results / "preprocess", args.results / "autoencoder",
        _section(args, "autoencoder"), args.seed, args.device,
    )  # fmt: skip


def _encode_patients(args: Arguments) -> None:
    from hemexp.latents.encode import run_encode_patients

    samples = read_samples(args.samples)
    chosen = samples[samples["split"].isin(args.splits) | samples.index.isin(args.patients)]
    sessions = {
        p: SESSIONS[:1] if s == "predict" else SESSIONS for p, s in chosen["split"].items()
    }
    run_encode_patients(
        sessions, args.results / "preprocess", args.results / "autoencoder",
        args.results / "latents", _section(args, "latents"), args.device,
    )  # fmt: skip


def _fit_scale(args: Arguments) -> None:
    from hemexp.latents.scale import run_fit_scale

    folder = args.results / "latents"
    run_fit_scale(list(_training(args).index), folder, folder / "scale.json")


def _fit_expansion(args: Arguments) -> None:
    from hemexp.expansion.fit import run_fit_expansion

    folder = args.results / "expansion"
    run_fit_expansion(
        _training(args), args.results / "preprocess", folder / "model.json",
        folder / "training.tsv", _section(args, "expansion"), args.seed,
    )  # fmt: skip


def _predict_expansion(args: Arguments) -> None:
    from hemexp.expansion.fit import run_predict_expansion

    folder = args.results / "expansion"
    run_predict_expansion(
        read_samples(args.samples), args.results / "preprocess", folder / "model.json",
        folder / "training.tsv", folder / "predictions.tsv", folder / "forecasts.tsv",
    )  # fmt: skip


def _train_diffusion(args: Arguments) -> None:
    from hemexp.diffusion.train import run_train_diffusion

    run_train_diffusion(
        _training(args), args.results / "preprocess", args.results / "latents",
        args.results / "latents" / "scale.json", args.results / "diffusion",
        _section(args, "diffusion"), args.seed, args.device,
    )  # fmt: skip


def _sample_followups(args: Arguments) -> None:
    from hemexp.sampling.run import run_sample_followups

    run_sample_followups(
        read_samples(args.samples, args.patient), args.results,
        _section(args, "sampling"), args.seed, args.device,
    )  # fmt: skip


def _score_patient(args: Arguments) -> None:
    from hemexp.evaluation.score import run_score_patient

    run_score_patient(
        args.patient, args.results / "samples", args.results / "preprocess",
        args.results / "evaluation", _section(args, "evaluation"),
    )  # fmt: skip


def _summarise_scores(args: Arguments) -> None:
    from hemexp.evaluation.summarise import run_summarise_scores

    truth = args.results / "phantom" / "truth.tsv"
    evaluation = args.results / "evaluation"
    run_summarise_scores(
        args.results / "cohort" / "outcomes.tsv", args.results / "samples",
        args.results / "expansion", evaluation, truth if truth.exists() else None, evaluation,
        _section(args, "evaluation"), args.seed,
    )  # fmt: skip


def _write_tables(args: Arguments) -> None:
    from hemexp.reporting.tables import run_write_tables

    run_write_tables(
        read_samples(args.samples), args.results / "cohort" / "outcomes.tsv",
        args.results / "evaluation", args.results / "tables", _section(args, "reporting"),
    )  # fmt: skip


def _draw_figures(args: Arguments) -> None:
    from hemexp.reporting.figures import run_draw_figures

    run_draw_figures(
        args.results / "cohort" / "outcomes.tsv",
        *(args.results / folder for folder in ("preprocess", "samples", "evaluation")),
        args.results / "autoencoder" / "history.tsv", args.results / "diffusion" / "history.tsv",
        args.results / "figures", _section(args, "reporting"),
    )  # fmt: skip


def _write_report(args: Arguments) -> None:
    from hemexp.reporting.page import run_write_report

    run_write_report(
        args.results / "tables", args.results / "figures", args.results / "preprocess" / "qc.tsv",
        args.results / "report" / "index.html", _section(args, "reporting"), args.preset,
        args.seed,
    )  # fmt: skip


def _where(args: Arguments) -> None:
    maps = sorted(args.results.glob("samples/sub-*/sub-*_desc-expansion_probseg.nii.gz"))
    places = {
        "tables": args.results / "tables",
        "figures": args.results / "figures",
        "page": args.results / "report" / "index.html",
        "one patient's expansion-probability map": maps[0] if maps else "none drawn yet",
    }
    for name, place in places.items():
        print(f"{name}: {place}")


_SHEET = ("samples", "results")
_PATIENT = (*_SHEET, "settings", "patient")
_TRAIN = (*_SHEET, "settings", "seed", "device")

VERBS = {
    "draw-cohort": Verb(_draw_cohort, "write a sample sheet of phantom patients",
                        ("out", "settings", "per-center")),
    "draw-patient": Verb(_draw_patient, "draw a phantom patient's raw scans", _PATIENT),
    "collect-truth": Verb(_collect_truth, "gather what the phantom knows", (*_SHEET, "settings")),
    "check": Verb(_check, "check the sheet, and its images with --images", ("samples", "images")),
    "strip-skull": Verb(_strip_skull, "check a scan, mask its brain, measure its blood",
                        (*_PATIENT, "session")),
    "register-followup": Verb(_register_followup, "align a pair of scans rigidly",
                              (*_PATIENT, "reference")),
    "resample-scan": Verb(_resample_scan, "bring a scan onto the grid",
                          (*_PATIENT, "session", "reference")),
    "collect-qc": Verb(_collect_qc, "one table of quality, one of outcomes",
                       (*_SHEET, "settings", "reference")),
    "train-autoencoder": Verb(_train_autoencoder, "train the multi-head VAE", _TRAIN),
    "encode-patients": Verb(_encode_patients, "cache the posterior means of scans",
                            (*_SHEET, "settings", "device", "patients", "splits")),
    "fit-scale": Verb(_fit_scale, "measure latents over training patients", _SHEET),
    "fit-expansion": Verb(_fit_expansion, "fit p(expansion) and growth",
                          (*_SHEET, "settings", "seed")),
    "predict-expansion": Verb(_predict_expansion, "forecast growth of all patients", _SHEET),
    "train-diffusion": Verb(_train_diffusion, "train the conditional denoiser", _TRAIN),
    "sample-followups": Verb(_sample_followups, "draw a patient's follow-ups",
                             (*_PATIENT, "seed", "device")),
    "score-patient": Verb(_score_patient, "score a patient's samples",
                          ("results", "settings", "patient")),
    "summarise-scores": Verb(_summarise_scores, "compare forecasts over all patients",
                             ("results", "settings", "seed")),
    "write-tables": Verb(_write_tables, "write the tables for people", (*_SHEET, "settings")),
    "draw-figures": Verb(_draw_figures, "draw all figures", ("results", "settings")),
    "write-report": Verb(_write_report, "write the page that holds it all",
                         ("results", "settings", "preset", "seed")),
    "where": Verb(_where, "say where a run's tables, figures and maps lie", ("results",)),
}  # fmt: skip


def make_parser() -> argparse.ArgumentParser:
    """The command line: one sub-command per verb."""
    parser = argparse.ArgumentParser(
        prog="hemexp",
        description="Many plausible follow-up CT scans of one brain haemorrhage, drawn from its "
        "baseline. Research software, not a medical device.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, verb in VERBS.items():
        command = commands.add_parser(name, help=verb.help, description=verb.help)
        for argument in verb.arguments:
            options = ARGUMENTS[argument]
            shown = options["help"]
            if options.get("default") not in (None, []) and "action" not in options:
                shown += " (default: %(default)s)"
            command.add_argument(f"--{argument}", **(options | {"help": shown}))
    return parser


def main(argv: list[str] | None = None) -> None:
    """Runs one verb; a fault of the input is told in its own words, with exit code 2."""
    args = make_parser().parse_args(argv)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"
    )
    try:
        VERBS[args.verb].run(args)
    except HemexpError as error:
        logging.error("hemexp %s: %s", args.verb, error)
        sys.exit(2)
