"""Table of scores under changed masks, for people."""

import pandas as pd

from hemexp.evaluation.cohort.robustness import NEAR_ML
from hemexp.reporting.cells import REMARK, number, score
from hemexp.reporting.model_names import in_model_order, model_name

CHANGES = {
    "as_given": "Masks as given",
    "larger": "Masks one voxel larger",
    "smaller": "Masks one voxel smaller",
    "clear_of_limit": f"Without growth within {NEAR_ML:g} mL of HE's limit",
}


def describe_robustness(table: pd.DataFrame) -> pd.DataFrame:
    """`evaluation/robustness.tsv` for people."""
    place = table["change"].map({name: n for n, name in enumerate(CHANGES)})
    ordered = in_model_order(table.assign(place=place).sort_values(["split", "place"]), "change")
    return pd.DataFrame(
        {
            "Split": row["split"],
            "Outcomes": CHANGES[row["change"]],
            "Model": model_name(row["model"]),
            "Indicator": row["indicator"],
            "Patients": row["n"],
            "Left out": row["n_left_out"],
            "With HE": row["n_events"],
            "HE changed": row["n_relabelled"],
            "Baseline IPH changed by, mL": number(row["baseline_change_ml"], 1),
            "CRPS, mL [95 % CI]": score(row, "crps", "_ml", 2),
            "AUC of HE [95 % CI]": score(row, "auc", "", 2),
            REMARK: row["note"],
        }
        for row in ordered.to_dict("records")
    )
