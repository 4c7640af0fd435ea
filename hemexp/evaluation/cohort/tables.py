"""Every table of the room: its name, and how it is made.

The one place of a table: `summarise-scores` writes what stands here, and its rule promises it.
What makes a table is imported when it is made, so that the workflow can read the names. How one
is added says docs/how-to/table.md.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from hemexp.evaluation.cohort.inputs import Cohort


def _forecasts(cohort: "Cohort") -> "pd.DataFrame":
    from hemexp.evaluation.cohort.forecast_table import tabulate_forecasts

    return tabulate_forecasts(cohort.scored, cohort.resampling)


def _comparisons(cohort: "Cohort") -> "pd.DataFrame":
    import pandas as pd

    from hemexp.evaluation.cohort.auc_differences import tabulate_auc_differences
    from hemexp.evaluation.cohort.paired_differences import tabulate_comparisons

    volumes = tabulate_comparisons(cohort.scored, cohort.resampling)
    return pd.concat([volumes, tabulate_auc_differences(cohort.expansion)])


def _expected(cohort: "Cohort") -> "pd.DataFrame":
    from hemexp.evaluation.cohort.expected_scores import tabulate_expected

    return tabulate_expected(
        cohort.forecasts,
        cohort.events,
        cohort.outcomes,
        cohort.conformal_levels,
        cohort.resampling,
    )


def _expansion(cohort: "Cohort") -> "pd.DataFrame":
    from hemexp.evaluation.cohort.event_table import tabulate_expansion

    return tabulate_expansion(cohort.events, cohort.resampling)


def _obedience(cohort: "Cohort") -> "pd.DataFrame":
    from hemexp.evaluation.cohort.obedience import tabulate_obedience

    return tabulate_obedience(cohort.patients.volumes)


def _images(cohort: "Cohort") -> "pd.DataFrame":
    from hemexp.evaluation.cohort.image_means import tabulate_images

    scores = cohort.patients.scores
    return tabulate_images(scores[scores["indicator"] != "oracle"], cohort.resampling)


def _images_oracle(cohort: "Cohort") -> "pd.DataFrame":
    from hemexp.evaluation.cohort.image_means import tabulate_images

    scores = cohort.patients.scores
    return tabulate_images(scores[scores["indicator"] == "oracle"], cohort.resampling)


def _consistency(cohort: "Cohort") -> "pd.DataFrame":
    from hemexp.evaluation.cohort.consistency import followup_rows, tabulate_consistency

    rows = followup_rows(cohort.patients.consistency, cohort.patients.volumes)
    return tabulate_consistency(rows, cohort.resampling)


def _coherence(cohort: "Cohort") -> "pd.DataFrame":
    from hemexp.evaluation.cohort.coherence import tabulate_coherence

    return tabulate_coherence(cohort.patients.scores, cohort.resampling)


def _maps(cohort: "Cohort") -> "pd.DataFrame":
    from hemexp.evaluation.cohort.maps import tabulate_maps

    return tabulate_maps(cohort.forecast_maps, cohort.resampling)


def _reliability(cohort: "Cohort") -> "pd.DataFrame":
    from hemexp.evaluation.cohort.reliability import tabulate_reliability

    return tabulate_reliability(cohort.forecast_maps)


def _volumes(cohort: "Cohort") -> "pd.DataFrame":
    from hemexp.evaluation.cohort.forecast_scores import tidy_scores

    return tidy_scores(cohort.scored)


def _calibration(cohort: "Cohort") -> "pd.DataFrame":
    from hemexp.evaluation.cohort.pit_histogram import tabulate_calibration

    return tabulate_calibration(cohort.scored, cohort.settings.pit_bins)


def _conformal(cohort: "Cohort") -> "pd.DataFrame":
    from hemexp.evaluation.cohort.conformal import tabulate_conformal

    return tabulate_conformal(cohort.scored, cohort.calibrated, cohort.models.pit)


def _decision_curve(cohort: "Cohort") -> "pd.DataFrame":
    from hemexp.evaluation.cohort.decision_curve import tabulate_decision_curve

    return tabulate_decision_curve(cohort.expansion, cohort.resampling)


def _roc(cohort: "Cohort") -> "pd.DataFrame":
    from hemexp.evaluation.cohort.roc import tabulate_roc

    return tabulate_roc(cohort.expansion)


def _thresholds(cohort: "Cohort") -> "pd.DataFrame":
    from hemexp.evaluation.cohort.roc import tabulate_thresholds

    return tabulate_thresholds(cohort.expansion)


def _calibration_curves(cohort: "Cohort") -> "pd.DataFrame":
    from hemexp.evaluation.cohort.calibration_curves import tabulate_calibration_curves

    return tabulate_calibration_curves(cohort.expansion, cohort.resampling)


def _subgroups(cohort: "Cohort") -> "pd.DataFrame":
    from hemexp.evaluation.cohort.subgroups import tabulate_subgroups

    return tabulate_subgroups(
        cohort.scored, cohort.expansion, cohort.characteristics, cohort.resampling
    )


def _missing(cohort: "Cohort") -> "pd.DataFrame":
    from hemexp.evaluation.cohort.characteristics import clinical_values
    from hemexp.evaluation.cohort.missing import tabulate_missing

    return tabulate_missing(clinical_values(cohort.sheet))


TABLES: dict[str, Callable[["Cohort"], "pd.DataFrame"]] = {
    "forecasts": _forecasts,
    "comparisons": _comparisons,
    "expected": _expected,
    "expansion": _expansion,
    "obedience": _obedience,
    "images": _images,
    "images_oracle": _images_oracle,
    "coherence": _coherence,
    "consistency": _consistency,
    "maps": _maps,
    "reliability": _reliability,
    "volumes": _volumes,
    "calibration": _calibration,
    "conformal": _conformal,
    "decision_curve": _decision_curve,
    "roc": _roc,
    "thresholds": _thresholds,
    "calibration_curves": _calibration_curves,
    "subgroups": _subgroups,
    "missing": _missing,
}
"""By name: `results/evaluation/NAME.tsv`."""
