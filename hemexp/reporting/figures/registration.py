"""The figure that lets a reader check the registration by eye."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hemexp.grid_scan import GridScan
from hemexp.reporting.reader import Reader
from hemexp.reporting.slices import View, choose_view, mark_sides, outline, show_ct
from hemexp.reporting.style import GREEN, MM, ORANGE, SKY, WIDE, message_figure
from hemexp.settings import Reporting

TITLES = ("Baseline", "Follow-up on the baseline's grid", "Checkerboard of both")


@dataclass(frozen=True)
class RegisteredPair:
    """What one row of the figure shows."""

    title: str
    baseline: GridScan
    followup: GridScan


def draw(reader: Reader, settings: Reporting) -> Figure:
    """Rows of the pairs that match worst."""
    worst = choose_worst_registered(reader.table(reader.layout.qc), settings.panel_patients)
    return draw_registration([read_pair(reader, row) for _, row in worst.iterrows()])


def choose_worst_registered(qc: pd.DataFrame, count: int) -> pd.DataFrame:
    """The pairs that match worst: the largest metric (negated mutual information) first.

    Args:
        qc: `qc.tsv`; rows without a registration have no metric.
        count: Number of pairs.
    """
    pairs = qc[qc["registration_metric"].notna()]
    return pairs.sort_values("registration_metric", ascending=False).head(count)


def read_pair(reader: Reader, row: pd.Series) -> RegisteredPair:
    """Reads the scans of a row of `qc.tsv`."""
    name = row["patient_id"]
    title = f"{name}\n{row['rotation_deg']:.1f}°, {row['translation_mm']:.1f} mm"
    return RegisteredPair(title, reader.scan(name, "baseline"), reader.scan(name, "followup"))


def checkerboard(shape: tuple[int, int], tiles: int) -> NDArray[np.bool_]:
    """A board of about `tiles` x `tiles` fields over a plane."""
    rows, columns = np.indices(shape)
    return ((rows * tiles // shape[0] + columns * tiles // shape[1]) % 2).astype(bool)


def draw_registration(pairs: list[RegisteredPair]) -> Figure:
    """Rows of pairs: baseline, follow-up moved onto it, both as a checkerboard."""
    if not pairs:
        return message_figure("No pair was registered.")
    figure = Figure(figsize=(WIDE * 0.75, (46 * len(pairs) + 12) * MM), layout="constrained")
    grid = figure.subplots(len(pairs), 3, squeeze=False)
    for axes, title in zip(grid[0], TITLES, strict=True):
        axes.set_title(title)
    for axes, pair in zip(grid, pairs, strict=True):
        _draw_pair(axes, pair)
    return figure


def _draw_pair(axes: NDArray, pair: RegisteredPair) -> None:
    baseline, followup = pair.baseline, pair.followup
    view = choose_view(baseline, baseline.blood)
    images = (baseline.ct.data, followup.ct.data, _mixed(pair, view))
    for axis, ct_hu in zip(axes, images, strict=True):
        show_ct(axis, ct_hu, view)
    for axis in axes[:2]:
        outline(axis, baseline.brain, view, GREEN)
    for axis in axes[[0, 2]]:
        outline(axis, baseline.blood, view, ORANGE)
    for axis in axes[1:]:
        outline(axis, followup.blood, view, SKY)
    mark_sides(axes[0])
    axes[0].set_ylabel(pair.title)


def _mixed(pair: RegisteredPair, view: View) -> NDArray:
    """The baseline's CT with every other field of the shown slice taken from the follow-up."""
    both = pair.baseline.ct.data.copy()
    window = (view.x, view.y, view.z)
    part = both[window]
    both[window] = np.where(checkerboard(part.shape, 8), pair.followup.ct.data[window], part)
    return both
