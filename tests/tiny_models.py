"""Made-up models and references: what sampling needs beside a network."""

import torch
from torch import Tensor

from hemexp.anatomy.push_fit import PushModel
from hemexp.anatomy.reference import ReferenceModel
from hemexp.diffusion.condition import Condition
from hemexp.diffusion.network import DiffusionModel
from hemexp.expansion.ivh import IvhModel
from hemexp.expansion.model import Linear
from hemexp.sampling.sample import LatentSampler, Start
from hemexp.settings import Reference, Sampling

NOTHING = Reference(shell="none", warp=False, ivh=False)
WHOLE = Reference(shell="tilted", warp=True, ivh=True)

BASELINE = ReferenceModel(NOTHING, None)
"""Differences are relative to the baseline, as published."""

PUSH = PushModel(
    amplitude=1.2,
    amplitude_sd=0.2,
    amplitude_se=0.1,
    oedema=0.0,
    sink_per_mm2=3e-3,
    noise_mm=0.2,
    patients=5,
    odd=0,
    prior=None,
)

IVH = IvhModel(
    presence=Linear(("ln_growth",), (1.0,), (1.0,), (0.8,), 0.0),
    ln_share=Linear(("ln_growth",), (1.0,), (1.0,), (0.0,), -1.0),
    residuals=(-0.5, 0.0, 0.5),
    largest_share=1.0,
    stable=(-0.1, 0.0, 0.1),
    stable_power=0.5,
    patients=20,
    events=8,
)
"""Half of the patients whose bleed grows by 1.7 mL have growth of IVH, of a third of it."""


class FixedReferences:
    """References of latents known beforehand: one for all samples, or one each."""

    def __init__(self, *latents):
        self.latents = latents

    def encoded(self, k):
        return None, self.latents[k % len(self.latents)]


def draw_latents(
    model: DiffusionModel, start: Start, condition: Condition, settings: Sampling
) -> Tensor:
    """All follow-up latents (K, z, c, h, w) of a patient at once."""
    drawn = LatentSampler(model, start, condition, settings).stream()
    return torch.stack([one.latents for one in drawn])
