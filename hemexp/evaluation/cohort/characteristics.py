"""What patients are told apart by, as words: the levels of every variable of the subgroups."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from hemexp.anatomy.location import LOCATIONS
from hemexp.columns import CLINICAL

UNKNOWN = "unknown"


def clinical_values(sheet: pd.DataFrame) -> pd.DataFrame:
    """Split, center, clinical variables and `sex`, NaN where unknown, of all kept patients.

    Args:
        sheet: Their rows, indexed by patient; it may lack the column `sex`.
    """
    numbers = sheet[[*CLINICAL]].apply(pd.to_numeric)
    sex = sheet["sex"].replace("", np.nan) if "sex" in sheet else np.nan
    return sheet[["split", "center"]].join(numbers).assign(sex=sex)


class Variable(NamedTuple):
    """A variable of the subgroups.

    Attributes:
        levels: All there may be beside `UNKNOWN`, in order; none: those that are found.
        of: The level of every patient, None where it is unknown.
    """

    levels: tuple[str, ...]
    of: Callable[[pd.DataFrame], pd.Series]


def _yes_no(column: str) -> Variable:
    words = {0.0: "no", 1.0: "yes"}
    return Variable(("no", "yes"), lambda table: table[column].astype(float).map(words))


def _cut(column: str, levels: tuple[str, ...], *limits: tuple[float, bool]) -> Variable:
    """Levels of a number; each limit says whether it belongs to the level below it."""

    def of(table: pd.DataFrame) -> pd.Series:
        value = table[column].astype(float)
        above = sum((value > end) if below else (value >= end) for end, below in limits)
        return above.map(dict(enumerate(levels))).where(value.notna())

    return Variable(levels, of)


def _as_it_is(column: str, levels: tuple[str, ...] = ()) -> Variable:
    return Variable(levels, lambda table: table[column].replace("", np.nan))


def _both_known(table: pd.DataFrame) -> pd.Series:
    known = table[["onset_to_ct_h", "anticoagulant"]].notna().all(axis=1)
    return known.map({True: "both known", False: "one or both unknown"})


VARIABLES = {
    "all": Variable(("all",), lambda table: pd.Series("all", table.index)),
    "age": _cut("age", ("< 60 years", "60-75 years", "> 75 years"), (60, False), (75, True)),
    "sex": _as_it_is("sex", ("female", "male")),
    "location": _as_it_is("location", LOCATIONS),
    "baseline_ivh": Variable(
        ("no", "yes"), lambda table: (table["baseline_ivh_ml"] > 0).map({False: "no", True: "yes"})
    ),
    "anticoagulant": _yes_no("anticoagulant"),
    "onset": _cut("onset_to_ct_h", ("< 3 h", ">= 3 h"), (3, False)),
    "baseline_iph": _cut(
        "baseline_iph_ml", ("< 10 mL", "10-30 mL", "> 30 mL"), (10, False), (30, True)
    ),
    "center": _as_it_is("center"),
    "onset_and_anticoagulant": Variable(("both known", "one or both unknown"), _both_known),
}
"""By name. 3 h: latest scan of the FAST trial (Mayer 2008, N Engl J Med 358:2127). 30 mL: ICH
score (Hemphill 2001, Stroke 32:891). 10 mL: BRAIN score (Wang 2015, Stroke 46:376). 60 and 75
years have no source: they cut a cohort of usual age in three."""


def levels_of(table: pd.DataFrame, name: str) -> list[tuple[str, pd.Index]]:
    """The levels of a variable, each with its patients; a level may have none.

    Args:
        table: A row a patient: clinical values, `location`, center and baseline volumes.
        name: Of `VARIABLES`.
    """
    variable = VARIABLES[name]
    level = variable.of(table).astype(object).fillna(UNKNOWN)
    words = variable.levels or tuple(sorted(set(level) - {UNKNOWN}))
    words += (UNKNOWN,) if (level == UNKNOWN).any() else ()
    return [(word, table.index[level == word]) for word in words]
