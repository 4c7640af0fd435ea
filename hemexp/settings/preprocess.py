"""Settings of the way from raw scans to scans on the grid."""

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from hemexp.settings.section import Fraction, Section


class ShareLimits(Section):
    """How much of a mask must be as bright as blood, noise aside."""

    warn: Fraction
    """Least part of the mask for a scan without a warning. More: stricter."""
    refuse: Fraction
    """Least part of the mask for a scan that is used at all. More: stricter."""

    @model_validator(mode="after")
    def _warned_first(self) -> Self:
        if self.refuse > self.warn:
            raise ValueError("refuse must not be above warn")
        return self


class NearLimits(Section):
    """How much of an IVH mask must lie within 3 mm of a ventricle; one of the two is enough."""

    csf: Fraction
    """Least part beside CSF deep in the brain. Measured: right masks 2 to 90 %, one in 38 without
    CSF beside it 0 %; IPH given as IVH mostly 0 to 1.4 %. More: stricter."""
    mirrored: Fraction
    """Least part beside such CSF or its mirror image, which stands for a ventricle full of blood.
    Measured: such masks 36 % and more; IPH given as IVH 0 to 30 %, deep ones up to 96 %. More:
    stricter."""


class MaskLabels(Section):
    """Which labels mean IPH and IVH where one file holds both; none: every mask is binary."""

    iph: list[PositiveInt]
    """Labels of IPH, such as `[1]`. Another number names another label."""
    ivh: list[PositiveInt]
    """The same of IVH, such as `[2]`."""

    @model_validator(mode="after")
    def _each_apart(self) -> Self:
        if set(self.iph) & set(self.ivh) or bool(self.iph) != bool(self.ivh):
            raise ValueError("iph and ivh need labels of their own, or none at all")
        return self

    def of(self, kind: str) -> list[int]:
        """The labels of `iph` or `ivh`."""
        return self.iph if kind == "iph" else self.ivh


class RawInput(Section):
    """What a raw scan must look like. Outside these limits it is refused, or warned of."""

    brain_hu: tuple[float, float]
    """HU, lowest and highest median of the brain without its bleed. Wider: stranger scans pass."""
    iph_hu: tuple[float, float]
    """HU, lowest and highest that count as blood in the IPH mask. Fresh clot has 50 to 90, thin
    and anaemic bleeds less. Wider: masks on other tissue may pass."""
    ivh_hu: tuple[float, float]
    """The same in the IVH mask, where blood is mixed with CSF."""
    iph_share: ShareLimits
    """How much of the IPH mask must lie within `iph_hu`. Measured: right masks 100 %, one voxel
    too large 60 to 95 %, moved by two slices 30 to 80 %, turned round 0 to 80 %."""
    ivh_share: ShareLimits
    """How much of the IVH mask must lie within `ivh_hu`. Measured: right masks 85 to 100 %, one
    voxel too large 25 to 50 % and, below 0.5 mL, down to 2 %, moved by two slices or turned round
    0 to 55 %. Late and thin IVH is darker than fresh blood, so little is refused."""
    ivh_near: NearLimits
    """An IVH mask below both is marked `warning`: drawn elsewhere, or swapped with IPH."""
    ivh_over_iph: Fraction
    """Part of the IPH mask that the IVH mask may take without a warning. More: fewer warnings
    where the IPH mask holds all blood by design."""
    mask_labels: MaskLabels
    vessel_share: Fraction
    """Largest part of the inner brain as bright as vessels with contrast medium. Calcium alone
    stays below. More: scans with contrast may pass."""
    noisy_hu: PositiveFloat
    """HU, SD of the noise in soft tissue above which the brain is sought on a smoothed copy and
    the scan is marked `warning`. A head CT has 3 to 10; from 25 on the brain is not found without.
    More: noisier scans are taken as they are."""
    brain_ml: tuple[PositiveFloat, PositiveFloat]
    """mL, lowest and highest volume of a brain mask that can be one at all. Wider: a mask that
    lost or left the brain passes, with a warning (`quality.brain_ml`)."""
    head_mm: PositiveFloat
    """mm of head that the slices must show from bottom to top. More: short stacks are refused."""


class SkullStrip(Section):
    """The brain mask of a scan that has none in the sheet; sizes and HU are for `morphology`."""

    method: Literal["morphology", "synthstrip", "provided"]
    """`morphology` needs no weights; `synthstrip` runs your own `mri_synthstrip`; `provided` takes
    masks of the sheet alone and asks for one of every scan."""
    bone_hu: PositiveFloat
    """HU above which a voxel is bone. More: thin bone counts as tissue, the skull gets gaps."""
    smooth_mm: NonNegativeFloat
    """mm, SD of the Gaussian over soft tissue before it is cut (Muschelli 2015: 1). More: a
    smoother edge of the mask."""
    close_mm: NonNegativeFloat
    """mm; gaps in the skull up to twice this are closed. More: larger gaps close, corners of the
    brain may be lost."""
    open_mm: NonNegativeFloat
    """mm; ways out of the skull narrower than twice this (optic canals, gaps in the base) are cut.
    More: wider ways are cut, narrow parts of the brain may go with them."""


