"""Typed settings, one class a room. The values live in the presets in `config/presets/`.

Nothing has a default here: unknown keys, missing keys and wrong types are refused by name
(`config.py` reads them).
"""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

Fraction = Field(ge=0, le=1)

Released = Annotated[str | None, Field(default=None, exclude=True)]
"""Folder of released models, a run's results or a bundle; null: trained here. Left out of what is
hashed, so that the key alone makes nothing again; it is no property of the model either."""


class Section(BaseModel):
    """Settings of one room: frozen, complete, nothing unknown."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def as_json(self) -> dict[str, Any]:
        """The settings as JSON values, for sidecars and model files."""
        return self.model_dump(mode="json")


class Phantom(Section):
    """Synthetic cohort."""

    seed: NonNegativeInt
    spacing_factor: PositiveFloat
    """Multiplies every centre's in-plane spacing: 1 is a scanner's, more is quicker."""
    truth_draws: PositiveInt
    """Points of the midpoint rule behind the mean growth in `truth.tsv`."""


class RawInput(Section):
    """Outside these a raw scan is refused."""

    brain_hu: tuple[float, float]
    """Median of the brain without its haemorrhage (docs/method.md, CT traps)."""
    iph_hu: tuple[float, float]
    """Median inside the IPH mask; fresh clot is 50 to 90 HU, thin and anaemic bleeds are less."""
    vessel_share: float = Fraction
    """Part of the brain's inside as bright as vessels with contrast; calcium alone has less."""
    head_mm: PositiveFloat
    """Height of the head that the slices must show."""


class SkullStrip(Section):
    """Brain mask."""

    method: Literal["morphology", "synthstrip", "provided"]
    """`morphology` needs no weights; `synthstrip` runs the user's `mri_synthstrip`; `provided`
    takes the sheet's masks alone. A mask in the sheet is taken in any case. The rest is for
    `morphology`."""
    bone_hu: PositiveFloat
    """Bone is what lies above this (about 300 HU)."""
    smooth_mm: NonNegativeFloat
    """Gaussian sigma before thresholding the soft tissue (Muschelli 2015: 1 mm)."""
    close_mm: NonNegativeFloat
    """Gaps in the skull up to twice this are closed."""
    open_mm: NonNegativeFloat
    """Ways out of the skull narrower than twice this (optic canals, gaps in the base) are cut."""


class Registration(Section):
    """Rigid registration of the moving scan to the reference."""

    voxel_mm: list[PositiveFloat] = Field(min_length=1)
    """A level each, coarse to fine: voxels are averaged to about this size, slices stay."""
    smoothing_mm: list[NonNegativeFloat]
    """Gaussian sigma; with 0 at the last level, thick slices sway the result by 0.5 mm."""
    sampling_fraction: list[Annotated[float, Field(gt=0, le=1)]]
    """Part of the head's voxels that a level's metric reads."""
    histogram_bins: PositiveInt
    iterations: PositiveInt
    learning_rate: PositiveFloat
    relaxation: Annotated[float, Field(gt=0, lt=1)]
    """A step shrinks by this when the gradient turns; 0.5 stops a millimetre short in valleys."""
    min_step: PositiveFloat
    least_correlation: float = Fraction
    """Of HU in both heads after alignment; below it, they are two patients' heads. Measured: one
    patient 0.98-1.00, with a bone flap of 9 cm gone 0.93-0.97, two patients of the real-anatomy
    trial 0.37-0.61; phantom heads are nearly of one size, two of them give 0.58-0.98."""
    least_overlap: float = Fraction
    """How much of the smaller head must lie on the other one."""
    largest_rotation_deg: Annotated[float, Field(gt=0, le=180)]
    largest_shrinkage: float = Fraction
    """Part of the baseline IPH that may be gone at follow-up, before the pair counts as swapped;
    counts only together with ..."""
    largest_shrinkage_ml: NonNegativeFloat
    """... this."""

    @model_validator(mode="after")
    def _entry_per_level(self) -> Self:
        if not len(self.voxel_mm) == len(self.smoothing_mm) == len(self.sampling_fraction):
            raise ValueError("voxel_mm, smoothing_mm and sampling_fraction need one entry a level")
        return self


class Grid(Section):
    """The common grid: along the reference scan's axes, centred on its brain."""

    shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    spacing_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat]

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return self.spacing_mm[0] * self.spacing_mm[1] * self.spacing_mm[2] / 1000.0


class QualityLimits(Section):
    """Outside these a scan is marked `warning` in qc.tsv, with the reason."""

    brain_ml: tuple[PositiveFloat, PositiveFloat]
    """All that is inside the skull: with CSF and blood, more than the brain itself."""
    brain_change: PositiveFloat
    """Largest relative difference between a patient's two scans: the skull does not change."""
    rotation_deg: PositiveFloat
    translation_mm: PositiveFloat
    grid_volume_error: PositiveFloat


