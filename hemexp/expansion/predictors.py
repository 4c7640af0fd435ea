"""What the models look at: named columns made from the sheet, native volumes and features."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp.anatomy.blood import shell_mm
from hemexp.columns import EARLIEST_H
from hemexp.expansion.features import FARTHEST_MM, WITHIN_MM

BRAIN_VOLUME = ((20.0, 7.0), (10.0, 5.0))
BRAIN_ONSET = ((5.0, 0.0), (4.0, 1.0), (3.0, 2.0), (2.0, 3.0), (1.0, 4.0))
"""Points of the BRAIN score above each limit (mL, hours), highest first; method.md 5."""

BRAIN_ONSET_FIRST = 5.0


def _points(
    values: pd.Series, limits: tuple[tuple[float, float], ...], below: float
) -> NDArray[np.float64]:
    above = [values > limit for limit, _ in limits]
    points = np.select(above, [points for _, points in limits], below)
    return np.where(np.isnan(values), np.nan, points)


FREE_COLUMNS = tuple(f"free_ventricle_{mm}mm_ml" for mm in WITHIN_MM)

REACH = 2.0
"""Shell thicknesses: growth to one side reaches so much farther than even growth."""


def _ln_growth(table: pd.DataFrame) -> pd.Series:
    return np.log1p(table["growth_ml"].clip(lower=0))


def _closeness(table: pd.DataFrame) -> pd.Series:
    """1 at the ventricle, 0 at `FARTHEST_MM`, even in ln(1 + mm)."""
    return 1 - np.log1p(table["ventricle_mm"]) / np.log1p(FARTHEST_MM)


def _reached_ml(table: pd.DataFrame) -> NDArray[np.float64]:
    """Free ventricle within reach of the growth, between the distances that were measured."""
    reach_mm = REACH * shell_mm(table["growth_ml"], table["baseline_iph_ml"])
    limits_mm = np.array([0, *WITHIN_MM], dtype=float)
    within_ml = table[[*FREE_COLUMNS]].to_numpy(dtype=float)
    steps_ml = np.diff(within_ml, axis=1, prepend=0.0)
    part = (reach_mm[:, None] - limits_mm[:-1]) / np.diff(limits_mm)
    return (part.clip(0, 1) * steps_ml).sum(axis=1)


DERIVED: dict[str, Callable[[pd.DataFrame], object]] = {
    "ln_onset": lambda table: np.log(table["onset_to_ct_h"].clip(lower=EARLIEST_H)),
    "ln_iph_ml": lambda table: np.log(table["baseline_iph_ml"]),
    "ln_ivh_ml": lambda table: np.log1p(table["baseline_ivh_ml"]),
    # A share's root is nearer to a count of spots: few voxels already mean a spot.
    "root_dark_share": lambda table: np.sqrt(table["dark_share"]),
    "root_dark_hu": lambda table: np.sqrt(table["dark_hu"]),
    "ln_ventricle_mm": lambda table: np.log1p(table["ventricle_mm"]),
    "brain_volume": lambda table: _points(table["baseline_iph_ml"], BRAIN_VOLUME, 0.0),
    "brain_onset": lambda table: _points(table["onset_to_ct_h"], BRAIN_ONSET, BRAIN_ONSET_FIRST),
    "ivh_present": lambda table: table["baseline_ivh_ml"] > 0,
    "ln_growth": _ln_growth,
    "ln_growth_near": lambda table: _ln_growth(table) * _closeness(table),
    "ln_reached_ml": lambda table: np.log1p(_reached_ml(table)),
    "ln_free_ml": lambda table: np.log1p(table[FREE_COLUMNS[-1]]),
}
"""Predictors made from columns; any other is the column of its name."""

FOUR = ("ln_onset", "ln_iph_ml", "anticoagulant", "antiplatelet")
"""The variables of Al-Shahi Salman et al., Lancet Neurol 2018."""

IMAGE = (
    "age",
    "gcs",
    "sbp",
    "ln_ivh_ml",
    "sphericity",
    "irregularity",
    "hu_mean",
    "hu_sd",
    "hu_skew",
    "root_dark_share",
    "root_dark_hu",
    "dark_spots",
    "ln_ventricle_mm",
)
"""What the image and the rest of the sheet add to the four."""

IVH_OF_GROWTH = ("ln_growth", "ln_growth_near", "ln_reached_ml")
"""They never fall with growth."""

IVH = (*IVH_OF_GROWTH, "ln_ventricle_mm", "ln_free_ml", "ivh_present", "ln_ivh_ml")
"""What IVH growth is forecast from, given the bleed's growth."""

IVH_COLUMNS = ("baseline_iph_ml", "baseline_ivh_ml", "ventricle_mm", *FREE_COLUMNS)
"""What they are made from, beside `growth_ml`."""

BRAIN = ("brain_volume", "anticoagulant", "ivh_present", "brain_onset")


def predictors(table: pd.DataFrame, names: Sequence[str]) -> NDArray[np.float64]:
    """Predictors `names` (n, names), NaN where unknown.

    Args:
        table: The sheet's numbers, `baseline_iph_ml`, `baseline_ivh_ml` and, where a name needs
            them, features of `measure_bleed`.
        names: Which predictors.

    Raises:
        KeyError: The table has no such column.
    """
    columns = [DERIVED[name](table) if name in DERIVED else table[name] for name in names]
    return np.stack([np.asarray(column, dtype=float) for column in columns], axis=1)
