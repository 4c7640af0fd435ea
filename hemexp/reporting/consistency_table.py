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


SHOWN_OF_ABLATIONS = (
    "hu_growth_per_ml",
    "new_blood_hu",
    "pieces",
    "far_ml",
    "midline_mm_per_ml",
    "midline_right_sign",
    "ventricle_ml_per_ml",
    "ivh_growth_ml",
    "raw_slope",
)
"""Measures of which a part of the method may be the cause."""


def describe_ablations(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row an ablation: what its follow-ups of large requests show, all centres together.

    Args:
        tables: Name of the ablation to the `consistency.tsv` of its run.
    """
    rows = []
    for name, table in tables.items():
        large = table[(table["center"] == "all") & (table["subset"] == "large")]
        if not rows:
            rows += _rows_of_ablation("True scans", large[large["model"] == "truth"])
        rows += _rows_of_ablation(name.replace("_", " "), large[large["model"] == DRAWN])
    return pd.DataFrame(rows)


def _rows_of_ablation(name: str, table: pd.DataFrame) -> list[dict[str, str]]:
    rows = []
    for (split, indicator), part in table.groupby(["split", "indicator"], sort=False):
        values = part.set_index("measure")["value"]
        shown = {MEASURES[key].words: MEASURES[key].digits for key in SHOWN_OF_ABLATIONS}
        numbers = (values.get(key, float("nan")) for key in SHOWN_OF_ABLATIONS)
        cells = map(number, numbers, shown.values())
        head = {"Ablation": name, "Split": split, "Indicator": indicator}
        rows.append(head | dict(zip(shown, cells, strict=True)))
    return rows


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
