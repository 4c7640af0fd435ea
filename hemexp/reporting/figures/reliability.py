"""The figure of reliable expansion maps."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hemexp.reporting.model_names import in_model_order, model_name
from hemexp.reporting.reader import Reader
from hemexp.reporting.style import BLUE, GREEN, GREY, MM, PURPLE, WIDE
from hemexp.settings import Reporting

LOOKS = {
    "hemexp": (BLUE, "o"),
    "hemexp_pooled": (PURPLE, "D"),
    "true_distribution": (GREEN, "^"),
    "climatology_distance": (GREY, "v"),
}
"""Models that are drawn, with colour and marker."""

LEAST_VOXELS = 30
"""Bins of a map with fewer voxels say nothing and are not drawn."""


def draw(reader: Reader, settings: Reporting) -> Figure:
    """Reliability of the run's expansion maps."""
    return draw_reliability(reader.table(reader.layout.evaluation("reliability")))


def draw_reliability(maps: pd.DataFrame) -> Figure:
    """Reliability of the expansion maps in the band round the bleed.

    Args:
        maps: `evaluation/reliability.tsv`.
    """
    figure = Figure(figsize=(WIDE, 92 * MM), layout="constrained")
    panels = figure.subplots(1, 2)
    titles = {"outcome": "Maps against what happened", "true_map": "Maps against the true map"}
    found = {}
    for axes, (reference, title) in zip(panels, titles.items(), strict=True):
        same = (maps["region"] == "band") & (maps["reference"] == reference)
        _diagonal(axes)
        _draw_maps(axes, maps[same])
        axes.set_title(title)
        found |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=4)
    return figure


def _diagonal(axes: Axes) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.7, linestyle="--", label="Perfect")
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")


def _draw_maps(axes: Axes, maps: pd.DataFrame) -> None:
    shown = maps[maps["model"].isin(LOOKS) & (maps["n_voxels"] >= LEAST_VOXELS)]
    for name, part in in_model_order(shown).groupby("model", sort=False):
        colour, marker = LOOKS[name]
        axes.plot(
            part["forecast"],
            part["observed"],
            marker=marker,
            color=colour,
            markersize=4,
            linewidth=0.8,
            label=model_name(name),
        )
    if shown.empty:
        axes.text(0.5, 0.5, "no such map", ha="center", transform=axes.transAxes)
    axes.set_xlabel("Map's probability of new blood (0–1)")
    axes.set_ylabel("Voxels with new blood (0–1)")
