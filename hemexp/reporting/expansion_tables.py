"""Tables of p(expansion), of the models behind it, and of what-if questions."""

import pandas as pd

from hemexp.evaluation.cohort.growth_models import CHOSEN, chosen_model
from hemexp.reporting.cells import EVENT_NAMES, REMARK, head, number, percent, score
from hemexp.reporting.model_names import in_model_order, model_name

IVH_MODELS = {
    "hurdle": "IVH model",
    "hurdle_told_growth": "IVH model told the true IPH growth",
    "climatology": "Climatology",
    "copied_baseline": "Copied baseline",
}
QUANTITY_NAMES = {"median_growth_ml": "Median growth, mL", "p_growth_6ml": "p(growth ≥ 6 mL)"}


def describe_expansion(table: pd.DataFrame) -> pd.DataFrame:
    """`evaluation/expansion.tsv` for people."""
    return pd.DataFrame(
        head(row)
        | {
            "Event": EVENT_NAMES[row["event"]],
            "Patients": row["n"],
            "Events": row["n_events"],
            "AUC [95 % CI]": score(row, "auc", "", 2),
            "Brier score [95 % CI]": score(row, "brier", "", 3),
            **_calibration(row),
            "ICI [95 % CI]": score(row, "ici", "", 3),
            REMARK: row["note"],
        }
        for row in in_model_order(table, "split", "center", "event").to_dict("records")
    )


def _compared(comparison: pd.DataFrame) -> list[dict]:
    """Rows of a cross-fitted comparison, with the unit in the names of its CRPS."""
    ends = {"crps_low": "crps_low_ml", "crps_high": "crps_high_ml"}
    return comparison.rename(columns=ends).to_dict("records")


def _calibration(row: dict) -> dict[str, str]:
    titles = {
        "Calibration in the large": "calibration_in_the_large",
        "O/E": "oe_ratio",
        "Calibration slope": "calibration_slope",
    }
    return {f"{title} [95 % CI]": score(row, name, "", 2) for title, name in titles.items()}


def describe_predictors(
    comparison: pd.DataFrame,
    predictions: pd.DataFrame,
    expansion: pd.DataFrame,
    forecasts: pd.DataFrame,
) -> pd.DataFrame:
    """The models of growth, on training patients they had not seen and on the scored ones.

    Args:
        comparison: `expansion/comparison.tsv`, cross-fitted over the training patients.
        predictions: `expansion/predictions.tsv`; says which model sampling draws from.
        expansion: `evaluation/expansion.tsv`.
        forecasts: `evaluation/forecasts.tsv`: growth and volume differ by the known baseline, so
            their CRPS is the same.
    """
    chosen = chosen_model(predictions)
    rows = [
        _predictor("training, cross-fitted", row, row["model"] == chosen, row["events"])
        for row in _compared(comparison)
    ]
    iph = forecasts[(forecasts["target"] == "iph_ml") & (forecasts["center"] == "all")]
    crps = iph[["split", "model", "indicator", "crps_ml", "crps_low_ml", "crps_high_ml"]]
    he = expansion[(expansion["event"] == "he") & (expansion["center"] == "all")]
    scored = he.merge(crps, on=["split", "model", "indicator"])
    for row in in_model_order(scored, "split").to_dict("records"):
        name = row["model"].removeprefix(f"{CHOSEN}_")
        if name != row["model"]:
            named = row | {"model": name}
            rows.append(_predictor(row["split"], named, name == chosen, row["n_events"]))
    return pd.DataFrame(rows)


def _predictor(patients: str, row: dict, chosen: bool, events: int) -> dict[str, object]:
    return {
        "Patients": patients,
        "Model": model_name(f"{CHOSEN}_{row['model']}"),
        "Drawn from": "yes" if chosen else "no",
        "n": row["n"],
        "Events": events,
        "AUC [95 % CI]": score(row, "auc", "", 2),
        "Brier score": number(row["brier"], 3),
        **_calibration(row),
        "CRPS of growth, mL [95 % CI]": score(row, "crps", "_ml", 2),
        REMARK: row["note"],
    }


def describe_ivh(table: pd.DataFrame) -> pd.DataFrame:
    """`expansion/ivh_comparison.tsv` for people."""
    return pd.DataFrame(
        {
            "Model": IVH_MODELS[row["model"]],
            "n": row["n"],
            "Events": row["events"],
            "AUC [95 % CI]": score(row, "auc", "", 2),
            "CRPS of IVH growth, mL [95 % CI]": score(row, "crps", "_ml", 2),
            REMARK: row["note"],
        }
        for row in _compared(table)
    )


def describe_what_if(table: pd.DataFrame) -> pd.DataFrame:
    """`expansion/what_if_summary.tsv` for people."""
    return pd.DataFrame(
        {
            "Contrast": row["contrast"],
            "Held": "both" if row["at"] == "all" else row["at"],
            "Quantity": QUANTITY_NAMES[row["quantity"]],
            "Patients": row["n"],
            "Mean effect": number(row["mean_effect"], 3),
            "Mean true effect": number(row["mean_true_effect"], 3),
            "Predicted / true": number(row["ratio"], 2),
            "Patients with a rise": percent(row["share_raised"]),
            "Patients with the true direction": percent(row["share_right_direction"]),
            REMARK: row["note"],
        }
        for row in table.to_dict("records")
    )
