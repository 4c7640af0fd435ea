"""Every row of `consistency.tsv`: what it is, what it is made from, and how far it may be off.

The one place of a measure: the cohort's table, the warnings, the table and the figure for people
read it from here.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from hemexp.evaluation.cohort.obedience import LARGE_REQUEST_ML
from hemexp.evaluation.patient.series import SHELL_ALONE

SMALL_REQUEST_ML = 2.0
"""Requests below it were once drowned in the denoiser's noise."""

SUBSETS = {
    "all": "all",
    "large": f"growth > {LARGE_REQUEST_ML:g} mL",
    "small": f"growth < {SMALL_REQUEST_ML:g} mL",
}
"""Follow-ups by the growth asked of them or, where nothing was asked, the growth that happened."""

ASKED = ("hemexp", SHELL_ALONE)
"""Models whose follow-ups were asked for a growth."""

MODELS = (*ASKED, "truth", "copy_baseline")

Kind = Literal["mean", "per_ml", "slope", "r2", "sd_ratio", "median", "p90"]


class Tolerance(NamedTuple):
    """How far a drawn value may lie outside the interval of what it is held against.

    Attributes:
        less: Below the lower end, or the factor on it.
        more: Above the upper end, or the factor on it.
        factor: Whether the two are factors.
    """

    less: float
    more: float
    factor: bool = False


@dataclass(frozen=True)
class Measure:
    """One measure of a set of follow-ups.

    Attributes:
        name: In `consistency.tsv`.
        kind: How a set of follow-ups becomes one number: `mean`, `median` or 90th percentile of
            `column`; `per_ml`, the slope through the origin of `column` on `by`; `slope` and `r2`
            of the line; `sd_ratio`, SD within patients of `column` over that of `by`.
        column: Of `consistency.followup_rows`.
        what: What it is, for people.
        unit: Its unit; empty for a plain number.
        digits: Decimals for people.
        by: The growth that `column` is held against.
        models: Which of `MODELS` have it.
        subsets: Whose follow-ups count.
        judged: In which of them the drawn value is judged; figures show the first.
        tolerance: By how much; None is never judged.
        against: The model that it is judged by, or the value that is right by definition.
    """

    name: str
    kind: Kind
    column: str
    what: str
    unit: str = ""
    digits: int = 2
    by: str = "growth_ml"
    models: tuple[str, ...] = MODELS
    subsets: tuple[str, ...] = ("all", "large")
    judged: tuple[str, ...] = ("large",)
    tolerance: Tolerance | None = None
    against: str | float = "truth"

    @property
    def words(self) -> str:
        """What people read, such as `IVH growth, mL`."""
        return ", ".join(filter(None, (self.what, self.unit)))


