"""Draws and decodes the follow-ups of one patient."""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from hemexp.autoencoder.network import MultiHeadVae
from hemexp.diffusion.condition import Condition
from hemexp.diffusion.network import DiffusionModel, context_stack
from hemexp.latents.scale import Scale
from hemexp.sampling.noise import sample_noise
from hemexp.sampling.samplers import ddim, dpm_solver, lambda_grid
from hemexp.settings import Sampling
from hemexp.training import autocast_for


@dataclass(frozen=True)
class Decoded:
    """Decoded stacks as arrays (..., x, y, z): CT in HU and the logits of both masks."""

    ct_hu: NDArray[np.float32]
    iph_logit: NDArray[np.float32]
    ivh_logit: NDArray[np.float32]


@torch.inference_mode()
def stream_latents(
    model: DiffusionModel,
    scale: Scale,
    baseline: Tensor,
    condition: Condition,
    settings: Sampling,
    seed: int,
    patient_id: str,
    slice_spacing_mm: float,
    may_change: Tensor,
) -> Iterator[Tensor]:
    """Draws the K follow-up latents (z, c, h, w) of a patient, one after the other.

    All batches have one size (the last is filled up and cut), so that a sample's arithmetic, and
    with it every bit, is the same whatever K is. Only one batch is held at a time. A K below one
    batch pays for a whole one: in a smaller batch sums run in another order and end in other bits.

    Args:
        model: The denoiser.
        scale: Normalisation of latents and differences.
        baseline: (z, c, h, w) posterior means.
        condition: Of the K samples.
        settings: The room's settings.
        seed: Run seed.
        patient_id: The patient.
        slice_spacing_mm: Distance between slices.
        may_change: (z,) bool; other slices keep the baseline's latents.
    """
    device = next(model.network.parameters()).device
    condition = model.told(condition)
    count, z = len(condition.drive), len(baseline)
    size = max(1, settings.batch_slices // z)
    one = scale.normalise_latent(baseline)[None].to(device)
    context = context_stack(one, model.settings.context_slices, model.context_step)
    context = context.expand(size, *context.shape[1:])
    lambdas = lambda_grid(model.schedule, settings.spacing, settings.evaluations)
    autocast, length_mm = autocast_for(settings.precision, device), settings.noise_length_mm
    below = math.inf if settings.guidance_below is None else settings.guidance_below

    def draw(index: Tensor) -> Tensor:
        part = condition[index].to(device)

        def noise(step: int) -> Tensor:
            drawn = (
                sample_noise(
                    seed,
                    patient_id,
                    int(k),
                    tuple(baseline.shape),
                    length_mm,
                    slice_spacing_mm,
                    step,
                )
                for k in index
            )
            return torch.stack([*drawn]).to(device)

        def denoise(noisy: Tensor, lam: float) -> Tensor:
            guidance = settings.guidance if lam < below else 1.0
            with autocast:
                return model.denoise(noisy, lam, context, part, guidance).float()

        if settings.sampler == "dpm":
            clean = dpm_solver(denoise, noise(0), lambdas)
        else:
            clean = ddim(denoise, noise(0), lambdas, settings.eta, lambda i: noise(i + 1))
        change = scale.restore_change(model.settings.target, clean.cpu(), baseline)
        return baseline + change * may_change[:, None, None, None]

    for first in tqdm(range(0, count, size), desc=f"sampling {patient_id}", disable=None):
        index = torch.arange(first, first + size).clamp(max=count - 1)
        yield from draw(index)[: count - first]


def draw_latents(*args: Any, **kwargs: Any) -> Tensor:  # noqa: ANN401 - as `stream_latents`
    """All follow-up latents (K, z, c, h, w) at once, which takes memory for all K."""
    return torch.stack(list(stream_latents(*args, **kwargs)))


@torch.inference_mode()
def decode_stack(
    vae: MultiHeadVae, latents: Tensor, batch: int, autocast: AbstractContextManager | None = None
) -> Decoded:
    """Decodes one stack (z, c, h, w) to volumes (x, y, z); in fp32 without `autocast`."""
    device = next(vae.parameters()).device
    with autocast or nullcontext():
        parts = [vae.decode(part.to(device)) for part in latents.split(batch)]
    ct, iph, ivh = (
        np.moveaxis(torch.cat([part[i].cpu() for part in parts]).numpy(), 0, 2) for i in range(3)
    )
    return Decoded(100.0 * ct, iph, ivh)
