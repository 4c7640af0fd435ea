"""Noise of a sample: a function of (run seed, patient_id, sample), correlated along z or not."""

import math

import torch
from torch import Tensor

from hemexp.training import generator_for


def correlate_slices(white: Tensor, length_mm: float, slice_spacing_mm: float) -> Tensor:
    """AR(1) along z: every slice stays N(0, 1), neighbours correlate by exp(-spacing / length).

    Args:
        white: (z, c, h, w) independent N(0, 1).
        length_mm: Correlation length; 0 leaves the slices independent, infinity shares one.
        slice_spacing_mm: Distance between slices.
    """
    rho = math.exp(-slice_spacing_mm / length_mm) if length_mm > 0 else 0.0
    slices = [white[0]]
    for fresh in white[1:]:
        slices.append(rho * slices[-1] + math.sqrt(1 - rho**2) * fresh)
    return torch.stack(slices)


def sample_noise(
    seed: int,
    patient_id: str,
    sample: int,
    shape: tuple[int, int, int, int],
    length_mm: float,
    slice_spacing_mm: float,
    step: int = 0,
) -> Tensor:
    """Noise (z, c, h, w) of one sample; `step` > 0: fresh noise of a stochastic sampler."""
    generator = generator_for(seed, patient_id, sample, "noise", step)
    white = torch.randn(shape, generator=generator)
    return correlate_slices(white, length_mm, slice_spacing_mm)
