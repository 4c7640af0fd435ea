"""Cost of a training step with cached latents against re-encoded ones.

Trained is the network of `paper`; the baseline is the reference.
"""

import pandas as pd
import torch
from generative_parts import SCHEDULE, Size, condition_of, seconds, size_of
from generative_published import CONTEXT, Published
from torch import Tensor, nn

from hemexp.diffusion.network import Denoiser
from hemexp.diffusion.schedule import alpha_sigma, to_v

PUBLISHED_STEP_SLICES = 32
"""Batch 16 accumulated twice."""


def backward(
    network: nn.Module, size: Size, clean: Tensor, context: Tensor, bf16: bool = False
) -> None:
    """Loss and gradients of v for differences (n, z, c, h, w) with their context."""
    n, z = clean.shape[:2]
    lam = torch.zeros(n, 1, 1, 1, 1, device=clean.device)
    noise, (alpha, sigma) = torch.randn_like(clean), alpha_sigma(lam)
    condition = condition_of(size, n, z).to(clean.device)
    with torch.autocast(clean.device.type, torch.bfloat16, enabled=bf16):
        v = network(
            alpha * clean + sigma * noise, SCHEDULE.time(lam.flatten()), context, condition
        )
        (v - to_v(clean, noise, lam)).square().mean().backward()


def measure_training(name: str, device: torch.device, slices: int = 2) -> pd.DataFrame:
    """A step of `paper`'s network on cached latents, and with all four images re-encoded.

    Parts are measured for a few slices; a step of `n` slices is n times the cost of a slice and
    once that of the optimiser.
    """
    size = size_of(name, "paper")
    network = Denoiser(size.diffusion, size.latent[0], slices).to(device)
    optimiser = torch.optim.Adam(network.parameters(), size.diffusion.learning_rate)
    clean = torch.randn(1, slices, *size.latent, device=device)
    context = clean.repeat(1, 1, CONTEXT, 1, 1)
    way = Published(size, device)
    images = torch.rand(1, CONTEXT, 3, size.side, size.side)
    update = seconds(lambda: backward(network, size, clean, context), device) / slices
    step = seconds(optimiser.step, device)
    with torch.inference_mode():
        encode = seconds(lambda: way.encode(images), device) / CONTEXT
    rows = []
    for n in (slices, PUBLISHED_STEP_SLICES):
        cached = n * update + step
        again = cached + n * (CONTEXT + 1) * encode
        rows.append(
            {
                "slices": n,
                "u_net_s": n * update,
                "optimiser_s": step,
                "re_encoding_s": again - cached,
                "cached_step_s": cached,
                "re_encoding_step_s": again,
                "times_faster": again / cached,
            }
        )
    return pd.DataFrame(rows)
