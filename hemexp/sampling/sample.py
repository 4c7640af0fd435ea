"""Draws follow-ups in latent space and decodes them."""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from hemexp.autoencoder.network import MultiHeadVae
from hemexp.diffusion.condition import Condition
from hemexp.diffusion.network import PLAIN, DiffusionModel, Guidance, context_stack
from hemexp.sampling.noise import PatientSeed, correlate_slices, white_noise
from hemexp.sampling.samplers import ddim, dpm_solver, lambda_grid
from hemexp.settings import Sampling
from hemexp.training import autocast_for


@dataclass(frozen=True)
class Start:
    """What the samples of one patient start from.

    Attributes:
        seed: Of the patient's noise.
        latents: (z, c, h, w) posterior means of the baseline.
        spacing_mm: Distance between slices.
        may_change: (z,) bool; other slices keep the baseline's latents.
    """

    seed: PatientSeed
    latents: Tensor
    spacing_mm: float
    may_change: Tensor


@dataclass(frozen=True)
class DecodedScan:
    """Decoded stacks as arrays (..., x, y, z): CT in HU and the logits of both masks."""

    ct_hu: NDArray[np.float32]
    iph_logit: NDArray[np.float32]
    ivh_logit: NDArray[np.float32]


@torch.inference_mode()
def stream_latents(
    model: DiffusionModel, start: Start, condition: Condition, settings: Sampling
) -> Iterator[Tensor]:
    """Draws the K follow-up latents (z, c, h, w) of a patient, one after the other.

    All batches have one size (the last is filled up and cut), so that a sample's arithmetic, and
    with it every bit, is the same whatever K is. Only one batch is held at a time. A K below one
    batch pays for a whole one: in a smaller batch sums run in another order and end in other bits.

    Args:
        model: The denoiser.
        start: Baseline and seed.
        condition: Of the K samples.
        settings: The room's settings.
    """
    device = next(model.network.parameters()).device
    condition = model.hide_untrained(condition)
    count, z = len(condition.request), len(start.latents)
    size = max(1, settings.batch_slices // z)
    one = model.scale.normalise_latent(start.latents)[None].to(device)
    context = context_stack(one, model.settings.context_slices, model.context_stride)
    context = context.expand(size, *context.shape[1:])
    lambdas = lambda_grid(model.schedule, settings.spacing, settings.evaluations)
    autocast = autocast_for(settings.precision, device)
    below = math.inf if settings.guidance_below is None else settings.guidance_below
    guidance = Guidance(settings.guidance, settings.clinical_guidance)

    def draw(index: Tensor) -> Tensor:
        part = condition[index].to(device)

        def noise(step: int) -> Tensor:
            white = (white_noise(start.seed, int(k), start.latents.shape, step) for k in index)
            length_mm = settings.noise_length_mm
            drawn = [correlate_slices(one, length_mm, start.spacing_mm) for one in white]
            return torch.stack(drawn).to(device)

        def denoise(noisy: Tensor, lam: float) -> Tensor:
            with autocast:
                weights = guidance if lam < below else PLAIN
                return model.denoise(noisy, lam, context, part, weights).float()

        if settings.sampler == "dpm":
            clean = dpm_solver(denoise, noise(0), lambdas)
        else:
            clean = ddim(denoise, noise(0), lambdas, settings.eta, lambda i: noise(i + 1))
        change = model.scale.restore_change(model.settings.target, clean.cpu(), start.latents)
        return start.latents + change * start.may_change[:, None, None, None]

    for first in tqdm(
        range(0, count, size), desc=f"sampling {start.seed.patient_id}", disable=None
    ):
        index = torch.arange(first, first + size).clamp(max=count - 1)
        yield from draw(index)[: count - first]


def draw_latents(
    model: DiffusionModel, start: Start, condition: Condition, settings: Sampling
) -> Tensor:
    """As `stream_latents`, all (K, z, c, h, w) at once, which takes memory for all K."""
    return torch.stack(list(stream_latents(model, start, condition, settings)))


@torch.inference_mode()
def decode_stack(
    vae: MultiHeadVae, latents: Tensor, batch: int, autocast: AbstractContextManager | None = None
) -> DecodedScan:
    """Decodes one stack (z, c, h, w) to volumes (x, y, z); in fp32 without `autocast`."""
    device = next(vae.parameters()).device
    with autocast or nullcontext():
        parts = [vae.decode(part.to(device)) for part in latents.split(batch)]
    ct, iph, ivh = (
        np.moveaxis(torch.cat([part[i].cpu() for part in parts]).numpy(), 0, 2) for i in range(3)
    )
    return DecodedScan(100.0 * ct, iph, ivh)
