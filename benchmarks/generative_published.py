"""The published way to draw follow-ups, as networks with random weights.

It is built from stock MONAI parts: AutoencoderKL with its default non-local attention (12.4 M
parameters, as published), DiffusionModelUNet, DDIMScheduler.
"""

from collections.abc import Callable

import torch
from generative_parts import Size
from monai.networks.nets import AutoencoderKL, DiffusionModelUNet
from monai.networks.schedulers import DDIMScheduler
from torch import Tensor, nn

from hemexp.diffusion.schedule import alpha_sigma, sigmoid_alpha_bar

PUBLISHED_STEPS, PUBLISHED_ETA, PUBLISHED_BATCH, CONTEXT = 100, 0.5, 2, 3


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
