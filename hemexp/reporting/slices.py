"""One axial slice as a radiologist expects it: patient's right on the left, front at the top."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from hemexp.grid_scan import GridScan
from hemexp.reporting.style import MM, WIDE, strip_axes

SHOWN_HU = (0, 80)
"""The brain window that readers are used to; the model itself sees 0-100 HU."""

MARGIN_VOXELS = 2


@dataclass(frozen=True)
class View:
    """Which part of the grid is shown.

    Attributes:
        x: Range of columns.
        y: Range of rows.
        z: The slice.
        aspect: Height of a voxel over its width.
    """

    x: slice
    y: slice
    z: int
    aspect: float

    @property
    def height_over_width(self) -> float:
        """Shape of the picture, in millimetres of the head."""
        return (self.y.stop - self.y.start) / (self.x.stop - self.x.start) * self.aspect

    def cut(self, data: NDArray) -> NDArray:
        """The slice of an array (x, y, z) as rows (from back to front) of columns (from left)."""
        # x grows towards the patient's right (RAS); radiologists look from the feet.
        return data[self.x, self.y, self.z][::-1].T


def choose_view(scan: GridScan, weight: NDArray) -> View:
    """The slice with the greatest sum of `weight`, cropped to the brain.

    Args:
        scan: Whose brain is shown.
        weight: Such as a blood mask or a probability of blood, (x, y, z).
    """
    spacing_mm = scan.ct.spacing_mm
    ranges = []
    for axis in (0, 1):
        inside = scan.brain.any(axis=tuple({0, 1, 2} - {axis}))
        found = np.flatnonzero(inside) if inside.any() else np.arange(inside.size)
        last = min(int(found[-1]) + MARGIN_VOXELS, inside.size - 1)
        ranges.append(slice(max(int(found[0]) - MARGIN_VOXELS, 0), last + 1))
    z = int(weight.sum(axis=(0, 1)).argmax())
    return View(ranges[0], ranges[1], z, float(spacing_mm[1] / spacing_mm[0]))


def picture_grid(
    views: Sequence[View], titles: Sequence[str], picture_mm: float
) -> tuple[Figure, NDArray]:
    """A page-wide figure of pictures: a row for each view, a titled column for each kind.

    Args:
        views: What every row shows.
        titles: Of the columns.
        picture_mm: Width of one picture.

    Returns:
        The figure and its axes (rows, columns).
    """
    height_mm = sum(picture_mm * view.height_over_width + 1 for view in views)
    figure = Figure(figsize=(WIDE, (height_mm + 5) * MM), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0, hspace=0)
    grid = figure.subplots(len(views), len(titles), squeeze=False)
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title)
    return figure, grid


def show_ct(axes: Axes, ct_hu: NDArray, view: View) -> None:
    """Draws the slice of a CT."""
    low, high = SHOWN_HU
    axes.imshow(
        view.cut(ct_hu),
        cmap="gray",
        vmin=low,
        vmax=high,
        origin="lower",
        aspect=view.aspect,
        interpolation="nearest",
    )
    strip_axes(axes)


def show_map(axes: Axes, probability: NDArray, view: View) -> AxesImage:
    """Lays a probability map over a CT; below .05 it is transparent."""
    plane = view.cut(probability)
    return axes.imshow(
        np.ma.masked_less(plane, 0.05),
        cmap="plasma",
        vmin=0,
        vmax=1,
        origin="lower",
        aspect=view.aspect,
        interpolation="nearest",
        alpha=0.85,
    )


def outline(
    axes: Axes, mask: NDArray, view: View, colour: str, width: float = 0.8, style: str = "solid"
) -> None:
    """Draws the contour of a mask, where the slice holds any of it; `dashed` if it was found."""
    plane = view.cut(mask) > 0.5
    if plane.any() and not plane.all():
        axes.contour(plane, levels=[0.5], colors=[colour], linewidths=width, linestyles=style)


def mark_sides(axes: Axes) -> None:
    """Writes R and L where the patient's right and left are."""
    for x, side, align in ((0.01, "R", "left"), (0.99, "L", "right")):
        axes.text(
            x, 0.98, side, transform=axes.transAxes, color="white", ha=align, va="top", fontsize=7
        )


def write_foot(axes: Axes, text: str) -> None:
    """Writes a line at the foot of a picture."""
    axes.text(
        0.5,
        0.01,
        text,
        transform=axes.transAxes,
        color="white",
        ha="center",
        va="bottom",
        fontsize=7,
    )


def say_instead(axes: Axes, text: str) -> None:
    """Says why there is no picture."""
    strip_axes(axes)
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color="0.4")
