"""The figure of calibration curves of p(expansion): of every model, and centre by centre."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hemexp.reporting.figures.expansion_models import LOOKS, of_first_split, shown
from hemexp.reporting.model_names import model_name
from hemexp.reporting.reader import Reader
from hemexp.reporting.style import BLUE, GREEN, GREY, MM, ORANGE, PURPLE, RED, SKY, WIDE
from hemexp.reporting.style import message_figure as message
from hemexp.settings import Reporting

CENTER_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, RED, SKY)
CENTER_LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
CENTER_MARKERS = "osD^vPX"
"""Taken in turn: their numbers share no factor, so that many centres look different."""


def draw(reader: Reader, settings: Reporting) -> Figure:
    """Calibration curves of the run."""
    return draw_calibration_curves(reader.table(reader.layout.evaluation("calibration_curves")))


def draw_calibration_curves(table: pd.DataFrame) -> Figure:
    """Observed share of expansion against its probability, smoothed and in groups.

    Args:
        table: `evaluation/calibration_curves.tsv`.
    """
    if table.empty:
        return message("No probability of expansion with a known outcome.")
    table = of_first_split(table)
    figure = Figure(figsize=(WIDE, 92 * MM), layout="constrained")
    models, centers = figure.subplots(1, 2)
    for name, rows in shown(table[table["center"] == "all"]):
        _draw_one(models, rows, model_name(name), *LOOKS[name], band=name == "hemexp")
    models.set_title(f"All centres, split {table['split'].iloc[0]}")
    ours = table[table["model"] == "hemexp"]
    apart = ours[ours["center"] != "all"]
    # With one centre the rows of all are that centre's.
    for n, (center, rows) in enumerate((ours if apart.empty else apart).groupby("center")):
        looks = (CENTER_COLOURS[n % 6], CENTER_LINES[n % 5], CENTER_MARKERS[n % 7])
        name = "The only centre" if apart.empty else f"Centre {center}"
        _draw_one(centers, rows, name, *looks, band=False)
    centers.set_title("HemExp, centre by centre")
    for axes in (models, centers):
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.7, linestyle=(0, (1, 1)))
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
        axes.set(xlabel="Predicted p(expansion) (0–1)", ylabel="Observed share (0–1)")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    return figure


def _draw_one(
    axes: Axes, rows: pd.DataFrame, name: str, colour: str, line: object, marker: str, band: bool
) -> None:
    """Curve, its band where asked for, and groups; too few patients have groups alone."""
    curve = rows[(rows["kind"] == "curve") & rows["observed"].notna()]
    groups = rows[rows["kind"] == "group"]
    label = f"{name} (n = {groups['n'].sum()})"
    if band and len(curve):
        axes.fill_between(
            curve["predicted"], curve["low"], curve["high"], color=SKY, alpha=0.25, linewidth=0
        )
    axes.plot(curve["predicted"], curve["observed"], color=colour, linestyle=line)
    axes.vlines(groups["predicted"], groups["low"], groups["high"], color=colour, linewidth=0.6)
    axes.plot(
        groups["predicted"],
        groups["observed"],
        marker,
        color=colour,
        markersize=3.5,
        linestyle="none",
    )
    axes.plot([], [], marker, color=colour, linestyle=line, markersize=3.5, label=label)
