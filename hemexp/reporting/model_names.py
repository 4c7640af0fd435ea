"""Forecasts as people know them, and their order in tables and figures."""

import pandas as pd

MODEL_NAMES = {
    "hemexp": "HemExp",
    "hemexp_raw": "HemExp, unmatched volumes",
    "hemexp_pooled": "HemExp, pooled",
    "shell_alone": "Shell alone, no network",
    "copy_baseline": "Copy of baseline",
    "climatology": "Climatology",
    "climatology_distance": "Climatology by distance",
    "tabular": "Tabular model",
    "tabular_four_variable_published": "Tabular: four variables, published effects",
    "tabular_four_variable": "Tabular: four variables",
    "tabular_image_clinical_published": "Tabular: image and clinical, published effects",
    "tabular_image_clinical": "Tabular: image and clinical",
    "tabular_timed_four_variable": "Tabular: four variables, growth in time",
    "tabular_timed_image_clinical": "Tabular: image and clinical, growth in time",
    "tabular_brain": "Tabular: BRAIN score",
    "true_distribution": "True distribution",
    "truth": "Truth",
    "treat_all": "Treat all",
    "treat_none": "Treat none",
}
"""In the order of tables and figures."""


def model_name(name: str) -> str:
    """A model's name for people."""
    return MODEL_NAMES.get(name, name)


def in_model_order(table: pd.DataFrame, *keys: str) -> pd.DataFrame:
    """Rows sorted so that HemExp and the copy of the baseline stand side by side.

    Args:
        table: With a column `model`.
        *keys: Columns within which models are ordered; their own order of appearance stays.
    """
    names = list(MODEL_NAMES)
    place = table["model"].map({name: n for n, name in enumerate(names)}).fillna(len(names))
    group = table.groupby(list(keys), sort=False).ngroup() if keys else pd.Series(0, table.index)
    order = pd.DataFrame({"group": group, "place": place})
    return table.loc[order.sort_values(["group", "place"], kind="stable").index]
