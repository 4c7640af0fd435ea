"""One patient's follow-ups: what is asked of them, how they are drawn and finished."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hemexp.anatomy.noise import Noise
from hemexp.anatomy.reference import Told, limit_push, prepare
from hemexp.diffusion.condition import OFFSETS, Condition, build_condition
from hemexp.expansion.model import patient_distribution
from hemexp.sampling.finish import (
    Finish,
    FinishedSample,
    finish_sample,
    missing_ml,
    relate,
    ventricle_reach,
)
from hemexp.sampling.models import Models
from hemexp.sampling.noise import PatientSeed
from hemexp.sampling.patient import PatientAtBaseline
from hemexp.sampling.references import NO_MORE, Drawn, Level, References
from hemexp.sampling.requests import Requests, draw_requests, draw_told
from hemexp.sampling.sample import DecodedScan, LatentSampler, Start, decode_stack
from hemexp.settings import Sampling
from hemexp.training import autocast_for

LEAST_MISS_ML = 0.3
"""Of IPH or IVH growth: by so much too little or too much drawn, the reference is made again."""


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


def level_of(missing_ml: tuple[float, float], made: References) -> Level:
    """What a reference is made again with, of the IPH and IVH growth that was told and missed.

    Args:
        missing_ml: See `finish.missing_ml`.
        made: Only what grows in these references can be made up.
    """
    iph_ml, ivh_ml = missing_ml
    # A NaN is no miss: nothing was told.
    return Level(
        iph_ml if made.has_shell and abs(iph_ml) >= LEAST_MISS_ML else 0.0,
        ivh_ml if made.has_ivh and abs(ivh_ml) >= LEAST_MISS_ML else 0.0,
    )


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

    @property
    def references(self) -> References:
        """What the samples are drawn relative to."""
        return self.latents.start.references


def ask_samples(sampler: Sampler, patient: PatientAtBaseline) -> Asked:
    """Draws what is asked of one patient's samples."""
    requests = draw_requests(
        sampler.models.denoiser.settings.condition,
        sampler.settings,
        patient_distribution(sampler.models.growth, patient.row),
        patient.true_growth_ml,
        PatientSeed(sampler.seed, patient.patient_id),
        patient.true_ivh_growth_ml,
    )
    return ask_for(sampler, patient, requests)


def ask_for(sampler: Sampler, patient: PatientAtBaseline, requests: Requests) -> Asked:
    """Draws what is told with given requests of one patient."""
    settings, models, model = sampler.settings, sampler.models, sampler.models.denoiser
    seed, scan = PatientSeed(sampler.seed, patient.patient_id), patient.baseline.scan
    prepared = prepare(scan.cut(scan.frame), model.reference.kind, model.reference.sink_per_mm2)
    told = tuple(limit_push(prepared, one) for one in draw_told(models, patient, requests, seed))
    condition = condition_samples(models, patient, requests, told)
    spacing_mm = float(scan.ct.spacing_mm[2])
    may_change = slices_that_may_change(scan.iph, spacing_mm, settings.slice_margin_mm)
    baseline = patient.encoded["baseline"][0]
    made = References(
        prepared, scan.frame, told, baseline, models.autoencoder, settings.batch_slices
    )
    start = Start(seed, baseline, spacing_mm, may_change, made)
    return Asked(requests, told, LatentSampler(model, start, condition, settings))


def draw_patient_followups(
    sampler: Sampler, patient: PatientAtBaseline
) -> tuple[Iterator[FinishedSample], Asked]:
    """Follow-ups of one patient, decoded and measured as they are drawn, and what was asked.

    Their images show what lies within the frame of the references; the rest of the grid is empty.
    A sample whose image disagrees with its mask or its request is drawn once more.
    """
    asked = ask_samples(sampler, patient)
    return _finish_all(sampler, patient, asked), asked