class Registration(Section):
    """Rigid alignment of a patient's two scans, and when they count as two persons' heads."""

    voxel_mm: list[PositiveFloat] = Field(min_length=1)
    """mm, voxel size of each level, coarse to fine: smaller voxels are averaged, thick slices get
    others between. More: quicker, coarser."""
    smoothing_mm: list[NonNegativeFloat]
    """mm, SD of the Gaussian at each level. More: a steadier fit, less detail; at 0 on the last
    level thick slices sway the result by 0.5 mm."""
    sampling_fraction: list[Annotated[float, Field(gt=0, le=1)]]
    """Part of the head's voxels that each level compares. More: slower, steadier."""
    histogram_bins: PositiveInt
    """Grey levels of the mutual information. More: finer, but noisier on few voxels."""
    iterations: PositiveInt
    """Most steps at a level. More: only slow fits take longer."""
    learning_rate: PositiveFloat
    """mm, first step of the descent. More: quicker, and may leap over the best place."""
    relaxation: Annotated[float, Field(gt=0, lt=1)]
    """Factor of a step each time the gradient turns. More: slower, follows long valleys further;
    0.5 stops a millimetre short."""
    min_step: PositiveFloat
    """mm, step at which the descent ends. More: quicker, further from the best place."""
    least_correlation: Fraction
    """Lowest correlation of HU of the aligned heads; below it they are two persons'. Measured: one
    person 0.98-1.00, with a bone flap of 9 cm gone 0.93-0.97, two persons 0.37-0.61 on real
    anatomy; phantom heads are more alike (0.58-0.98). More: stricter."""
    least_overlap: Fraction
    """Lowest part of the smaller head that must lie on the other one. More: stricter."""
    largest_rotation_deg: Annotated[float, Field(gt=0, le=180)]
    """Degrees between the two heads above which a fit is refused. More: laxer."""
    largest_shrinkage: Fraction
    """Part of the baseline IPH that may be gone at follow-up. A pair counts as swapped (or
    operated on) when it loses more than this and more than `largest_shrinkage_ml`. More: laxer."""
    largest_shrinkage_ml: NonNegativeFloat
    """The same in mL. More: laxer for small bleeds."""

    @model_validator(mode="after")
    def _entry_per_level(self) -> Self:
        if not len(self.voxel_mm) == len(self.smoothing_mm) == len(self.sampling_fraction):
            raise ValueError("voxel_mm, smoothing_mm and sampling_fraction need one entry a level")
        return self


class Grid(Section):
    """The common grid: along the reference scan's axes, centred on its brain."""

    shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    """Voxels along x, y and z. More: more room or finer voxels; memory and time grow with the
    product. x and y must be divisible as the networks ask."""
    spacing_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    """mm, voxel size along x, y and z. More: a larger box, coarser bleeds. Times `shape` it must
    hold a head."""

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return self.spacing_mm[0] * self.spacing_mm[1] * self.spacing_mm[2] / 1000.0


class QualityLimits(Section):
    """Outside these a scan is marked `warning` in `qc.tsv`, with the reason; it is still used."""

    brain_ml: tuple[PositiveFloat, PositiveFloat]
    """mL, lowest and highest volume inside the skull, CSF and blood included. Wider: fewer
    warnings."""
    end_share: Fraction
    """Largest width of the brain 7.5 mm from its lowest or highest point, as part of its widest
    slice. Measured: 96 whole heads at most 0.27; with a tenth of the brain cut off at least 0.34.
    More: scans that end inside the brain pass."""
    compactness: Annotated[float, Field(gt=0, lt=0.75)]
    """Lowest ratio of brain volume and (area of its widest slice) to the power 1.5. Measured: 96
    whole heads 0.58 to 0.71, half a brain 0.3 to 0.4. More: more warnings."""
    brain_change: PositiveFloat
    """Largest relative difference between a patient's two brain masks: a skull does not change.
    More: fewer warnings."""
    rotation_deg: PositiveFloat
    """Degrees that the moving scan may be turned. More: fewer warnings."""
    translation_mm: PositiveFloat
    """mm that the moving scan may be shifted. More: fewer warnings."""
    grid_volume_error: PositiveFloat
    """Largest relative difference between a bleed's volume on the grid and in native space. More:
    fewer warnings."""


class Preprocess(Section):
    """From raw scans to scans on the grid."""

    reference: Literal["baseline", "followup"]
    """The scan that the other one is moved onto. A new patient has a baseline alone."""
    on_failure: Literal["stop", "exclude"]
    """What a patient who cannot be used does to the run: `stop` it, or be left out and named in
    `excluded.tsv`."""
    raw: RawInput
    skull_strip: SkullStrip
    registration: Registration
    grid: Grid
    quality: QualityLimits
