"""Verb `sample-followups`: from one baseline to samples, maps and volumes on disk."""

import logging
import time

import numpy as np
import pandas as pd

from hemexp.anatomy.reference import DRIFT_COLUMNS
from hemexp.compiling import compile_sampling, keep_compiled
from hemexp.layout import Layout
from hemexp.provenance import write_atomically, write_sidecars
from hemexp.sampling.draw import Asked, Sampler, draw_patient_followups
from hemexp.sampling.files import remove_surplus, write_samples
from hemexp.sampling.models import load_trained
from hemexp.sampling.noise import PatientSeed
from hemexp.sampling.patient import PatientAtBaseline, read_at_baseline
from hemexp.sampling.requests import how_drawn
from hemexp.sampling.workers import Workers
from hemexp.settings import Sampling
from hemexp.training import resolve_device

log = logging.getLogger(__name__)

LARGE_OFFSET, LARGE_SHARE = 6.0, 0.9
"""A patient whose 90th percentile of |logit offset| exceeds 6 is warned of."""


def volumes_table(
    sampler: Sampler, seed: PatientSeed, asked: Asked, measured: list[dict[str, float]]
) -> pd.DataFrame:
    """The content of `volumes.tsv`: what was asked of each sample, and what it shows."""
    numbers, settings = range(len(asked.told)), sampler.settings
    condition = sampler.models.denoiser.settings.condition
    return pd.DataFrame(
        {
            "sample": numbers,
            "kept": [int(k < settings.kept) for k in numbers],
            "seed": [seed.for_draw(k) for k in numbers],
            "condition": condition,
            "draws": how_drawn(condition, settings),
            "expansion_flag": asked.requests.flag,
            "target_growth_ml": asked.requests.growth_ml,
            "target_ivh_growth_ml": [one.ivh_growth_ml for one in asked.told],
            **dict(
                zip(DRIFT_COLUMNS, np.array([one.drift_mm for one in asked.told]).T, strict=True)
            ),
            "push_ml": [one.push_ml for one in asked.told],
            **pd.DataFrame(measured),
            "indicator": settings.indicator,
        }
    )


def sample_patient(sampler: Sampler, patient: PatientAtBaseline, layout: Layout) -> pd.DataFrame:
    """Draws K follow-ups of one patient; writes those kept, and the maps and volumes of all.

    Memory does not grow with K: one batch is finished and written while the next is drawn.
    Samples that an earlier run left there and this one does not keep are removed.

    Args:
        sampler: Models, settings and seed.
        patient: The patient.
        layout: Where to write.

    Returns:
        The content of `volumes.tsv`.
    """
    started, settings = time.perf_counter(), sampler.settings
    with Workers.of_job() as workers:
        finished, asked = draw_patient_followups(sampler, patient, workers)
        frame = asked.references.frame
        kept = settings.kept
        measured, products = write_samples(layout, patient, finished, frame, workers, kept)
    remove_surplus(layout, patient.patient_id, kept)
    seed = PatientSeed(sampler.seed, patient.patient_id)
    table = volumes_table(sampler, seed, asked, measured)
    volumes = layout.sample_volumes(patient.patient_id)
    with write_atomically(volumes) as temporary:
        table.to_csv(temporary, sep="\t", index=False, float_format="%.4f")
    write_sidecars(
        [*products, volumes],
        verb="sample-followups",
        settings=settings.as_json(),
        inputs=[*sampler.models.files, *patient.files],
        started=started,
        seed=sampler.seed,
        device=str(sampler.models.device),
    )
    return table


def run_sample_followups(
    layout: Layout, sheet: pd.DataFrame, settings: Sampling, seed: int, device: str
) -> None:
    """Draws K follow-ups of one patient and writes them with their maps and volumes.

    Args:
        layout: Of the run.
        sheet: The patient's row, as a table.
        settings: The room's settings.
        seed: Run seed.
        device: `auto`, `cpu` or `cuda`.
    """
    started = time.perf_counter()
    # Only the oracle may look at what happened.
    oracle = settings.indicator == "oracle"
    patient = read_at_baseline(layout, sheet, settings.at_h, follow_up=oracle)
    models = load_trained(layout, resolve_device(device))
    keep_compiled(layout.compiled)
    passes = settings.samples * settings.evaluations
    compile_sampling(models.denoiser.network, settings.compile, passes, models.device)
    sampler = Sampler(models, settings, seed)
    table = sample_patient(sampler, patient, layout)
    log_samples(table, patient, time.perf_counter() - started)


def log_samples(table: pd.DataFrame, patient: PatientAtBaseline, seconds: float) -> None:
    """Logs what was drawn, and warns where images and volumes disagree."""
    offset = float(table["logit_offset"].abs().quantile(LARGE_SHARE))
    if offset > LARGE_OFFSET:
        message = (
            "%s: matching moved IPH logits by %.1f (90th percentile): images and volumes disagree"
        )
        log.warning(message, patient.patient_id, offset)
    if again := int(table["redrawn"].sum()):
        message = "%s: %d samples drawn again; %d still disagree with their mask or request"
        log.warning(message, patient.patient_id, again, int(table["disagrees"].sum()))
    message = "%s: %d samples in %.1f s; IPH %.1f mL at baseline, then %.1f mL (median)"
    before_ml, after_ml = patient.baseline.iph_ml, table["iph_ml"].median()
    log.info(message, patient.patient_id, len(table), seconds, before_ml, after_ml)
