"""One patient's forecast on one page that can be sent: pictures and numbers in one HTML file."""

import io
import math
import time
from collections.abc import Mapping
from html import escape
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hemexp.grid_scan import GridScan
from hemexp.html import html_page, html_png, html_table
from hemexp.layout import Layout
from hemexp.made_masks import GIVEN
from hemexp.mask_error import MaskDoubt, doubt_files, read_doubt
from hemexp.notice import NOTICE
from hemexp.outcomes import HE_ML, HE_RELATIVE, is_expansion
from hemexp.provenance import git_id, versions, write_sidecars, write_text
from hemexp.reporting.reader import Reader
from hemexp.reporting.slices import choose_view, mark_sides, outline, show_ct, show_map
from hemexp.reporting.style import BLUE, GREY, IPH, IVH, MM, RED, STYLE, WIDE

WARNING = f"{NOTICE} Nothing on this page may guide the care of a patient."
SHOWN_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
MAKERS = {"network": "a network", "command": "a program of your own"}
"""Who made masks that were not given, by their source."""

VALUE_HEADER = ["Value", "Told", "Unit"]
CSS = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:1.5rem auto;padding:0 1rem;"
    "color:#1a1a1a}table{border-collapse:collapse;margin:.5rem 0}th,td{border-bottom:1px solid "
    "#ddd;padding:.2rem .8rem .2rem 0;text-align:right}th[scope=row],caption{text-align:left}"
    "img{width:100%;height:auto}figure{margin:.8rem 0}"
    ".notice{border:2px solid #d55e00;padding:.5rem 1rem}"
    ".about{color:#444;font-size:13px}@media print{body{margin:0}}"
)
DPI = 150


def quantile_rows(table: pd.DataFrame, baseline_ml: Mapping[str, float]) -> list[list[str]]:
    """Baseline and quantiles over the samples of each volume, in mL, as text."""
    rows = []
    for name, title in (("iph_ml", "IPH, mL"), ("ivh_ml", "IVH, mL")):
        values = table[name].quantile(SHOWN_QUANTILES)
        rows.append([title, f"{baseline_ml[name]:.1f}", *(f"{value:.1f}" for value in values)])
    return rows


def expanding_share(table: pd.DataFrame, baseline_iph_ml: float) -> float:
    """Share of the samples whose IPH grew by 6 mL or a third."""
    growth_ml = table["iph_ml"] - baseline_iph_ml
    return float(np.mean(is_expansion(growth_ml, baseline_iph_ml)))


def draw_forecast(
    baseline: GridScan,
    expansion: NDArray,
    iph_ml: NDArray[np.float64],
    baseline_iph_ml: float,
    contour: str = "solid",
) -> Figure:
    """Baseline with its masks, the map of new blood over it, and the samples' IPH volumes.

    Args:
        baseline: The patient's scan on the grid.
        expansion: Share of the samples with new blood, (x, y, z).
        iph_ml: (K,) volumes of the samples.
        baseline_iph_ml: Volume at baseline.
        contour: Of the baseline's masks: `dashed` where they were found.
    """
    figure = Figure(figsize=(WIDE, 66 * MM), layout="constrained")
    before, after, volumes = figure.subplots(1, 3)
    view = choose_view(baseline, baseline.blood + expansion)
    for axes, title in ((before, "Baseline"), (after, "P(new blood)")):
        show_ct(axes, baseline.ct.data, view)
        mark_sides(axes)
        axes.set_title(title)
    for mask, colour in ((baseline.iph, IPH), (baseline.ivh, IVH)):
        outline(before, mask, view, colour, style=contour)
    outline(after, baseline.blood, view, "white", style=contour)
    figure.colorbar(show_map(after, expansion, view), ax=after, shrink=0.7)
    _draw_volumes(volumes, iph_ml, baseline_iph_ml)
    return figure


def _draw_volumes(axes: Axes, iph_ml: NDArray[np.float64], baseline_iph_ml: float) -> None:
    axes.hist(iph_ml, bins="auto", color=BLUE)
    axes.axvline(baseline_iph_ml, color=GREY, label="baseline")
    limit_ml = baseline_iph_ml + min(HE_ML, HE_RELATIVE * baseline_iph_ml)
    axes.axvline(limit_ml, color=RED, linestyle="--", label="expansion from here")
    axes.set_xlabel("IPH at follow-up (mL)")
    axes.set_ylabel("Samples")
    axes.set_title(f"{len(iph_ml)} drawn follow-ups")
    axes.legend(frameon=True, framealpha=0.9, loc="upper right")


