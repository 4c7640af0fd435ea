"""Cost of a training step with cached latents against re-encoded ones, and use of the device.

Trained is the network of `paper`, drawn with that of `full`; the baseline is the reference.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import pandas as pd
import torch
from generative_parts import (
    CONTEXT,
    SCHEDULE,
    Published,
    Size,
    condition_of,
    draw_and_decode,
    make_ours,
    seconds,
    size_of,
    stopwatch,
)
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hemexp.diffusion.network import Denoiser
from hemexp.diffusion.schedule import alpha_sigma, to_v

PUBLISHED_TRAINING_STEPS, PUBLISHED_STEP_SLICES = 50_000, 32
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


def matmul_rate(device: torch.device, n: int) -> float:
    """Measured bf16 FLOP per second of a square matrix product."""
    a = torch.randn(n, n, device=device, dtype=torch.bfloat16)
    return 2 * n**3 / seconds(lambda: a @ a, device)


def training_step(
    network: nn.Module, size: Size, z: int, device: torch.device, bf16: bool
) -> Callable[[], None]:
    """One step of a stack of z slices: gradients and optimiser."""
    optimiser = torch.optim.Adam(network.parameters(), 1e-4, fused=device.type == "cuda")
    clean = torch.randn(1, z, *size.latent, device=device)
    context = clean.repeat(1, 1, CONTEXT, 1, 1)

    def step() -> None:
        optimiser.zero_grad()
        backward(network, size, clean, context, bf16)
        optimiser.step()

    return step


def sampling_seconds(
    size: Size, z: int, samples: int, device: torch.device, precision: str
) -> float:
    """Wall seconds to draw and decode so many samples of one patient of z slices."""
    ours = make_ours(size, z, device)
    baseline = torch.randn(z, *size.latent)
    condition = condition_of(size, samples, z)
    settings = size.sampling.model_copy(update={"precision": precision})
    draw_and_decode(ours, baseline, condition[:1], settings)
    clock = stopwatch(device)
    started = clock()
    draw_and_decode(ours, baseline, condition, settings)
    return clock() - started


def measure_device(name: str, device: torch.device) -> pd.DataFrame:
    """Training and sampling in fp32 and bf16, compiled or not, against the device's best rate."""
    size = size_of(name, "paper")
    fast = size_of(name, "full")
    z, samples = (36, 100) if device.type == "cuda" else (2, 2)
    if device.type == "cpu":
        fast = replace(fast, sampling=fast.sampling.model_copy(update={"batch_slices": z}))
    rate = matmul_rate(device, 8192 if device.type == "cuda" else 512)
    if device.type == "cuda":
        print(torch.cuda.get_device_name(device))
    print(f"bf16 matrix product: {rate / 1e12:.3g} TFLOP/s")
    rows = []
    # Compiling for a CPU takes minutes and is no part of what is asked there.
    for bf16, compiled in product((False, True), (False, True)[: 1 + (device.type == "cuda")]):
        network = Denoiser(size.diffusion, size.latent[0], z).to(device)
        step = training_step(network, size, z, device, bf16)
        with FlopCounterMode(display=False) as counter:
            step()
        if compiled:
            network.compile()
        spent = seconds(step, device)
        used = counter.get_total_flops() / spent / rate
        row = {
            "precision": "bf16" if bf16 else "fp32",
            "compiled": compiled,
            "steps_per_s": 1 / spent,
            "slices_per_s": z / spent,
            "use_of_bf16_rate": used,
            "hours_50k_steps": PUBLISHED_TRAINING_STEPS * spent / 3600,
        }
        if not compiled:
            row[f"s_{samples}_samples"] = sampling_seconds(
                fast, min(z, 20), samples, device, row["precision"]
            )
        rows.append(row)
    return pd.DataFrame(rows)
