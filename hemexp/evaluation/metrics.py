"""Every number that a patient's `scores.tsv` holds: what it is, and what computes it.

The one place of a metric: the scores of a patient, the tables of the cohort, the headline numbers
and the tables for people read it from here. docs/how-to/metric.md shows how one is added.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from hemexp.evaluation.patient.amounts import slice_covariance, slice_variance
from hemexp.statistics.scores import Score


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: In tables and in `metrics.json`.
        source: What it is computed from: `each` follow-up beside the true one (`match.Match`), of
            which the mean is kept; `all` of them together (`match.Ensemble`); or IPH a slice of
            all of them, `slices`, (followups, z).
        compute: Computes it from that.
        what: What it is, for people; empty where no table for people holds it.
        unit: Its unit; empty for a plain number.
        how: Where or how it is taken, for people.
        digits: Decimals for people.
        headline: Whether it is one of the few numbers that a run is judged by.
        of_truth: The same of what happened (`inputs.Truth`), where that has it.
    """

    name: str
    source: Literal["each", "all", "slices"]
    compute: Callable[[Any], Score]
    what: str = ""
    unit: str = ""
    how: str = ""
    digits: int = 3
    headline: bool = False
    of_truth: Callable[[Any], Score] | None = None

    @property
    def words(self) -> str:
        """What people read, such as `PSNR in the brain, dB, mean of samples`."""
        return ", ".join(filter(None, (self.what, self.unit, self.how)))


SAMPLES, IMAGE = "mean of samples", "mean image"
BAND = "round the bleed"

_METRICS = (
    Metric("iph_dice_sample", "each", lambda m: m.dice("iph"), "IPH Dice", how=SAMPLES),
    Metric(
        "iph_hd95_mm_sample",
        "each",
        lambda m: m.hd95_mm("iph"),
        "IPH HD95",
        "mm",
        SAMPLES,
        headline=True,
    ),
    Metric(
        "iph_surface_dice_sample",
        "each",
        lambda m: m.surface_dice("iph"),
        "IPH surface Dice",
        how=SAMPLES,
        headline=True,
    ),
    Metric("ivh_dice_sample", "each", lambda m: m.dice("ivh"), "IVH Dice", how=SAMPLES),
    Metric("ivh_hd95_mm_sample", "each", lambda m: m.hd95_mm("ivh"), "IVH HD95", "mm", SAMPLES),
    Metric(
        "ivh_surface_dice_sample",
        "each",
        lambda m: m.surface_dice("ivh"),
        "IVH surface Dice",
        how=SAMPLES,
    ),
    Metric("ivh_presence_brier", "all", lambda e: e.presence_brier("ivh"), "IVH presence Brier"),
    Metric(
        "psnr_db_sample",
        "each",
        lambda m: m.image.psnr_db("brain"),
        "PSNR in the brain",
        "dB",
        SAMPLES,
        headline=True,
    ),
    Metric(
        "ssim_sample",
        "each",
        lambda m: m.image.ssim("brain"),
        "SSIM in the brain",
        how=SAMPLES,
        headline=True,
    ),
    Metric(
        "psnr_db_band_sample",
        "each",
        lambda m: m.image.psnr_db("band"),
        "PSNR",
        "dB",
        f"{BAND}, {SAMPLES}",
        headline=True,
    ),
    Metric(
        "ssim_band_sample",
        "each",
        lambda m: m.image.ssim("band"),
        f"SSIM {BAND}",
        how=SAMPLES,
        headline=True,
    ),
    Metric(
        "psnr_db_mean_image",
        "all",
        lambda e: e.mean_image.psnr_db("brain"),
        "PSNR in the brain",
        "dB",
        IMAGE,
    ),
    Metric(
        "ssim_mean_image",
        "all",
        lambda e: e.mean_image.ssim("brain"),
        "SSIM in the brain",
        how=IMAGE,
    ),
    Metric(
        "psnr_db_band_mean_image",
        "all",
        lambda e: e.mean_image.psnr_db("band"),
        "PSNR",
        "dB",
        f"{BAND}, {IMAGE}",
    ),
    Metric(
        "ssim_band_mean_image",
        "all",
        lambda e: e.mean_image.ssim("band"),
        f"SSIM {BAND}",
        how=IMAGE,
    ),
    Metric("iph_ged", "all", lambda e: e.energy("iph", "ged"), "IPH GED"),
    Metric(
        "iph_ged_error",
        "all",
        lambda e: e.energy("iph", "ged_error"),
        "IPH GED: distance to the truth",
    ),
    Metric(
        "iph_ged_diversity",
        "all",
        lambda e: e.energy("iph", "ged_diversity"),
        "IPH GED: distance between samples",
    ),
    Metric(
        "expansion_ged",
        "all",
        lambda e: e.energy("expansion", "ged"),
        "Expansion GED",
        headline=True,
    ),
    Metric(
        "expansion_ged_error",
        "all",
        lambda e: e.energy("expansion", "ged_error"),
        "Expansion GED: distance to the truth",
    ),
    Metric(
        "expansion_ged_diversity",
        "all",
        lambda e: e.energy("expansion", "ged_diversity"),
        "Expansion GED: distance between samples",
    ),
    Metric(
        "ventricle_ml",
        "all",
        lambda e: e.ventricle.median(),
        "Ventricles",
        "mL",
        "median",
        of_truth=lambda truth: Score(truth.ventricle_ml),
    ),
    Metric(
        "ventricle_error_ml",
        "all",
        lambda e: e.ventricle.error(),
        "Ventricle error",
        "mL",
        headline=True,
    ),
    Metric("ventricle_crps_ml", "all", lambda e: e.ventricle.crps(), "Ventricle CRPS", "mL"),
    Metric(
        "iph_dice_map",
        "all",
        lambda e: e.map_dice("iph"),
        "IPH Dice",
        how="map > 0.5",
        headline=True,
    ),
    Metric(
        "ivh_dice_map",
        "all",
        lambda e: e.map_dice("ivh"),
        "IVH Dice",
        how="map > 0.5",
        headline=True,
    ),
    Metric(
        "expansion_brier_brain",
        "all",
        lambda e: e.map_brier("brain"),
        "Expansion map Brier",
        how="brain",
    ),
    Metric(
        "expansion_brier_band",
        "all",
        lambda e: e.map_brier("band"),
        "Expansion map Brier",
        how=f"band {BAND}",
        headline=True,
    ),
    Metric(
        "midline_shift_mm",
        "all",
        lambda e: e.midline.median(),
        "Midline shift",
        "mm",
        "median",
        of_truth=lambda truth: truth.shift_mm,
    ),
    Metric(
        "midline_shift_error_mm",
        "all",
        lambda e: e.midline.error(),
        "Midline shift error",
        "mm",
        headline=True,
    ),
    Metric("midline_shift_crps_mm", "all", lambda e: e.midline.crps(), "Midline shift CRPS", "mm"),
    # Coherence through the plane is made of these two: `coherence.tsv`.
    Metric("slice_covariance_ml2", "slices", slice_covariance),
    Metric("slice_variance_ml2", "slices", slice_variance),
)

METRICS = {metric.name: metric for metric in _METRICS}
"""By name, in the order of `scores.tsv`."""
