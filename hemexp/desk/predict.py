"""Verb `predict`: one patient's raw baseline to samples, map, volumes and a page, in one process.

It calls what the rules call, one after the other, and leaves the same files under the same names
below its own folder: with one patient_id and seed, the numbers are those of the workflow.
"""

import logging
import math
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hemexp import Fault, HemexpError
from hemexp.expansion.measure import run_measure_bleed
from hemexp.expansion.patient_answers import run_answer_patient
from hemexp.latents.encode import run_encode_patients
from hemexp.layout import Layout
from hemexp.preprocess.collect import judge_baseline
from hemexp.preprocess.resample import run_resample_scan
from hemexp.preprocess.strip import run_strip_skull
from hemexp.preprocess.unmasked import run_complete_scan, run_strip_unmasked
from hemexp.provenance import write_atomically
from hemexp.release.models import MODEL_PARTS, SEGMENTER, Recipe, held_parts, models_layout
from hemexp.release.patient_values import PATIENT_NUMBERS, is_patient_id, number_faults
from hemexp.reporting.patient.page import run_write_patient_page
from hemexp.sampling.models import Sampler, load_trained
from hemexp.sampling.patient import BASELINE, read_at_baseline
from hemexp.sampling.run import log_samples, sample_patient
from hemexp.segmentation.segment import run_segment_scan
from hemexp.settings import Sampling
from hemexp.training import resolve_device

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NewPatient:
    """A patient as the options of `predict` describe it.

    Attributes:
        patient_id: Letters and digits; it seeds the noise together with the run seed.
        images: Raw files by the names of `ScanImages`; `ivh` is None where there is no IVH,
            `brain` where no mask of it is given, `iph` where IPH and IVH are to be found.
        values: Numbers of `PATIENT_NUMBERS`; None where unknown.
    """

    patient_id: str
    images: Mapping[str, Path | None]
    values: Mapping[str, float | None]

    def sheet(self) -> pd.DataFrame:
        """The patient's row of a sample sheet, split `predict`; unknown values are NaN."""
        numbers = {name: math.nan if v is None else v for name, v in self.values.items()}
        row = {"patient_id": self.patient_id, "split": "predict"} | numbers
        return pd.DataFrame([row]).set_index("patient_id", drop=False)


def option_faults(patient: NewPatient) -> list[Fault]:
    """What is wrong with the options, as the sample sheet's check would say it."""
    faults = []
    if not is_patient_id(patient.patient_id):
        faults.append(
            Fault(
                "--patient-id", repr(patient.patient_id), "letters and digits only", "Rename it."
            )
        )
    for name, path in patient.images.items():
        if path is not None and not path.exists():
            faults.append(
                Fault(
                    f"--baseline-{name}",
                    f"{path}, which does not exist",
                    "an existing file",
                    "Correct the path.",
                )
            )
    return faults + number_faults(
        patient.values, PATIENT_NUMBERS, lambda name: f"--{name.replace('_', '-')}"
    )


def mask_faults(patient: NewPatient, folder: Path, recipe: Recipe) -> list[Fault]:
    """What stands in the way of a scan without masks: nothing that could find them, or one alone.

    Args:
        patient: The patient.
        folder: Released models.
        recipe: What they were made with.
    """
    if patient.images.get("iph"):
        return []
    if patient.images.get("ivh"):
        cure = "Name the IPH mask too, or neither: then both are found."
        return [Fault("--baseline-iph", "nothing beside an IVH mask", "the IPH mask", cure)]
    method = recipe.segmentation.method if recipe.segmentation else "network"
    held = SEGMENTER in held_parts(models_layout(folder))
    if method == "command" or (method == "network" and held):
        return []
    why = {
        "network": f"no network in {folder} that finds one",
        "provided": "segmentation.method is 'provided' in the config",
    }
    return [
        Fault(
            "--baseline-iph",
            f"no mask, and {why[method]}",
            "the IPH mask, or models whose run made masks",
            "Draw it and name it, or give a config with segmentation.method 'command'.",
        )
    ]


def find_masks(
    layout: Layout, patient_id: str, recipe: Recipe, models: Layout, device: str
) -> None:
    """Finds IPH and IVH in a stripped scan, and takes the model of their error over."""
    if recipe.segmentation.method == "network":
        with write_atomically(layout.error_model) as temporary:
            shutil.copyfile(models.error_model, temporary)
    scan = patient_id, BASELINE
    run_segment_scan(layout, *scan, recipe.segmentation, device, models)
    run_complete_scan(layout, *scan)


def prepare(
    patient: NewPatient, layout: Layout, recipe: Recipe, models: Layout, device: str
) -> tuple[str, str]:
    """Check, strip, find masks where none are given, grid and judge, as the rules do.

    Returns:
        What is doubtful about the scan, and what is to be noted, as `qc.tsv` would say it.
    """
    scan = patient.patient_id, BASELINE
    raw = {name: path for name, path in patient.images.items() if path}
    if "iph" in raw:
        run_strip_skull(layout, *scan, raw, recipe.skull_strip, recipe.raw)
    else:
        run_strip_unmasked(layout, *scan, raw, recipe.skull_strip, recipe.raw)
        find_masks(layout, patient.patient_id, recipe, models, device)
    run_resample_scan(layout, *scan, recipe.grid, BASELINE)
    warnings, notes = judge_baseline(layout, patient.patient_id, recipe.quality)
    if warnings:
        log.warning("%s: doubtful scan: %s", patient.patient_id, warnings)
    if notes:
        log.info("%s: %s", patient.patient_id, notes)
    return warnings, notes


def as_forecast(settings: Sampling) -> Sampling:
    """The settings without the oracle: nobody knows a new patient's outcome."""
    if settings.indicator == "oracle":
        return settings.model_copy(update={"indicator": "predicted"})
    return settings


def run_predict(
    patient: NewPatient, folder: Path, recipe: Recipe, out: Path, seed: int, device: str
) -> Path:
    """Draws follow-ups of one patient from its raw baseline.

    Args:
        patient: The patient.
        folder: Released models.
        recipe: What they were made with.
        out: Folder to write, laid out as `results/`.
        seed: Run seed.
        device: `auto`, `cpu` or `cuda`.

    Returns:
        The page.

    Raises:
        HemexpError: An option, a scan or a model that cannot be used.
    """
    started = time.perf_counter()
    released, layout, sheet = models_layout(folder, *MODEL_PARTS), Layout(out), patient.sheet()
    if faults := option_faults(patient) + mask_faults(patient, folder, recipe):
        raise HemexpError(*faults)
    seen = prepare(patient, layout, recipe, released, device)
    run_encode_patients(layout, sheet, recipe.latents, seed, device, released)
    run_measure_bleed(layout, sheet)
    models = load_trained(released, resolve_device(device))
    sampler = Sampler(models, as_forecast(recipe.sampling), seed)
    known = read_at_baseline(layout, sheet, recipe.sampling.at_h)
    table = sample_patient(sampler, known, layout)
    log_samples(table, known, time.perf_counter() - started)
    run_answer_patient(layout, sheet, released)
    page = run_write_patient_page(layout, sheet.iloc[0], seen, seed)
    log.info("%s: open %s", patient.patient_id, page)
    return page
