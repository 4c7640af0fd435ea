"""`hemexp <verb>`: one verb per rule of the workflow, the same word.

What a verb does stands in `verbs.py`, what it is called and which options it takes here.
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from hemexp import HemexpError, __version__, verbs
from hemexp.cohort import SESSIONS

Arguments = argparse.Namespace


class Verb(NamedTuple):
    """One command.

    Attributes:
        run: What it does; its docstring is the help.
        arguments: Names of its options, see `ARGUMENTS`.
    """

    run: Callable[[Arguments], None]
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
    "raw": {
        "default": "config/config.yaml",
        "help": "limits of raw scans as JSON, or a config file to take them from",
    },
    "session": {"required": True, "choices": SESSIONS, "help": "which scan"},
    "seed": {"type": int, "default": 1, "help": "run seed"},
    "device": {"default": "auto", "choices": ("auto", "cpu", "cuda"), "help": "where to work"},
    "per-center": {"type": int, "default": 10, "help": "patients in each of the four centres"},
    "images": {"action": "store_true", "help": "read and check every image too"},
    "out": {"required": True, "type": Path, "help": "file or folder to write"},
    "reference": {"default": "baseline", "choices": SESSIONS, "help": "scan that lays the grid"},
    "on-failure": {
        "default": os.environ.get("HEMEXP_ON_FAILURE", "stop"),
        "choices": ("stop", "exclude"),
        "help": "what a patient who cannot be used does",
    },
    "preset": {"default": "demo", "help": "name of the run's preset, for the page"},
}


_SHEET = ("samples", "results")
_PATIENT = (*_SHEET, "settings", "patient")
_STEP = (*_PATIENT, "on-failure")
_TRAIN = (*_SHEET, "settings", "seed", "device")

VERBS = {
    "draw-cohort": Verb(verbs.draw_cohort, ("out", "settings", "per-center")),
    "draw-patient": Verb(verbs.draw_patient, _PATIENT),
    "collect-truth": Verb(verbs.collect_truth, (*_SHEET, "settings")),
    "check": Verb(verbs.check, ("samples", "images", "settings")),
    "strip-skull": Verb(verbs.strip_skull, (*_STEP, "raw", "session")),
    "register-followup": Verb(verbs.register_followup, (*_STEP, "reference")),
    "resample-scan": Verb(verbs.resample_scan, (*_STEP, "session", "reference")),
    "collect-qc": Verb(verbs.collect_qc, (*_SHEET, "settings")),
    "write-qc": Verb(verbs.write_qc, ("results", "settings")),
    "train-autoencoder": Verb(verbs.train_autoencoder, _TRAIN),
    "encode-patients": Verb(verbs.encode_patients,
                            (*_SHEET, "settings", "device", "patients", "splits")),
    "fit-scale": Verb(verbs.fit_scale, _SHEET),
    "fit-expansion": Verb(verbs.fit_expansion, (*_SHEET, "settings", "seed")),
    "predict-expansion": Verb(verbs.predict_expansion, _SHEET),
    "train-diffusion": Verb(verbs.train_diffusion, _TRAIN),
    "sample-followups": Verb(verbs.sample_followups, (*_PATIENT, "seed", "device")),
    "score-patient": Verb(verbs.score_patient, ("results", "settings", "patient")),
    "summarise-scores": Verb(verbs.summarise_scores, ("results", "settings", "seed")),
    "write-tables": Verb(verbs.write_tables, (*_SHEET, "settings")),
    "draw-figures": Verb(verbs.draw_figures, ("results", "settings")),
    "write-report": Verb(verbs.write_report, ("results", "settings", "preset", "seed")),
    "export-bundle": Verb(verbs.export_bundle, ("results", "out", "settings")),
    "where": Verb(verbs.where, ("results",)),
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
        command = commands.add_parser(name, help=verb.run.__doc__, description=verb.run.__doc__)
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
