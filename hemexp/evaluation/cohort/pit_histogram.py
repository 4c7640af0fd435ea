"""Table `calibration`: where outcomes fell in the forecasts."""

import numpy as np
import pandas as pd

from hemexp.tables import table_of

COLUMNS = ("split", "model", "indicator", "target", "pit", "n", "share", "expected")


def tabulate_calibration(scored: pd.DataFrame, bins: int) -> pd.DataFrame:
    """Histogram of the PIT of every forecast that has a spread: flat when calibrated."""
    rows = []
    keys = ["split", "model", "indicator", "target"]
    for head, part in scored[scored["pit"].notna()].groupby(keys, sort=False):
        counts, edges = np.histogram(part["pit"], bins=bins, range=(0, 1))
        rows += [
            dict(zip(keys, head, strict=True))
            | {
                "pit": round((low + high) / 2, 6),
                "n": len(part),
                "share": count / len(part),
                "expected": 1 / bins,
            }
            for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
        ]
    return table_of(rows, COLUMNS)
