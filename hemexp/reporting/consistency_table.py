"""The table of how far drawn follow-ups are like true scans."""

from typing import Any

import pandas as pd

from hemexp.evaluation.cohort.consistency_judgement import DRAWN, Judgement, judge
from hemexp.evaluation.cohort.consistency_measures import MEASURES, SUBSETS
from hemexp.evaluation.cohort.groups import GROUP
from hemexp.reporting.cells import REMARK, UNKNOWN, number, with_interval
from hemexp.reporting.model_names import model_name

KEYS = [*GROUP, "measure", "subset"]
BESIDE = ("truth", "shell_alone", "copy_baseline")
HEADERS = {name: f"{model_name(name)} [95 % CI]" for name in (DRAWN, *BESIDE)}
HEADERS["truth"] = "True scans [95 % CI]"


def describe_consistency(table: pd.DataFrame) -> pd.DataFrame:
    """`evaluation/consistency.tsv` for people: a row a measure, the models side by side."""
    allowed = {found.row.name: found for found in judge(table)}
    drawn = table[table["model"] == DRAWN]
    return pd.DataFrame(
        _describe(row, _beside(row, table), allowed.get(row.name)) for _, row in drawn.iterrows()
    )


def _beside(row: pd.Series, table: pd.DataFrame) -> dict[str, pd.Series]:
    """Rows of the other models on the same measure; one that was driven, driven alike."""
    same = (table[KEYS] == row[KEYS]).all(axis=1)
    same &= table["indicator"].isin(["none", row["indicator"]])
    return {other["model"]: other for _, other in table[same].iterrows()}


def _describe(
    row: pd.Series, beside: dict[str, pd.Series], found: Judgement | None
) -> dict[str, Any]:
    measure = MEASURES[row["measure"]]
    ends = ["value", "low", "high"]
    shown = {
        header: with_interval(*beside[name][ends], measure.digits) if name in beside else UNKNOWN
        for name, header in HEADERS.items()
    }
    if isinstance(measure.against, float):
        shown[HEADERS["truth"]] = f"{number(measure.against, measure.digits)} by definition"
    truth = beside.get("truth")
    return {
        "Split": row["split"],
        "Centre": row["center"],
        "Indicator": row["indicator"],
        "Measure": measure.words,
        "Follow-ups": SUBSETS[row["subset"]],
        **shown,
        "Allowed": found.allowed.words(measure.digits) if found else UNKNOWN,
        "Within": ("yes" if found.holds else "no") if found else UNKNOWN,
        "Patients, true": UNKNOWN if truth is None else truth["n"],
        "Patients, drawn": row["n"],
        REMARK: row["note"],
    }