class Preprocess(Section):
    """Raw scans to grid scans."""

    reference: Literal["baseline", "followup"]
    on_failure: Literal["stop", "exclude"]
    """What a patient who cannot be used does to the run; see `excluded.tsv`."""
    raw: RawInput
    skull_strip: SkullStrip
    registration: Registration
    grid: Grid
    quality: QualityLimits


class Autoencoder(Section):
    """Multi-head VAE."""

    model: Released
    stem_factor: PositiveInt
    """Pixel-unshuffle factor before the encoder; 1 is the published network."""
    channels: list[PositiveInt]
    res_blocks: PositiveInt
    norm_groups: PositiveInt
    latent_channels: PositiveInt
    feature_channels: PositiveInt
    """Width of the decoder's last features, which the three heads read."""
    linear_path: bool
    """Linear maps beside the network, on HU centred on brain; false is the published network."""
    ct_weight: NonNegativeFloat
    iph_weight: NonNegativeFloat
    ivh_weight: NonNegativeFloat
    kl_weight: NonNegativeFloat
    perceptual_weight: NonNegativeFloat
    perceptual_start: NonNegativeInt
    perceptual_weights: str | None
    """Local file of backbone weights; nothing is fetched. None: no perceptual term."""
    adversarial_weight: NonNegativeFloat
    adversarial_start: NonNegativeInt
    steps: PositiveInt
    batch_slices: PositiveInt
    accumulate: PositiveInt
    blood_share: float = Fraction
    """Share of a batch drawn from slices with blood; the rest from all slices."""
    optimiser: Literal["adam", "adamw"]
    learning_rate: PositiveFloat
    discriminator_learning_rate: PositiveFloat
    schedule: Literal["one_cycle", "cosine"]
    augment_prob: float = Fraction
    checkpoint_every: PositiveInt
    precision: Literal["fp32", "bf16"]
    """Of the networks' arithmetic in training; weights and losses stay fp32."""
    compile: bool
    """`torch.compile`: minutes at the start for quicker steps."""
    channels_last: bool
    """Memory layout that a GPU's bf16 convolutions like best."""
    fused: bool
    """The optimiser steps all weights in one kernel."""

    @property
    def downsampling(self) -> int:
        """Grid voxels per latent along x and y."""
        return self.stem_factor * 2 ** (len(self.channels) - 1)


class Latents(Section):
    """Cached latents of every scan."""

    posterior: Literal["mean", "sample"]
    """`sample` draws from the autoencoder's posterior, once a scan: an ablation."""
    moved: NonNegativeInt
    """Copies of each training pair, turned and shifted, that are encoded beside it and its mirror
    image: without them the denoiser learns its patients by heart (docs/coherence.md)."""
    batch_slices: PositiveInt


class Expansion(Section):
    """p(expansion) and the predictive distribution of growth."""

    model_file: Released
    model: Literal["best", "four_variable", "image_clinical", "brain"]
    """What sampling draws from; `best`: the lowest cross-fitted CRPS on training patients."""
    folds: PositiveInt
    """Of the cross-fitting, and of the loop inside it that chooses the image's penalty."""
    penalty: PositiveFloat
    """L2 penalty of the four established variables (scikit-learn's 1/C)."""
    image_penalties: list[PositiveFloat] = Field(min_length=1)
    """The same for image features and the other variables: the inner loop takes one of these."""
    bootstrap: PositiveInt
    """Resamples of patients behind the intervals of comparison.tsv."""


class Diffusion(Section):
    """Conditional denoiser of the latent difference."""

    model: Released
    target: Literal["difference", "followup"]
    """What is drawn: follow-up minus baseline (published), or the follow-up's latents whole."""
    denoiser: Literal["stack", "2.5d"]
    condition: Literal["growth", "flag"]
    channels: list[PositiveInt]
    res_blocks: PositiveInt
    norm_groups: PositiveInt
    attention_levels: list[bool]
    context_slices: PositiveInt
    context_mm: PositiveFloat
    schedule: Literal["cosine", "sigmoid"]
    logsnr_shift: float
    """Added to the cosine's half log-SNR; negative trains on more noise (docs/method.md 6)."""
    lambda_min: float | None
    """Half log-SNR at the start of sampling; None: chosen from the training latents."""
    lambda_max: float
    min_snr_gamma: PositiveFloat | None
    bleed_weight: NonNegativeFloat
    """Extra loss weight where the standardised difference is large; 0: none."""
    clinical_dropout: float = Fraction
    """How often training hides all clinical variables; 1: always, and sampling hides them too."""
    condition_dropout: float = Fraction
    """The same for what drives growth; 1 needs sampling.indicator 'free'."""
    expander_share: float = Fraction
    copy_prob: float = Fraction
    """How often training takes a mirrored or moved copy in place of the pair itself."""
    steps: PositiveInt
    batch_stacks: PositiveInt
    accumulate: PositiveInt
    learning_rate: PositiveFloat
    optimiser: Literal["adam", "adamw"]
    schedule_lr: Literal["one_cycle", "constant"]
    ema_decay: float = Fraction
    checkpoint_every: PositiveInt
    precision: Literal["fp32", "bf16"]
    """Of the networks' arithmetic in training; weights and losses stay fp32."""
    compile: bool
    """`torch.compile`: minutes at the start for quicker steps."""
    channels_last: bool
    """Memory layout that a GPU's bf16 convolutions like best."""
    fused: bool
    """The optimiser steps all weights in one kernel."""

    @model_validator(mode="after")
    def _growth_needs_stack(self) -> Self:
        if self.context_slices % 2 == 0:
            raise ValueError("context_slices must be odd: the slice itself and its neighbours")
        if len(self.attention_levels) != len(self.channels):
            raise ValueError("attention_levels needs one entry a level of channels")
        if self.bleed_weight and self.target == "followup":
            raise ValueError("bleed_weight weighs differences: 0 with target 'followup'")
        return self


