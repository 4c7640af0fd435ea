"""Settings of the cached latents."""

from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from hemexp.settings.section import Section


class Reference(Section):
    """What a follow-up is drawn relative to: the baseline, made more like it by what is told.

    With all parts off it is the baseline itself, as published.
    """

    shell: Literal["none", "even", "tilted"]
    """Whether its bleed has the told volume: grown evenly on all sides, or more towards the told
    drift. Needs `diffusion.condition: growth`."""
    warp: bool
    """Whether growth pushes its tissue aside: midline and ventricles."""
    ivh: bool
    """Whether its ventricles hold the told IVH, which the denoiser is then told too."""

    @property
    def is_baseline(self) -> bool:
        """Whether it is the baseline itself."""
        return self.shell == "none" and not self.warp and not self.ivh


class Latents(Section):
    """The latents of every scan, encoded once."""

    posterior: Literal["mean", "sample"]
    """What is kept of the autoencoder's posterior: its mean, or one draw a scan (an ablation)."""
    reference: Reference
    moved: NonNegativeInt
    """Copies of each training pair, turned and shifted, that are encoded beside it and its mirror
    image. More: slower and more disk, the denoiser learns fewer patients by heart
    (docs/results/drawn_scans.md)."""
    batch_slices: PositiveInt
    """Slices encoded at a time. More: more memory, quicker on a GPU; results stay."""
    precision: Literal["fp32", "bf16"]
    """Number format of the autoencoder's arithmetic while scans are encoded. `bf16` is quicker on
    recent GPUs; by how much latents move stands in docs/results/cost.md."""
