"""The figure of what-ifs that redraw images: expansion maps as is, changed, and the difference."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from hemexp.columns import BASELINE
from hemexp.grid_scan import GridScan
from hemexp.reporting.reader import Reader
from hemexp.reporting.slices import (
    View,
    choose_view,
    mark_sides,
    outline,
    picture_grid,
    say_instead,
    show_ct,
    show_map,
    write_foot,
)
from hemexp.reporting.style import message_figure
from hemexp.settings import Reporting
from hemexp.what_if_cases import AS_IS

TITLES = ("Baseline", "As is", "Changed", "Difference", "True difference")
MAP_MM = 25.0
"""Width of one picture: five, a label and two colour bars fill the page."""

LEAST_SHOWN = 0.05
"""Differences of probability that are smaller are transparent, as in `show_map`."""

UNITS = {"anticoagulant": "", "onset": " h"}


@dataclass(frozen=True)
class CaseRow:
    """One row of the figure.

    Attributes:
        row: Of `what_if_images.tsv`.
        baseline: The baseline on the grid.
        as_is: (x, y, z) drawn map.
        changed: The same with one value changed.
        true_shift: The phantom's difference of the two; None for real patients.
    """

    row: pd.Series
    baseline: GridScan
    as_is: NDArray
    changed: NDArray
    true_shift: NDArray | None

    @property
    def view(self) -> View:
        """The slice with the most expected blood."""
        return choose_view(self.baseline, self.as_is + self.changed)

    @property
    def label(self) -> str:
        """Who, and what is changed."""
        patient_id, case, value, after = self.row[["patient_id", "case", "value", "changed_to"]]
        before = "unknown" if np.isnan(value) else f"{value:g}"
        return f"{patient_id}\n{case} {before} → {after:g}{UNITS[case]}"


def draw(reader: Reader, settings: Reporting) -> Figure:
    """Rows of the first patients that were asked about."""
    table = reader.table(reader.layout.evaluation("what_if_images"))
    shown = table["patient_id"].unique()[: settings.panel_patients]
    rows = table[table["patient_id"].isin(shown)]
    return draw_what_if_maps([read_case(reader, row) for _, row in rows.iterrows()])


def read_case(reader: Reader, row: pd.Series) -> CaseRow:
    """Reads one row of the figure.

    Args:
        reader: Of the results.
        row: Of `what_if_images.tsv`.
    """
    layout, (patient_id, case) = reader.layout, row[["patient_id", "case"]]
    true = [layout.true_what_if_map(patient_id, name) for name in (case, AS_IS)]
    true_shift = None
    if true[0].exists():
        true_shift = np.subtract(*(reader.image(path) for path in true))
    return CaseRow(
        row,
        reader.scan(patient_id, BASELINE),
        reader.image(layout.sample_map(patient_id, "expansion")),
        reader.image(layout.what_if_map(patient_id, case)),
        true_shift,
    )


def draw_what_if_maps(rows: list[CaseRow]) -> Figure:
    """Rows of cases: baseline, map as is, map changed, difference, true difference."""
    if not rows:
        return message_figure("No what-if was drawn again.")
    figure, grid = picture_grid([row.view for row in rows], TITLES, MAP_MM)
    for axes, row in zip(grid, rows, strict=True):
        chance, shift = _draw_row(axes, row)
    for image, label in ((chance, "Probability of new blood (0–1)"), (shift, "Difference")):
        figure.colorbar(image, ax=grid[:, -1], shrink=0.6, aspect=30, label=label)
    return figure


def _draw_row(axes: NDArray, case: CaseRow) -> tuple[AxesImage, AxesImage]:
    view, row = case.view, case.row
    shown = axes if case.true_shift is not None else axes[:4]
    for axis in shown:
        show_ct(axis, case.baseline.ct.data, view)
    show_map(axes[1], case.as_is, view)
    chance = show_map(axes[2], case.changed, view)
    shift = _show_shift(axes[3], case.changed - case.as_is, view)
    feet = [row["map_ml"], row["map_ml"] + row["map_ml_shift"], row["map_ml_shift"]]
    if case.true_shift is None:
        say_instead(axes[4], "not known")
    else:
        _show_shift(axes[4], case.true_shift, view)
        feet.append(row["map_ml_true_shift"])
    for axis in shown:
        outline(axis, case.baseline.blood, view, "white", width=0.6)
    for axis, sum_ml, form in zip(axes[1:], feet, ("", "", "+", "+"), strict=False):
        write_foot(axis, f"{sum_ml:{form}.1f} mL")
    mark_sides(axes[0])
    axes[0].set_ylabel(case.label)
    return chance, shift


def _show_shift(axes: Axes, shift: NDArray, view: View) -> AxesImage:
    """Lays a difference of probabilities over a CT: red where more blood is expected."""
    plane = view.cut(shift)
    return axes.imshow(
        np.ma.masked_where(np.abs(plane) < LEAST_SHOWN, plane),
        cmap="RdBu_r",
        vmin=-1,
        vmax=1,
        origin="lower",
        aspect=view.aspect,
        interpolation="nearest",
        alpha=0.85,
    )
