"""The figure of drawn follow-ups beside true scans: a small panel a measure."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hemexp.evaluation.cohort.consistency_judgement import DRAWN, Allowed, judge
from hemexp.evaluation.cohort.consistency_measures import MEASURES, SUBSETS, Measure
from hemexp.reporting.model_names import model_name
from hemexp.reporting.reader import Reader
from hemexp.reporting.style import BLUE, GREY, MM, ORANGE, WIDE, message_figure
from hemexp.settings import Reporting

COLUMNS = 4
PANEL_MM = 37
TITLE_LETTERS = 25
ALLOWED = "Allowed range"

MARKS = {
    "truth": ("True scans", "black", "D"),
    DRAWN: (f"{model_name(DRAWN)}, drawn", BLUE, "o"),
    "shell_alone": (model_name("shell_alone"), ORANGE, "^"),
    "copy_baseline": (model_name("copy_baseline"), GREY, "s"),
}
"""Name for people, colour and marker of every model, from left to right."""


def draw(reader: Reader, settings: Reporting) -> Figure:
    """Consistency of the follow-ups of the run."""
    return draw_consistency(reader.table(reader.layout.evaluation("consistency")))


def draw_consistency(table: pd.DataFrame) -> Figure:
    """Every measure of drawn follow-ups, of true scans and of simpler follow-ups.

    Args:
        table: `evaluation/consistency.tsv`. The first split and indicator are shown, centres
            together; of each measure the first subset in which it is judged.
    """
    table = table[table["center"] == "all"]
    drawn = table[table["model"] == DRAWN]
    if drawn["value"].notna().sum() == 0:
        return message_figure("No drawn follow-up with a known outcome.")
    split, indicator = drawn.iloc[0][["split", "indicator"]]
    same = (table["split"] == split) & table["indicator"].isin(["none", indicator])
    rows = table[same]
    allowed = {(one.row["measure"], one.row["subset"]): one.allowed for one in judge(rows)}
    lines = -(-len(MEASURES) // COLUMNS)
    figure = Figure(figsize=(WIDE, (PANEL_MM * lines + 8) * MM), layout="constrained")
    grid = figure.subplots(lines, COLUMNS).ravel()
    for axes, measure in zip(grid, MEASURES.values(), strict=False):
        subset = measure.judged[0]
        part = rows[(rows["measure"] == measure.name) & (rows["subset"] == subset)]
        _draw_measure(axes, measure, subset, part, allowed.get((measure.name, subset)))
    for axes in grid[len(MEASURES) :]:
        axes.set_axis_off()
    found = {}
    for axes in grid:
        found |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    names = [name for name in (*(name for name, *_ in MARKS.values()), ALLOWED) if name in found]
    handles = [found[name] for name in names]
    figure.legend(handles, names, loc="outside lower center", ncols=len(names))
    return figure


def _draw_measure(
    axes: Axes, measure: Measure, subset: str, rows: pd.DataFrame, allowed: Allowed | None
) -> None:
    title = [*textwrap.wrap(measure.what, TITLE_LETTERS), SUBSETS[subset]]
    axes.set_title("\n".join(title))
    axes.set_ylabel(measure.unit)
    axes.set_xlim(-0.6, len(MARKS) - 0.4)
    axes.set_xticks([])
    axes.yaxis.set_major_locator(MaxNLocator(4))
    by_model = rows.set_index("model")
    for place, (model, (name, colour, marker)) in enumerate(MARKS.items()):
        if model not in by_model.index or pd.isna(by_model.loc[model, "value"]):
            continue
        value, low, high = by_model.loc[model, ["value", "low", "high"]]
        if pd.notna(low):
            axes.vlines(place, low, high, color=colour, linewidth=1)
        axes.plot(place, value, marker, color=colour, markersize=4, label=name)
    if isinstance(measure.against, float):
        axes.axhline(measure.against, color=GREY, linewidth=0.7, linestyle="--")
    if allowed is not None:
        low, high = _limits(axes.get_ylim(), allowed)
        ends = max(allowed.low, low), min(allowed.high, high)
        axes.axhspan(*ends, color=GREY, alpha=0.15, linewidth=0, zorder=0, label=ALLOWED)
        axes.set_ylim(low, high)


def _limits(limits: tuple[float, float], allowed: Allowed) -> tuple[float, float]:
    """Limits of an axis, widened so that the finite ends of the allowed range are seen."""
    ends = [end for end in allowed if np.isfinite(end)]
    low, high = min([limits[0], *ends]), max([limits[1], *ends])
    margin = 0.05 * (high - low)
    return low - margin, high + margin
