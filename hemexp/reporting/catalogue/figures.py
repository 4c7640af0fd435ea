"""Every figure: what stands below it, and what is to be seen for who does not see it."""

from hemexp.reporting.catalogue.entries import (
    DRAWN,
    EXPANSION,
    FAILURES,
    MAPS,
    ONE_THING,
    PATIENTS,
    SCANS,
    SUBGROUPS,
    TRAINING,
    VOLUMES,
    WHAT_IF,
    WHAT_IF_IMAGES,
    Figure,
)

FIGURES = {
    "flow": Figure(
        section=PATIENTS,
        caption=(
            "Patients of the run: rows of the sheet, exclusions by the step that could not use "
            "them, splits, and whose forecasts were compared with what happened. HE: IPH growth "
            "of at least 6 mL or 33 %."
        ),
        alt=(
            "Flow chart from all patients screened at the top, those excluded beside them, over a "
            "box for each split, to how many were learned from, scored or forecast at the bottom."
        ),
    ),
    "panels": Figure(
        section=DRAWN,
        caption=(
            "Drawn follow-ups. Contours: IPH orange, IVH blue; window 0–80 HU; R and L are the "
            "patient's sides. Rows are scored patients at equal steps of observed growth and, "
            "last, a patient without follow-up if there is one; the slice has the most expected "
            "blood; the samples lie nearest to the 10th, 50th and 90th percentile of IPH volume. "
            "Right: share of samples with blood where the baseline (white contour) had none."
        ),
        alt=(
            "Rows of head CT slices, a patient each: baseline, true follow-up, three drawn "
            "follow-ups from little to much blood, and a map that glows where new blood is "
            "likely."
        ),
    ),
    "expansion_maps": Figure(
        section=MAPS,
        caption=(
            "Probability of new blood on the slice with the most expected blood, over the "
            "baseline (its blood: white contour; window 0–80 HU): the forecast, the same pooled "
            "with its mean at equal distance and the climatology, the true probability from "
            "follow-ups that the phantom drew again, and the new blood that came (its contour in "
            "all four). The same patients as in the drawn follow-ups."
        ),
        alt=(
            "Rows of head CT slices, a patient each: the baseline, and on it four maps: forecast, "
            "pooled forecast, true probability, and the new blood that came. Bright is likely."
        ),
    ),
    "volumes": Figure(
        section=VOLUMES,
        caption=(
            "Forecast follow-up IPH volume (points: samples; violin: their density) with the "
            "baseline (dashed) and, where known, the true follow-up (diamond); patients by "
            "observed growth, those without follow-up last. Of many patients some at equal steps "
            "of growth are shown."
        ),
        alt=(
            "A violin of points for each patient: the volumes that were drawn. A dashed line "
            "marks the baseline, a diamond the true follow-up."
        ),
    ),
    "growth": Figure(
        section=VOLUMES,
        caption=(
            "Predicted against observed IPH growth of every scored patient, with central 50 % "
            "and 90 % intervals. Axes are linear up to 10 mL and logarithmic beyond."
        ),
        alt=(
            "Scatter plot: predicted growth up, observed growth along, a point with two bars for "
            "each patient. Points on the diagonal were forecast rightly."
        ),
    ),
    "calibration": Figure(
        section=VOLUMES,
        caption=(
            "Left: place of the truth among the samples, flat when calibrated. Right: share of "
            "outcomes inside the central 50 % and 90 % intervals with 95 % intervals (Wilson); "
            "dashed lines are the goal, hollow marks the coverage after conformal calibration."
        ),
        alt=(
            "Left a histogram of the truth's place among the samples. Right two groups of points "
            "with bars: coverage of the intervals beside a dashed goal. The table of coverage "
            "has the numbers."
        ),
    ),
    "reliability": Figure(
        section=MAPS,
        caption=(
            "Share of voxels with new blood against the map's probability, in the band round the "
            "bleed: against what happened (left) and against the true map (right). The diagonal "
            "is perfect."
        ),
        alt=(
            "Two plots of observed share against map probability, a line for each map, and a "
            "diagonal. The table of maps has the slopes."
        ),
    ),
    "calibration_curves": Figure(
        section=EXPANSION,
        caption=(
            "Observed share of expansion against its probability: smoothed (lowess, span 0.75), "
            "and in groups of patients of equal size (95 % intervals: Wilson). Shaded: 95 % band "
            "of HemExp (bootstrap). Fewer than 20 patients, or than 5 with or without expansion, "
            "have no curve. The diagonal is perfect."
        ),
        alt=(
            "Observed share of expansion against its probability: curves and points with bars "
            "round a diagonal. The table of expansion has slope and intercept."
        ),
    ),
    "roc": Figure(
        section=EXPANSION,
        caption=(
            "ROC curve of the probability of expansion, with the area under it and its 95 % "
            "interval (bootstrap). Dots: fixed thresholds of HemExp."
        ),
        alt=(
            "ROC curves, a line for each model, beside the dashed diagonal of chance; dots on "
            "that of HemExp. The table of expansion has the areas."
        ),
    ),
    "decision_curve": Figure(
        section=EXPANSION,
        caption=(
            "Net benefit of treating whoever reaches a threshold of p(expansion), beside "
            "treating all and treating none. Shaded: 95 % band of HemExp (bootstrap). The "
            "threshold says how many needless treatments one treated expansion is worth."
        ),
        alt=(
            "Net benefit against threshold: a line for each model, one that falls for treating "
            "all, one at zero for treating none. The table of decisions has the numbers."
        ),
    ),
    "subgroups": Figure(
        section=SUBGROUPS,
        caption=(
            "HemExp in subgroups, with 95 % intervals (bootstrap over patients; Wilson for "
            "coverage). Dashed: all patients, or the goal of coverage. A row without a mark has "
            "too few patients; the table says why."
        ),
        alt=(
            "Rows of points with bars, a subgroup each, in three columns: error, discrimination "
            "and coverage. The table of subgroups has the numbers."
        ),
    ),
    "consistency": Figure(
        section=ONE_THING,
        caption=(
            "Drawn follow-ups beside true scans: whether image, masks, volume, midline and IVH "
            "say one thing. Lines: 95 % intervals over patients; shaded: the interval of the "
            "true scans, widened by a fixed tolerance of each measure; dashed: right by "
            "definition. Growth in brackets is that asked of a sample, or that of the true scan. "
            "What is missing is undefined: a copy of the baseline has no growth to divide by."
        ),
        alt=(
            "Small plots, a measure each: points with bars for drawn follow-ups and true scans, "
            "and a shaded band that is allowed. The table of consistency has the numbers."
        ),
    ),
    "what_if": Figure(
        section=WHAT_IF,
        caption=(
            "Predicted growth of the same patients had they come at another time, on and off an "
            "anticoagulant: mean over patients and, shaded, their middle half. Dashed: the "
            "phantom's truth."
        ),
        alt=(
            "Left median growth, right the probability of 6 mL or more, against onset time: "
            "curves on and off an anticoagulant, each falling with time inside a shaded band; "
            "dashed curves are the truth."
        ),
    ),
    "failures": Figure(
        section=FAILURES,
        caption=(
            "The ten scored patients with the greatest CRPS of follow-up IPH volume, the worst "
            "first, on the slice with the most blood at follow-up. The sample lies nearest to "
            "the median of IPH volume. Contours: IPH orange, IVH blue; window 0–80 HU; R and L "
            "are the patient's sides. P(expansion): share of samples with blood where the "
            "baseline (white contour) had none."
        ),
        alt=(
            "Rows of head CT slices, a patient each, the worst forecast first: baseline, true "
            "follow-up, a drawn follow-up, and the map of new blood."
        ),
    ),
    "what_if_maps": Figure(
        section=WHAT_IF_IMAGES,
        caption=(
            "Follow-ups drawn again with one value changed: share of samples with blood where "
            "the baseline (white contour) had none, and its difference to the map as is, beside "
            "the phantom's true difference. The slice has the most expected blood; the numbers "
            "are sums over the whole map. It is the model's answer and no effect of a treatment."
        ),
        alt=(
            "Rows of head CT slices, a changed value each: the baseline, the map of new blood as "
            "is and changed, the difference of the two, and the true difference."
        ),
    ),
    "training": Figure(
        section=TRAINING,
        caption="Loss terms of the autoencoder and of the denoiser during training.",
        alt=(
            "Two plots of loss against training step, falling lines: the terms of the "
            "autoencoder, and the loss of the denoiser."
        ),
    ),
    "registration": Figure(
        section=SCANS,
        caption=(
            "The pairs with the poorest match, worst first: rotation and translation beside "
            "them. Contours: brain of the baseline green, bleeds of baseline orange, of "
            "follow-up blue."
        ),
        alt=(
            "Rows of head CT slices, a patient each: baseline, moved follow-up, and a "
            "checkerboard of both, in which outlines of brain and bleeds should meet at the "
            "borders."
        ),
    ),
}
"""The function `draw` of the module `figures.NAME` draws it."""
