"""Settings of the cached latents."""

from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from hemexp.settings.section import Section


class Latents(Section):
    """The latents of every scan, encoded once."""

    posterior: Literal["mean", "sample"]
    """What is kept of the autoencoder's posterior: its mean, or one draw a scan (an ablation)."""
    moved: NonNegativeInt
    """Copies of each training pair, turned and shifted, that are encoded beside it and its mirror
    image. More: slower and more disk, the denoiser learns fewer patients by heart
    (docs/coherence.md)."""
    batch_slices: PositiveInt
    """Slices encoded at a time. More: more memory, quicker on a GPU; results stay."""
