"""Where drawn follow-ups may lie, read off `consistency.tsv`, and those that lie elsewhere.

The allowed range of a measure is the 95 % interval of the true scans, widened by its tolerance.
"""

import logging
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from hemexp.evaluation.cohort.consistency_measures import MEASURES, SUBSETS, Tolerance
from hemexp.evaluation.cohort.groups import GROUP

log = logging.getLogger(__name__)

DRAWN = "hemexp"
REFERENCE_WORDS = {"truth": "true scans", "copy_baseline": "copied baseline"}


class Allowed(NamedTuple):
    """The allowed range of a drawn value, ends included."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether a value lies in it."""
        return self.low <= value <= self.high

    def words(self, digits: int) -> str:
        """For people, such as `0.79 to 0.96` or `at most 1.02`."""
        low, high = (f"{end + 0.0:.{digits}f}" for end in self)
        if np.isinf(self.low):
            return f"at most {high}"
        return f"at least {low}" if np.isinf(self.high) else f"{low} to {high}"


class Judgement(NamedTuple):
    """A drawn value beside what it is held against.

    Attributes:
        row: Of the drawn follow-ups, in `consistency.tsv`.
        reference: The value that it is held against.
        allowed: Where it may lie.
    """

    row: pd.Series
    reference: float
    allowed: Allowed

    @property
    def holds(self) -> bool:
        """Whether the drawn value lies there."""
        return self.allowed.holds(self.row["value"])


def widen(low: float, high: float, tolerance: Tolerance) -> Allowed:
    """An interval widened by a tolerance.

    A factor keeps the sign: .85 and 1.15 make -2 to -1 into -2.3 to -.85.
    """
    if not tolerance.factor:
        return Allowed(low - tolerance.less, high + tolerance.more)
    ends = [end * factor for end in (low, high) for factor in tolerance[:2]]
    return Allowed(min(ends), max(ends))


def judge(table: pd.DataFrame) -> Iterator[Judgement]:
    """Every drawn value that has something to be held against.

    Args:
        table: `consistency.tsv`. A reference without interval, from one patient, judges nobody.
    """
    keys = [*GROUP, "measure", "subset"]
    references = table[table["model"] != DRAWN].set_index([*keys, "model"])
    for _, row in table[(table["model"] == DRAWN) & table["value"].notna()].iterrows():
        measure = MEASURES[row["measure"]]
        if measure.tolerance is None or row["subset"] not in measure.judged:
            continue
        if isinstance(measure.against, float):
            ends = (measure.against,) * 3
        else:
            key = (*row[keys], measure.against)
            if key not in references.index:
                continue
            ends = references.loc[[key], ["value", "low", "high"]].iloc[0]
        value, low, high = ends
        if pd.notna(low):
            yield Judgement(row, float(value), widen(low, high, measure.tolerance))


def warn_of_departures(table: pd.DataFrame) -> None:
    """Names in the log every measure in which drawn follow-ups are unlike true scans.

    Args:
        table: `consistency.tsv`; centres are not told apart.
    """
    for found in judge(table[table["center"] == "all"]):
        if found.holds:
            continue
        row, measure = found.row, MEASURES[found.row["measure"]]
        digits = measure.digits
        log.warning(
            "drawn follow-ups (%s, %s): %s, %s: %.*f; %s: %.*f; allowed %s",
            row["split"],
            row["indicator"],
            measure.words,
            SUBSETS[row["subset"]],
            digits,
            row["value"],
            REFERENCE_WORDS.get(measure.against, "by definition"),
            digits,
            found.reference,
            found.allowed.words(digits),
        )
