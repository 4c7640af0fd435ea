"""The still picture of the page: what is printed, and what there is without a script."""

import io

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from hemexp.columns import BASELINE
from hemexp.grid_scan import GridScan
from hemexp.outcomes import expansion_begins_ml
from hemexp.preprocess.interpolate import average
from hemexp.reporting.patient.layers import Layers
from hemexp.reporting.patient.texts import Texts
from hemexp.reporting.slices import View, choose_view, mark_sides, outline, show_ct, show_map
from hemexp.reporting.style import BLUE, GREY, IPH, IVH, MM, RED, STYLE, WIDE
from hemexp.volumes import read_ras, read_volume

HEIGHT_MM, DPI = 60.0, 150


def read_native(layers: Layers) -> GridScan:
    """The baseline as it was acquired, in the box that the viewer shows."""
    native = layers.layout.native(layers.patient_id, BASELINE).images
    ct, iph, ivh, brain = (
        layers.box.with_data(average(read_ras(path), layers.box, np.eye(4))) for path in native
    )
    return GridScan(ct, *(mask.data >= 0.5 for mask in (iph, ivh, brain)))


def draw_picture(
    scan: GridScan,
    expansion: NDArray | None,
    iph_ml: NDArray[np.float64] | None,
    baseline_iph_ml: float,
    contour: str,
    texts: Texts,
) -> Figure:
    """Baseline with its masks and, where there are any, the map of new blood and the volumes.

    Args:
        scan: The patient's baseline.
        expansion: Share of the drawn follow-ups with new blood, (x, y, z) of the scan.
        iph_ml: (K,) volumes of the drawn follow-ups.
        baseline_iph_ml: Volume at baseline.
        contour: Of the baseline's masks: `dashed` where they were found.
        texts: Of the page.
    """
    drawn = expansion is not None and iph_ml is not None
    width = WIDE if drawn else WIDE / 3
    figure = Figure(figsize=(width, HEIGHT_MM * MM), layout="constrained")
    axes = figure.subplots(1, 3 if drawn else 1, squeeze=False)[0]
    view = choose_view(scan, scan.blood + (expansion if drawn else 0.0))
    show_ct(axes[0], scan.ct.data, view)
    for mask, colour in ((scan.iph, IPH), (scan.ivh, IVH)):
        outline(axes[0], mask, view, colour, style=contour)
    mark_sides(axes[0])
    axes[0].set_title(texts["picture_baseline"])
    if drawn:
        _draw_map(axes[1], scan, expansion, view, contour)
        axes[1].set_title(texts["picture_map"])
        _draw_volumes(axes[2], iph_ml, baseline_iph_ml, texts)
    return figure


def _draw_map(axes: Axes, scan: GridScan, expansion: NDArray, view: View, contour: str) -> None:
    show_ct(axes, scan.ct.data, view)
    outline(axes, scan.blood, view, "white", style=contour)
    axes.figure.colorbar(show_map(axes, expansion, view), ax=axes, shrink=0.7)
    mark_sides(axes)


def _draw_volumes(
    axes: Axes, iph_ml: NDArray[np.float64], baseline_iph_ml: float, texts: Texts
) -> None:
    """A dot for every drawn follow-up over its volume, by rank: none hides another."""
    ranks = np.arange(1, len(iph_ml) + 1)
    limit_ml = baseline_iph_ml + float(expansion_begins_ml(baseline_iph_ml))
    axes.plot(np.sort(iph_ml), ranks, "o", color=BLUE, markersize=3)
    axes.axvline(baseline_iph_ml, color=GREY, label=texts["picture_now"])
    axes.axvline(limit_ml, color=RED, linestyle="--", label=texts["picture_from"])
    axes.set_ylim(0, len(iph_ml) + 1)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(texts["picture_volume"])
    axes.set_ylabel(texts["picture_rank"])
    axes.set_title(texts.counted("picture_drawn", len(iph_ml)))
    axes.legend(loc="lower right", frameon=True, framealpha=0.9)


def still_picture(
    layers: Layers,
    iph_ml: NDArray[np.float64] | None,
    baseline_iph_ml: float,
    contour: str,
    texts: Texts,
) -> bytes:
    """The picture as PNG; equal numbers give equal bytes.

    Args:
        layers: Of the patient.
        iph_ml: (K,) volumes of the drawn follow-ups; None where none was drawn.
        baseline_iph_ml: Volume at baseline.
        contour: See `draw_picture`.
        texts: Of the page.
    """
    scan, expansion, buffer = read_native(layers), None, io.BytesIO()
    if iph_ml is not None:
        drawn = read_volume(layers.layout.sample_map(layers.patient_id, "expansion"))
        expansion = average(drawn, layers.box, layers.to_grid)
    with matplotlib.rc_context(STYLE):
        figure = draw_picture(scan, expansion, iph_ml, baseline_iph_ml, contour, texts)
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()
