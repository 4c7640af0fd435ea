"""The still picture of the page: what is printed, and what there is without a script."""

import io

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hemexp.grid_scan import GridScan
from hemexp.outcomes import HE_ML, HE_RELATIVE
from hemexp.reporting.slices import View, choose_view, mark_sides, outline, show_ct, show_map
from hemexp.reporting.style import BLUE, GREY, IPH, IVH, MM, RED, STYLE, WIDE

HEIGHT_MM, DPI = 62.0, 150


def draw_picture(
    scan: GridScan,
    expansion: NDArray | None,
    iph_ml: NDArray[np.float64] | None,
    baseline_iph_ml: float,
    contour: str = "solid",
) -> Figure:
    """Baseline with its masks and, where there are any, the map of new blood and the volumes.

    Args:
        scan: The patient's baseline on the grid.
        expansion: Share of the drawn follow-ups with new blood, (x, y, z).
        iph_ml: (K,) volumes of the drawn follow-ups.
        baseline_iph_ml: Volume at baseline.
        contour: Of the baseline's masks: `dashed` where they were found.
    """
    drawn = expansion is not None and iph_ml is not None
    width = WIDE if drawn else WIDE / 3
    figure = Figure(figsize=(width, HEIGHT_MM * MM), layout="constrained")
    axes = figure.subplots(1, 3 if drawn else 1, squeeze=False)[0]
    view = choose_view(scan, scan.blood + (expansion if drawn else 0.0))
    _draw_scan(axes[0], scan, view, contour)
    if drawn:
        show_ct(axes[1], scan.ct.data, view)
        outline(axes[1], scan.blood, view, "white", style=contour)
        axes[1].set_title("P(new blood)")
        mark_sides(axes[1])
        figure.colorbar(show_map(axes[1], expansion, view), ax=axes[1], shrink=0.7)
        _draw_volumes(axes[2], iph_ml, baseline_iph_ml)
    return figure


def _draw_scan(axes: Axes, scan: GridScan, view: View, contour: str) -> None:
    show_ct(axes, scan.ct.data, view)
    for mask, colour in ((scan.iph, IPH), (scan.ivh, IVH)):
        outline(axes, mask, view, colour, style=contour)
    mark_sides(axes)
    axes.set_title("Baseline")


def _draw_volumes(axes: Axes, iph_ml: NDArray[np.float64], baseline_iph_ml: float) -> None:
    axes.hist(iph_ml, bins="auto", color=BLUE)
    axes.axvline(baseline_iph_ml, color=GREY, label="baseline")
    limit_ml = baseline_iph_ml + min(HE_ML, HE_RELATIVE * baseline_iph_ml)
    axes.axvline(limit_ml, color=RED, linestyle="--", label="expansion from here")
    axes.set_xlabel("IPH at follow-up (mL)")
    axes.set_ylabel("Drawn follow-ups")
    axes.set_title(f"{len(iph_ml)} drawn follow-ups")
    axes.legend(frameon=True, framealpha=0.9, loc="upper right")


def picture_png(figure: Figure) -> bytes:
    """A figure as PNG; equal figures give equal bytes."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()
