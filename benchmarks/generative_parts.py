"""Both ways to draw follow-ups, as networks with random weights: hemexp's and the published one.

hemexp draws relative to the baseline itself, as the published way does: no reference is made.

The published way is built from stock MONAI parts: AutoencoderKL with its default non-local
attention (12.4 M parameters, as published), DiffusionModelUNet, DDIMScheduler.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from monai.networks.nets import AutoencoderKL, DiffusionModelUNet
from monai.networks.schedulers import DDIMScheduler
from torch import Tensor, nn

from hemexp.anatomy.reference_model import ReferenceModel
from hemexp.autoencoder.network import MultiHeadVae
from hemexp.config import load_settings
from hemexp.diffusion.condition import REQUEST_SIZE, Condition
from hemexp.diffusion.drift import DriftModel
from hemexp.diffusion.network import Denoiser, DiffusionModel
from hemexp.diffusion.schedule import Schedule, alpha_sigma, sigmoid_alpha_bar
from hemexp.latents.scale import Scale
from hemexp.sampling.finishing import Decoder
from hemexp.sampling.models import Models, Sampler
from hemexp.sampling.noise import PatientSeed
from hemexp.sampling.sample import LatentSampler, Start
from hemexp.settings import Autoencoder, Diffusion, Reference, Sampling

PUBLISHED_STEPS, PUBLISHED_ETA, PUBLISHED_BATCH, CONTEXT = 100, 0.5, 2, 3
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
    """Mean seconds of a call, after one call to warm up: one long call, or many short ones."""
    clock = stopwatch(device)
    call()
    started, calls = clock(), 0
    while calls == 0 or (clock() - started < 1 and calls < 50):
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


def published_scheduler(steps: int = PUBLISHED_STEPS) -> DDIMScheduler:
    """MONAI's DDIM on the published alpha-bar."""
    scheduler = DDIMScheduler(1000, prediction_type="v_prediction", clip_sample=False)
    scheduler.alphas_cumprod = sigmoid_alpha_bar(torch.arange(1000)).float()
    scheduler.set_timesteps(steps)
    return scheduler


class Published:
    """The published sampler: slice by slice, the baseline encoded anew for every sample."""

    def __init__(self, size: Size, device: torch.device, features: int = 256) -> None:
        """Builds the stock networks of a size with random weights."""
        torch.manual_seed(0)
        vae, unet = size.autoencoder, size.diffusion
        self.device, self.latent = device, size.latent
        self.vae = (
            AutoencoderKL(
                spatial_dims=2,
                in_channels=3,
                out_channels=features,
                num_res_blocks=vae.res_blocks,
                channels=vae.channels,
                attention_levels=[False] * len(vae.channels),
                latent_channels=vae.latent_channels,
                norm_num_groups=vae.norm_groups,
            )
            .to(device)
            .eval()
            .requires_grad_(False)
        )
        self.heads = nn.Conv2d(features, 3, 1).to(device).requires_grad_(False)
        self.unet = (
            DiffusionModelUNet(
                spatial_dims=2,
                in_channels=vae.latent_channels * (1 + CONTEXT),
                out_channels=vae.latent_channels,
                num_res_blocks=unet.res_blocks,
                channels=unet.channels,
                attention_levels=unet.attention_levels,
                num_head_channels=unet.channels[-1] // 4,
                norm_num_groups=unet.norm_groups,
                num_class_embeds=2,
            )
            .to(device)
            .eval()
            .requires_grad_(False)
        )

    def encode(self, images: Tensor) -> Tensor:
        """Latents (n, c * CONTEXT, h, w) of slices with their neighbours (n, CONTEXT, 3, x, y)."""
        mean, sd = self.vae.encode(images.flatten(0, 1).to(self.device))
        return (mean + sd * torch.randn_like(sd)).unflatten(0, (-1, CONTEXT)).flatten(1, 2)

    def evaluate(self, noisy: Tensor, context: Tensor, step: int) -> Tensor:
        """Predicted v of noisy differences (n, c, h, w)."""
        times = torch.full((len(noisy),), step, device=self.device)
        flag = torch.ones(len(noisy), dtype=torch.long, device=self.device)
        return self.unet(torch.cat([noisy, context], dim=1), times, class_labels=flag)

    def decode(self, latents: Tensor) -> Tensor:
        """CT and mask logits (n, 3, x, y) through the full-width decoder."""
        return self.heads(self.vae.decode(latents))

    @torch.inference_mode()
    def draw(self, images: Tensor) -> Tensor:
        """One sample (n, 3, x, y) of each slice of a batch."""
        scheduler = published_scheduler()
        context = self.encode(images)
        state = torch.randn(len(images), *self.latent, device=self.device)
        for step in scheduler.timesteps.tolist():
            v = self.evaluate(state, context, step)
            state, _ = scheduler.step(v, step, state, eta=PUBLISHED_ETA)
        c = self.latent[0]
        middle = context[:, c * (CONTEXT // 2) : c * (CONTEXT // 2 + 1)]
        return self.decode(middle + state)


def exact_gaussian(sd: float, mean: float = 0.7) -> Callable[[Tensor, float], Tensor]:
    """Expected clean value, given a noisy one and its half log-SNR, of data N(mean, sd^2)."""

    def denoise(noisy: Tensor, lam: float) -> Tensor:
        alpha, sigma = (float(v) for v in alpha_sigma(torch.tensor(lam, dtype=torch.float64)))
        gain = alpha * sd**2 / (alpha**2 * sd**2 + sigma**2)
        return mean + gain * (noisy - alpha * mean)

    return denoise


def published_spread(sd: float, noise: Tensor) -> float:
    """SD of samples over the true SD, of MONAI's DDIM with exact predictions."""
    scheduler, denoise = published_scheduler(), exact_gaussian(sd)
    generator = torch.Generator().manual_seed(1)
    state = noise
    for step in scheduler.timesteps.tolist():
        alpha_bar = float(scheduler.alphas_cumprod[step])
        lam = 0.5 * torch.logit(torch.tensor(alpha_bar, dtype=torch.float64)).item()
        clean = denoise(state, lam)
        v = (alpha_bar**0.5 * state - clean) / (1 - alpha_bar) ** 0.5
        state, _ = scheduler.step(v, step, state, eta=PUBLISHED_ETA, generator=generator)
    return state.std().item() / sd
