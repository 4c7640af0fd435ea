"""The figure of expansion maps: forecast, truth, and what came of it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from hemexp.layout import Layout
from hemexp.reporting.panels import PanelRow, blood, find_view
from hemexp.reporting.slices import (
    View,
    caption,
    mark_sides,
    outline,
    picture_grid,
    show_ct,
    show_map,
)
from hemexp.reporting.style import GREEN, message_figure, strip_axes
from hemexp.volumes import read_ras

TITLES = ("Baseline", "Forecast", "Pooled", "True probability", "New blood that came")
MAP_MM = 29.0
"""Width of one picture: five, a label and a colour bar fill the page."""


@dataclass(frozen=True)
class MapRow:
    """One row of the figure; `truth` is None for real patients."""

    panel: PanelRow
    pooled: NDArray
    truth: NDArray | None


def read_map_row(panel: PanelRow, evaluation: Path) -> tuple[MapRow, list[Path]]:
    """Adds the pooled map and, where there is one, the true map to a row of the panels.

    Args:
        panel: From `panels.read_panel_row`.
        evaluation: `results/evaluation`.

    Returns:
        The row and the files it came from.
    """
    layout = Layout(evaluation.parent)
    pooled, true = layout.pooled_map(panel.patient_id), layout.true_map(panel.patient_id)
    known = [true] if true.exists() else []
    truth = read_ras(true).data if known else None
    return MapRow(panel, read_ras(pooled).data, truth), [pooled, *known]


def new_blood(panel: PanelRow) -> NDArray[np.bool_] | None:
    """Blood of the true follow-up where the baseline had none; None without a follow-up."""
    return None if panel.followup is None else blood(panel.followup) & ~blood(panel.baseline)


def draw_expansion_maps(rows: list[MapRow]) -> Figure:
    """Rows of patients: baseline, forecast map, pooled map, true map, what happened."""
    if not rows:
        return message_figure("No patient was sampled.")
    views = [find_view(row.panel) for row in rows]
    figure, grid = picture_grid(views, TITLES, MAP_MM)
    for axes, row, view in zip(grid, rows, views, strict=True):
        image = _draw_row(axes, row, view)
    figure.colorbar(
        image, ax=grid[:, -1], shrink=0.5, aspect=25, label="Probability of new blood (0–1)"
    )
    return figure


def _draw_row(axes: NDArray, row: MapRow, view: View) -> AxesImage:
    panel, came = row.panel, new_blood(row.panel)
    happened = None if came is None else came.astype(float)
    maps = (None, panel.expansion, row.pooled, row.truth, happened)
    told = ("", "no forecast", "no forecast", "not known", "no follow-up")
    for axis, data, missing in zip(axes, maps, told, strict=True):
        if data is None and missing:
            _say(axis, missing)
            continue
        show_ct(axis, panel.baseline.ct_hu, view)
        if data is not None:
            image = show_map(axis, data, view)
            if came is not None:
                outline(axis, came, view, GREEN)
        outline(axis, blood(panel.baseline), view, "white", width=0.6)
    mark_sides(axes[0])
    axes[0].set_ylabel(panel.patient_id)
    caption(axes[0], f"IPH {panel.baseline.iph_ml:.1f} mL")
    if panel.followup is not None:
        caption(axes[-1], f"IPH {panel.followup.iph_ml:.1f} mL")
    return image


def _say(axes: Axes, text: str) -> None:
    strip_axes(axes)
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color="0.4")
