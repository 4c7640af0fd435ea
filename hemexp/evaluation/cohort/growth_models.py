"""What the room `expansion` forecasts, by model: several models, one of them chosen."""

import pandas as pd

CHOSEN = "tabular"
"""Name of the chosen model in the tables; sampling draws from it. Others are `tabular_NAME`."""


def chosen_model(predictions: pd.DataFrame) -> str | None:
    """Name of the model that sampling draws from; None in a table of one nameless model."""
    if "model" not in predictions:
        return None
    return str(predictions.loc[predictions["chosen"].astype(int) == 1, "model"].iloc[0])


def by_model(table: pd.DataFrame, chosen: str | None) -> dict[str, pd.DataFrame]:
    """A table of several models apart: all under their own names, the chosen one as `tabular`.

    Args:
        table: predictions.tsv or forecasts.tsv.
        chosen: From `chosen_model`.
    """
    if "model" not in table:
        return {CHOSEN: table}
    parts = {f"{CHOSEN}_{name}": part for name, part in table.groupby("model", sort=True)}
    return {CHOSEN: parts[f"{CHOSEN}_{chosen}"]} | parts


def of_chosen(table: pd.DataFrame, chosen: str | None) -> pd.DataFrame:
    """The chosen model's rows."""
    return by_model(table, chosen)[CHOSEN]
