"""What became of a bleed: growth, and what counts as expansion."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

HE_ML, HE_RELATIVE, IVH_GROWTH_ML = 6.0, 0.33, 1.0
"""Expansion: IPH growth >= 6 mL or >= 33 %; IVH growth counts from 1 mL (docs/method.md 1)."""


def is_expansion(growth_ml: ArrayLike, baseline_ml: ArrayLike) -> NDArray[np.bool_]:
    """HE (docs/method.md 1): IPH growth >= 6 mL or >= 33 %; False where growth is NaN."""
    growth, baseline = np.asarray(growth_ml), np.asarray(baseline_ml)
    return (growth >= HE_ML) | (growth >= HE_RELATIVE * baseline)


def expansion_outcomes(volumes: pd.DataFrame) -> pd.DataFrame:
    """Growth and the three definitions of expansion, from native volumes.

    Args:
        volumes: Columns `baseline_iph_ml`, `baseline_ivh_ml`, `followup_iph_ml`,
            `followup_ivh_ml`; follow-up values are NaN where there is no follow-up.

    Returns:
        The table with `growth_ml`, `ivh_growth_ml` and, as 0/1 (NaN without follow-up), `he`
        (>= 6 mL or >= 33 %), `he_6ml` (>= 6 mL alone) and `rhe` (`he`, or new IVH, or IVH growth
        >= 1 mL; Yogendrakumar 2020).
    """
    table = volumes.copy()
    known = table["followup_iph_ml"].notna()
    growth = table["followup_iph_ml"] - table["baseline_iph_ml"]
    ivh_growth = table["followup_ivh_ml"] - table["baseline_ivh_ml"]
    new_ivh = (table["baseline_ivh_ml"] == 0) & (table["followup_ivh_ml"] > 0)
    he = pd.Series(is_expansion(growth, table["baseline_iph_ml"]), index=table.index)
    rhe = he | new_ivh | (ivh_growth >= IVH_GROWTH_ML)
    table["growth_ml"], table["ivh_growth_ml"] = growth, ivh_growth
    for name, flag in {"he": he, "he_6ml": growth >= HE_ML, "rhe": rhe}.items():
        table[name] = flag.astype(float).where(known)
    return table
