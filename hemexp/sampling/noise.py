"""Noise of a sample: a function of (run seed, patient_id, sample), correlated along z or not."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from hemexp.provenance import seed_for
from hemexp.training import generator_for


class PatientSeed(NamedTuple):
    """What all randomness of a patient's samples depends on, beside the sample's number.

    Attributes:
        run: Seed of the run.
        patient_id: The patient.
    """

    run: int
    patient_id: str

    def for_draw(self, *parts: object) -> int:
        """Seed of one draw, such as (sample, "drift")."""
        return seed_for(self.run, self.patient_id, *parts)


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


def white_noise(
    seed: PatientSeed, sample: int, shape: tuple[int, ...], step: int = 0, attempt: int = 0
) -> Tensor:
    """Independent noise (z, c, h, w) of one sample.

    Args:
        seed: Of the patient.
        sample: Its number.
        shape: (z, c, h, w).
        step: Above 0: that of a stochastic sampler.
        attempt: Above 0: of a sample that is drawn again.
    """
    again = (attempt,) if attempt else ()
    generator = generator_for(seed.run, seed.patient_id, sample, "noise", step, *again)
    return torch.randn(shape, generator=generator)
