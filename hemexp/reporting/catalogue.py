"""Every table and figure for people: its name, its caption, and what makes it from what.

The order is that of the page. A table is added by its entry here and the function that the entry
names, a figure by its caption here and a module of its name with a function `draw`: files, LaTeX,
page and `snakemake --report` follow. Nothing of the package is imported here: the workflow reads
this at every start.
"""

from typing import NamedTuple


class Table(NamedTuple):
    """A table for people, as CSV, as LaTeX and on the page.

    Attributes:
        name: Of its files.
        caption: Stands beside it wherever it is shown.
        made_by: `module:function` of this room that makes it.
        sources: What the function takes: `evaluation:NAME` and `growth:NAME` are tables of the
            rooms evaluation and expansion; the others are listed in `tables.read_source`.
        optional: Left out of a run that lacks its sources.
    """

    name: str
    caption: str
    made_by: str
    sources: tuple[str, ...]
    optional: bool = False


TABLES = (
    Table(
        name="cohort",
        caption=("Patients by centre and split. Median [quartiles]; count of those known (%)."),
        made_by="cohort_table:describe_cohort",
        sources=("sheet", "outcomes"),
    ),
    Table(
        name="reconstruction",
        caption=(
            "Scans given back by the autoencoder, against the scans: the best that any drawn scan "
            "can be. Median [quartiles]; scans without IVH have no IVH Dice."
        ),
        made_by="cohort_table:describe_reconstruction",
        sources=("reconstruction",),
    ),
    Table(
        name="forecasts",
        caption=(
            "Forecasts of the follow-up volume, beside a copy of the baseline. CRPS without bias "
            "in the number of draws K, so that models can be compared; tail CRPS counts large "
            "growth alone; coverage from the randomised PIT, which a perfect forecast meets for "
            "every K while a wrong one falls short the more, the greater K. Spread ratio: RMS "
            "ensemble SD over RMSE of the mean. Intervals: bootstrap over patients. With few "
            "patients these numbers are noisy: mind the column Patients."
        ),
        made_by="forecast_tables:describe_forecasts",
        sources=("evaluation:forecasts",),
    ),
    Table(
        name="comparisons",
        caption=(
            "HemExp against every other forecast on the same patients: mean of the paired "
            "differences of CRPS, below 0 where HemExp is better. Skill fraction: (climatology - "
            "HemExp) / (climatology - true distribution), 1 for the best possible forecast; only "
            "a phantom has a true distribution. AUC difference: of the probability of expansion, "
            "above 0 where HemExp is better. Intervals: bootstrap over patients; DeLong for AUC."
        ),
        made_by="forecast_tables:describe_comparisons",
        sources=("evaluation:comparisons",),
    ),
    Table(
        name="expected",
        caption=(
            "The same forecasts against everything that might have happened: scores of follow-up "
            "IPH volume and of the probability of expansion, averaged over the phantom's true "
            "distribution instead of read off one outcome a patient. Difference: CRPS minus that "
            "of climatology. Skill fraction: (climatology - forecast) / (climatology - true "
            "distribution). Intervals: bootstrap over patients; what chance there is in the "
            "training patients they do not hold. Real patients have no such table."
        ),
        made_by="forecast_tables:describe_expected",
        sources=("evaluation:expected",),
    ),
    Table(
        name="coverage",
        caption=(
            "Share of follow-up volumes inside the central intervals, before and after conformal "
            "calibration on cross-fitted forecasts of the training patients, by centre. The range "
            "is where 95 % of coverages of so many patients lie if the level is right."
        ),
        made_by="forecast_tables:describe_coverage",
        sources=("evaluation:conformal",),
    ),
    Table(
        name="expansion",
        caption=(
            "Probability of expansion and of IVH: discrimination (AUC), accuracy (Brier score), "
            "calibration. Calibrated: in the large (intercept at slope 1) 0, O/E (observed over "
            "expected events) 1, slope 1. More happens than was said: in the large above 0, O/E "
            "above 1. Too sure: slope below 1. ICI: mean distance of the probabilities from the "
            "smoothed calibration curve, over patients."
        ),
        made_by="expansion_tables:describe_expansion",
        sources=("evaluation:expansion",),
    ),
    Table(
        name="decisions",
        caption=(
            "Net benefit per patient of treating whoever reaches a threshold of p(expansion): "
            "true positives less false positives, these weighted by the threshold's odds. "
            "Intervals: bootstrap over patients."
        ),
        made_by="review_tables:describe_decisions",
        sources=("evaluation:decision_curve",),
    ),
    Table(
        name="thresholds",
        caption=(
            "Telling who will expand at fixed thresholds of p(expansion), and at Youden's, which "
            "is chosen on these very patients and so flatters. Intervals: Wilson."
        ),
        made_by="review_tables:describe_thresholds",
        sources=("evaluation:thresholds",),
    ),
    Table(
        name="subgroups",
        caption=(
            "HemExp in subgroups: follow-up IPH volume (CRPS, coverage) and probability of "
            "expansion (AUC, calibration in the large). No AUC with fewer than five patients with "
            "or without expansion. Location is told by place, without a reader. Intervals: "
            "bootstrap over patients; Wilson for coverage. Groups are small and many: differences "
            "between them are for the next study to test."
        ),
        made_by="review_tables:describe_subgroups",
        sources=("evaluation:subgroups",),
    ),
    Table(
        name="missing",
        caption=(
            "Unknown clinical values by split and centre, of all patients who were kept. The "
            "subgroup table shows scores with and without those whose onset or anticoagulant is "
            "unknown."
        ),
        made_by="review_tables:describe_missing",
        sources=("evaluation:missing",),
    ),
    Table(
        name="predictors",
        caption=(
            "Models of growth behind the samples: training patients forecast by fits that had not "
            "seen them, then the scored patients. Samples are drawn from the model marked so. "
            "CRPS of 199 quantiles."
        ),
        made_by="expansion_tables:describe_predictors",
        sources=(
            "growth:comparison",
            "growth:predictions",
            "evaluation:expansion",
            "evaluation:forecasts",
        ),
    ),
    Table(
        name="ivh",
        caption=(
            "The model of IVH growth that the samples are told from: training patients forecast "
            "by fits that had not seen them. An event is a growth of 0.3 mL or more."
        ),
        made_by="expansion_tables:describe_ivh",
        sources=("growth:ivh_comparison",),
    ),
    Table(
        name="what_if",
        caption=(
            "Predicted effects of another onset time or anticoagulant state on the same patients, "
            "beside the true effects where a phantom knows them. An effect is a difference of the "
            "quantity between the two states."
        ),
        made_by="expansion_tables:describe_what_if",
        sources=("growth:what_if_summary",),
    ),
    Table(
        name="what_if_images",
        caption=(
            "Follow-ups drawn again for another onset time or anticoagulant state, with the same "
            "noise and quantiles of growth: mean shifts over patients, beside the true ones where "
            "a phantom knows them. Sum of the map: new blood expected. Error of the map shift: "
            "sum of absolute differences of the drawn and the true shift of the expansion map. "
            "A shift is the model's answer and no effect of a treatment."
        ),
        made_by="what_if_table:describe_what_if_images",
        sources=("evaluation:what_if_images",),
    ),
    Table(
        name="maps",
        caption=(
            "Expansion-probability maps, voxel by voxel, against what happened and against the "
            "phantom's true map. Skill: 1 - Brier / Brier of the climatology by distance. "
            "Reliability slope: 1 when reliable, below 1 when too sure. Pooled: the drawn map, "
            "the same averaged at equal distance, and that climatology, weighted as the patients "
            "of split `val` ask."
        ),
        made_by="image_tables:describe_maps",
        sources=("evaluation:maps",),
    ),
    Table(
        name="consistency",
        caption=(
            "Whether image, masks, volume, midline and IVH of a drawn follow-up say one thing, "
            "measured on its image as on the true scans. Shell alone: what the samples would be "
            "without a network. Growth is that asked of a sample, or that of the true scan. "
            "Dense: CT numbers above 47 HU, smoothed by 2 mm, within 15 mm of the bleed, IVH left "
            "out. Per mL: slope through the origin. Noise: what is finer than 3 mm, deep and "
            "further than 20 mm from blood. Allowed: the interval of the true scans, widened by "
            "a fixed tolerance of each measure. Intervals: bootstrap over patients."
        ),
        made_by="consistency_table:describe_consistency",
        sources=("evaluation:consistency",),
    ),
    Table(
        name="coherence",
        caption=(
            "Correlation between neighbouring slices of the deviations of IPH area from the mean "
            "of the samples, pooled over patients; the true distribution is the phantom's."
        ),
        made_by="image_tables:describe_coherence",
        sources=("evaluation:coherence",),
    ),
    Table(
        name="images",
        caption=(
            "Masks, maps and images against the true follow-up. Patients without the structure on "
            "either side have no Dice; they are left out and counted."
        ),
        made_by="image_tables:describe_images",
        sources=("evaluation:images",),
    ),
    Table(
        name="obedience",
        caption=(
            "Growth of the samples against the growth asked for, before (raw) and after (matched) "
            "the finish. This tests the sampler, not the forecast."
        ),
        made_by="forecast_tables:describe_obedience",
        sources=("evaluation:obedience",),
    ),
    Table(
        name="oracle",
        caption=(
            "Volumes of samples that knew the outcome: how well they obey. No forecast, and "
            "not to be set beside one."
        ),
        made_by="forecast_tables:describe_oracle",
        sources=("evaluation:forecasts",),
    ),
    Table(
        name="robustness",
        caption=(
            "Scores where outlines of IPH are drawn one voxel further out or in, within the "
            "slices of the native scans, at baseline and follow-up alike; and without patients "
            "whose growth lies within 1 mL of the limit of expansion. Outcomes are measured "
            "again, forecasts of growth stay as they were drawn. Left out are those near the "
            "limit, and those whose baseline bleed vanishes. Intervals: bootstrap over patients."
        ),
        made_by="robustness_table:describe_robustness",
        sources=("evaluation:robustness",),
    ),
    Table(
        name="ablations",
        caption=(
            "Forecasts of the follow-up IPH volume with one part of the method changed at a time."
        ),
        made_by="forecast_tables:describe_ablations",
        sources=("ablations:forecasts",),
        optional=True,
    ),
    Table(
        name="ablations_consistency",
        caption=(
            "Whether a drawn scan shows what its table says, with one part of the method changed "
            "at a time: follow-ups asked for more than 3 mL, the mean over them; true scans first."
        ),
        made_by="consistency_table:describe_ablations",
        sources=("ablations:consistency",),
        optional=True,
    ),
)

