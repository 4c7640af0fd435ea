"""From drawn latents to finished samples: decoded, relevelled and finished, one at a time."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.random import Generator
from torch import Tensor

from hemexp.anatomy.noise import Noise
from hemexp.sampling.finish import (
    Finish,
    FinishedSample,
    finish_sample,
    missing_ml,
    relate,
    ventricle_reach,
)
from hemexp.sampling.models import Sampler
from hemexp.sampling.patient import PatientAtBaseline
from hemexp.sampling.references import NO_MORE, Drawn, Level, References
from hemexp.sampling.sample import DecodedScan, LatentSampler, decode_stack
from hemexp.training import autocast_for

LEAST_MISS_ML = 0.3
"""Of IPH or IVH growth: by so much too little or too much drawn, the reference is made again."""


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


class Finishing:
    """Decodes, relevels and finishes the drawn stacks of one patient, one at a time."""

    def __init__(
        self, sampler: Sampler, patient: PatientAtBaseline, latents: LatentSampler
    ) -> None:
        """Looks at the baseline, once for all samples."""
        self._latents, self._made = latents, latents.start.references
        self._finish = _finish_of(sampler, patient, self._made)
        self._decode = Decoder(sampler, self._made.frame.box)

    @property
    def active(self) -> bool:
        """Whether anything is finished at all."""
        return self._finish.active

    def __call__(self, drawn: Drawn, k: int) -> FinishedSample:
        """The sample as it is written; an error says which it was."""
        seed = self._latents.start.seed
        try:
            return self._finished(drawn, k, np.random.default_rng(seed.for_draw(k, "texture")))
        except Exception as error:
            error.add_note(f"patient {seed.patient_id}, sample {k}: could not be finished")
            raise

    def _finished(self, drawn: Drawn, k: int, rng: Generator) -> FinishedSample:
        told, brain, more = self._made.told[k], self._made.prepared.scan.brain, NO_MORE
        decoded = self._decode(drawn)
        related = relate(*decoded, drawn.scan, brain)
        raw = related.labels(brain)
        if self.active:
            more = level_of(missing_ml(raw, told, self._finish.baseline), self._made)
        if any(more):
            level = self._latents.relevel(drawn, k, more)
            related = relate(*self._decode.again(decoded, drawn, level), level.scan, brain)
        sample = finish_sample(related, raw, told, self._finish, rng)
        moved = {"relevelled_ml": more.iph_ml, "relevelled_ivh_ml": more.ivh_ml}
        return sample._replace(measured=sample.measured | moved)


def _finish_of(sampler: Sampler, patient: PatientAtBaseline, made: References) -> Finish:
    scan = made.prepared.scan
    reference = sampler.models.denoiser.reference
    ventricles = ventricle_reach(scan, made.room) if reference.kind.ivh else None
    noise = None
    if reference.kept_texture is not None:
        ventricle = made.prepared.ventricles
        noise = Noise.of(scan, ventricle, reference.kept_texture)
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
        last = self._last  # another thread may set it meanwhile
        if last is None or last[0] is not drawn.reference:
            self._last = last = drawn.reference, self._decode(drawn.reference, self._box)
        return self._decode(drawn.latents, self._box), last[1]

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