class Sampling(Section):
    """K coherent follow-ups a patient."""

    samples: PositiveInt
    indicator: Literal["predicted", "oracle", "free"]
    sampler: Literal["dpm", "ddim"]
    evaluations: PositiveInt
    spacing: Literal["logsnr", "time"]
    """Where the evaluations lie: uniform in log-SNR, or in the schedule's time (published)."""
    eta: NonNegativeFloat
    guidance: NonNegativeFloat
    """w of null + w (conditional - null) on the drive; 1 costs one pass instead of two."""
    guidance_below: float | None
    """Half log-SNR above which w is 1: growth is decided in the noise (docs/coherence.md)."""
    noise_length_mm: NonNegativeFloat
    """AR(1) length of the noise through the plane; 0: independent slices."""
    match_volume: bool
    slice_margin_mm: NonNegativeFloat | None
    """Only slices this near the baseline bleed may change (published: 10); None: all may."""
    batch_slices: PositiveInt
    """Drawn at a time, as whole stacks. Best where that number of stacks divides `samples`."""
    precision: Literal["fp32", "bf16"]
    """Of the networks' arithmetic; the sampler's steps and all that is written stay fp32."""


class Evaluation(Section):
    """Forecasts against what happened."""

    splits: list[Literal["val", "test"]] = Field(min_length=1)
    """Whose forecasts are scored; each of these patients needs samples."""
    band_mm: PositiveFloat
    """Width of the band round the baseline bleed in which the expansion map is scored."""
    surface_mm: PositiveFloat
    """Surfaces no further apart than this count as equal (surface Dice)."""
    ivh_present_ml: NonNegativeFloat
    """IVH counts as present above this, in samples and in truth: less is single voxels."""
    redraws: PositiveInt
    """Follow-ups that the phantom draws again for a scored patient's true expansion map."""
    pit_bins: PositiveInt
    bootstrap: PositiveInt


class Reporting(Section):
    """Tables and figures."""

    panel_patients: PositiveInt
    """Rows of the figures made of CT slices."""
    volume_patients: PositiveInt
    """Patients in the figure of volumes; of more, some at equal steps of growth are shown."""
    dpi: PositiveInt


class TrainingProcesses(Section):
    """How many processes, each with a GPU of its own where there are GPUs, share a training.

    Like `device` this says how a result is reached, not which: no product depends on it but for
    rounding, and changing it makes nothing again.
    """

    autoencoder: PositiveInt
    diffusion: PositiveInt


class Settings(Section):
    """All settings of a run."""

    preset: str
    samples: str
    seed: NonNegativeInt
    device: Literal["auto", "cpu", "cuda"]
    processes: TrainingProcesses
    phantom: Phantom
    preprocess: Preprocess
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
        }
        return {room: folder for room, folder in named.items() if folder}

    @property
    def need_training(self) -> bool:
        """Whether anything is left that is learned from this run's own patients."""
        return len(self.released()) < 3

    @model_validator(mode="after")
    def _released_latents(self) -> Self:
        if self.diffusion.model and not self.autoencoder.model:
            raise ValueError(
                "diffusion.model needs autoencoder.model: a denoiser draws in the latents of the "
                "autoencoder it was trained with"
            )
        return self

    @model_validator(mode="after")
    def _processes_share_micro_batches(self) -> Self:
        for room, section in (("autoencoder", self.autoencoder), ("diffusion", self.diffusion)):
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
        if self.diffusion.condition == "flag" and self.sampling.match_volume:
            raise ValueError("sampling.match_volume needs diffusion.condition 'growth'")
        if self.diffusion.condition_dropout == 1 and self.sampling.indicator != "free":
            raise ValueError(
                "sampling.indicator must be 'free' with diffusion.condition_dropout 1: a denoiser "
                "that was never told what drives growth cannot be driven"
            )
        return self
