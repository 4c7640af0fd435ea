"""How models of p(expansion) are drawn, the same in every figure of them."""

import pandas as pd

from hemexp.reporting.model_names import in_model_order
from hemexp.reporting.style import BLUE, GREEN, ORANGE, PURPLE

LOOKS = {
    "hemexp": (BLUE, "-", "o"),
    "tabular_four_variable": (ORANGE, "--", "s"),
    "tabular_brain": (PURPLE, "-.", "D"),
    "true_distribution": (GREEN, ":", "^"),
}
"""Models that are drawn, with colour, line and marker. All are in the tables."""


def of_first_split(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the first split: a figure shows one, the tables show all."""
    return table[table["split"] == table["split"].min()]


def shown(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The rows of every model that is drawn, in the order of models."""
    rows = in_model_order(table[table["model"].isin(LOOKS)])
    return list(rows.groupby("model", sort=False))
