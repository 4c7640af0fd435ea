"""Verb `predict`: one patient's raw baseline to samples, map, volumes and a page, in one process.

It calls what the rules call, one after the other, and leaves the same files under the same names
below its own folder: with one patient_id and seed, the numbers are those of the workflow.
"""

import logging
import math
import re
import time
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from safetensors.torch import load_file

from hemexp import Fault, HemexpError
from hemexp.columns import SESSIONS
from hemexp.expansion.measure import run_measure_bleed
from hemexp.expansion.model import load_expansion, patient_distribution
from hemexp.expansion.patients import read_patients
from hemexp.latents.encode import run_encode_patients
from hemexp.layout import Layout
from hemexp.preprocess.resample import run_resample_scan
from hemexp.preprocess.strip import run_strip_skull
from hemexp.provenance import patient_file
from hemexp.ranges import NUMBERS, NUMBERS_OPTIONAL
from hemexp.release.models import FILES, Recipe, models_folder
from hemexp.reporting.forecast_page import run_write_forecast
from hemexp.sampling.finish import baseline_files, load_baseline
from hemexp.sampling.run import sample_patient, tell
from hemexp.training import resolve_device

log = logging.getLogger(__name__)

BASELINE = SESSIONS[0]
IMAGES = ("ct", "iph", "ivh", "brain")
VALUES = NUMBERS | {"expansion_prob": NUMBERS_OPTIONAL["expansion_prob"]}


def option_faults(
    patient_id: str, images: Mapping[str, Path | None], values: Mapping[str, float | None]
) -> list[Fault]:
    """What is wrong with the options, as the sample sheet's check would say it.

    Args:
        patient_id: Letters and digits.
        images: Files of `IMAGES`; only `brain` may be None.
        values: Numbers of `VALUES`; None where unknown.
    """
    faults = []
    if not re.fullmatch(r"[A-Za-z0-9]+", patient_id):
        faults.append(
            Fault("--patient-id", repr(patient_id), "letters and digits only", "Rename it.")
        )
    for name, path in images.items():
        if path is not None and not path.exists():
            faults.append(
                Fault(
                    f"--baseline-{name}",
                    f"{path}, which does not exist",
                    "an existing file",
                    "Correct the path.",
                )
            )
    for name, value in values.items():
        if not VALUES[name].fits(value):
            faults.append(
                Fault(
                    f"--{name.replace('_', '-')}",
                    f"{value}",
                    str(VALUES[name]),
                    "Correct the value or its unit.",
                )
            )
    return faults


def sheet_row(patient_id: str, values: Mapping[str, float | None]) -> pd.DataFrame:
    """The patient as a row of a sample sheet, split `predict`; unknown values are NaN."""
    numbers = {name: math.nan if value is None else value for name, value in values.items()}
    row = {"patient_id": patient_id, "split": "predict"} | numbers
    return pd.DataFrame([row]).set_index("patient_id", drop=False)


def prepare(patient_id: str, images: Mapping[str, Path], preprocess: Path, recipe: Recipe) -> None:
    """Check, strip and grid: the rules `strip_skull` and `resample_scan` of a new patient."""
    layout, scan = Layout(preprocess.parent), (patient_id, BASELINE)
    run_strip_skull(layout, *scan, images, recipe.skull_strip, recipe.raw)
    run_resample_scan(layout, *scan, recipe.grid, BASELINE)


def run_predict(
    patient_id: str,
    images: Mapping[str, Path | None],
    values: Mapping[str, float | None],
    folder: Path,
    recipe: Recipe,
    out: Path,
    seed: int,
    device: str,
) -> Path:
    """Draws follow-ups of one patient from its raw baseline.

    Args:
        patient_id: Letters and digits; it seeds the noise together with `seed`.
        images: Raw files: `ct`, `iph`, `ivh`, and `brain` where a mask is given, else None.
        values: Numbers of `VALUES`; None where unknown.
        folder: Released models.
        recipe: What they were made with.
        out: Folder to write, laid out as `results/`, with the page `sub-ID.html`.
        seed: Run seed.
        device: `auto`, `cpu` or `cuda`.

    Returns:
        The page.

    Raises:
        HemexpError: An option, a scan or a model that cannot be used.
    """
    started = time.perf_counter()
    if faults := option_faults(patient_id, images, values):
        raise HemexpError(*faults)
    models = models_folder(folder, *FILES)
    row, sampling = sheet_row(patient_id, values), recipe.sampling
    if sampling.indicator == "oracle":  # nobody knows a new patient's outcome
        sampling = sampling.model_copy(update={"indicator": "predicted"})
    prepare(
        patient_id, {k: path for k, path in images.items() if path}, out / "preprocess", recipe
    )
    run_encode_patients(
        {patient_id: [BASELINE]},
        out / "preprocess",
        models / "autoencoder",
        out / "latents",
        recipe.latents,
        seed,
        device,
    )
    run_measure_bleed(Layout(out), row)
    patient = read_patients(Layout(out), row).iloc[0]
    latents = patient_file(out / "latents", patient_id, "latents.safetensors")
    features = Layout(out).features(patient_id)
    sources = [latents, features, *baseline_files(out / "preprocess", patient_id)]
    baseline = load_baseline(out / "preprocess", patient)
    table = sample_patient(
        patient,
        baseline,
        load_file(latents),
        models,
        out / "samples",
        sampling,
        seed,
        resolve_device(device),
        sources,
    )
    tell(table, patient_id, baseline.iph_ml, time.perf_counter() - started)
    growth = patient_distribution(load_expansion(models / "expansion" / "model.json"), patient)
    known = {name: (value, VALUES[name].unit) for name, value in values.items()}
    page = run_write_forecast(Layout(out), patient_id, known, growth.p_expansion, seed)
    log.info("%s: open %s", patient_id, page)
    return page
