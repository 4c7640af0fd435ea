"""Cells and words of the tables for people: rounding, intervals, names."""

from typing import Any

import numpy as np
import pandas as pd

from hemexp.reporting.model_names import model_name

UNKNOWN = "–"
"""Stands where a number is undefined; the column Remark says why."""

REMARK = "Remark"
EVENT_NAMES = {
    "he": "Expansion (HE)",
    "he_6ml": "Growth ≥ 6 mL",
    "rhe": "Revised expansion (rHE)",
    "ivh": "IVH at follow-up",
    "new_ivh": "New IVH",
}
TARGET_NAMES = {"iph_ml": "IPH", "ivh_ml": "IVH", "total_ml": "IPH and IVH"}


def number(value: float, digits: int) -> str:
    """A rounded number, or a dash where there is none."""
    # Adding zero turns -0.00 into 0.00.
    return UNKNOWN if pd.isna(value) else f"{round(value, digits) + 0.0:.{digits}f}"


def with_interval(value: float, low: float, high: float, digits: int) -> str:
    """A number and its 95 % interval: `4.02 [3.10, 5.20]`."""
    if pd.isna(value) or pd.isna(low):
        return number(value, digits)
    return f"{number(value, digits)} [{number(low, digits)}, {number(high, digits)}]"


def score(row: dict[str, Any], name: str, unit: str, digits: int) -> str:
    """The cell of a score that an evaluation table keeps in three columns."""
    ends = (row[f"{name}{end}{unit}"] for end in ("", "_low", "_high"))
    return with_interval(*ends, digits)


def median(values: pd.Series, digits: int = 1) -> str:
    """Median [quartiles] of the known values; unknown ones are counted."""
    known = values.dropna()
    if known.empty:
        return UNKNOWN
    low, middle, high = np.quantile(known, [0.25, 0.5, 0.75])
    unknown = f"; {len(values) - len(known)} unknown" if len(known) < len(values) else ""
    return with_interval(middle, low, high, digits) + unknown


def share(values: pd.Series) -> str:
    """Count of those known (%)."""
    known = values.dropna()
    if known.empty:
        return UNKNOWN
    return f"{int(known.sum())}/{len(known)} ({100 * known.mean():.0f} %)"


def percent(value: float) -> str:
    """A share as a whole percentage."""
    return UNKNOWN if pd.isna(value) else f"{100 * value:.0f} %"


def head(row: dict[str, Any]) -> dict[str, str]:
    """The columns that say whose forecast of whom a row is about."""
    return {
        "Split": row["split"],
        "Centre": row["center"],
        "Model": model_name(row["model"]),
        "Indicator": row["indicator"],
    }
