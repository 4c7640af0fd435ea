"""The trained models that samples are drawn with, loaded once."""

from dataclasses import dataclass
from pathlib import Path

import torch

from hemexp.autoencoder.network import MultiHeadVae, load_autoencoder
from hemexp.diffusion.network import DiffusionModel, load_diffusion
from hemexp.expansion.ivh import IvhModel, load_ivh
from hemexp.expansion.model import GrowthModel, load_expansion
from hemexp.layout import Layout
from hemexp.settings import Sampling


@dataclass(frozen=True)
class Models:
    """What turns a baseline into follow-ups.

    Attributes:
        autoencoder: Decodes latents.
        denoiser: Draws them, with the scale of latents and the model of drifts.
        growth: Gives the distribution of growth that requests are drawn from.
        ivh: Gives that of IVH growth, given growth.
        files: What they were read from.
    """

    autoencoder: MultiHeadVae
    denoiser: DiffusionModel
    growth: GrowthModel
    ivh: IvhModel
    files: tuple[Path, ...] = ()

    @property
    def device(self) -> torch.device:
        """Where the networks work."""
        return next(self.autoencoder.parameters()).device


@dataclass(frozen=True)
class Sampler:
    """What follow-ups are drawn with.

    Attributes:
        models: The trained models.
        settings: The room's settings.
        seed: Run seed.
    """

    models: Models
    settings: Sampling
    seed: int


def model_files(layout: Layout) -> tuple[Path, ...]:
    """Weights and numbers of the models."""
    weights = (layout.network(room).weights for room in ("autoencoder", "diffusion"))
    return *weights, layout.scale, layout.growth_models


def load_trained(layout: Layout, device: torch.device) -> Models:
    """Loads the models of a run, or released ones, for a device."""
    return Models(
        autoencoder=load_autoencoder(layout, device),
        denoiser=load_diffusion(layout, device),
        growth=load_expansion(layout.growth_models),
        ivh=load_ivh(layout.growth_models),
        files=model_files(layout),
    )
