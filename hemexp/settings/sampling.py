"""Settings of the drawn follow-ups."""

from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from hemexp.settings.section import Section


class Sampling(Section):
    """K coherent follow-ups a patient."""

    samples: PositiveInt
    """K, follow-ups drawn a patient. More: time and disk grow with it, maps and intervals get
    finer. Sample k is the same for any K."""
    keep: PositiveInt | Literal["all"]
    """How many of them stay on disk as images, the first: they are spread over the forecast as all
    K are. Volumes and maps come from all K. Scores of images, consistency, the change of the
    ventricles and all pictures come from those kept, so at least one is. More: disk grows with
    it, scores of images get surer."""
    indicator: Literal["predicted", "oracle", "free"]
    """How growth comes to drive the samples: drawn from the forecast, taken from what happened, or
    not at all. `oracle` measures obedience and is never a forecast."""
    at_h: PositiveFloat | None
    """Hours after the baseline scan for which follow-ups are drawn; null: those of the sheet's
    `followup_interval_h`, or 24. More: more growth, where the model of growth knows time. Scores
    compare a forecast with the scan that was made: leave it null for them."""
    sampler: Literal["dpm", "ddim"]
    """DPM-Solver++(2M), or the published DDIM, which needs more evaluations."""
    evaluations: PositiveInt
    """Noise levels at which the network is asked. More: slower; fewer than 11 narrow the spread of
    samples."""
    spacing: Literal["logsnr", "time"]
    """Where the evaluations lie: evenly in log-SNR, or in the schedule's time (published)."""
    eta: NonNegativeFloat
    """New noise at each step of `ddim`; 0: none. More: more of it."""
    guidance: NonNegativeFloat
    """w of null + w (conditional - null) on the drive. More: samples follow the request
    more strongly, above 1 beyond what was learned; 1 costs one pass instead of two. Other than 1
    it needs `diffusion.condition_dropout`."""
    clinical_guidance: NonNegativeFloat
    """The same on the clinical values. More: they have a stronger say; other than 1 it doubles the
    passes again and needs `diffusion.clinical_dropout`."""
    guidance_below: float | None
    """Half log-SNR above which both w are 1; null: guided throughout. More: guided for longer,
    slower. Growth is decided in the noise (docs/results/drawn_scans.md)."""
    noise_length_mm: NonNegativeFloat
    """mm over which noise is alike through the plane; 0: independent slices. More: slices agree
    better. Needs `diffusion.condition: flag`."""
    network: bool
    """Whether the denoiser draws; without it a sample is its reference (an ablation)."""
    finish: bool
    """Whether a drawn sample is finished: its volumes brought to those told, pieces that touch no
    old blood taken out, and voxels made to look like what its mask says. Raw figures are from
    before. Needs `diffusion.condition: growth`."""
    slice_margin_mm: NonNegativeFloat | None
    """mm; only slices this near the baseline bleed may change (published: 10); null: all may.
    More: growth may reach further."""
    batch_slices: PositiveInt
    """Slices drawn at a time, as whole stacks. More: more memory, quicker on a GPU. Best where
    that number of stacks divides `samples`."""
    precision: Literal["fp32", "bf16"]
    """Number format of the network's arithmetic; the sampler's steps and all that is written stay
    fp32. `bf16` is quicker on recent GPUs."""
    compile: bool | Literal["auto"]
    """`torch.compile` of the denoiser; `auto`: on a GPU, where `samples` times `evaluations` make
    1000 or more. A minute for the first patient, less for the next."""

    @property
    def kept(self) -> int:
        """Number of samples that stay on disk: those numbered below it."""
        return self.samples if self.keep == "all" else min(self.keep, self.samples)
