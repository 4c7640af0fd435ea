"""The figure that lets a reader check the registration by eye."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hemexp.reporting.panels import Scan, blood, grid_files, read_grid
from hemexp.reporting.slices import View, choose_view, mark_sides, outline, show_ct
from hemexp.reporting.style import GREEN, MM, ORANGE, SKY, WIDE, message_figure
from hemexp.volumes import Volume, read_ras


@dataclass(frozen=True)
class RegistrationRow:
    """What one row of the registration figure shows."""

    title: str
    brain: Volume
    baseline: Scan
    followup: Scan


def choose_worst_registered(qc: pd.DataFrame, count: int) -> pd.DataFrame:
    """The pairs that match worst: the largest metric (negated mutual information) first.

    Args:
        qc: `qc.tsv`; rows without a registration have no metric.
        count: Number of pairs.
    """
    pairs = qc[qc["registration_metric"].notna()]
    return pairs.sort_values("registration_metric", ascending=False).head(count)


def read_registration_row(pair: pd.Series, preprocess: Path) -> tuple[RegistrationRow, list[Path]]:
    """Reads one row of the registration figure, and says from which files."""
    name = pair["patient_id"]
    files = [grid_files(preprocess, name, session) for session in ("baseline", "followup")]
    title = f"{name}\n{pair['rotation_deg']:.1f}°, {pair['translation_mm']:.1f} mm"
    scans = [read_grid(paths, float("nan")) for paths in files]
    return RegistrationRow(title, read_ras(files[0][3]), *scans), [*files[0], *files[1]]


def checkerboard(shape: tuple[int, int], tiles: int) -> NDArray[np.bool_]:
    """A board of about `tiles` x `tiles` fields over a plane."""
    rows, columns = np.indices(shape)
    return ((rows * tiles // shape[0] + columns * tiles // shape[1]) % 2).astype(bool)


def draw_registration(rows: list[RegistrationRow]) -> Figure:
    """Rows of pairs: baseline, follow-up moved onto it, both as a checkerboard."""
    if not rows:
        return message_figure("No pair was registered.")
    titles = ("Baseline", "Follow-up on the baseline's grid", "Checkerboard of both")
    figure = Figure(figsize=(WIDE * 0.75, (46 * len(rows) + 12) * MM), layout="constrained")
    grid = figure.subplots(len(rows), 3, squeeze=False)
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title)
    for axes, row in zip(grid, rows, strict=True):
        view = choose_view(row.brain, row.baseline.iph + row.baseline.ivh)
        both = _mixed(row, view)
        for axis, ct_hu in zip(axes, (row.baseline.ct_hu, row.followup.ct_hu, both), strict=True):
            show_ct(axis, ct_hu, view)
        for axis in axes[:2]:
            outline(axis, row.brain.data, view, GREEN)
        for axis in axes[[0, 2]]:
            outline(axis, blood(row.baseline), view, ORANGE)
        for axis in axes[1:]:
            outline(axis, blood(row.followup), view, SKY)
        mark_sides(axes[0])
        axes[0].set_ylabel(row.title)
    return figure


def _mixed(row: RegistrationRow, view: View) -> NDArray:
    """The baseline's CT with every other field of the shown slice taken from the follow-up."""
    both = row.baseline.ct_hu.copy()
    window = (view.x, view.y, view.z)
    part = both[window]
    both[window] = np.where(checkerboard(part.shape, 8), row.followup.ct_hu[window], part)
    return both