FIGURES = {
    "flow": (
        "Patients of the run: rows of the sheet, exclusions by the step that could not use them, "
        "splits, and whose forecasts were compared with what happened. HE: IPH growth of at "
        "least 6 mL or 33 %."
    ),
    "panels": (
        "Drawn follow-ups. Contours: IPH orange, IVH blue; window 0–80 HU; R and L are the "
        "patient's sides. Rows are scored patients at equal steps of observed growth and, last, a "
        "patient without follow-up if there is one; the slice has the most expected blood; the "
        "samples lie nearest to the 10th, 50th and 90th percentile of IPH volume. Right: share of "
        "samples with blood where the baseline (white contour) had none."
    ),
    "expansion_maps": (
        "Probability of new blood on the slice with the most expected blood, over the baseline "
        "(its blood: white contour; window 0–80 HU): the forecast, the same pooled with its mean "
        "at equal distance and the climatology, the true probability from follow-ups that the "
        "phantom drew again, and the new blood that came (its contour in all four). The same "
        "patients as in the drawn follow-ups."
    ),
    "volumes": (
        "Forecast follow-up IPH volume (points: samples; violin: their density) with the baseline "
        "(dashed) and, where known, the true follow-up (diamond); patients by observed growth, "
        "those without follow-up last. Of many patients some at equal steps of growth are shown."
    ),
    "growth": (
        "Predicted against observed IPH growth of every scored patient, with central 50 % and 90 "
        "% intervals. Axes are linear up to 10 mL and logarithmic beyond."
    ),
    "calibration": (
        "Left: place of the truth among the samples, flat when calibrated. Right: share of "
        "outcomes inside the central 50 % and 90 % intervals with 95 % intervals (Wilson); dashed "
        "lines are the goal, hollow marks the coverage after conformal calibration."
    ),
    "reliability": (
        "Share of voxels with new blood against the map's probability, in the band round the "
        "bleed: against what happened (left) and against the true map (right). The diagonal is "
        "perfect."
    ),
    "calibration_curves": (
        "Observed share of expansion against its probability: smoothed (lowess, span 0.75), and "
        "in groups of patients of equal size (95 % intervals: Wilson). Shaded: 95 % band of "
        "HemExp (bootstrap). Fewer than 20 patients, or than 5 with or without expansion, have no "
        "curve. The diagonal is perfect."
    ),
    "roc": (
        "ROC curve of the probability of expansion, with the area under it and its 95 % interval "
        "(bootstrap). Dots: fixed thresholds of HemExp."
    ),
    "decision_curve": (
        "Net benefit of treating whoever reaches a threshold of p(expansion), beside treating all "
        "and treating none. Shaded: 95 % band of HemExp (bootstrap). The threshold says how many "
        "needless treatments one treated expansion is worth."
    ),
    "subgroups": (
        "HemExp in subgroups, with 95 % intervals (bootstrap over patients; Wilson for coverage). "
        "Dashed: all patients, or the goal of coverage. A row without a mark has too few "
        "patients; the table says why."
    ),
    "consistency": (
        "Drawn follow-ups beside true scans: whether image, masks, volume, midline and IVH say "
        "one thing. Lines: 95 % intervals over patients; shaded: the interval of the true scans, "
        "widened by a fixed tolerance of each measure; dashed: right by definition. Growth in "
        "brackets is that asked of a sample, or that of the true scan. What is missing is "
        "undefined: a copy of the baseline has no growth to divide by."
    ),
    "what_if": (
        "Predicted growth of the same patients had they come at another time, on and off an "
        "anticoagulant: mean over patients and, shaded, their middle half. Dashed: the phantom's "
        "truth."
    ),
    "failures": (
        "The ten scored patients with the greatest CRPS of follow-up IPH volume, the worst first, "
        "on the slice with the most blood at follow-up. The sample lies nearest to the median of "
        "IPH volume. Contours: IPH orange, IVH blue; window 0–80 HU; R and L are the patient's "
        "sides. P(expansion): share of samples with blood where the baseline (white contour) had "
        "none."
    ),
    "what_if_maps": (
        "Follow-ups drawn again with one value changed: share of samples with blood where the "
        "baseline (white contour) had none, and its difference to the map as is, beside the "
        "phantom's true difference. The slice has the most expected blood; the numbers are sums "
        "over the whole map. It is the model's answer and no effect of a treatment."
    ),
    "training": ("Loss terms of the autoencoder and of the denoiser during training."),
    "registration": (
        "The pairs with the poorest match, worst first: rotation and translation beside them. "
        "Contours: brain of the baseline green, bleeds of baseline orange, of follow-up blue."
    ),
}
"""Caption of every figure; the function `draw` of the module `figures.NAME` draws it."""


def table_modules() -> list[str]:
    """Modules that make the tables, such as `reporting.forecast_tables`."""
    return sorted({f"reporting.{table.made_by.split(':')[0]}" for table in TABLES})


def figure_modules() -> list[str]:
    """Modules that draw the figures. Captions are in none of them: no figure shows its own."""
    return [f"reporting.figures.{name}" for name in FIGURES]
