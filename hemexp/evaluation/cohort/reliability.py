"""Table `reliability`: what happened where maps said so, a row a bin of the forecast."""

import pandas as pd

COLUMNS = (
    "split",
    "region",
    "reference",
    "model",
    "indicator",
    "bin",
    "n_voxels",
    "forecast",
    "observed",
)


def tabulate_reliability(sums: pd.DataFrame) -> pd.DataFrame:
    """Mean forecast and mean truth a bin of the forecast, over all patients of a split."""
    keys = ["split", "region", "reference", "model", "indicator", "bin"]
    table = sums.groupby(keys)[["n", "p", "y"]].sum().reset_index()
    table = table.assign(
        n_voxels=table["n"].astype(int),
        forecast=table["p"] / table["n"],
        observed=table["y"] / table["n"],
    )
    return table[list(COLUMNS)]
