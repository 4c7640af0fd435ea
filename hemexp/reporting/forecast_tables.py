"""Tables of volume forecasts: scores, paired comparisons, coverage, obedience, ablations."""

import pandas as pd

from hemexp.evaluation.cohort.obedience import LARGE_REQUEST_ML
from hemexp.reporting.cells import (
    REMARK,
    TARGET_NAMES,
    UNKNOWN,
    head,
    number,
    percent,
    score,
    with_interval,
)
from hemexp.reporting.model_names import in_model_order, model_name

ORACLE = "oracle"
REQUEST_NAMES = {"target_growth_ml": "Target growth, mL", "expansion_flag": "Expansion flag"}
REFERENCE_NAMES = {"best_tabular": "Best tabular model, in hindsight"}
PAIRED_MEASURES = (
    "crps_difference_ml",
    "twcrps_difference_ml",
    "skill_fraction",
    "auc_difference",
)
WITHIN = ("split", "center")
"""Rows of one table are ordered within these columns."""


def is_forecast(table: pd.DataFrame) -> pd.Series:
    """Rows that did not know the outcome."""
    return table["indicator"] != ORACLE


def describe_forecasts(table: pd.DataFrame) -> pd.DataFrame:
    """`evaluation/forecasts.tsv` for people; samples that knew the outcome are no forecast."""
    return _volumes(table[is_forecast(table)])


def describe_oracle(table: pd.DataFrame) -> pd.DataFrame:
    """The same scores of samples that knew the outcome: how well they obey, no forecast."""
    return _volumes(table[~is_forecast(table)])


def _volumes(table: pd.DataFrame) -> pd.DataFrame:
    ordered = in_model_order(table, *WITHIN, "target")
    return pd.DataFrame(
        head(row)
        | {
            "Volume": TARGET_NAMES[row["target"]],
            "Patients": row["n"],
            "Draws K": row["k"],
            "CRPS, mL [95 % CI]": score(row, "crps", "_ml", 2),
            "Skill against climatology [95 % CI]": score(row, "skill", "", 2),
            "Tail CRPS, mL": number(row["twcrps_ml"], 2),
            "MAE of the median, mL": number(row["mae_ml"], 2),
            "Bias, mL": number(row["bias_ml"], 2),
            "Coverage of 50 %": number(row["coverage50"], 2),
            "Coverage of 90 %": number(row["coverage90"], 2),
            "Spread ratio": number(row["spread_ratio"], 2),
            "Width of 50 %, mL": number(row["width50_ml"], 1),
            "Width of 90 %, mL": number(row["width90_ml"], 1),
            REMARK: row["note"],
        }
        for row in ordered.to_dict("records")
    )


def describe_comparisons(table: pd.DataFrame) -> pd.DataFrame:
    """`evaluation/comparisons.tsv` for people, one row a pair of forecasts.

    Whether HE is told stands beside the IPH volume that it is told from.
    """
    table = table.replace({"target": {"he": "iph_ml"}})
    keys = [*WITHIN, "target", "model", "indicator", "reference"]
    forecasts = _by_reference(table[is_forecast(table)], keys[:-1])
    rows = []
    for group, part in forecasts.groupby(keys, sort=False):
        row, measures = dict(zip(keys, group, strict=True)), part.set_index("measure")
        shown = {name: _measure(measures, name) for name in PAIRED_MEASURES}
        against = REFERENCE_NAMES.get(row["reference"], model_name(row["reference"]))
        rows.append(
            head(row)
            | {
                "Volume": TARGET_NAMES[row["target"]],
                "Against": against,
                "Patients": int(part["n"].max()),
                "CRPS difference, mL [95 % CI]": shown["crps_difference_ml"],
                "Tail CRPS difference, mL [95 % CI]": shown["twcrps_difference_ml"],
                "Skill fraction [95 % CI]": shown["skill_fraction"],
                "AUC difference [95 % CI]": shown["auc_difference"],
                REMARK: _remarks(part["note"]),
            }
        )
    return pd.DataFrame(rows)


