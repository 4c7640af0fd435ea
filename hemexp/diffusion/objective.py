"""The denoiser's objective: what a micro-batch holds, and what it costs."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hemexp.diffusion.condition import Condition
from hemexp.diffusion.dataset import Stacks, draw_copies, draw_patients
from hemexp.diffusion.network import show_stack
from hemexp.diffusion.schedule import Schedule, alpha_sigma, min_snr_weight, to_v
from hemexp.settings import Diffusion
from hemexp.training import generator_for


class Batch(NamedTuple):
    """One micro-batch of n stacks.

    Attributes:
        clean: (n, z, c, h, w) normalised targets: differences as a rule.
        noise: Same shape, N(0, 1).
        lam: (n, 1, 1, 1, 1) half log-SNR.
        baseline: (n, z, c, h, w) normalised baseline latents.
        reference: (n, z, c, h, w) how the reference differs from it, or None.
        condition: Of the n stacks, with some parts hidden.
    """

    clean: Tensor
    noise: Tensor
    lam: Tensor
    baseline: Tensor
    reference: Tensor | None
    condition: Condition


def draw_batch(
    stacks: Stacks, schedule: Schedule, settings: Diffusion, seed: int, step: int, part: int
) -> Batch:
    """Draws a micro-batch, a function of seed, step and part alone.

    Noise levels are stratified over the batch; clinical variables and requests are hidden
    independently, so that guidance exists for each. A stack without request is any patient's: the
    null learns growth at its natural share, or its samples would expand too often.
    """
    generator = generator_for(seed, "diffusion", step, part)
    n = settings.batch_stacks
    patients = draw_patients(stacks.expands, n, settings.expander_share, generator)
    copy = draw_copies(n, stacks.latents.shape[1], settings.copy_prob, generator)
    chance = torch.rand((3, n), generator=generator)
    hides_request = chance[2] < settings.condition_dropout
    if settings.condition_dropout:
        any_patient = torch.randint(len(stacks.expands), (n,), generator=generator)
        patients = torch.where(hides_request, any_patient, patients)
    baseline, reference, clean = stacks.latents.choose(patients, copy)
    stratum = (torch.randperm(n, generator=generator) + chance[0]) / n
    condition = stacks.condition[patients, copy].without(
        clinical=chance[1] < settings.clinical_dropout, request=hides_request
    )
    noise = torch.randn(clean.shape, generator=generator)
    lam = schedule.lam(stratum).float().reshape(n, 1, 1, 1, 1)
    return Batch(clean, noise, lam, baseline, reference, condition)


def diffusion_loss(
    network: nn.Module, batch: Batch, schedule: Schedule, settings: Diffusion, context_stride: int
) -> Tensor:
    """Weighted mean squared error of v over a micro-batch.

    The network may work in bf16; its v is taken as fp32.
    """
    alpha, sigma = alpha_sigma(batch.lam)
    noisy = alpha * batch.clean + sigma * batch.noise
    context = show_stack(batch.baseline, batch.reference, settings.context_slices, context_stride)
    time = schedule.time(batch.lam.flatten())
    v = network(noisy, time, context, batch.condition).float()
    weight = min_snr_weight(batch.lam, settings.min_snr_gamma)
    if settings.bleed_weight:
        # The difference is sparse: where it is large is where the bleed changed.
        weight = weight * (
            1 + settings.bleed_weight * batch.clean.square().mean(2, keepdim=True).clamp(max=1)
        )
    return (weight * (v - to_v(batch.clean, batch.noise, batch.lam)) ** 2).mean()


def accumulate_gradients(
    loss_of: Callable[[Batch], Tensor],
    batches: Iterable[Batch],
    count: int,
    autocast: AbstractContextManager,
) -> dict[str, Tensor]:
    """Adds the gradients of some of `count` micro-batches, as of one batch of all their stacks.

    Args:
        loss_of: Loss of a micro-batch.
        batches: The micro-batches.
        count: Micro-batches of the step, over all processes.
        autocast: Precision of the forward passes.

    Returns:
        What these micro-batches add to the mean `loss` over all `count`.
    """
    total = torch.zeros(())
    for batch in batches:
        with autocast:
            loss = loss_of(batch)
        (loss / count).backward()
        total = total + loss.detach() / count
    return {"loss": total}
