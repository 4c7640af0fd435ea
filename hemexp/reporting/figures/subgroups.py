"""The figure of subgroups: our scores in each, with intervals, beside those of all patients."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hemexp.reporting.expansion_models import of_first_split
from hemexp.reporting.reader import Reader
from hemexp.reporting.review_tables import SUBGROUP_NAMES, level_name
from hemexp.reporting.style import BLUE, GREY, MM, WIDE, message_figure
from hemexp.settings import Reporting

PANELS = (
    ("crps", "_ml", "CRPS of IPH volume (mL)", None),
    ("auc", "", "AUC of expansion (0–1)", (0.0, 1.05)),
    ("coverage90", "", "Coverage of 90 % (0–1)", (0.0, 1.05)),
)
"""Name and unit of the columns, words, limits of the axis."""

GOAL = {"coverage90": 0.9}
ROW_MM = 4.2


def draw(reader: Reader, settings: Reporting) -> Figure:
    """Subgroups of the run."""
    return draw_subgroups(reader.table(reader.layout.evaluation("subgroups")))


def draw_subgroups(table: pd.DataFrame) -> Figure:
    """Scores of every level of every variable; what is undefined is left out and has its row.

    Args:
        table: `evaluation/subgroups.tsv`.
    """
    if table.empty:
        return message_figure("No forecast by HemExp with a known outcome.")
    rows = of_first_split(table)
    rows = rows[rows["indicator"] == rows["indicator"].iloc[0]].reset_index(drop=True)
    figure = Figure(figsize=(WIDE, (len(rows) * ROW_MM + 18) * MM), layout="constrained")
    panels = figure.subplots(1, len(PANELS), sharey=True)
    places = np.arange(len(rows))
    first = ~rows["variable"].duplicated()
    for axes, (name, unit, label, limits) in zip(panels, PANELS, strict=True):
        value, low, high = (rows[f"{name}{end}{unit}"] for end in ("", "_low", "_high"))
        goal = GOAL.get(name, value.iloc[0])
        if np.isfinite(goal):
            axes.axvline(goal, color=GREY, linewidth=0.7, linestyle="--")
        axes.hlines(places, low, high, color=BLUE, linewidth=1)
        axes.plot(value, places, "s", color=BLUE, markersize=3.5)
        for place in places[first][1:]:
            axes.axhline(place - 0.5, color=GREY, linewidth=0.3)
        axes.set_xlabel(label)
        axes.set_xlim(*(limits or (0, None)))
    words = [_words(row, start) for row, start in zip(rows.to_dict("records"), first, strict=True)]
    panels[0].set_yticks(places, words)
    panels[0].set_ylim(len(rows) - 0.5, -0.5)
    panels[0].set_ylabel("Patients of the subgroup (n, with expansion)")
    figure.suptitle(f"HemExp, split {rows['split'].iloc[0]}")
    return figure


def _words(row: dict, starts: bool) -> str:
    """The level with its counts; the variable's name where its levels begin."""
    counts = f"{level_name(row['level'])} ({row['n']}, {row['n_events']})"
    if row["variable"] == "all":
        return f"All patients ({row['n']}, {row['n_events']})"
    return f"{SUBGROUP_NAMES[row['variable']]}: {counts}" if starts else counts
