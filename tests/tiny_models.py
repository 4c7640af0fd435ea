"""Made-up models and references: what sampling needs beside a network."""

import torch
from torch import Tensor

from hemexp.anatomy.push_fit import PushModel
from hemexp.anatomy.reference_model import ReferenceModel
from hemexp.diffusion.condition import Condition
from hemexp.diffusion.network import DiffusionModel
from hemexp.expansion.ivh import IvhModel
from hemexp.expansion.model import Linear
from hemexp.layout import Layout
from hemexp.mask_error import VolumeError
from hemexp.provenance import write_json
from hemexp.sampling.sample import LatentSampler, Start
from hemexp.segmentation.network import Segmenter
from hemexp.settings import Reference, Sampling, Segmentation
from hemexp.training import save_weights

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


ERROR = VolumeError(intercept=0.5, volume_slope=0.4, entropy_slope=0.2, scans=40)
"""Of made masks: 1.65 mL, RMS, at a volume and an entropy of 1 mL."""


def save_segmenter(layout: Layout, settings: Segmentation, patients: list[str]) -> None:
    """A network with random weights that makes masks, and the model of their error."""
    torch.manual_seed(0)
    files, facts = layout.segmenter(), {"inputs": {f"sub-{p}/scan.nii.gz": "0" for p in patients}}
    save_weights(files.weights, Segmenter(settings))
    write_json(files.model, facts | {"settings": settings.as_json(), "patients": patients})
    write_json(
        layout.error_model, facts | {"masks": dict.fromkeys(("iph", "ivh"), ERROR.as_json())}
    )


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
