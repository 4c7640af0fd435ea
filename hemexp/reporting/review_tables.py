"""Tables that a reviewer asks for: decisions, thresholds, subgroups, missing values."""

import pandas as pd

from hemexp.reporting.cells import REMARK, head, number, percent, score, with_interval
from hemexp.reporting.model_names import in_model_order, model_name

DECISIONS = (0.1, 0.2, 0.3)
"""Thresholds of `evaluation/decision_curve.tsv` that the table shows; the figure shows all."""

CLINICAL_NAMES = {
    "onset_to_ct_h": "Onset to CT",
    "anticoagulant": "Anticoagulant",
    "antiplatelet": "Antiplatelet",
    "age": "Age",
    "gcs": "GCS",
    "sbp": "Systolic pressure",
    "sex": "Sex",
}
SUBGROUP_NAMES = {
    "all": "All patients",
    "location": "Location",
    "baseline_ivh": "IVH at baseline",
    "onset": "Onset to CT",
    "baseline_iph": "Baseline IPH",
    "center": "Centre",
    "onset_and_anticoagulant": "Onset and anticoagulant",
} | {name: CLINICAL_NAMES[name] for name in ("age", "sex", "anticoagulant")}


def describe_decisions(table: pd.DataFrame) -> pd.DataFrame:
    """`evaluation/decision_curve.tsv` for people, one row a strategy."""
    keys, rows = ["split", "model", "indicator"], []
    for (split, model, indicator), part in in_model_order(table, "split").groupby(
        keys, sort=False
    ):
        at = {round(row["threshold"], 2): row for row in part.to_dict("records")}
        first = part.iloc[0]
        rows.append(
            {
                "Split": split,
                "Strategy": model_name(model),
                "Indicator": indicator,
                "Patients": first["n"],
                "Events": first["n_events"],
            }
            | {
                f"Net benefit at {100 * cut:.0f} % [95 % CI]": score(at[cut], "net_benefit", "", 3)
                for cut in DECISIONS
            }
            | {REMARK: first["note"]}
        )
    return pd.DataFrame(rows)


def describe_thresholds(table: pd.DataFrame) -> pd.DataFrame:
    """`evaluation/thresholds.tsv` for people."""
    shares = {
        "sensitivity": "Sensitivity",
        "specificity": "Specificity",
        "ppv": "PPV",
        "npv": "NPV",
    }
    return pd.DataFrame(
        head(row)
        | {
            "Patients": row["n"],
            "Events": row["n_events"],
            "Threshold": f"{number(100 * row['threshold'], 0)} %"
            + (" (Youden)" if row["criterion"] == "youden" else ""),
            **{f"{title} [95 % CI]": score(row, name, "", 2) for name, title in shares.items()},
            REMARK: row["note"],
        }
        for row in in_model_order(table, "split", "center").to_dict("records")
    )


def describe_subgroups(table: pd.DataFrame) -> pd.DataFrame:
    """`evaluation/subgroups.tsv` for people."""
    return pd.DataFrame(
        {
            "Split": row["split"],
            "Indicator": row["indicator"],
            "Variable": SUBGROUP_NAMES[row["variable"]],
            "Group": level_name(row["level"]),
            "Patients": row["n"],
            "Events": row["n_events"],
            "CRPS, mL [95 % CI]": score(row, "crps", "_ml", 2),
            "AUC [95 % CI]": score(row, "auc", "", 2),
            "Coverage of the 90 % interval, % [95 % CI]": _percents(row, "coverage90"),
            "Calibration in the large [95 % CI]": score(row, "calibration_in_the_large", "", 2),
            REMARK: row["note"],
        }
        for row in table.to_dict("records")
    )


def level_name(level: str) -> str:
    """A level of `evaluation/subgroups.tsv` for people."""
    return level.replace(">= ", "≥ ").replace("-", "–")


def _percents(row: dict, name: str) -> str:
    ends = (100 * row[f"{name}{end}"] for end in ("", "_low", "_high"))
    return with_interval(*ends, 0)


def describe_missing(table: pd.DataFrame) -> pd.DataFrame:
    """`evaluation/missing.tsv` for people, one row a split and centre."""
    rows = []
    for (split, center), part in table.groupby(["split", "center"], sort=False):
        cells = {
            f"{CLINICAL_NAMES[row['variable']]} unknown, n (%)": (
                f"{row['n_unknown']} ({percent(row['share_unknown'])})"
            )
            for row in part.to_dict("records")
        }
        rows.append({"Split": split, "Centre": center, "Patients": part["n"].max()} | cells)
    return pd.DataFrame(rows)
