"""The few numbers that a run is judged by, for `dvc metrics`."""

import pandas as pd

from hemexp.evaluation.metrics import METRICS

HEMEXP = {"model": "hemexp"}
HEMEXP_IPH = HEMEXP | {"target": "iph_ml"}
HE = HEMEXP | {"event": "he"}
TRUE_BAND = HEMEXP | {"region": "band", "reference": "true_map"}
DIGITS = 4

CONSISTENCY = {
    "hu_growth_per_ml": "large",
    "new_blood_hu": "large",
    "pieces": "large",
    "far_ml": "large",
    "midline_mm_per_ml": "large",
    "midline_right_sign": "large",
    "ventricle_ml_per_ml": "large",
    "ivh_growth_ml": "large",
    "texture": "all",
}
"""Measures whose drawn and true values are headlines, and whose follow-ups they are of."""

PICKS = {
    **{
        name: ("forecasts", HEMEXP_IPH, name)
        for name in (
            "n",
            "crps_ml",
            "twcrps_ml",
            "skill",
            "mae_ml",
            "bias_ml",
            "coverage50",
            "coverage90",
            "spread_ratio",
        )
    },
    "spread_ratio_raw": ("forecasts", HEMEXP_IPH | {"model": "hemexp_raw"}, "spread_ratio"),
    **{
        f"crps_minus_{reference}{end}_ml": (
            "comparisons",
            HEMEXP_IPH | {"reference": reference, "measure": "crps_difference_ml"},
            column,
        )
        for reference in ("climatology", "copy_baseline", "best_tabular")
        for end, column in (("", "value"), ("_low", "low"), ("_high", "high"))
    },
    **{
        f"skill_fraction{end}": ("comparisons", HEMEXP_IPH | {"measure": "skill_fraction"}, column)
        for end, column in (("", "value"), ("_low", "low"), ("_high", "high"))
    },
    **{
        f"{name}_expected{end}": (
            "expected",
            HEMEXP | {"measure": measure, "reference": to},
            column,
        )
        for name, measure, to in (
            ("crps", "crps_ml", "none"),
            ("crps_minus_climatology", "crps_difference_ml", "climatology"),
            ("crps_minus_best_tabular", "crps_difference_ml", "best_tabular"),
            ("skill_fraction", "skill_fraction", "true_distribution"),
            ("spread_ratio", "spread_ratio", "none"),
            ("coverage50", "coverage50", "none"),
            ("coverage90", "coverage90", "none"),
            ("he_auc", "auc", "none"),
            ("he_auc_minus_true", "auc_difference", "true_distribution"),
        )
        for end, column in (("", "value"), ("_low", "low"), ("_high", "high"))
    },
    **{
        f"coverage{round(100 * level)}_conformal": (
            "conformal",
            HEMEXP_IPH | {"level": level},
            "coverage_after",
        )
        for level in (0.5, 0.9)
    },
    "he_auc": ("expansion", HE, "auc"),
    "he_auc_true": ("expansion", HE | {"model": "true_distribution"}, "auc"),
    "he_brier": ("expansion", HE, "brier"),
    "he_calibration_in_the_large": ("expansion", HE, "calibration_in_the_large"),
    "he_oe_ratio": ("expansion", HE, "oe_ratio"),
    "he_calibration_slope": ("expansion", HE, "calibration_slope"),
    "ivh_auc": ("expansion", HEMEXP | {"event": "ivh"}, "auc"),
    "ivh_brier": ("expansion", HEMEXP | {"event": "ivh"}, "brier"),
    "map_skill": ("maps", TRUE_BAND | {"reference": "outcome"}, "skill"),
    "map_slope": ("maps", TRUE_BAND | {"reference": "outcome"}, "slope"),
    "map_skill_true_map": ("maps", TRUE_BAND, "skill"),
    "map_slope_true_map": ("maps", TRUE_BAND, "slope"),
    "slice_correlation": ("coherence", HEMEXP, "value"),
    "slice_correlation_true": ("coherence", {"model": "true_distribution"}, "value"),
    **{
        f"obedience_slope_{volume}": ("obedience", {"volume": volume}, "slope")
        for volume in ("raw", "matched")
    },
    **{
        f"{name}{end}": (
            "consistency",
            {"model": model, "measure": name, "subset": subset},
            "value",
        )
        for name, subset in CONSISTENCY.items()
        for end, model in (("", "hemexp"), ("_true", "truth"))
    },
    "obedience_slope_raw_small": (
        "consistency",
        HEMEXP | {"measure": "raw_slope", "subset": "small"},
        "value",
    ),
    "raw_sd_ratio": (
        "consistency",
        HEMEXP | {"measure": "raw_sd_ratio", "subset": "small"},
        "value",
    ),
    "obedience_slope_raw_large": ("obedience", {"volume": "raw"}, "slope_large"),
    "abs_logit_offset_p90": ("obedience", {"volume": "raw"}, "abs_logit_offset_p90"),
}
"""Name of every number: its table, what its row holds, and its column. Metrics come on top."""


def headline_numbers(tables: dict[str, pd.DataFrame], split: str) -> dict[str, float]:
    """The headlines of one split, to four digits; undefined ones are absent.

    Args:
        tables: The evaluation tables, by name.
        split: Whose patients count, all centres together.
    """
    numbers = {}
    metrics = [name for name, metric in METRICS.items() if metric.headline]
    images = {name: ("images", HEMEXP | {"metric": name}, "mean") for name in metrics}
    for name, (table, wanted, column) in (PICKS | images).items():
        rows = tables[table]
        rows = rows[rows["split"] == split]
        rows = rows[rows["center"] == "all"] if "center" in rows else rows
        for key, value in wanted.items():
            rows = rows[rows[key] == value]
        if len(rows) and pd.notna(rows[column].iloc[0]):
            numbers[name] = round(float(rows[column].iloc[0]), DIGITS)
    return numbers