def _finish_all(
    sampler: Sampler, patient: PatientAtBaseline, asked: Asked
) -> Iterator[FinishedSample]:
    start, made = asked.latents.start, asked.references
    finish, decoder = _finish_of(sampler, patient, asked), Decoder(sampler, made.frame.box)
    brain = made.prepared.scan.brain

    def finished(drawn: Drawn, k: int) -> FinishedSample:
        told, decoded, more = asked.told[k], decoder(drawn), NO_MORE
        related = relate(*decoded, drawn.scan, brain)
        raw = related.labels(brain)
        if finish.active:
            more = level_of(missing_ml(raw, told, finish.baseline), made)
        if any(more):
            level = asked.latents.relevel(drawn, k, more)
            related = relate(*decoder.again(decoded, drawn, level), level.scan, brain)
        rng = np.random.default_rng(start.seed.for_draw(k, "texture"))
        sample = finish_sample(related, raw, told, finish, rng)
        moved = {"relevelled_ml": more.iph_ml, "relevelled_ivh_ml": more.ivh_ml}
        return sample._replace(measured=sample.measured | moved)

    for batch in asked.latents.batches():
        samples = {k: finished(drawn, k) for k, drawn in batch.items()}
        odd = [k for k in samples if finish.active and samples[k].measured["disagrees"]]
        if odd:  # in one batch: its order, and with it every bit, hangs on lower numbers alone
            drawn_again = asked.latents.draw(odd, attempt=1)
            samples |= {k: finished(drawn, k) for k, drawn in drawn_again.items()}
        for k, sample in samples.items():
            yield sample._replace(measured=sample.measured | {"redrawn": int(k in odd)})


def _finish_of(sampler: Sampler, patient: PatientAtBaseline, asked: Asked) -> Finish:
    made, scan = asked.references, asked.references.prepared.scan
    reference = sampler.models.denoiser.reference
    ventricles = ventricle_reach(scan, made.room) if reference.kind.ivh else None
    noise = None
    if reference.kept_texture is not None:
        ventricle = made.prepared.ventricles
        noise = Noise.of(scan, ventricle, reference.kept_texture, made.frame)
    baseline = replace(patient.baseline, scan=scan)
    return Finish(baseline, made.hu, ventricles, sampler.settings.finish, noise)


class Decoder:
    """Decodes samples and their references; of a reference that stays the same once."""

    def __init__(self, sampler: Sampler, box: tuple[slice, ...] = 3 * (slice(None),)) -> None:
        """Decodes a box (x, y, z) with the models of a sampler."""
        self._box = box
        self._vae = sampler.models.autoencoder
        self._batch = sampler.settings.batch_slices
        self._precision = sampler.settings.precision
        self._last: tuple[Tensor, DecodedScan] | None = None

    def __call__(self, drawn: Drawn) -> tuple[DecodedScan, DecodedScan]:
        """The decoded sample and its decoded reference."""
        if self._last is None or self._last[0] is not drawn.reference:
            self._last = drawn.reference, self._decode(drawn.reference, self._box)
        return self._decode(drawn.latents, self._box), self._last[1]

    def again(
        self, decoded: tuple[DecodedScan, DecodedScan], before: Drawn, drawn: Drawn
    ) -> tuple[DecodedScan, DecodedScan]:
        """The same of a relevelled sample: slices that stay were decoded before."""
        which = drawn.moved_from(before)
        if not which.any():
            return decoded
        *plane, slices = self._box
        sample, reference = (
            old.with_slices(which[slices].numpy(), self._decode(latents[which], plane))
            for old, latents in zip(decoded, (drawn.latents, drawn.reference), strict=True)
        )
        return sample, reference

    def _decode(self, latents: Tensor, box: Sequence[slice]) -> DecodedScan:
        device = next(self._vae.parameters()).device
        autocast = autocast_for(self._precision, device)
        return decode_stack(self._vae, latents, self._batch, autocast, box)
