"""What the drawn follow-ups of one patient say, as numbers: pure functions on their table."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from hemexp.evaluation.kinds import kind_of
from hemexp.outcomes import HE_ML, HE_RELATIVE, IVH_EVENT_ML, is_expansion
from hemexp.statistics.scores import Kind, quantiles

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Ends of the central 90 and 50 %, and the median."""


@dataclass(frozen=True)
class Spread:
    """The distribution that draws of one quantity stand for.

    Attributes:
        low90: Lower end of the central 90 %.
        low50: Lower end of the central half.
        median: In the middle.
        high50: Upper end of the central half.
        high90: Upper end of the central 90 %.
        count: How many draws it is read from.
        whole: Whether so many draws reach the ends of 90 %; else these are the outermost.
    """

    low90: float
    low50: float
    median: float
    high50: float
    high90: float
    count: int
    whole: bool

    @property
    def mirrored(self) -> "Spread":
        """The same of the negative quantity."""
        ends = (-self.high90, -self.high50, -self.median, -self.low50, -self.low90)
        return Spread(*ends, self.count, self.whole)


def spread(draws: ArrayLike, kind: Kind) -> Spread | None:
    """The distribution that draws stand for, as the evaluation reads it.

    Args:
        draws: (K,); NaN where a draw has no value.
        kind: How they were drawn.

    Returns:
        None without any value.
    """
    values = np.asarray(draws, dtype=float)
    values = values[~np.isnan(values)]
    if not values.size:
        return None
    # The outermost of K draws lie at these levels (`quantiles`).
    lowest = 0.5 / values.size if kind == "even" else 1 / (values.size + 1)
    ends = (float(value) for value in quantiles(values, LEVELS, kind))
    return Spread(*ends, count=values.size, whole=lowest <= LEVELS[0])


@dataclass(frozen=True)
class Baseline:
    """What was measured of the patient's first scan, in native space.

    Attributes:
        iph_ml: IPH volume.
        ivh_ml: IVH volume.
    """

    iph_ml: float
    ivh_ml: float


EVENTS = ("he", "he_6ml", "he_33pct", "ivh_growth")
"""HE, its two parts, and IVH that is new or grows."""


def events(iph_ml: ArrayLike, ivh_ml: ArrayLike, baseline: Baseline) -> dict[str, NDArray]:
    """Whether follow-ups, drawn or true, show each of `EVENTS`.

    Args:
        iph_ml: (K,) IPH volumes.
        ivh_ml: (K,) IVH volumes.
        baseline: What they grew from.
    """
    growth_ml = np.asarray(iph_ml, dtype=float) - baseline.iph_ml
    ivh_growth_ml = np.asarray(ivh_ml, dtype=float) - baseline.ivh_ml
    return {
        "he": is_expansion(growth_ml, baseline.iph_ml),
        "he_6ml": growth_ml >= HE_ML,
        "he_33pct": growth_ml >= HE_RELATIVE * baseline.iph_ml,
        "ivh_growth": ivh_growth_ml >= IVH_EVENT_ML,
    }


@dataclass(frozen=True)
class Drawn:
    """What the drawn follow-ups say.

    Attributes:
        count: K.
        indicator: How growth came to drive them.
        condition: What drives their growth.
        spreads: By column of `QUANTITIES`; None where no draw has a value.
        counts: How many of them show each of `EVENTS`.
        raw: IPH volume before the finish.
        off_ml: Mean absolute difference of raw and matched IPH volume.
        disagreeing: How many disagree with what they were told.
        drift_ml: Median change of the ventricles where the bleed stands still; None where it does
            nowhere.
    """

    count: int
    indicator: str
    condition: str
    spreads: dict[str, Spread | None]
    counts: dict[str, int]
    raw: Spread
    off_ml: float
    disagreeing: int
    drift_ml: float | None


STILL_ML = 1.0
"""A bleed that changes by no more stands still: two readings of one differ by as much."""

QUANTITIES = ("iph_ml", "ivh_ml", "midline_shift_mm", "ventricle_change_ml")


def drawn_facts(volumes: pd.DataFrame, baseline: Baseline) -> Drawn:
    """Numbers of a patient's drawn follow-ups.

    Args:
        volumes: `volumes.tsv`, with `ventricle_change_ml`.
        baseline: What they grew from.
    """
    driver = volumes["draws"].iloc[0]
    # Mass effect has draws of its own.
    kinds = dict.fromkeys(QUANTITIES, "independent")
    kinds |= {name: kind_of(name, driver) for name in ("iph_ml", "ivh_ml")}
    shown = events(volumes["iph_ml"], volumes["ivh_ml"], baseline)
    raw = spread(volumes["iph_raw_ml"], driver)
    assert raw is not None, "a decoded sample has a volume"
    return Drawn(
        count=len(volumes),
        indicator=str(volumes["indicator"].iloc[0]),
        condition=str(volumes["condition"].iloc[0]),
        spreads={name: spread(volumes[name], kinds[name]) for name in QUANTITIES},
        counts={name: int(np.count_nonzero(flags)) for name, flags in shown.items()},
        raw=raw,
        off_ml=float((volumes["iph_raw_ml"] - volumes["iph_ml"]).abs().mean()),
        disagreeing=int(volumes["disagrees"].sum()),
        drift_ml=_drift_ml(volumes, baseline),
    )


def _drift_ml(volumes: pd.DataFrame, baseline: Baseline) -> float | None:
    """What the ventricles change by in follow-ups that give them no reason to."""
    still = (volumes["iph_ml"] - baseline.iph_ml).abs() <= STILL_ML
    still &= (volumes["ivh_ml"] - baseline.ivh_ml).abs() < IVH_EVENT_ML
    changes = volumes.loc[still, "ventricle_change_ml"].dropna()
    return float(changes.median()) if len(changes) else None


def number(value: float, digits: int = 1, *, signed: bool = False) -> str:
    """A number for people: no negative zero, and a minus sign that is no hyphen."""
    rounded = round(value, digits) + 0.0
    return f"{rounded:{'+' if signed else ''}.{digits}f}".replace("-", "\N{MINUS SIGN}")


def of_hundred(p: float) -> str:
    """A probability as a number of 100 patients; what is not certain is never 0 or 100.

    Args:
        p: From 0 to 1.
    """
    if math.isnan(p):
        raise ValueError("a probability that is not a number")
    if 0 < p < 0.01:
        return "<1"
    return ">99" if 0.99 < p < 1 else f"{100 * p:.0f}"
