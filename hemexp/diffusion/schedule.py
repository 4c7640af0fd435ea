"""Noise schedules over time t in 0..1, and the v-parametrisation.

Everything is a function of the half log-SNR lambda = ln(alpha / sigma) with
alpha^2 + sigma^2 = 1 (variance preserving).
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from hemexp import Fault, HemexpError

START_SIGNAL = 0.25
"""At the start of sampling, signal norm over noise SD for 90 % of expanders (method.md 6)."""

SIGMOID_STEPS, SIGMOID_START, SIGMOID_END = 1000, -3.0, 3.0
"""The published schedule: 1000 steps of a sigmoid of alpha-bar from -3 to 3 (method.md 6)."""


def alpha_sigma(lam: Tensor) -> tuple[Tensor, Tensor]:
    """Signal and noise factors of half log-SNR values."""
    return torch.sigmoid(2 * lam).sqrt(), torch.sigmoid(-2 * lam).sqrt()


def to_v(clean: Tensor, noise: Tensor, lam: Tensor) -> Tensor:
    """V = alpha noise - sigma clean (Salimans & Ho 2022)."""
    alpha, sigma = alpha_sigma(lam)
    return alpha * noise - sigma * clean


def clean_from_v(noisy: Tensor, v: Tensor, lam: Tensor) -> Tensor:
    """The clean difference that a noisy one and its v imply."""
    alpha, sigma = alpha_sigma(lam)
    return alpha * noisy - sigma * v


def min_snr_weight(lam: Tensor, gamma: float | None) -> Tensor:
    """Min-SNR weight of the squared v error: min(SNR, gamma) / (SNR + 1) (Hang 2023); None: 1."""
    if gamma is None:
        return torch.ones_like(lam)
    snr = torch.exp(2 * lam)
    return snr.clamp(max=gamma) / (snr + 1)


def sigmoid_alpha_bar(step: Tensor) -> Tensor:
    """Published alpha-bar at steps 0..999, its last beta cut at 0.999 like the original's."""

    def curve(t: Tensor) -> Tensor:
        low, high = (
            torch.sigmoid(torch.tensor(edge, dtype=torch.float64))
            for edge in (SIGMOID_START, SIGMOID_END)
        )
        value = torch.sigmoid(t * (SIGMOID_END - SIGMOID_START) + SIGMOID_START)
        return (high - value) / (high - low)

    t = (step.double() + 1) / SIGMOID_STEPS
    return torch.maximum(curve(t), 1e-3 * curve(t - 1 / SIGMOID_STEPS))


@dataclass(frozen=True)
class Schedule:
    """Half log-SNR as a function of time, cut to [lambda_min, lambda_max].

    Attributes:
        kind: `cosine` (shifted) or `sigmoid` (published).
        shift: Added to the cosine schedule's lambda.
        lambda_min: Lowest half log-SNR: training and sampling start there.
        lambda_max: Highest half log-SNR: sampling ends there.
    """

    kind: Literal["cosine", "sigmoid"]
    shift: float
    lambda_min: float
    lambda_max: float

    def lam(self, t: Tensor) -> Tensor:
        """Half log-SNR at times t in 0..1; 0 is clean, 1 is noise."""
        if self.kind == "cosine":
            low, high = (
                self.time(torch.tensor(self.lambda_max)),
                self.time(torch.tensor(self.lambda_min)),
            )
            angle = (low + (high - low) * t) * math.pi / 2
            return -torch.log(torch.tan(angle)) + self.shift
        alpha_bar = sigmoid_alpha_bar(t * (SIGMOID_STEPS - 1))
        lam = 0.5 * torch.log(alpha_bar / (1 - alpha_bar))
        return lam.clamp(self.lambda_min, self.lambda_max).to(t.dtype)

    def time(self, lam: Tensor) -> Tensor:
        """Position of half log-SNR values on the uncut cosine, 0..1: the network's time input."""
        return torch.atan(torch.exp(-(lam - self.shift))) * 2 / math.pi

    def as_json(self) -> dict[str, Any]:
        """Plain values, for the model file."""
        return asdict(self)


def stack_norms(deltas: Tensor) -> Tensor:
    """Euclidean norm of each standardised stack (n, z, c, h, w)."""
    return deltas.flatten(1).norm(dim=1)


def choose_lambda_min(expander_norms: Tensor) -> float:
    """The half log-SNR at which 90 % of expanders' stacks have signal norm 0.25 of the noise SD.

    method.md 6: if the first noise level does not drown a real difference, "pure noise" is
    itself evidence of no growth and every sample undergrows.

    Args:
        expander_norms: (n,) of the standardised stacks of training expanders (`stack_norms`).
    """
    return math.log(START_SIGNAL / torch.quantile(expander_norms, 0.9).item())


def check_start(lambda_min: float, expander_norms: Tensor) -> None:
    """Asserts that the start of sampling drowns a real difference.

    Raises:
        HemexpError: More than 10 % of the expanders' stacks stand out at `lambda_min`.
    """
    highest = choose_lambda_min(expander_norms)
    if lambda_min > highest + 1e-6:
        raise HemexpError(
            Fault(
                "config, key diffusion.lambda_min",
                f"{lambda_min:.2f}",
                f"at most {highest:.2f}, where the growth of 90 % of training expanders is "
                f"drowned (signal below {START_SIGNAL} of the noise)",
                "Lower it, or set it to null to have it chosen from the data.",
            )
        )
