"""Verb `sample-followups`: from one baseline to samples, maps and volumes on disk."""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from hemexp.anatomy.noise import Noise
from hemexp.anatomy.reference import DRIFT_COLUMNS, Told, limit_push, prepare
from hemexp.diffusion.condition import OFFSETS, Condition, build_condition
from hemexp.expansion.model import patient_distribution
from hemexp.layout import Layout
from hemexp.provenance import write_atomically, write_sidecars
from hemexp.sampling.files import remove_surplus, write_samples
from hemexp.sampling.finish import Finish, FinishedSample, finish_sample, ventricle_reach
from hemexp.sampling.models import Models, load_trained
from hemexp.sampling.noise import PatientSeed
from hemexp.sampling.patient import PatientAtBaseline, read_at_baseline
from hemexp.sampling.references import Drawn, References
from hemexp.sampling.requests import Requests, draw_requests, draw_told
from hemexp.sampling.sample import DecodedScan, LatentSampler, Start, decode_stack
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
    models: Models, patient: PatientAtBaseline, requests: Requests, told: Sequence[Told]
) -> Condition:
    """Condition of the K samples of one patient; what is NaN becomes the learned null."""
    model, encoded = models.denoiser, patient.encoded
    growth_ml, flag = (torch.from_numpy(part) for part in (requests.growth_ml, requests.flag))
    place = {name: encoded[name][None, :1] for name in OFFSETS}
    place["drift_mm"] = torch.from_numpy(np.array([one.drift_mm for one in told]))[:, None]
    ivh_growth_ml = None
    if model.reference.kind.ivh:
        ivh_growth_ml = torch.tensor([one.ivh_growth_ml for one in told], dtype=torch.float64)
    kind, rows = model.settings.condition, [patient.row]
    return build_condition(kind, rows, growth_ml, flag, place, ivh_growth_ml)[:, 0]


class Asked(NamedTuple):
    """What is asked of one patient's samples, and what draws their latents.

    Attributes:
        requests: What drives growth.
        told: All that is told of each.
        latents: Draws them.
    """

    requests: Requests
    told: tuple[Told, ...]
    latents: LatentSampler


def ask_samples(sampler: Sampler, patient: PatientAtBaseline) -> Asked:
    """Draws what is asked of one patient's samples."""
    settings, models, model = sampler.settings, sampler.models, sampler.models.denoiser
    seed, scan = PatientSeed(sampler.seed, patient.patient_id), patient.baseline.scan
    requests = draw_requests(
        model.settings.condition,
        settings,
        patient_distribution(models.growth, patient.row),
        patient.true_growth_ml,
        seed,
        patient.true_ivh_growth_ml,
    )
    prepared = prepare(scan, model.reference.kind, model.reference.sink_per_mm2)
    told = tuple(limit_push(prepared, one) for one in draw_told(models, patient, requests, seed))
    condition = condition_samples(models, patient, requests, told)
    spacing_mm = float(scan.ct.spacing_mm[2])
    may_change = slices_that_may_change(scan.iph, spacing_mm, settings.slice_margin_mm)
    baseline = patient.encoded["baseline"][0]
    made = References(prepared, told, baseline, models.autoencoder, settings.batch_slices)
    start = Start(seed, baseline, spacing_mm, may_change, made)
    return Asked(requests, told, LatentSampler(model, start, condition, settings))


def draw_patient_followups(
    sampler: Sampler, patient: PatientAtBaseline
) -> tuple[Iterator[FinishedSample], Asked]:
    """Follow-ups of one patient, decoded and measured as they are drawn, and what was asked.

    A sample whose image disagrees with its mask or its request is drawn once more.
    """
    asked = ask_samples(sampler, patient)
    return _finish_all(sampler, patient, asked), asked


def _finish_all(
    sampler: Sampler, patient: PatientAtBaseline, asked: Asked
) -> Iterator[FinishedSample]:
    finish, decoder = _finish_of(sampler, patient, asked), Decoder(sampler)
    seed = asked.latents.start.seed

    def finished(drawn: Drawn, k: int) -> FinishedSample:
        rng = np.random.default_rng(seed.for_draw(k, "texture"))
        return finish_sample(*decoder(drawn), drawn.scan, asked.told[k], finish, rng)

    for k, drawn in enumerate(asked.latents.stream()):
        sample = finished(drawn, k)
        redrawn = bool(finish.active and sample.measured["disagrees"])
        if redrawn:
            sample = finished(asked.latents.again(k), k)
        yield sample._replace(measured=sample.measured | {"redrawn": int(redrawn)})


def _finish_of(sampler: Sampler, patient: PatientAtBaseline, asked: Asked) -> Finish:
    made, scan = asked.latents.start.references, patient.baseline.scan
    reference = sampler.models.denoiser.reference
    ventricles = ventricle_reach(scan, made.room) if reference.kind.ivh else None
    noise = None
    if reference.kept_texture is not None:
        noise = Noise.of(scan, made.prepared.ventricles, reference.kept_texture)
    return Finish(patient.baseline, made.hu, ventricles, sampler.settings.finish, noise)


class Decoder:
    """Decodes samples and their references; of a reference that stays the same once."""

    def __init__(self, sampler: Sampler) -> None:
        """Decodes with the models of a sampler."""
        self._vae = sampler.models.autoencoder
        self._batch = sampler.settings.batch_slices
        self._precision = sampler.settings.precision
        self._last: tuple[Tensor, DecodedScan] | None = None

    def __call__(self, drawn: Drawn) -> tuple[DecodedScan, DecodedScan]:
        """The decoded sample and its decoded reference."""
        if self._last is None or self._last[0] is not drawn.reference:
            self._last = drawn.reference, self._decode(drawn.reference)
        return self._decode(drawn.latents), self._last[1]

    def _decode(self, latents: Tensor) -> DecodedScan:
        device = next(self._vae.parameters()).device
        autocast = autocast_for(self._precision, device)
        return decode_stack(self._vae, latents, self._batch, autocast)


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
    finished, asked = draw_patient_followups(sampler, patient)
    measured, products = write_samples(layout, patient, finished)
    remove_surplus(layout, patient.patient_id, settings.samples)
    seed = PatientSeed(sampler.seed, patient.patient_id)
    table = pd.DataFrame(
        {
            "sample": range(settings.samples),
            "seed": [seed.for_draw(k) for k in range(settings.samples)],
            "condition": sampler.models.denoiser.settings.condition,
            "expansion_flag": asked.requests.flag,
            "target_growth_ml": asked.requests.growth_ml,
            "target_ivh_growth_ml": [one.ivh_growth_ml for one in asked.told],
            **pd.DataFrame([one.drift_mm for one in asked.told], columns=DRIFT_COLUMNS),
            "push_ml": [one.push_ml for one in asked.told],
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