def forecast_png(
    baseline: GridScan,
    expansion: NDArray,
    iph_ml: NDArray[np.float64],
    baseline_iph_ml: float,
    contour: str = "solid",
) -> bytes:
    """The picture of `draw_forecast`; equal numbers give equal bytes."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure = draw_forecast(baseline, expansion, iph_ml, baseline_iph_ml, contour)
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def value_rows(values: Mapping[str, tuple[float | None, str]]) -> list[list[str]]:
    """What is known of the patient, value and unit; an unknown value is said to be unknown."""
    return [
        [name, "unknown" if value is None or math.isnan(value) else f"{value:g}", unit]
        for name, (value, unit) in values.items()
    ]


def html_masks(doubt: MaskDoubt, iph_ml: float) -> str:
    """What is said, above all numbers, of masks that nobody drew; nothing of given ones.

    Args:
        doubt: Who made the masks, and how far off the IPH volume is expected to be.
        iph_ml: The IPH volume.
    """
    if doubt.source == GIVEN:
        return ""
    measured = "measured on patients whom the network never saw"
    how = measured if doubt.source == "network" else "assumed: held against no given mask"
    return (
        f"<p class='notice'><strong>Nobody drew the masks: {MAKERS[doubt.source]} found "
        f"them.</strong> The IPH of {iph_ml:.1f} mL is expected to be off by "
        f"{doubt.iph_error_ml:.1f} mL ({how}). Look at the mask, the dashed outline: every number "
        "below rests on it.</p>\n"
    )


def html_scan(warnings: str, notes: str, pictures: Mapping[str, bytes]) -> tuple[str, str]:
    """What was seen of the scan: what is doubtful, for the top of the page, and how it was read.

    Args:
        warnings: What is doubtful; empty where nothing is.
        notes: What was mended or resampled; may be empty.
        pictures: As PNG, by their captions.
    """
    doubt = (
        f"<p class='notice'><strong>Doubtful scan: {escape(warnings)}.</strong> Look at the "
        "pictures of the scan below before you read a number.</p>\n"
        if warnings
        else ""
    )
    shown = "\n".join(
        f"<figure><figcaption>{escape(caption)}</figcaption>{html_png(png, caption)}</figure>"
        for caption, png in pictures.items()
    )
    told = f"<p>{escape(notes)}.</p>\n" if notes else ""
    return doubt, f"<h2>The scan</h2>\n{told}{shown}\n"


def html_forecast(
    patient_id: str,
    picture: bytes,
    shares: tuple[float, float],
    tables: list[str],
    seed: int,
    scan: tuple[str, str],
) -> str:
    """The page: warnings, picture, numbers, the scan, and what made them.

    Args:
        patient_id: The patient.
        picture: As PNG.
        shares: P(expansion) of the model of growth, and the share of expanding samples.
        tables: As HTML.
        seed: Run seed.
        scan: What `html_scan` gives.
    """
    p_model, share = shares
    doubt, looked_at = scan
    made = "; ".join(f"{name} {version}" for name, version in versions().items())
    body = (
        f"{doubt}{html_png(picture, 'Baseline, map of new blood, volumes')}\n"
        f"<p>Expansion (IPH growth of at least 6 mL or 33 %): {share:.0%} of the drawn "
        f"follow-ups; the model of growth says {p_model:.0%}.</p>\n"
        + "\n".join(tables)
        + looked_at
        + f"\n<p class='about'>Volumes are native ones; slices as seen from the feet. "
        f"Seed {seed}; commit {escape(git_id())}; {escape(made)}.</p>"
    )
    return html_page(f"Forecast of the haemorrhage of {patient_id}", CSS, WARNING, body)


def scan_pictures(reader: Reader, patient_id: str) -> dict[str, bytes]:
    """The pictures that preprocessing left of the baseline, by their captions."""
    layout = reader.layout
    files = {
        "As scanned, with brain mask (green), IPH (orange) and IVH (blue)": layout.native,
        "On the grid, skull-stripped": layout.grid,
    }
    paths = {caption: space(patient_id, "baseline").picture for caption, space in files.items()}
    reader.seen.extend(paths.values())
    return {caption: path.read_bytes() for caption, path in paths.items()}


def run_write_forecast(
    layout: Layout,
    patient_id: str,
    values: Mapping[str, tuple[float | None, str]],
    p_expansion: float,
    seed: int,
    seen: tuple[str, str],
) -> Path:
    """Writes the page of one patient, one self-contained HTML file.

    Args:
        layout: Holds the patient's scans and samples.
        patient_id: The patient.
        values: Clinical values with their units; None where unknown.
        p_expansion: What the model of growth says.
        seed: Run seed.
        seen: What is doubtful about the scan, and what is to be noted.

    Returns:
        The page.
    """
    started = time.perf_counter()
    reader, page = Reader(layout), layout.forecast_page(patient_id)
    samples = reader.table(layout.sample_volumes(patient_id))
    measured = reader.table(layout.native(patient_id, "baseline").volumes)
    doubt = read_doubt(layout, patient_id, "baseline")
    reader.seen.extend(doubt_files(layout, patient_id, "baseline"))
    contour = "solid" if doubt.source == GIVEN else "dashed"
    baseline_ml = {name: float(measured[name].iloc[0]) for name in ("iph_ml", "ivh_ml")}
    scan = reader.scan(patient_id, "baseline")
    expansion = reader.image(layout.sample_map(patient_id, "expansion"))
    iph_ml = samples["iph_ml"].to_numpy(), baseline_ml["iph_ml"]
    picture = forecast_png(scan, expansion, *iph_ml, contour)
    header = ["Volume", "Baseline", *(f"{q:.0%} of samples" for q in SHOWN_QUANTILES)]
    caption = "Baseline, and quantiles over the drawn follow-ups"
    tables = [
        html_table(header, quantile_rows(samples, baseline_ml), caption, named=True),
        html_table(VALUE_HEADER, value_rows(values), "What was told of the patient", named=True),
    ]
    doubtful, looked_at = html_scan(*seen, scan_pictures(reader, patient_id))
    scanned = html_masks(doubt, baseline_ml["iph_ml"]) + doubtful, looked_at
    shares = p_expansion, expanding_share(samples, baseline_ml["iph_ml"])
    write_text(page, html_forecast(patient_id, picture, shares, tables, seed, scanned))
    write_sidecars(
        [page], verb="predict", settings={}, inputs=reader.seen, started=started, seed=seed
    )
    return page
