"""All settings of a run, and what must fit together across rooms."""

from typing import Literal, Self

from pydantic import NonNegativeInt, PositiveInt, model_validator

from hemexp.settings.autoencoder import Autoencoder
from hemexp.settings.diffusion import Diffusion
from hemexp.settings.evaluation import Evaluation
from hemexp.settings.expansion import Expansion
from hemexp.settings.latents import Latents
from hemexp.settings.phantom import Phantom
from hemexp.settings.preprocess import Preprocess
from hemexp.settings.reporting import Reporting
from hemexp.settings.sampling import Sampling
from hemexp.settings.section import Section
from hemexp.settings.segmentation import Segmentation


class TrainingProcesses(Section):
    """How many processes, each with a GPU of its own where there are GPUs, share a training.

    Like `device` this says how a result is reached, not which: no product depends on it but for
    rounding, and changing it makes nothing again.
    """

    segmentation: PositiveInt
    """Processes of a training of the segmentation; must divide `segmentation.accumulate`. More:
    quicker, a GPU for each."""
    autoencoder: PositiveInt
    """Processes of the autoencoder's training; must divide `autoencoder.accumulate`. More:
    quicker, a GPU for each."""
    diffusion: PositiveInt
    """Processes of the denoiser's training; must divide `diffusion.accumulate`. More: quicker, a
    GPU for each."""


def untrained_nulls(
    sampling: Sampling, condition_dropout: float, clinical_dropout: float
) -> list[tuple[str, str]]:
    """Keys of `sampling` that ask for a learned null which training never showed.

    Args:
        sampling: How samples are drawn.
        condition_dropout: How often the denoiser's training hid what drives growth.
        clinical_dropout: How often it hid the clinical values.

    Returns:
        Each key and the key of `diffusion` whose 0 it contradicts.
    """
    asks = [
        ("guidance", sampling.guidance != 1, "condition_dropout", condition_dropout),
        ("indicator", sampling.indicator == "free", "condition_dropout", condition_dropout),
        (
            "clinical_guidance",
            sampling.clinical_guidance != 1,
            "clinical_dropout",
            clinical_dropout,
        ),
    ]
    return [(key, hidden) for key, asked, hidden, dropout in asks if asked and dropout == 0]


class Settings(Section):
    """All settings of a run."""

    preset: str
    """The set of values to start from: a file of `config/presets/`."""
    samples: str
    """Path of the sample sheet."""
    seed: NonNegativeInt
    """Seed of every random draw but the phantom's. Another number: another, equally good run."""
    device: Literal["auto", "cpu", "cuda"]
    """Where networks run. `auto`: a GPU where there is one."""
    processes: TrainingProcesses
    phantom: Phantom
    preprocess: Preprocess
    segmentation: Segmentation
    autoencoder: Autoencoder
    latents: Latents
    expansion: Expansion
    diffusion: Diffusion
    sampling: Sampling
    evaluation: Evaluation
    reporting: Reporting

    def released(self) -> dict[str, str]:
        """Folder of released models by room, of the rooms that are not trained here."""
        named = {
            "autoencoder": self.autoencoder.model,
            "diffusion": self.diffusion.model,
            "expansion": self.expansion.model_file,
            "segmentation": self.segmentation.model,
        }
        return {room: folder for room, folder in named.items() if folder}

    @property
    def need_training(self) -> bool:
        """Whether anything of the forecast is learned from this run's own patients."""
        return not {"autoencoder", "diffusion", "expansion"} <= self.released().keys()

    @model_validator(mode="after")
    def _released_latents(self) -> Self:
        if self.diffusion.model and not self.autoencoder.model:
            raise ValueError(
                "diffusion.model needs autoencoder.model: a denoiser draws in the latents of the "
                "autoencoder it was trained with"
            )
        return self

    @model_validator(mode="after")
    def _reference_is_told(self) -> Self:
        if self.latents.reference.is_baseline:
            return self
        where = "latents.reference other than the baseline (shell none, warp and ivh false)"
        if self.diffusion.condition != "growth":
            raise ValueError(f"{where} needs diffusion.condition 'growth': it is made of a growth")
        if self.diffusion.condition_dropout > 0 or self.sampling.indicator == "free":
            raise ValueError(
                f"{where} needs diffusion.condition_dropout 0 and no sampling.indicator 'free': "
                "the reference shows the growth that a null condition hides"
            )
        return self

    @model_validator(mode="after")
    def _nulls_are_trained(self) -> Self:
        own = self.diffusion
        if own.model:
            return self  # `check_released` looks at how that one was trained
        nulls = untrained_nulls(self.sampling, own.condition_dropout, own.clinical_dropout)
        if nulls:
            key, hidden = nulls[0]
            raise ValueError(
                f"sampling.{key} ({getattr(self.sampling, key)}) asks for a learned null, which "
                f"diffusion.{hidden} 0 never trains: raise that, or leave sampling.{key} at "
                f"{'predicted' if key == 'indicator' else 1}"
            )
        return self

    @model_validator(mode="after")
    def _processes_share_micro_batches(self) -> Self:
        for room in TrainingProcesses.model_fields:
            section = getattr(self, room)
            count, total = getattr(self.processes, room), section.accumulate
            if total % count:
                raise ValueError(
                    f"{room}.accumulate ({total}) must be a multiple of processes.{room} "
                    f"({count}), which share the micro-batches of a step: raise it and lower the "
                    "batch to match, or take fewer processes"
                )
        return self

    @model_validator(mode="after")
    def _grid_fits_networks(self) -> Self:
        factor = self.autoencoder.downsampling * 2 ** (len(self.diffusion.channels) - 1)
        sides = self.preprocess.grid.shape[:2]
        if any(side % factor for side in sides):
            raise ValueError(
                f"preprocess.grid.shape {sides[0]} x {sides[1]} is not divisible by {factor}, the "
                "factor of autoencoder (stem_factor, channels) times diffusion (channels)"
            )
        if self.diffusion.condition == "growth" and self.sampling.noise_length_mm > 0:
            raise ValueError(
                "sampling.noise_length_mm must be 0 with diffusion.condition 'growth': correlated "
                "noise would draw the volume a second time"
            )
        if self.diffusion.condition == "flag" and self.sampling.finish:
            raise ValueError("sampling.finish needs diffusion.condition 'growth'")
        if self.diffusion.condition_dropout == 1 and self.sampling.indicator != "free":
            raise ValueError(
                "sampling.indicator must be 'free' with diffusion.condition_dropout 1: a denoiser "
                "that never saw a request cannot be asked for one"
            )
        return self
