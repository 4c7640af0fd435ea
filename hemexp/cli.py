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
from hemexp.cohort import SESSIONS, is_phantom, patient_file, read_samples
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
    "images": {"action": "store_true", "help": "read and check every image too"},
    "out": {"required": True, "type": Path, "help": "file to write"},
    "config": {"default": "config/config.yaml", "help": "the run's config file or JSON"},
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

    run_draw_cohort(args.out, _section(args, "phantom"))


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


def _strip_skull(args: Arguments) -> None:
    from hemexp.preprocess.skull import run_strip_skull

    row = read_samples(args.samples, args.patient).iloc[0]
    run_strip_skull(
        args.patient, args.session,
        *(row[f"{args.session}_{image}"] for image in ("ct", "iph", "ivh")),
        _native(args, args.session, "desc-brain_mask.nii.gz"),
        _native(args, args.session, "volumes.tsv"),
        _section(args, "preprocess.skull_strip"),
        row.get(f"{args.session}_brain") or None,
    )  # fmt: skip


def _native(args: Arguments, session: str, ending: str) -> Path:
    return patient_file(
        args.results / "preprocess", args.patient, f"ses-{session}_space-native_{ending}"
    )


def _collect_qc(args: Arguments) -> None:
    from hemexp.preprocess.collect import run_collect_qc

    folder = args.results / "preprocess"
    run_collect_qc(
        Path(args.samples), folder, folder / "qc.tsv", args.results / "cohort" / "outcomes.tsv",
        _section(args, "preprocess"),
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
        _training(args), args.results / "preprocess", folder / "model.json", folder / "training.tsv",
        _section(args, "expansion"), args.seed,
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


_SHEET = ("samples", "results")
_PATIENT = (*_SHEET, "settings", "patient")
_TRAIN = (*_SHEET, "settings", "seed", "device")

VERBS = {
    "draw-cohort": Verb(_draw_cohort, "write a sample sheet of phantom patients", ("out", "settings")),
    "draw-patient": Verb(_draw_patient, "draw a phantom patient's raw scans", _PATIENT),
    "collect-truth": Verb(_collect_truth, "gather what the phantom knows", (*_SHEET, "settings")),
    "check": Verb(_check, "check the sheet, and its images with --images", ("samples", "images")),
    "strip-skull": Verb(_strip_skull, "check a scan, mask its brain, measure its blood",
                        (*_PATIENT, "session")),
    "collect-qc": Verb(_collect_qc, "one table of quality, one of outcomes", (*_SHEET, "settings")),
    "train-autoencoder": Verb(_train_autoencoder, "train the multi-head VAE", _TRAIN),
    "encode-patients": Verb(_encode_patients, "cache the posterior means of scans",
                            (*_SHEET, "settings", "device", "patients", "splits")),
    "fit-scale": Verb(_fit_scale, "measure latents over training patients", _SHEET),
    "fit-expansion": Verb(_fit_expansion, "fit p(expansion) and growth", (*_SHEET, "settings", "seed")),
    "predict-expansion": Verb(_predict_expansion, "forecast growth of all patients", _SHEET),
    "train-diffusion": Verb(_train_diffusion, "train the conditional denoiser", _TRAIN),
    "sample-followups": Verb(_sample_followups, "draw a patient's follow-ups",
                             (*_PATIENT, "seed", "device")),
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
