"""The look of all figures, and their deterministic files."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hemexp.provenance import write_atomically

MM = 1 / 25.4
WIDE, NARROW = 175 * MM, 85 * MM
"""A page and one column of a journal, in inches. No letter is smaller than 7 points."""

STYLE = {
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "figure.titlesize": 7,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.0,
    "legend.frameon": False,
    "svg.hashsalt": "hemexp",
    "svg.fonttype": "none",
}

ORANGE, SKY, GREEN, BLUE, RED, PURPLE = (
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
GREY = "#666666"
"""Okabe and Ito 2008: told apart by colour-blind readers, too."""

IPH, IVH = ORANGE, SKY


def save_figure(figure: Figure, files: Sequence[Path], dpi: int) -> None:
    """Writes a figure as PNG and as SVG; equal figures give equal bytes."""
    for path, metadata in zip(files, ({"Software": None}, {"Date": None}), strict=True):
        with write_atomically(path) as temporary:
            figure.savefig(temporary, dpi=dpi, metadata=metadata)
        # The layout found for the first file, half of the work, serves the second.
        figure.set_layout_engine("none")


def message_figure(text: str) -> Figure:
    """A figure that says why there is nothing to show."""
    figure = Figure(figsize=(NARROW, 20 * MM))
    figure.text(0.5, 0.5, text, ha="center", va="center", wrap=True)
    return figure


def strip_axes(axes: Axes) -> None:
    """Leaves a picture without ticks and frame; labels and titles stay."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
