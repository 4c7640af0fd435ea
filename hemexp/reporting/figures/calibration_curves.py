"""The figure of calibration curves of p(expansion): of every model, and centre by centre."""

from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hemexp.reporting.expansion_models import LOOKS, of_first_split, shown
from hemexp.reporting.model_names import model_name
from hemexp.reporting.reader import Reader
from hemexp.reporting.style import (
    BLUE,
    GREEN,
    GREY,
    MM,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    WIDE,
    message_figure,
)
from hemexp.settings import Reporting

COLOURS = (BLUE, ORANGE, GREEN, PURPLE, RED, SKY)
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
MARKERS = "osD^vPX"
"""Of centres, in turn: the three counts share no factor, so that many centres look different."""


class Shown(NamedTuple):
    """Rows of one curve with its groups, and how they are drawn."""

    name: str
    rows: pd.DataFrame
    colour: str
    line: object
    marker: str
    band: bool = False

    @property
    def curve(self) -> pd.DataFrame:
        """Points of the smoothed curve; none of too few patients."""
        return self.rows[(self.rows["kind"] == "curve") & self.rows["observed"].notna()]

    @property
    def groups(self) -> pd.DataFrame:
        """Patients in groups."""
        return self.rows[self.rows["kind"] == "group"]


def draw(reader: Reader, settings: Reporting) -> Figure:
    """Calibration curves of the run."""
    return draw_calibration_curves(reader.table(reader.layout.evaluation("calibration_curves")))


def draw_calibration_curves(table: pd.DataFrame) -> Figure:
    """Observed share of expansion against its probability, smoothed and in groups.

    Args:
        table: `evaluation/calibration_curves.tsv`.
    """
    if table.empty:
        return message_figure("No probability of expansion with a known outcome.")
    table = of_first_split(table)
    together = table[table["center"] == "all"]
    ours = table[table["model"] == "hemexp"]
    figure = Figure(figsize=(WIDE, 95 * MM), layout="constrained")
    left, right = figure.subplots(1, 2)
    models = [
        Shown(model_name(name), rows, *LOOKS[name], band=name == "hemexp")
        for name, rows in shown(together)
    ]
    _draw_panel(left, models)
    left.set_title(f"All centres, split {table['split'].iloc[0]}")
    _draw_panel(right, _by_center(ours))
    right.set_title("HemExp, centre by centre")
    return figure


def _by_center(ours: pd.DataFrame) -> list[Shown]:
    apart = ours[ours["center"] != "all"]
    if apart.empty:  # With one centre the rows of all are that centre's.
        apart = ours.assign(center="")
    return [
        Shown(
            f"Centre {center}" if center else "The only centre",
            rows,
            COLOURS[n % len(COLOURS)],
            LINES[n % len(LINES)],
            MARKERS[n % len(MARKERS)],
        )
        for n, (center, rows) in enumerate(apart.groupby("center"))
    ]


def _draw_panel(axes: Axes, series: list[Shown]) -> None:
    for one in series:
        _draw_one(axes, one)
    if not any(len(one.curve) for one in series):
        why = "too few patients for a curve" if series else "no forecast by HemExp"
        axes.text(0.98, 0.03, why, ha="right", transform=axes.transAxes)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.7, linestyle=(0, (1, 1)))
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
    axes.set(xlabel="Predicted p(expansion) (0–1)", ylabel="Patients with expansion (0–1)")
    if series:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)


def _draw_one(axes: Axes, one: Shown) -> None:
    """Curve, its band where asked for, and groups; too few patients have groups alone."""
    curve, groups = one.curve, one.groups
    if one.band:
        ends = curve["low"], curve["high"]
        axes.fill_between(curve["predicted"], *ends, color=SKY, alpha=0.25, linewidth=0)
    axes.plot(curve["predicted"], curve["observed"], color=one.colour, linestyle=one.line)
    places, seen = groups["predicted"], groups["observed"]
    axes.vlines(places, groups["low"], groups["high"], color=one.colour, linewidth=0.6)
    style = {"marker": one.marker, "color": one.colour, "markersize": 3.5}
    axes.plot(places, seen, linestyle="none", **style)
    label = f"{one.name} (n = {groups['n'].sum()})"
    axes.plot([], [], linestyle=one.line, label=label, **style)
