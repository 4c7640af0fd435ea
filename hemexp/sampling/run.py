"""Verb `sample-followups`: from one baseline to samples, maps and volumes on disk."""

import itertools
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from hemexp.diffusion.condition import OFFSETS, Condition, build_condition
from hemexp.diffusion.network import DiffusionModel
from hemexp.expansion.model import patient_distribution
from hemexp.layout import Layout
from hemexp.provenance import write_atomically, write_sidecars
from hemexp.sampling.files import remove_surplus, write_samples
from hemexp.sampling.finish import FinishedSample, finish_sample
from hemexp.sampling.models import Models, load_trained
from hemexp.sampling.noise import PatientSeed
from hemexp.sampling.patient import PatientAtBaseline, read_at_baseline
from hemexp.sampling.requests import Requests, draw_drifts, draw_requests
from hemexp.sampling.sample import Start, decode_stack, stream_latents
from hemexp.settings import Sampling
from hemexp.training import autocast_for, resolve_device

log = logging.getLogger(__name__)

LARGE_OFFSET, LARGE_SHARE = 6.0, 0.9
"""A patient whose 90th percentile of |logit offset| exceeds 6 is warned of."""


@dataclass(frozen=True)
class Sampler:
    """What follow-ups are drawn with.

    Attributes:
        models: The trained models.
        settings: The room's settings.
        seed: Run seed.
    """

    models: Models
    settings: Sampling
    seed: int


def slices_that_may_change(
    iph: NDArray[np.bool_], spacing_mm: float, margin_mm: float | None
) -> Tensor:
    """(z,) bool: slices within `margin_mm` of a slice with IPH; all of them without a margin."""
    z = np.arange(iph.shape[2])
    if margin_mm is None:
        return torch.ones(len(z), dtype=torch.bool)
    bloody = z[iph.any(axis=(0, 1))]
    return torch.from_numpy(np.abs(z[:, None] - bloody).min(axis=1) * spacing_mm <= margin_mm)


def condition_samples(
    model: DiffusionModel,
    row: pd.Series,
    encoded: Mapping[str, Tensor],
    requests: Requests,
    seed: PatientSeed,
) -> Condition:
    """Condition of the K samples of one patient, with a drift drawn for each.

    Args:
        model: The denoiser.
        row: Of the sheet, with `baseline_iph_ml`.
        encoded: What `encode-patients` caches of the baseline.
        requests: What is asked for; what is NaN becomes the learned null.
        seed: Of the patient.
    """
    drifts_mm = draw_drifts(
        model.drift,
        encoded["position_mm"].double().numpy(),
        requests.growth_ml,
        float(row["baseline_iph_ml"]),
        seed,
    )
    growth_ml, flag = (torch.from_numpy(part) for part in (requests.growth_ml, requests.flag))
    place = {name: encoded[name][None, :1] for name in OFFSETS}
    place["drift_mm"] = torch.from_numpy(drifts_mm)[:, None]
    return build_condition(model.settings.condition, [row], growth_ml, flag, place)[:, 0]


def draw_patient_latents(
    sampler: Sampler, patient: PatientAtBaseline
) -> tuple[Iterator[Tensor], Requests]:
    """Follow-up latents (z, c, h, w) of one patient as they are drawn, and the requests."""
    settings, model = sampler.settings, sampler.models.denoiser
    seed, scan = PatientSeed(sampler.seed, patient.patient_id), patient.baseline.scan
    distribution = patient_distribution(sampler.models.growth, patient.row)
    requests = draw_requests(
        model.settings.condition, settings, distribution, patient.true_growth_ml, seed
    )
    condition = condition_samples(model, patient.row, patient.encoded, requests, seed)
    spacing_mm = float(scan.ct.spacing_mm[2])
    may_change = slices_that_may_change(scan.iph, spacing_mm, settings.slice_margin_mm)
    start = Start(seed, patient.encoded["baseline"][0], spacing_mm, may_change)
    return stream_latents(model, start, condition, settings), requests


def draw_patient_followups(
    sampler: Sampler, patient: PatientAtBaseline
) -> tuple[Iterator[FinishedSample], Requests]:
    """Follow-ups of one patient, decoded and measured as they are drawn, and the requests."""
    settings, models = sampler.settings, sampler.models
    drawn, requests = draw_patient_latents(sampler, patient)
    autocast = autocast_for(settings.precision, models.device)
    stacks = itertools.chain([patient.encoded["baseline"][0]], drawn)
    decoded = (
        decode_stack(models.autoencoder, stack, settings.batch_slices, autocast)
        for stack in stacks
    )
    reference = next(decoded)
    match = settings.match_volume
    targets_ml = requests.growth_ml if match else np.full(settings.samples, np.nan)
    finished = (
        finish_sample(one, reference, patient.baseline, target_ml)
        for one, target_ml in zip(decoded, targets_ml, strict=True)
    )
    return finished, requests


def sample_patient(sampler: Sampler, patient: PatientAtBaseline, layout: Layout) -> pd.DataFrame:
    """Draws K follow-ups of one patient one by one and writes them, their maps and volumes.

    Memory does not grow with K: a sample is decoded, measured and written before the next.
    Samples that an earlier run with a larger K left there are removed.

    Args:
        sampler: Models, settings and seed.
        patient: The patient.
        layout: Where to write.

    Returns:
        The content of `volumes.tsv`.
    """
    started, settings = time.perf_counter(), sampler.settings
    finished, requests = draw_patient_followups(sampler, patient)
    measured, products = write_samples(layout, patient, finished)
    remove_surplus(layout, patient.patient_id, settings.samples)
    seed = PatientSeed(sampler.seed, patient.patient_id)
    table = pd.DataFrame(
        {
            "sample": range(settings.samples),
            "seed": [seed.for_draw(k) for k in range(settings.samples)],
            "condition": sampler.models.denoiser.settings.condition,
            "expansion_flag": requests.flag,
            "target_growth_ml": requests.growth_ml,
            **pd.DataFrame(measured),
            "indicator": settings.indicator,
        }
    )
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
    patient = read_at_baseline(layout, sheet, follow_up=settings.indicator == "oracle")
    sampler = Sampler(load_trained(layout, resolve_device(device)), settings, seed)
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
    message = "%s: %d samples in %.1f s; IPH %.1f mL at baseline, then %.1f mL (median)"
    before_ml, after_ml = patient.baseline.iph_ml, table["iph_ml"].median()
    log.info(message, patient.patient_id, len(table), seconds, before_ml, after_ml)
