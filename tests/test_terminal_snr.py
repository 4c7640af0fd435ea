"""The start of sampling must drown the truth (method.md 6), shown on a sparse difference.

One patient with a finite set of equally likely outcomes: half of them no change, half a bleed that
grew at one place by different amounts. The expected clean value is then known exactly (a softmax
over the outcomes), so whatever the samples get wrong is the fault of where sampling started.
"""

import math

import pytest
import torch
from torch import Tensor

from hemexp import HemexpError
from hemexp.diffusion.schedule import (
    Schedule,
    alpha_sigma,
    check_start,
    choose_lambda_min,
    stack_norms,
)
from hemexp.sampling.samplers import ddim, dpm_solver, lambda_grid

OUTCOMES, Z, C, H, W = 24, 12, 4, 12, 12
PAIRS = 200

PUBLISHED_START = -4.15
"""Half log-SNR of the last of 1000 steps of the unshifted cosine."""


def sparse_outcomes() -> tuple[Tensor, Tensor]:
    """Outcomes (n, z, c, h, w) of unit SD over all voxels, and the grown voxels of each, (n,).

    The grown region is at most 3 % of the stack, so that unit SD over the stack means a bump of
    several SD.
    """
    generator = torch.Generator().manual_seed(0)
    clean = 0.02 * torch.randn(OUTCOMES, Z, C, H, W, generator=generator)
    grown = torch.zeros(OUTCOMES)
    for n in range(OUTCOMES // 2):
        height, width = 2 + n // 3, 3 + n % 3
        clean[n, 4 : 4 + height, :, 3 : 3 + width, 4:7] += 1
        grown[n] = height * width * 3
    return clean / clean.std(), grown


def exact_denoiser(clean: Tensor):
    """Expected clean value of a noisy stack when every outcome is equally likely."""
    flat = clean.flatten(1)

    def denoise(noisy: Tensor, lam: float) -> Tensor:
        alpha, sigma = (v.item() for v in alpha_sigma(torch.tensor(lam, dtype=torch.float64)))
        product = noisy.flatten(1) @ flat.T
        closeness = (alpha * product - 0.5 * alpha**2 * flat.square().sum(1)) / sigma**2
        return (closeness.softmax(dim=1) @ flat).reshape(noisy.shape)

    return denoise


SAMPLERS = {
    "dpm": lambda denoise, noise, lambdas: dpm_solver(denoise, noise, lambdas),
    "ddim": lambda denoise, noise, lambdas: ddim(denoise, noise, lambdas),
}


def mean_growth(sampler: str, clean: Tensor, grown: Tensor, lambda_min: float) -> float:
    """Mean growth of samples that start at `lambda_min`, over the true mean."""
    schedule = Schedule("cosine", -2.0, lambda_min, 4.0)
    noise = torch.randn(PAIRS, *clean.shape[1:], generator=torch.Generator().manual_seed(1))
    noise = torch.cat([noise, -noise])  # pairs halve what chance adds to the mean
    lambdas = lambda_grid(schedule, "logsnr", 20)
    drawn = SAMPLERS[sampler](exact_denoiser(clean), noise, lambdas)
    flat = clean.flatten(1)
    nearest = (drawn.flatten(1) @ flat.T - 0.5 * flat.square().sum(1)).argmax(dim=1)
    return (grown[nearest].mean() / grown.mean()).item()


@pytest.mark.slow
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_start_that_does_not_drown_the_truth_undergrows_and_the_chosen_one_does_not(sampler):
    """A signal of S noise SDs at the start takes about 0.4 S from an even chance: 10 % at 0.25."""
    clean, grown = sparse_outcomes()
    chosen = choose_lambda_min(stack_norms(clean[grown > 0]))
    drowned = mean_growth(sampler, clean, grown, chosen - 3)
    assert drowned == pytest.approx(1, abs=0.12)
    assert mean_growth(sampler, clean, grown, chosen) == pytest.approx(drowned, abs=0.12)
    assert mean_growth(sampler, clean, grown, PUBLISHED_START) < 0.5


def test_undergrowth_is_refused_before_any_training():
    clean, grown = sparse_outcomes()
    expanders = stack_norms(clean[grown > 0])
    with pytest.raises(HemexpError, match=r"lambda_min.*drowned"):
        check_start(PUBLISHED_START, expanders)
    chosen = choose_lambda_min(expanders)
    check_start(chosen, expanders)
    signal = expanders * math.exp(chosen)
    assert (signal <= 0.25 + 1e-6).float().mean() >= 0.9 - 1 / len(expanders)
