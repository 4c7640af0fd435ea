"""Settings of the masks that the workflow makes where a centre has none."""

import re
from typing import Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from hemexp.settings.section import Fraction, Released, Section

INPUTS, OUTPUTS = ("{input}", "{input_folder}"), ("{output}", "{output_folder}")
"""What stands in the command for the scan that the program reads, and for what it writes."""


class CommandLabels(Section):
    """What the labels of the program's file mean; a label that stands nowhere here is refused."""

    iph: list[PositiveInt]
    """Labels of IPH, such as `[1]`. Another number names another label."""
    ivh: list[PositiveInt]
    """The same of IVH, such as `[2]`; none where the program does not tell IVH apart."""
    other: list[PositiveInt]
    """The same of what is to be left out: oedema, blood outside the brain."""

    @model_validator(mode="after")
    def _each_apart(self) -> Self:
        named = [*self.iph, *self.ivh, *self.other]
        if len(named) > len(set(named)):
            raise ValueError("iph, ivh and other need labels of their own")
        return self


class Segmentation(Section):
    """Where IPH and IVH masks come from that the sheet does not give, and the network's training.

    Rows with masks keep theirs, whatever the method.
    """

    method: Literal["network", "command", "provided"]
    """`network`: learned from the training patients who have masks. `command`: a program of your
    own. `provided`: none are made, the sheet must give all."""
    model: Released
    """Folder of released models, a run's results or a bundle, that hold a network for masks; null:
    trained here."""
    start_from: Released
    """Folder of released models whose network the training starts from, for a centre with few
    masks; null: from chance. `stem_factor`, `width`, `blocks` and `context_slices` must be its."""
    command: str | None
    """Command line of that program, run as it stands, without a shell. `{input}`: the CT,
    `scan_0000.nii.gz` in `{input_folder}`. `{output}`: the label file it writes; or
    `{output_folder}`, where it leaves one."""
    command_scan: Literal["whole", "stripped"]
    """What it reads: the CT as scanned, or 0 HU outside the brain."""
    command_labels: CommandLabels
    least_masked: PositiveInt
    """Training patients with masks that the network needs. More: refused sooner, safer masks."""
    folds: int = Field(ge=2)
    """Parts of those patients; as many networks more, each without one part, measure the error.
    More: longer, and nearer to the error of the network that is used."""
    stem_factor: PositiveInt
    """Side of the block of voxels that is folded into channels before the network. More: quicker,
    coarser."""
    width: int = Field(ge=8, multiple_of=8)
    """Channels of the first level; each of the next has twice as many. More: slower, finer."""
    blocks: list[PositiveInt] = Field(min_length=2)
    """Residual blocks of each level; every level after the first halves a slice. More: slower,
    deeper."""
    context_slices: NonNegativeInt
    """Slices on either side that the network sees with each slice. More: sees further, slower."""
    crop: tuple[PositiveInt, PositiveInt, PositiveInt]
    """Voxels of a crop in training, and of a window in use, right, front and up. More: more
    memory, sees further. The first two: multiples of what the levels halve."""
    batch_crops: PositiveInt
    """Crops a micro-batch. More: more memory, quicker on a GPU."""
    accumulate: PositiveInt
    """Micro-batches a step; processes share them. More: slower steps, steadier gradients, no more
    memory."""
    blood_share: Fraction
    """Share of crops round a voxel of blood, half of them IVH; the rest lie anywhere in the brain.
    More: finds blood quicker, and more that is none."""
    iph_weight: PositiveFloat
    """Weight of IPH in the loss (Dice and cross-entropy), beside 1 of the rest. More: IPH is
    learned sooner, and drawn larger."""
    ivh_weight: PositiveFloat
    """The same of IVH."""
    augment_prob: Fraction
    """How often each disturbance (turn, HU shift, noise, kernel) is applied. More: less is learned
    by heart, and slower."""
    steps: PositiveInt
    """Steps of the optimiser. More: longer training, better masks, until they level out."""
    optimiser: Literal["adam", "adamw"]
    """`adamw` also lets weights decay."""
    learning_rate: PositiveFloat
    """Highest rate of the optimiser. More: quicker, then unstable."""
    schedule: Literal["one_cycle", "cosine"]
    """Course of the learning rate: up and down, or down alone."""
    ema_decay: Fraction
    """Memory of the averaged weights. More: steadier, later."""
    checkpoint_every: PositiveInt
    """Steps between checkpoints. More: less writing, more lost when a job is killed."""
    precision: Literal["fp32", "bf16"]
    """Number format of the network's arithmetic in training; weights and losses stay fp32. `bf16`
    is quicker on recent GPUs."""
    compile: bool
    """`torch.compile`: minutes at the start for quicker steps. Not for fewer than 500 `steps`."""
    fused: bool
    """The optimiser steps all weights in one kernel."""
    overlap: float = Field(ge=0, lt=1)
    """Share of a window that the next one sees again. More: slower, smoother seams."""
    mirror: bool
    """Each scan is judged beside its mirror image, twice the time."""

    @model_validator(mode="after")
    def _crop_fits_levels(self) -> Self:
        factor = self.stem_factor * 2 ** (len(self.blocks) - 1)
        if any(side % factor for side in self.crop[:2]):
            raise ValueError(
                f"segmentation.crop {self.crop[0]} x {self.crop[1]} is not divisible by {factor}, "
                "the factor of segmentation (stem_factor, blocks)"
            )
        return self

    @model_validator(mode="after")
    def _trained_or_taken(self) -> Self:
        if self.model and self.start_from:
            raise ValueError(
                "segmentation.model is used as it is, segmentation.start_from trained on: name one"
            )
        return self

    @model_validator(mode="after")
    def _command_is_whole(self) -> Self:
        if self.method != "command":
            return self
        found = re.findall(r"\{\w*\}", self.command or "")
        sides = [any(name in found for name in side) for side in (INPUTS, OUTPUTS)]
        if not (all(sides) and self.command_labels.iph and set(found) <= {*INPUTS, *OUTPUTS}):
            raise ValueError(
                "segmentation.method 'command' needs segmentation.command with {input} or "
                "{input_folder}, with {output} or {output_folder} and nothing else in braces, and "
                "segmentation.command_labels, such as {iph: [1], ivh: [2], other: []}"
            )
        return self
