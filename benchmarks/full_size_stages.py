"""The stages of `full_size.py`: which verbs run in which order, and what a whole study repeats."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hemexp.columns import SESSIONS
from hemexp.layout import RESULTS, Layout
from hemexp.provenance import sidecar_path
from hemexp.settings import Settings

TRAIN = ("A01", "A02")
"""Phantom patients of the demo's sheet, one of whom expands: the fewest that every fit takes."""
DRAWN = "B10"
"""Whose follow-ups are drawn: of split `val`, so that the pooled map is fitted on the same."""
PATIENTS = (*TRAIN, DRAWN)
STUDY = 450
"""Patients that figures are extrapolated to."""
SHEET = "config/samples.tsv"


@dataclass(frozen=True)
class Stage:
    """A verb and its jobs.

    Attributes:
        verb: Of the command line, as its rule calls it.
        jobs: Arguments of every job.
        unit: What its work is counted in.
        units: How many of them the jobs do.
        study: How many a study of `STUDY` patients has; None: not extrapolated.
        starts: Jobs of a study, each of which starts anew.
        estimate_s: Seconds on a card; with less left, it is not begun.
        inner_s: Seconds of all units without the start, from sidecars; None: not told apart.
        training: Room of a training, which is stopped once its steps were timed.
    """

    verb: str
    jobs: list[list[str]]
    unit: str
    units: int
    study: int | None
    starts: int = 1
    estimate_s: float = 10
    inner_s: Callable[[], float] | None = None
    training: str | None = None


def sidecar_seconds(*products: Path) -> float:
    """Sum of the seconds that the sidecars of products tell."""
    records = [sidecar_path(path).read_text(encoding="utf-8") for path in products]
    return sum(json.loads(text)["seconds"] for text in records)


def command(verb: str, arguments: list[str]) -> list[str]:
    """The command line of a verb."""
    return [sys.executable, "-m", "hemexp", verb, *arguments]


def _text(section: object) -> list[str]:
    return ["--settings", json.dumps(section.as_json())]


def list_stages(settings: Settings, folder: Path) -> list[Stage]:
    """All stages of the run in `folder`, in the order in which they can run."""
    device = ["--seed", str(settings.seed), "--device", settings.device]
    return (
        _scans(settings) + _models(settings, folder, device) + _samples(settings, folder, device)
    )


def _scans(settings: Settings) -> list[Stage]:
    preprocess, sheet = settings.preprocess, ["--samples", SHEET]
    scans = [["--patient", p, "--session", s, *sheet] for p in PATIENTS for s in SESSIONS]
    patients = [["--patient", p, *sheet] for p in PATIENTS]
    raw = ["--raw", json.dumps(preprocess.raw.as_json())]

    def stage(verb: str, jobs: list[list[str]], unit: str, options: list[str]) -> Stage:
        per_patient = len(jobs) // len(PATIENTS)
        study = None if verb == "draw-patient" else per_patient * STUDY
        # Some 4 s a job of full size on one core.
        every = [job + options for job in jobs]
        return Stage(verb, every, unit, len(jobs), study, study or 0, 4 * len(jobs))

    return [
        stage("draw-patient", patients, "patient", _text(settings.phantom)),
        stage("strip-skull", scans, "scan", _text(preprocess.skull_strip) + raw),
        stage("register-followup", patients, "patient", _text(preprocess.registration)),
        stage("resample-scan", scans, "scan", _text(preprocess.grid)),
        Stage("collect-qc", [sheet + _text(preprocess)], "patient", len(PATIENTS), None),
    ]


def _models(settings: Settings, folder: Path, device: list[str]) -> list[Stage]:
    sheet, layout, n = ["--samples", SHEET], Layout(folder / RESULTS), len(PATIENTS)
    latents, seed = _text(settings.latents), ["--seed", str(settings.seed)]
    relative = not settings.latents.reference.is_baseline
    push = ["--references"] if relative else []

    def training(room: str, estimate_s: float) -> Stage:
        section = getattr(settings, room)
        job = [*sheet, *_text(section), *device]
        return Stage(
            f"train-{room}", [job], "step", 0, section.steps, 1, estimate_s, training=room
        )

    # Estimates: steps of .3 and 1.2 s eager on an H200, 85 s to compile.
    return [
        training("autoencoder", 90),
        *([Stage("fit-push", [sheet], "patient", n, None)] if relative else []),
        Stage(
            "encode-patients",
            [["--splits", "train", "val", *sheet, *latents, *device, *push]],
            "patient",
            n,
            STUDY,
            1,
            30,
            lambda: sidecar_seconds(*(layout.latents(patient) for patient in PATIENTS)),
        ),
        Stage("fit-scale", [sheet + latents], "patient", n, None),
        Stage("measure-bleed", [["--splits", "train", "val", *sheet]], "patient", n, None),
        Stage("fit-expansion", [sheet + _text(settings.expansion) + seed], "patient", n, None),
        training("diffusion", 150),
    ]


def _samples(settings: Settings, folder: Path, device: list[str]) -> list[Stage]:
    sheet, patient = ["--samples", SHEET], ["--patient", DRAWN]
    volumes, k = Layout(folder / RESULTS).sample_volumes(DRAWN), settings.sampling.samples
    evaluation = _text(settings.evaluation)
    return [
        Stage(
            "sample-followups",
            [[*patient, *sheet, *_text(settings.sampling), *device]],
            "sample",
            k,
            k * STUDY,
            STUDY,
            2.2 * k,  # 89 s and 20 s to start for K = 50 on an H200
            lambda: sidecar_seconds(volumes),
        ),
        Stage("fit-climatology", [sheet], "patient", len(PATIENTS), None),
        Stage("fit-pool", [sheet + evaluation], "patient", 1, None),
        Stage("pool-map", [patient], "patient", 1, STUDY, STUDY),
        Stage("score-patient", [patient + evaluation], "patient", 1, STUDY, STUDY, 30),
    ]