def _by_reference(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """The references of every forecast in the order of models."""
    renamed = table.rename(columns={"model": "ours", "reference": "model"})
    ordered = in_model_order(renamed, *("ours" if key == "model" else key for key in keys))
    return ordered.rename(columns={"model": "reference", "ours": "model"})


def _measure(measures: pd.DataFrame, name: str | tuple[str, str]) -> str:
    if name not in measures.index:
        return UNKNOWN
    row = measures.loc[name]
    return with_interval(row["value"], row["low"], row["high"], 2)


def _remarks(notes: pd.Series) -> str:
    """Different notes, joined; the name of a model among them as people know it."""
    return "; ".join(model_name(note) for note in dict.fromkeys(notes) if note)


EXPECTED_COLUMNS = {
    ("crps_ml", "none"): "CRPS, mL",
    ("crps_difference_ml", "climatology"): "Difference, mL",
    ("skill_fraction", "true_distribution"): "Skill fraction",
    ("bias_ml", "none"): "Bias, mL",
    ("spread_ratio", "none"): "Spread ratio",
    ("coverage50", "none"): "Coverage of 50 %",
    ("coverage90", "none"): "Coverage of 90 %",
    ("coverage50_conformal", "none"): "Coverage of 50 %, calibrated",
    ("coverage90_conformal", "none"): "Coverage of 90 %, calibrated",
    ("auc", "none"): "AUC of expansion",
    ("brier", "none"): "Brier score of expansion",
    ("calibration_in_the_large", "none"): "Calibration in the large",
    ("oe_ratio", "none"): "O/E of expansion",
    ("calibration_slope", "none"): "Calibration slope",
}
"""Columns of the table for people: measure and reference of `evaluation/expected.tsv`."""


def describe_expected(table: pd.DataFrame) -> pd.DataFrame:
    """`evaluation/expected.tsv` for people, one row a forecast."""
    keys, rows = [*WITHIN, "model", "indicator"], []
    for group, part in in_model_order(table, *WITHIN).groupby(keys, sort=False):
        measures = part.set_index(["measure", "reference"])
        rows.append(
            head(dict(zip(keys, group, strict=True)))
            | {"Patients": int(part["n"].max())}
            | {
                f"{title} [95 % CI]": _measure(measures, key)
                for key, title in EXPECTED_COLUMNS.items()
            }
            | {REMARK: _remarks(part["note"])}
        )
    return pd.DataFrame(rows)


def describe_coverage(table: pd.DataFrame) -> pd.DataFrame:
    """`evaluation/conformal.tsv` for people."""
    return pd.DataFrame(
        head(row)
        | {
            "Volume": TARGET_NAMES[row["target"]],
            "Interval": percent(row["level"]),
            "Patients": row["n"],
            "Calibration patients": row["n_calibration"],
            "Coverage before": percent(row["coverage_before"]),
            "Coverage after": percent(row["coverage_after"]),
            "Range if calibrated": f"{percent(row['band_low'])} to {percent(row['band_high'])}",
            "Width before, mL": number(row["width_before_ml"], 1),
            "Width after, mL": number(row["width_after_ml"], 1),
            REMARK: row["note"],
        }
        for row in table[is_forecast(table)].to_dict("records")
    )


def describe_obedience(table: pd.DataFrame) -> pd.DataFrame:
    """`evaluation/obedience.tsv` for people."""
    return pd.DataFrame(
        {
            "Split": row["split"],
            "Indicator": row["indicator"],
            "Asked for": REQUEST_NAMES[row["request"]],
            "Volume": row["volume"],
            "Patients": row["n"],
            "Samples": row["n_samples"],
            "Slope": number(row["slope"], 3),
            f"Slope above {LARGE_REQUEST_ML:g} mL": number(row["slope_large"], 3),
            "Intercept, mL": number(row["intercept_ml"], 2),
            "R²": number(row["r2"], 3),
            f"R² above {LARGE_REQUEST_ML:g} mL": number(row["r2_large"], 3),
            "Residual SD, mL": number(row["residual_sd_ml"], 2),
            "|Logit offset|, median": number(row["abs_logit_offset_median"], 2),
            "|Logit offset|, P90": number(row["abs_logit_offset_p90"], 2),
            REMARK: row["note"],
        }
        for row in table.to_dict("records")
    )


def describe_ablations(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """HemExp's forecasts of all patients' IPH under changed settings.

    Args:
        tables: Name of the ablation to the `forecasts.tsv` of its run.
    """
    parts = []
    for name, table in tables.items():
        ours = table[table["model"].isin(["hemexp", "hemexp_raw", "copy_baseline"])]
        all_iph = (ours["center"] == "all") & (ours["target"] == "iph_ml")
        described = describe_forecasts(ours[all_iph])
        described.insert(0, "Ablation", name.replace("_", " "))
        parts.append(described.drop(columns=["Centre", "Volume"], errors="ignore"))
    return pd.concat(parts, ignore_index=True)
