"""What became of a bleed: volumes as measured, growth, and what counts as expansion."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from hemexp.columns import FOLLOWUP, SESSIONS
from hemexp.layout import Layout

HE_ML, HE_RELATIVE, IVH_GROWTH_ML = 6.0, 0.33, 1.0
"""Expansion: IPH growth >= 6 mL or >= 33 %; IVH growth counts from 1 mL (method.md 1)."""

IVH_EVENT_ML = 0.3
"""IVH growth as an event: less cannot be told from what a mask of IVH errs by."""

SHRUNK_ML, SHRUNK_PART = 3.0, 1 / 3
"""No bleed loses so much within days: two readings of it differ by a few mL or by a tenth."""


def is_expansion(growth_ml: ArrayLike, baseline_ml: ArrayLike) -> NDArray[np.bool_]:
    """HE (method.md 1): IPH growth >= 6 mL or >= 33 %; False where growth is NaN."""
    growth, baseline = np.asarray(growth_ml), np.asarray(baseline_ml)
    return (growth >= HE_ML) | (growth >= HE_RELATIVE * baseline)


def expansion_begins_ml(baseline_ml: ArrayLike) -> NDArray[np.float64]:
    """Least growth in mL that is HE, of baseline IPH volumes in mL."""
    return np.minimum(HE_ML, HE_RELATIVE * np.asarray(baseline_ml, dtype=np.float64))


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


def has_shrunk(outcomes: pd.DataFrame) -> pd.Series:
    """Who lost more than `SHRUNK_ML` and `SHRUNK_PART` of the IPH: evacuated, or scans swapped.

    Blood that broke into the ventricles is not lost.

    Args:
        outcomes: As `expansion_outcomes` gives them.
    """
    lost_ml = -outcomes["growth_ml"] - outcomes["ivh_growth_ml"].clip(lower=0)
    return (lost_ml > SHRUNK_ML) & (lost_ml > SHRUNK_PART * outcomes["baseline_iph_ml"])


def read_excluded(path: Path | str) -> list[str]:
    """Patients whom `preprocess` excluded: `patient_id` of `excluded.tsv`; none without it."""
    if not Path(path).exists():
        return []
    return pd.read_csv(path, sep="\t", dtype=str)["patient_id"].tolist()


def has_session(split: str, session: str) -> bool:
    """Whether a patient of a split has a scan: of `predict` there is a baseline alone."""
    return split != "predict" or session != FOLLOWUP


def read_volumes(
    layout: Layout, patients: pd.DataFrame, sessions: tuple[str, ...] = SESSIONS
) -> pd.DataFrame:
    """Native volumes of the given patients, as `preprocess` measured them.

    Args:
        layout: Of the run.
        patients: Their rows of the sheet.
        sessions: Which scans to look at; a forecast must not look at the follow-up.

    Returns:
        `baseline_iph_ml`, `baseline_ivh_ml`, `followup_iph_ml`, `followup_ivh_ml`, indexed by
        patient_id; follow-up values are NaN where not looked at and for `predict` patients.
    """
    rows: dict[str, dict[str, float]] = {}
    for patient_id, split in patients["split"].items():
        rows[patient_id] = {
            f"{s}_{mask}_ml": math.nan for s in SESSIONS for mask in ("iph", "ivh")
        }
        for session in sessions:
            if not has_session(split, session):
                continue
            path = layout.native(str(patient_id), session).volumes
            measured = pd.read_csv(path, sep="\t").iloc[0]
            for mask in ("iph", "ivh"):
                rows[patient_id][f"{session}_{mask}_ml"] = float(measured[f"{mask}_ml"])
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("patient_id")
