"""`hemexp <verb>`: one verb per rule of the workflow, the same word.

What a verb does stands in `verbs/`, what it is called and which options it takes here.
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from hemexp import HemexpError, __version__
from hemexp.columns import SESSIONS
from hemexp.layout import Layout
from hemexp.notice import NOTICE
from hemexp.verbs import data, desk, models, results
from hemexp.verbs.files import file_fault

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
    "references": {
        "action": "store_true",
        "help": "encode what follow-ups of training patients are drawn relative to, too",
    },
    "raw": {
        "help": "limits of raw scans as JSON, or a config file to take them from; without it the "
        "config file of --settings"
    },
    "fold": {"type": int, "help": "the network that never sees this part of the patients, from 0"},
    "start-from": {
        "type": Path,
        "help": "results folder, or `models` of a bundle, whose network the training starts from",
    },
    "session": {"required": True, "choices": SESSIONS, "help": "which scan"},
    "seed": {"type": int, "default": 1, "help": "run seed"},
    "device": {"default": "auto", "choices": ("auto", "cpu", "cuda"), "help": "where to work"},
    "per-center": {"type": int, "default": 10, "help": "patients in each of the four centres"},
    "held-out": {"type": int, "help": "patients of the test centre, if not as many"},
    "first": {"type": int, "default": 1, "help": "number of the test centre's first patient"},
    "predict": {"type": int, "default": 2, "help": "test patients without a follow-up, the last"},
    "validation": {"type": int, "default": 4, "help": "how many of them are `val`, held out"},
    "unmasked": {"type": int, "default": 0, "help": "training patients without masks, the last"},
    "images": {"action": "store_true", "help": "read and check every image too"},
    "out": {"required": True, "type": Path, "help": "file or folder to write"},
    "reference": {"default": "baseline", "choices": SESSIONS, "help": "scan that lays the grid"},
    "on-failure": {
        "default": os.environ.get("HEMEXP_ON_FAILURE", "stop"),
        "choices": ("stop", "exclude"),
        "help": "what a patient who cannot be used does",
    },
    "draws": {"type": int, "default": 200, "help": "follow-ups to draw again"},
    "one": {
        "positional": True,
        "nargs": "?",
        "default": Layout().table("").parent,
        "type": Path,
        "help": "folder of tables (TSV, CSV)",
    },
    "other": {
        "positional": True,
        "nargs": "?",
        "type": Path,
        "help": "folder to compare it with; left out: the same one as git's last commit has it",
    },
    # Four times the most that another processor made of the same models (cost.md).
    "tolerance": {
        "type": float,
        "default": 0.01,
        "help": "numbers may differ by this, relatively",
    },
    "baseline-ct": {"required": True, "type": Path, "help": "raw CT: NIfTI, or DICOM folder"},
    "baseline-iph": {
        "type": Path,
        "help": "its IPH mask; without it the models find IPH and IVH, if they can",
    },
    "baseline-ivh": {"type": Path, "help": "its IVH mask; left out where there is no IVH"},
    "baseline-brain": {"type": Path, "help": "a brain mask of your own"},
    "onset-to-ct-h": {"type": float, "help": "onset to CT, hours; leave out when unknown"},
    "anticoagulant": {"type": float, "help": "0 or 1"},
    "antiplatelet": {"type": float, "help": "0 or 1"},
    "age": {"type": float, "help": "years"},
    "gcs": {"type": float, "help": "Glasgow Coma Scale, 3-15"},
    "sbp": {"type": float, "help": "systolic blood pressure, mmHg"},
    "expansion-prob": {"type": float, "help": "p(expansion) of a classifier of your own"},
    "source": {"help": "the baseline's DICOM series, if not what the sheet names"},
    "folder": {"positional": True, "type": Path, "help": "folder of a centre's images"},
    "pattern": {
        "nargs": "*",
        "default": [],
        "help": "how files are named: {patient}_{session}_{image}.nii.gz, or one for each column",
    },
    "center": {"required": True, "help": "the centre's name, letters and digits"},
    "file": {"positional": True, "type": Path, "help": "any product of a run"},
    "whole": {"action": "store_true", "help": "name every file, not one of a kind"},
    "patient-id": {"default": "patient", "help": "letters and digits; seeds the noise"},
    "config": {"type": Path, "help": "config file in place of the records beside the models"},
    "ablation": {"required": True, "help": "name of a file in config/ablations"},
    "shared": {"nargs": "*", "default": [], "help": "rooms taken from the main run"},
    "cores": {"type": int, "default": 2, "help": "cores that jobs may use at a time"},
    "model": {
        "required": True,
        "type": Path,
        "help": "released models: results folder of a run, or a bundle of export-bundle",
    },
    "models": {
        "required": True,
        "nargs": "+",
        "type": Path,
        "help": "folders of released models as for --model, such as one a training seed",
    },
    "preset": {"default": "demo", "help": "name of the run's preset, for the page"},
}


_SHEET = ("samples", "results")
_PATIENT = (*_SHEET, "settings", "patient")
_STEP = (*_PATIENT, "on-failure")
_TRAIN = (*_SHEET, "settings", "seed", "device")

_PREDICT = (
    "baseline-ct",
    "baseline-iph",
    "baseline-ivh",
    "baseline-brain",
    "onset-to-ct-h",
    "anticoagulant",
    "antiplatelet",
    "age",
    "gcs",
    "sbp",
    "expansion-prob",
    "patient-id",
    "model",
    "config",
    "out",
    "seed",
    "device",
)

VERBS = {
    "draw-cohort": Verb(
        data.draw_cohort,
        (
            "out",
            "settings",
            "per-center",
            "held-out",
            "first",
            "predict",
            "validation",
            "unmasked",
        ),
    ),
    "draw-patient": Verb(data.draw_patient, _PATIENT),
    "collect-truth": Verb(data.collect_truth, (*_SHEET, "settings")),
    "collect-what-if-truth": Verb(data.collect_what_if_truth, (*_SHEET, "settings")),
    "draw-truth-map": Verb(data.draw_truth_map, (*_PATIENT, "draws", "reference")),
    "draw-true-what-if": Verb(data.draw_true_what_if, (*_PATIENT, "draws", "reference")),
    "check": Verb(desk.check, ("samples", "images", "settings")),
    "strip-skull": Verb(data.strip_skull, (*_STEP, "raw", "session")),
    "strip-unmasked": Verb(data.strip_unmasked, (*_STEP, "raw", "session")),
    "register-followup": Verb(data.register_followup, (*_STEP, "reference")),
    "resample-scan": Verb(data.resample_scan, (*_STEP, "session", "reference")),
    "collect-qc": Verb(data.collect_qc, (*_SHEET, "settings")),
    "write-qc": Verb(data.write_qc, (*_SHEET, "settings")),
    "train-segmentation": Verb(models.train_segmentation, (*_TRAIN, "fold", "start-from")),
    "segment-scan": Verb(
        models.segment_scan, ("results", "settings", "patient", "session", "device", "on-failure")
    ),
    "crossfit-masks": Verb(models.crossfit_masks, (*_SHEET, "device", "fold")),
    "score-segmentation": Verb(models.score_segmentation, (*_SHEET, "settings")),
    "train-autoencoder": Verb(models.train_autoencoder, _TRAIN),
    "fit-push": Verb(models.fit_push, _SHEET),
    "encode-patients": Verb(models.encode_patients, (*_TRAIN, "patients", "splits", "references")),
    "fit-scale": Verb(models.fit_scale, (*_SHEET, "settings")),
    "measure-bleed": Verb(models.measure_bleed, (*_SHEET, "patients", "splits")),
    "fit-expansion": Verb(models.fit_expansion, (*_SHEET, "settings", "seed")),
    "predict-expansion": Verb(models.predict_expansion, _SHEET),
    "answer-what-if": Verb(models.answer_what_if, _SHEET),
    "train-diffusion": Verb(models.train_diffusion, _TRAIN),
    "sample-followups": Verb(models.sample_followups, (*_PATIENT, "seed", "device")),
    "redraw-what-if": Verb(models.redraw_what_if, (*_PATIENT, "seed", "device")),
    "fit-climatology": Verb(results.fit_climatology, _SHEET),
    "fit-pool": Verb(results.fit_pool, (*_SHEET, "settings")),
    "pool-map": Verb(results.pool_map, ("results", "patient")),
    "score-patient": Verb(results.score_patient, ("results", "settings", "patient")),
    "summarise-scores": Verb(results.summarise_scores, ("samples", "results", "settings", "seed")),
    "vary-masks": Verb(results.vary_masks, ("samples", "results", "settings", "seed")),
    "score-what-if": Verb(results.score_what_if, (*_SHEET, "patients", "splits")),
    "compare-tables": Verb(desk.compare_tables, ("one", "other", "tolerance")),
    "run-ablation": Verb(
        results.run_ablation, (*_SHEET, "settings", "ablation", "shared", "cores")
    ),
    "score-models": Verb(results.score_models, (*_SHEET, "settings", "models", "cores")),
    "show-scores": Verb(results.show_scores, ("results",)),
    "write-tables": Verb(results.write_tables, (*_SHEET, "settings")),
    "write-patients": Verb(results.write_patients, (*_SHEET, "settings")),
    "write-bids": Verb(results.write_bids, _SHEET),
    "draw-figures": Verb(results.draw_figures, ("results", "settings")),
    "write-patient-page": Verb(results.write_patient_page, (*_PATIENT, "seed", "reference")),
    "write-report": Verb(results.write_report, ("results", "settings", "preset", "seed")),
    "write-review": Verb(results.write_review, ("results", "settings", "preset", "seed")),
    "new-center": Verb(desk.new_center, ("folder", "pattern", "center", "out")),
    "provenance": Verb(desk.provenance, (*_SHEET, "file", "whole")),
    "predict": Verb(desk.predict, _PREDICT),
    "accept-masks": Verb(desk.accept_masks, (*_SHEET, "patient", "session")),
    "stack-samples": Verb(desk.stack_samples, ("results", "patient")),
    "export-dicom": Verb(desk.export_dicom, (*_SHEET, "patient", "source", "out")),
    "recalibrate": Verb(desk.recalibrate, (*_SHEET, "model", "out", "seed")),
    "adopt-autoencoder": Verb(models.adopt_autoencoder, ("results", "model")),
    "adopt-scale": Verb(models.adopt_scale, ("results", "model")),
    "adopt-diffusion": Verb(models.adopt_diffusion, ("results", "model")),
    "adopt-expansion": Verb(models.adopt_expansion, ("results", "model")),
    "adopt-segmentation": Verb(models.adopt_segmentation, ("results", "model")),
    "export-bundle": Verb(models.export_bundle, ("results", "out", "settings")),
    "where": Verb(desk.where, ("results",)),
}


def make_parser() -> argparse.ArgumentParser:
    """The command line: one sub-command per verb."""
    parser = argparse.ArgumentParser(
        prog="hemexp",
        description="Many plausible follow-up CT scans of one brain haemorrhage, drawn from its "
        f"baseline. {NOTICE}",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, verb in VERBS.items():
        command = commands.add_parser(name, help=verb.run.__doc__, description=verb.run.__doc__)
        for argument in verb.arguments:
            options = dict(ARGUMENTS[argument])
            name = argument if options.pop("positional", False) else f"--{argument}"
            shown = options["help"]
            if options.get("default") not in (None, []) and "action" not in options:
                shown += " (default: %(default)s)"
            command.add_argument(name, **(options | {"help": shown}))
    return parser


def main(argv: list[str] | None = None) -> None:
    """Runs one verb; a fault of the input is told in its own words, with exit code 2.

    So is a file that cannot be opened, where the options lead to it. All else is a fault of the
    program, and ends with its traceback.
    """
    args = make_parser().parse_args(argv)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"
    )
    try:
        VERBS[args.verb].run(args)
    except (HemexpError, OSError) as error:
        fault = file_fault(error, args)
        if fault is None and isinstance(error, OSError):
            raise
        logging.error("hemexp %s: %s", args.verb, fault or error)
        sys.exit(2)
