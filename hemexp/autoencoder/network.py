"""The multi-head VAE and its file: rebuilt from its own settings, loaded strictly."""

import json
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from hemexp.layout import Layout
from hemexp.monai_parts import AutoencoderKL
from hemexp.settings import Autoencoder
from hemexp.training import load_weights

HU_WINDOW = (0.0, 100.0)
"""The model's window; files keep HU (method.md 1)."""

CT_MIDDLE, CT_SPREAD = 0.3, 0.2
"""Brain (30 HU) and its usual distance from it (20 HU): 0 and 1 of the linear path."""

START_LOG_VARIANCE = -6.0
"""Of the posterior beside a linear path: with an SD of 1 training begins by outshouting noise."""


class Decoded(NamedTuple):
    """What the three heads say about n slices of height h and width w.

    Attributes:
        ct: (n, h, w), 0-1 for 0-100 HU.
        iph_logit: (n, h, w); above 0 the voxel is IPH.
        ivh_logit: (n, h, w); above 0 the voxel is IVH.
    """

    ct: Tensor
    iph_logit: Tensor
    ivh_logit: Tensor


def model_input(ct_hu: Tensor, iph: Tensor, ivh: Tensor) -> Tensor:
    """Stacks CT and masks as the network's input.

    Args:
        ct_hu: (n, h, w) in HU.
        iph: (n, h, w), 0 or 1.
        ivh: (n, h, w), 0 or 1.

    Returns:
        (n, 3, h, w) float32: windowed CT in 0-1, IPH, IVH.
    """
    low, high = HU_WINDOW
    ct = (ct_hu.float().clamp(low, high) - low) / (high - low)
    return torch.stack([ct, iph.float(), ivh.float()], dim=1)


class MultiHeadVae(nn.Module):
    """`AutoencoderKL` between a pixel-unshuffle stem and three 1 x 1 heads.

    With `stem_factor` 1 this is the published network; 2 moves the costly first level to half
    the resolution, which a CPU can train.

    With `linear_path` two linear maps, from the voxels behind a latent to it and back, run beside
    the network. What a linear map can hold, and that is most of a CT, then needs no learning to
    pass through normalised features (cost.md, "What the autoencoder gives back").
    """

    def __init__(self, settings: Autoencoder) -> None:
        """Builds the network with random weights."""
        super().__init__()
        self.stem_factor = settings.stem_factor
        pixels = settings.stem_factor**2
        self.core = AutoencoderKL(
            spatial_dims=2,
            in_channels=3 * pixels,
            out_channels=settings.feature_channels * pixels,
            num_res_blocks=settings.res_blocks,
            channels=settings.channels,
            attention_levels=[False] * len(settings.channels),
            latent_channels=settings.latent_channels,
            norm_num_groups=settings.norm_groups,
            with_encoder_nonlocal_attn=settings.nonlocal_attention,
            with_decoder_nonlocal_attn=settings.nonlocal_attention,
            # The same weights and, but for rounding, answers, without the matrix of all pairs of
            # latents: 340 MB a slice of 96 x 96 latents.
            use_flash_attention=settings.nonlocal_attention,
        )
        self.heads = nn.Conv2d(settings.feature_channels, 3, kernel_size=1)
        self.downsampling, self.linear_path = settings.downsampling, settings.linear_path
        if self.linear_path:
            voxels, latents = 3 * settings.downsampling**2, settings.latent_channels
            self.linear_in = nn.Conv2d(voxels, latents, kernel_size=1, bias=False)
            self.linear_out = nn.Conv2d(latents, voxels, kernel_size=1)
            log_variance = self.core.quant_conv_log_sigma.conv
            nn.init.zeros_(log_variance.weight)
            nn.init.constant_(log_variance.bias, START_LOG_VARIANCE)

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Posterior mean and SD, each (n, latents, h / f, w / f), of images (n, 3, h, w).

        The linear path is fp32 under autocast too: it holds most of a CT.
        """
        if not self.linear_path:
            return self.core.encode(pixel_unshuffle(images, self.stem_factor))
        ct = (images[:, :1] - CT_MIDDLE) / CT_SPREAD
        images = torch.cat([ct, images[:, 1:]], dim=1)
        mean, sd = self.core.encode(pixel_unshuffle(images, self.stem_factor))
        with torch.autocast(images.device.type, enabled=False):
            return mean + self.linear_in(pixel_unshuffle(images, self.downsampling)), sd

    def decode(self, latents: Tensor) -> Decoded:
        """CT and mask logits of latents (n, latents, h / f, w / f).

        The heads are fp32 under autocast too: in bf16 many voxels have one logit, and no offset
        could part them to match a volume.
        """
        features = pixel_shuffle(self.core.decode(latents), self.stem_factor)
        with torch.autocast(latents.device.type, enabled=False):
            heads = self.heads(nn.functional.silu(features.float()))
            if not self.linear_path:
                return Decoded(*heads.unbind(dim=1))
            heads = heads + pixel_shuffle(self.linear_out(latents.float()), self.downsampling)
        ct, iph_logit, ivh_logit = heads.unbind(dim=1)
        return Decoded(CT_MIDDLE + CT_SPREAD * ct, iph_logit, ivh_logit)


def load_autoencoder(layout: Layout, device: torch.device) -> MultiHeadVae:
    """Rebuilds the network of `model.json` with the weights of `model.safetensors`."""
    files = layout.network("autoencoder")
    record = json.loads(files.model.read_text(encoding="utf-8"))
    network = MultiHeadVae(Autoencoder.model_validate(record["settings"]))
    return load_weights(files.weights, network).to(device)
