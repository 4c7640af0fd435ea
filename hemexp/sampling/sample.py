"""Draws follow-ups in latent space and decodes them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from hemexp.autoencoder.network import MultiHeadVae
from hemexp.diffusion.condition import Condition
from hemexp.diffusion.network import PLAIN, DiffusionModel, Guidance, show_stack
from hemexp.sampling.noise import PatientSeed, correlate_slices, white_noise
from hemexp.sampling.references import Drawn, Level, References
from hemexp.sampling.samplers import ddim, dpm_solver, lambda_grid
from hemexp.sampling.workers import Workers, taking_turns
from hemexp.settings import Sampling
from hemexp.training import autocast_for


@dataclass(frozen=True)
class Start:
    """What the samples of one patient start from.

    Attributes:
        seed: Of the patient's noise.
        latents: (z, c, h, w) posterior means of the baseline.
        spacing_mm: Distance between slices.
        may_change: (z,) bool; other slices keep the reference's latents.
        references: What each sample is drawn relative to.
    """

    seed: PatientSeed
    latents: Tensor
    spacing_mm: float
    may_change: Tensor
    references: References


@dataclass(frozen=True)
class DecodedScan:
    """Decoded stacks as arrays (..., x, y, z): CT in HU and the logits of both masks."""

    ct_hu: NDArray[np.float32]
    iph_logit: NDArray[np.float32]
    ivh_logit: NDArray[np.float32]

    def with_slices(self, which: NDArray[np.bool_], part: "DecodedScan") -> "DecodedScan":
        """The scan with some slices (z,) replaced."""

        def replaced(old: NDArray[np.float32], new: NDArray[np.float32]) -> NDArray[np.float32]:
            whole = old.copy()
            whole[..., which] = new
            return whole

        return DecodedScan(
            replaced(self.ct_hu, part.ct_hu),
            replaced(self.iph_logit, part.iph_logit),
            replaced(self.ivh_logit, part.ivh_logit),
        )


@dataclass(frozen=True)
class LatentSampler:
    """Draws the follow-up latents of one patient.

    All batches have one size (the last is filled up and cut), so that a sample's arithmetic, and
    with it every bit, is the same whatever K is. Only one batch is held at a time. A K below one
    batch pays for a whole one: in a smaller batch sums run in another order and end in other bits.

    Attributes:
        model: The denoiser.
        start: Baseline, references and seed.
        condition: Of the K samples.
        settings: The room's settings.
    """

    model: DiffusionModel
    start: Start
    condition: Condition
    settings: Sampling

    @property
    def device(self) -> torch.device:
        """Where the network works."""
        return next(self.model.network.parameters()).device

    @property
    def size(self) -> int:
        """Samples in a batch."""
        return max(1, self.settings.batch_slices // len(self.start.latents))

    def stream(self) -> Iterator[Drawn]:
        """The K follow-ups, one after the other."""
        for batch in self.batches():
            yield from batch.values()

    def batches(self, workers: Workers | None = None) -> Iterator[dict[int, Drawn]]:
        """The K follow-ups by number, a batch at a time.

        Workers make the references of the next batch while one is drawn.
        """
        count, size = len(self.condition.request), self.size
        firsts, patient = range(0, count, size), f"sampling {self.start.seed.patient_id}"
        for first in tqdm(firsts, desc=patient, disable=None):
            if workers:
                soon = range(first, min(first + 2 * size, count))
                self.start.references.make_ahead(soon, workers)
            yield self.draw(range(first, min(first + size, count)))

    @torch.inference_mode()
    def draw(
        self, numbers: Sequence[int], before: Mapping[int, Drawn] | None = None
    ) -> dict[int, Drawn]:
        """At most a batch of the K follow-ups, by number.

        Args:
            numbers: Which.
            before: The same samples, where they are drawn again: from other noise, on the same
                references.
        """
        index = torch.tensor([*numbers] + [numbers[-1]] * (self.size - len(numbers)))
        return dict(zip(numbers, self._draw(index, before), strict=False))

    def relevel(self, drawn: Drawn, k: int, more: Level) -> Drawn:
        """The same remainder on a reference with so much more blood."""
        scan, reference = self.start.references.relevelled(drawn, k, more)
        level = reference - drawn.reference  # exactly 0 where a slice stays
        return Drawn(drawn.latents + level, reference, scan)

    def _draw(self, index: Tensor, before: Mapping[int, Drawn] | None) -> list[Drawn]:
        """A batch of samples."""
        start, settings, model = self.start, self.settings, self.model
        if before:
            made = {k: (before[k].scan, before[k].reference) for k in index.tolist()}
        else:
            made = {k: start.references.encoded(k) for k in dict.fromkeys(index.tolist())}
        # Not rows of the stack: by their identity the decoder knows those that it has decoded.
        scans, references = zip(*(made[k] for k in index.tolist()), strict=True)
        if not settings.network:
            return [Drawn(*parts) for parts in zip(references, references, scans, strict=True)]
        reference = torch.stack(references)
        clean = self._solve(index, reference, attempt=int(before is not None))
        change = model.scale.restore_change(model.settings.target, clean, reference)
        latents = reference + change * start.may_change[:, None, None, None]
        return [Drawn(*parts) for parts in zip(latents, references, scans, strict=True)]

    def _solve(self, index: Tensor, reference: Tensor, attempt: int) -> Tensor:
        """What the network makes of noise: normalised targets (n, z, c, h, w)."""
        start, settings, model, device = self.start, self.settings, self.model, self.device
        part = model.hide_untrained(self.condition)[index].to(device)
        context = self._context(reference).to(device)
        lambdas = lambda_grid(model.schedule, settings.spacing, settings.evaluations)
        autocast = autocast_for(settings.precision, device)
        below = math.inf if settings.guidance_below is None else settings.guidance_below
        guidance = Guidance(settings.guidance, settings.clinical_guidance)

        def noise(step: int) -> Tensor:
            white = (
                white_noise(start.seed, int(k), start.latents.shape, step, attempt) for k in index
            )
            length_mm = settings.noise_length_mm
            drawn = [correlate_slices(one, length_mm, start.spacing_mm) for one in white]
            return torch.stack(drawn).to(device)

        def denoise(noisy: Tensor, lam: float) -> Tensor:
            with autocast:
                weights = guidance if lam < below else PLAIN
                return model.denoise(noisy, lam, context, part, weights).float()

        if settings.sampler == "dpm":
            return dpm_solver(denoise, noise(0), lambdas).cpu()
        fresh = settings.eta, lambda i: noise(i + 1)
        return ddim(denoise, noise(0), lambdas, *fresh).cpu()

    def _context(self, reference: Tensor) -> Tensor:
        """What the network sees beside the noisy stacks: (n, z, ..., h, w)."""
        model, baseline = self.model, self.start.latents[None]
        shown = model.scale.normalise_latent(baseline).expand(len(reference), *baseline.shape[1:])
        relative = None
        if not model.reference.kind.is_baseline:
            relative = model.scale.scale_reference(baseline, reference)
        return show_stack(shown, relative, model.settings.context_slices, model.context_stride)


@torch.inference_mode()
def decode_stack(
    vae: MultiHeadVae,
    latents: Tensor,
    batch: int,
    autocast: AbstractContextManager | None = None,
    box: Sequence[slice] = (),
) -> DecodedScan:
    """Decodes one stack (z, c, h, w) to volumes (x, y, z), or a box of them.

    In fp32 without `autocast`.
    """
    device = next(vae.parameters()).device
    with taking_turns(device), autocast or nullcontext():
        parts = [vae.decode(part.to(device)) for part in latents.split(batch)]

    def volume(part: int) -> NDArray[np.float32]:
        # Cut and turned on the device: less to copy, and a GPU does it in no time.
        stack = torch.cat([decoded[part] for decoded in parts])
        return stack.permute(1, 2, 0)[tuple(box)].contiguous().cpu().numpy()

    ct, iph, ivh = (volume(part) for part in range(3))
    return DecodedScan(100.0 * ct, iph, ivh)