_MEASURES = (
    Measure(
        "hu_growth_per_ml",
        "per_ml",
        "hu_growth_ml",
        "Growth seen in HU",
        "mL per mL of mask",
        tolerance=Tolerance(0.05, 0.05),
    ),
    Measure(
        "new_blood_hu",
        "mean",
        "new_blood_hu",
        "CT number of new IPH",
        "HU",
        digits=1,
        tolerance=Tolerance(3, 3),
    ),
    Measure(
        "mask_hu_dice",
        "mean",
        "mask_hu_dice",
        "Dice of IPH mask and dense voxels",
        digits=3,
        tolerance=Tolerance(0.02, 0.02),
    ),
    Measure(
        "new_mask_hu_dice",
        "mean",
        "new_mask_hu_dice",
        "Dice of new IPH and dense voxels",
        digits=3,
    ),
    Measure(
        "pieces",
        "mean",
        "pieces",
        "Pieces of the IPH mask",
        tolerance=Tolerance(float("inf"), 0.02),
    ),
    Measure(
        "far_ml",
        "mean",
        "far_ml",
        "New IPH > 15 mm from old blood",
        "mL",
        tolerance=Tolerance(0.5, 2, factor=True),
    ),
    Measure(
        "midline_mm_per_ml",
        "per_ml",
        "midline_away_mm",
        "Midline away from the bleed",
        "mm per mL",
        digits=3,
        tolerance=Tolerance(0.85, 1.15, factor=True),
    ),
    Measure(
        "midline_right_sign",
        "mean",
        "midline_is_away",
        "Share with midline away from the bleed",
        tolerance=Tolerance(0.1, float("inf")),
    ),
    Measure(
        "midline_error_mm",
        "mean",
        "midline_error_mm",
        "Midline error at the true growth",
        "mm",
        tolerance=Tolerance(0, 0.35, factor=True),
        models=(*ASKED, "copy_baseline"),
        against="copy_baseline",
    ),
    Measure(
        "ventricle_ml_per_ml",
        "per_ml",
        "ventricle_change_ml",
        "Change of the ventricles",
        "mL per mL",
        digits=3,
        tolerance=Tolerance(0.6, 1.4, factor=True),
    ),
    Measure(
        "ivh_growth_ml",
        "mean",
        "ivh_growth_ml",
        "IVH growth",
        "mL",
        tolerance=Tolerance(0.8, 1.2, factor=True),
    ),
    Measure(
        "raw_slope",
        "slope",
        "raw_growth_ml",
        "Raw growth on request, slope",
        by="target_growth_ml",
        models=ASKED,
        subsets=("all", "large", "small"),
        judged=("large", "small"),
        tolerance=Tolerance(0.1, 0.1),
        against=1.0,
    ),
    Measure(
        "raw_r2",
        "r2",
        "raw_growth_ml",
        "Raw growth on request, R²",
        by="target_growth_ml",
        models=ASKED,
        tolerance=Tolerance(0.05, float("inf")),
        against=1.0,
    ),
    Measure(
        "raw_sd_ratio",
        "sd_ratio",
        "raw_growth_ml",
        "SD of a patient's raw growths / SD of requests",
        by="target_growth_ml",
        models=ASKED,
        subsets=("all", "small"),
        judged=("all", "small"),
        tolerance=Tolerance(0.1, 0.1),
        against=1.0,
    ),
    Measure(
        "logit_offset_median",
        "median",
        "abs_logit_offset",
        "Logit offset, median size",
        models=("hemexp",),
        tolerance=Tolerance(float("inf"), 0.7),
        against=0.0,
    ),
    Measure(
        "logit_offset_p90",
        "p90",
        "abs_logit_offset",
        "Logit offset, 90th percentile of size",
        models=("hemexp",),
        tolerance=Tolerance(float("inf"), 2),
        against=0.0,
    ),
    Measure(
        "redrawn",
        "mean",
        "redrawn",
        "Share of samples that were drawn again",
        digits=3,
        models=("hemexp",),
        subsets=("all",),
        judged=("all",),
    ),
    Measure(
        "disagrees",
        "mean",
        "disagrees",
        "Share whose image still disagrees with mask or request",
        digits=3,
        models=("hemexp",),
        subsets=("all",),
        judged=("all",),
        tolerance=Tolerance(float("inf"), 0.02),
        against=0.0,
    ),
    Measure(
        "texture",
        "mean",
        "texture",
        "Correlation of noise with the baseline's",
        subsets=("all",),
        judged=("all",),
        tolerance=Tolerance(0.15, 0.15),
    ),
    Measure(
        "noise_sd_hu",
        "mean",
        "noise_sd_hu",
        "SD of noise",
        "HU",
        subsets=("all",),
        judged=("all",),
    ),
    Measure(
        "noise_lag1",
        "mean",
        "noise_lag1",
        "Correlation of noise with its neighbour",
        digits=3,
        subsets=("all",),
        judged=("all",),
    ),
)

MEASURES = {measure.name: measure for measure in _MEASURES}
"""By name, in the order of the table."""
