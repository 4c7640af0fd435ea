"""Every table for people, in the order of their sections."""

from hemexp.reporting.catalogue.entries import (
    ABLATIONS,
    AUTOENCODER,
    EXPANSION,
    IMAGES,
    MAPS,
    ONE_THING,
    ORACLE,
    PATIENTS,
    ROBUSTNESS,
    SUBGROUPS,
    VOLUMES,
    WHAT_IF,
    WHAT_IF_IMAGES,
    Table,
)

TABLES = (
    Table(
        name="cohort",
        section=PATIENTS,
        caption=("Patients by centre and split. Median [quartiles]; count of those known (%)."),
        made_by="cohort_table:describe_cohort",
        sources=("sheet", "outcomes"),
    ),
    Table(
        name="reconstruction",
        section=AUTOENCODER,
        caption=(
            "Scans given back by the autoencoder, against the scans: the best that any drawn scan "
            "can be. Median [quartiles]; scans without IVH have no IVH Dice."
        ),
        made_by="cohort_table:describe_reconstruction",
        sources=("reconstruction",),
    ),
    Table(
        name="forecasts",
        section=VOLUMES,
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
        section=VOLUMES,
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
        section=VOLUMES,
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
        section=VOLUMES,
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
        section=EXPANSION,
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
        section=EXPANSION,
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
        section=EXPANSION,
        caption=(
            "Telling who will expand at fixed thresholds of p(expansion), and at Youden's, which "
            "is chosen on these very patients and so flatters. Intervals: Wilson."
        ),
        made_by="review_tables:describe_thresholds",
        sources=("evaluation:thresholds",),
    ),
    Table(
        name="subgroups",
        section=SUBGROUPS,
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
        section=PATIENTS,
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
        section=EXPANSION,
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
        section=EXPANSION,
        caption=(
            "The model of IVH growth that the samples are told from: training patients forecast "
            "by fits that had not seen them. An event is a growth of 0.3 mL or more."
        ),
        made_by="expansion_tables:describe_ivh",
        sources=("growth:ivh_comparison",),
    ),
    Table(
        name="what_if",
        section=WHAT_IF,
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
        section=WHAT_IF_IMAGES,
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
        section=MAPS,
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
        section=ONE_THING,
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
        section=ONE_THING,
        caption=(
            "Correlation between neighbouring slices of the deviations of IPH area from the mean "
            "of the samples, pooled over patients; the true distribution is the phantom's."
        ),
        made_by="image_tables:describe_coherence",
        sources=("evaluation:coherence",),
    ),
    Table(
        name="images",
        section=IMAGES,
        caption=(
            "Masks, maps and images against the true follow-up. Patients without the structure on "
            "either side have no Dice; they are left out and counted."
        ),
        made_by="image_tables:describe_images",
        sources=("evaluation:images",),
    ),
    Table(
        name="obedience",
        section=ONE_THING,
        caption=(
            "Growth of the samples against the growth asked for, before (raw) and after (matched) "
            "the finish. This tests the sampler, not the forecast."
        ),
        made_by="forecast_tables:describe_obedience",
        sources=("evaluation:obedience",),
    ),
    Table(
        name="oracle",
        section=ORACLE,
        caption=(
            "Volumes of samples that knew the outcome: how well they obey. No forecast, and "
            "not to be set beside one."
        ),
        made_by="forecast_tables:describe_oracle",
        sources=("evaluation:forecasts",),
    ),
    Table(
        name="robustness",
        section=ROBUSTNESS,
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
        section=ABLATIONS,
        caption=(
            "Forecasts of the follow-up IPH volume with one part of the method changed at a time."
        ),
        made_by="forecast_tables:describe_ablations",
        sources=("ablations:forecasts",),
        optional=True,
    ),
    Table(
        name="ablations_consistency",
        section=ONE_THING,
        caption=(
            "Whether a drawn scan shows what its table says, with one part of the method changed "
            "at a time: follow-ups asked for more than 3 mL, the mean over them; true scans first."
        ),
        made_by="consistency_table:describe_ablations",
        sources=("ablations:consistency",),
        optional=True,
    ),
)
