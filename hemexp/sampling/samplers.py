"""Solvers from noise to a clean value, over one interface: denoise(noisy, lambda) -> clean."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from hemexp.diffusion.schedule import Schedule

Denoise = Callable[[Tensor, float], Tensor]

EXTRAPOLATION = 0.95
"""How far DPM-Solver++(2M) follows the last two clean values. Followed whole, the spread of exact
Gaussians comes out 3-4 % too large at steps near 1; 0.95 leaves 2 % (method.md 7)."""


def lambda_grid(
    schedule: Schedule, spacing: Literal["logsnr", "time"], evaluations: int
) -> list[float]:
    """Half log-SNR values from noise to clean; one network evaluation at each.

    Args:
        schedule: Its range is covered from end to end.
        spacing: Uniform in log-SNR, or in the schedule's time.
        evaluations: Number of values.
    """
    if spacing == "time":
        return schedule.lam(torch.linspace(1, 0, evaluations, dtype=torch.float64)).tolist()
    ends = schedule.lambda_min, schedule.lambda_max
    return torch.linspace(*ends, evaluations, dtype=torch.float64).tolist()


def _alpha_sigma(lam: float) -> tuple[float, float]:
    return math.sqrt(1 / (1 + math.exp(-2 * lam))), math.sqrt(1 / (1 + math.exp(2 * lam)))


def dpm_solver(denoise: Denoise, noise: Tensor, lambdas: list[float]) -> Tensor:
    """DPM-Solver++(2M) (Lu et al. 2022) in data prediction, its second order a little damped.

    Args:
        denoise: Expected clean value of a noisy one at a half log-SNR.
        noise: N(0, 1), the state at `lambdas[0]`.
        lambdas: Rising half log-SNR values; the denoiser is called once at each.

    Returns:
        The clean value at the last level.
    """
    state, before = noise, None
    for i, lam in enumerate(lambdas[:-1]):
        clean = denoise(state, lam)
        step = lambdas[i + 1] - lam
        direction = clean
        if before is not None:
            ratio = (lam - lambdas[i - 1]) / step
            direction = clean + EXTRAPOLATION * (clean - before) / (2 * ratio)
        _, sigma = _alpha_sigma(lam)
        alpha_next, sigma_next = _alpha_sigma(lambdas[i + 1])
        state = (sigma_next / sigma) * state - alpha_next * math.expm1(-step) * direction
        before = clean
    return denoise(state, lambdas[-1])


def ddim(
    denoise: Denoise,
    noise: Tensor,
    lambdas: list[float],
    eta: float = 0.0,
    fresh_noise: Callable[[int], Tensor] | None = None,
) -> Tensor:
    """DDIM (Song et al. 2021) on any grid of half log-SNR values.

    Args:
        denoise: Expected clean value of a noisy one at a half log-SNR.
        noise: N(0, 1), the state at `lambdas[0]`.
        lambdas: Rising half log-SNR values; the denoiser is called once at each.
        eta: 0 is deterministic, 1 is ancestral sampling.
        fresh_noise: Gives the noise added at step i; needed when `eta` is above 0.

    Returns:
        The clean value at the last level.
    """
    state = noise
    for i, lam in enumerate(lambdas[:-1]):
        clean = denoise(state, lam)
        alpha, sigma = _alpha_sigma(lam)
        alpha_next, sigma_next = _alpha_sigma(lambdas[i + 1])
        implied = (state - alpha * clean) / sigma
        # Song et al., eq. 16, with alpha-bar = alpha^2.
        renewed = eta * sigma_next / sigma * math.sqrt(max(1 - (alpha / alpha_next) ** 2, 0.0))
        state = alpha_next * clean + math.sqrt(max(sigma_next**2 - renewed**2, 0.0)) * implied
        if renewed > 0:
            state = state + renewed * fresh_noise(i)
    return denoise(state, lambdas[-1])
