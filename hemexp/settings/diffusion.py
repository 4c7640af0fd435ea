"""Settings of the denoiser and of its training."""

from typing import Literal, Self

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from hemexp.settings.section import Fraction, Released, Section


class Diffusion(Section):
    """The denoiser that draws follow-ups in the latents, and its training."""

    model: Released
    """Folder of released models, a run's results or a bundle; null: trained here. Needs
    `autoencoder.model`."""
    target: Literal["difference", "followup"]
    """What is drawn: follow-up minus its reference (`latents.reference`; published: the baseline),
    or the follow-up's latents whole (an ablation)."""
    denoiser: Literal["stack", "2.5d"]
    """`stack`: a patient's slices are one object; `2.5d`: the published network, each slice drawn
    by itself."""
    condition: Literal["growth", "flag"]
    """What drives a sample: a target growth in mL, or the published flag of expansion."""
    channels: list[PositiveInt]
    """Width of each level; every level after the first halves the latents. More: slower, may hold
    more."""
    res_blocks: PositiveInt
    """Residual blocks a level. More: slower, deeper."""
    norm_groups: PositiveInt
    """Groups of the group normalisation; must divide every width in `channels`. More: finer
    groups."""
    attention_levels: list[bool]
    """Which levels have attention within the slice, an entry a level. On at large levels: slow."""
    context_slices: PositiveInt
    """Slices of the baseline that are shown for one slice, itself included; odd. More: slower, a
    wider view."""
    context_mm: PositiveFloat
    """mm between these slices; the grid's nearest number of slices is taken. More: a wider,
    coarser view."""
    schedule: Literal["cosine", "sigmoid"]
    """Course of the noise level over time; `sigmoid` is published."""
    logsnr_shift: float
    """Added to the cosine's half log-SNR. More: training sees less noise
    (method.md 6)."""
    lambda_min: float | None
    """Half log-SNR at the start of sampling; null: chosen from the training latents. More: a
    start with less noise."""
    lambda_max: float
    """Half log-SNR at the end of sampling. More: small differences keep their spread, steps
    between evaluations get longer."""
    min_snr_gamma: PositiveFloat | None
    """Gamma of the Min-SNR weight of the loss; null: all noise levels weigh alike. More: more
    weight where little noise is left."""
    bleed_weight: NonNegativeFloat
    """Extra weight in the loss where the standardised difference is large; 0: none. More: growth
    counts more than the rest of the brain."""
    clinical_dropout: Fraction
    """How often training hides all clinical variables. More: a weaker say of theirs; 1: always,
    and sampling hides them too."""
    condition_dropout: Fraction
    """How often training hides what drives growth. More: guidance has a better null to start from,
    the condition is learned slower; 1 needs `sampling.indicator: free`."""
    expander_share: Fraction
    """Share of expanders among the stacks of a batch that are told their growth; those without
    have the training patients' own share. More: growth is learned quicker, standing still
    slower."""
    copy_prob: Fraction
    """How often training takes a mirrored or moved copy in place of the pair itself. More: less
    learned by heart."""
    steps: PositiveInt
    """Steps of the optimiser. More: longer training, better samples, until patients are learned by
    heart."""
    batch_stacks: PositiveInt
    """Patients a micro-batch, all slices of each. More: more memory, quicker on a GPU."""
    accumulate: PositiveInt
    """Micro-batches a step; processes share them. More: slower steps, steadier gradients, no more
    memory."""
    learning_rate: PositiveFloat
    """Highest rate of the optimiser. More: quicker, then unstable."""
    optimiser: Literal["adam", "adamw"]
    """`adamw` also lets weights decay."""
    schedule_lr: Literal["one_cycle", "constant"]
    """Course of the learning rate: up and down, or the same throughout."""
    ema_decay: Fraction
    """How much of the running mean of weights, which sampling uses, stays at a step. More: a
    longer mean, smoother, slower to follow."""
    checkpoint_every: PositiveInt
    """Steps between checkpoints. More: less writing, more lost when a job is killed."""
    precision: Literal["fp32", "bf16"]
    """Number format of the network's arithmetic in training; weights and losses stay fp32. `bf16`
    is quicker on recent GPUs."""
    compile: bool
    """`torch.compile`: minutes at the start for quicker steps. Not for fewer than 500 `steps`."""
    channels_last: bool
    """Memory layout that a GPU's bf16 convolutions like best."""
    fused: bool
    """The optimiser steps all weights in one kernel."""

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.context_slices % 2 == 0:
            raise ValueError("context_slices must be odd: the slice itself and its neighbours")
        if len(self.attention_levels) != len(self.channels):
            raise ValueError("attention_levels needs one entry a level of channels")
        if self.bleed_weight and self.target == "followup":
            raise ValueError("bleed_weight weighs differences: 0 with target 'followup'")
        return self
