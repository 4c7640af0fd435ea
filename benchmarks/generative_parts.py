"""hemexp's way to draw follow-ups, as networks with random weights.

It draws relative to the baseline itself, as the published way does: no reference is made.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hemexp.anatomy.reference_model import ReferenceModel
from hemexp.autoencoder.network import MultiHeadVae
from hemexp.config import load_settings
from hemexp.diffusion.condition import REQUEST_SIZE, Condition
from hemexp.diffusion.drift import DriftModel
from hemexp.diffusion.network import Denoiser, DiffusionModel
from hemexp.diffusion.schedule import Schedule
from hemexp.latents.scale import Scale
from hemexp.sampling.finishing import Decoder
from hemexp.sampling.models import Models, Sampler
from hemexp.sampling.noise import PatientSeed
from hemexp.sampling.sample import LatentSampler, Start
from hemexp.settings import Autoencoder, Diffusion, Reference, Sampling

SCHEDULE = Schedule("cosine", -2.0, -7.3, 5.0)
"""Range that `diffusion.lambda_min: null` chose on the demo's latents."""


@dataclass(frozen=True)
class Size:
    """Sizes of networks and slices that both ways share."""

    autoencoder: Autoencoder
    diffusion: Diffusion
    sampling: Sampling
    side: int

    @property
    def latent(self) -> tuple[int, int, int]:
        """Shape (c, h, w) of a slice's latents."""
        side = self.side // self.autoencoder.downsampling
        return self.autoencoder.latent_channels, side, side


def size_of(name: str, preset: str = "full") -> Size:
    """`published`: 384 x 384 slices and the preset's networks; `small`: what a CPU can run."""
    settings = load_settings({"preset": preset})
    size = Size(settings.autoencoder, settings.diffusion, settings.sampling, 384)
    if name == "published":
        return size
    vae = {"channels": [16, 32, 64], "norm_groups": 16, "feature_channels": 16}
    unet = {"channels": [32, 64, 128], "norm_groups": 32, "attention_levels": [False, False, True]}
    return Size(
        size.autoencoder.model_copy(update=vae),
        size.diffusion.model_copy(update=unet),
        size.sampling,
        96,
    )


def stopwatch(device: torch.device) -> Callable[[], float]:
    """Clock in seconds: of the processor on a CPU (others may share it), of the wall on a GPU."""
    if device.type == "cpu":
        return time.process_time

    def clock() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return clock


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """Mean seconds of a call over a second or more, after one call to warm up.

    A GPU reaches its clock rate within tenths of a second.
    """
    clock = stopwatch(device)
    call()
    started, calls = clock(), 0
    while calls == 0 or clock() - started < 1:
        call()
        calls += 1
    return (clock() - started) / calls


def condition_of(size: Size, n: int, z: int) -> Condition:
    """A condition of n stacks of z slices, all known."""
    _, h, w = size.latent
    return Condition(
        torch.full((n, 8), 0.4),
        torch.ones(n, REQUEST_SIZE[size.diffusion.condition]),
        torch.ones(n, 3),
        torch.zeros(n, z),
        torch.zeros(n, h),
        torch.zeros(n, w),
    )


@dataclass(frozen=True)
class BaselineAlone:
    """References that are the baseline's own latents (z, c, h, w)."""

    latents: Tensor

    def encoded(self, k: int) -> tuple[None, Tensor]:
        """That of sample k."""
        return None, self.latents


def make_ours(size: Size, slices: int, device: torch.device) -> Models:
    """Networks of hemexp for stacks of so many slices; they forecast nothing."""
    torch.manual_seed(0)
    c = size.latent[0]
    network = Denoiser(size.diffusion, c, slices).to(device).eval().requires_grad_(False)
    vae = MultiHeadVae(size.autoencoder).to(device).eval().requires_grad_(False)
    unit = Scale([0.0] * c, [1.0] * c, [0.0] * c, [0.3] * c)
    drift = DriftModel([], [])
    reference = ReferenceModel(Reference(shell="none", warp=False, ivh=False), None)
    model = DiffusionModel(network, size.diffusion, SCHEDULE, 1, drift, unit, reference)
    return Models(vae, model, growth=None, ivh=None)


def latent_sampler(
    ours: Models, baseline: Tensor, condition: Condition, settings: Sampling
) -> LatentSampler:
    """What draws the samples of a baseline (z, c, h, w), all of whose slices may change."""
    may_change = torch.ones(len(baseline), dtype=torch.bool)
    start = Start(PatientSeed(1, "P1"), baseline, 5.0, may_change, BaselineAlone(baseline))
    return LatentSampler(ours.denoiser, start, condition, settings)


def draw_and_decode(
    ours: Models, baseline: Tensor, condition: Condition, settings: Sampling
) -> None:
    """Draws samples and decodes them one by one, and their baseline once; nothing is finished."""
    decode = Decoder(Sampler(ours, settings, seed=1))
    for drawn in latent_sampler(ours, baseline, condition, settings).stream():
        decode(drawn)
