"""One patient's forecast on one page that can be sent: pictures and numbers in one HTML file."""

import base64
import io
import math
import time
from collections.abc import Mapping
from html import escape
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hemexp.outcomes import HE_ML, HE_RELATIVE, is_expansion
from hemexp.provenance import git_id, patient_file, versions, write_sidecars, write_text
from hemexp.ranges import NUMBERS, NUMBERS_OPTIONAL
from hemexp.reporting.slices import choose_view, mark_sides, outline, show_ct, show_map
from hemexp.reporting.style import BLUE, GREY, IPH, IVH, MM, RED, STYLE, WIDE
from hemexp.volumes import Volume, read_ras

NOTICE = (
    "Research software, not a medical device. Nothing on this page may guide the care of a "
    "patient."
)
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
LOOK = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:1.5rem auto;padding:0 1rem;"
    "color:#1a1a1a}table{border-collapse:collapse;margin:.5rem 0}th,td{border-bottom:1px solid "
    "#ddd;padding:.2rem .8rem .2rem 0;text-align:right}th[scope=row],caption{text-align:left}"
    "img{width:100%;height:auto}.notice{border:2px solid #d55e00;padding:.5rem 1rem}"
    ".about{color:#444;font-size:13px}@media print{body{margin:0}}"
)
DPI = 150


def quantile_rows(table: pd.DataFrame, baseline_ml: Mapping[str, float]) -> list[list[str]]:
    """Baseline and quantiles over the samples of each volume, in mL, as text."""
    rows = []
    for name, title in (("iph_ml", "IPH, mL"), ("ivh_ml", "IVH, mL")):
        values = table[name].quantile(QUANTILES)
        rows.append([title, f"{baseline_ml[name]:.1f}", *(f"{value:.1f}" for value in values)])
    return rows


def expanding_share(table: pd.DataFrame, baseline_iph_ml: float) -> float:
    """Share of the samples whose IPH grew by 6 mL or a third."""
    growth_ml = table["iph_ml"] - baseline_iph_ml
    return float(np.mean(is_expansion(growth_ml, baseline_iph_ml)))


def draw_forecast(
    images: Mapping[str, Volume], iph_ml: NDArray[np.float64], baseline_iph_ml: float
) -> Figure:
    """Baseline with its masks, the map of new blood over it, and the samples' IPH volumes.

    Args:
        images: `ct`, `iph`, `ivh`, `brain` and `expansion`, in RAS on one grid.
        iph_ml: (K,) volumes of the samples.
        baseline_iph_ml: Volume at baseline.
    """
    figure = Figure(figsize=(WIDE, 66 * MM), layout="constrained")
    before, after, volumes = figure.subplots(1, 3)
    blood = (images["iph"].data > 0) | (images["ivh"].data > 0)
    view = choose_view(images["brain"], blood + images["expansion"].data)
    for axes, title in ((before, "Baseline"), (after, "P(new blood)")):
        show_ct(axes, images["ct"].data, view)
        mark_sides(axes)
        axes.set_title(title)
    for name, colour in (("iph", IPH), ("ivh", IVH)):
        outline(before, images[name].data, view, colour)
    outline(after, blood.astype(float), view, "white")
    shown = show_map(after, images["expansion"].data, view)
    figure.colorbar(shown, ax=after, shrink=0.7)
    volumes.hist(iph_ml, bins="auto", color=BLUE)
    volumes.axvline(baseline_iph_ml, color=GREY, label="baseline")
    limit_ml = baseline_iph_ml + min(HE_ML, HE_RELATIVE * baseline_iph_ml)
    volumes.axvline(limit_ml, color=RED, linestyle="--", label="expansion from here")
    volumes.set_xlabel("IPH at follow-up (mL)")
    volumes.set_ylabel("Samples")
    volumes.set_title(f"{len(iph_ml)} drawn follow-ups")
    volumes.legend(frameon=True, framealpha=0.9, loc="upper right")
    return figure


def as_png(figure: Figure) -> bytes:
    """The figure's picture; equal figures give equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def html_rows(header: list[str], rows: list[list[str]], caption: str) -> str:
    """A table; the first cell of every row is its name."""
    head = "".join(f"<th scope='col'>{escape(cell)}</th>" for cell in header)
    body = "".join(
        f"<tr><th scope='row'>{escape(row[0])}</th>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>\n"
        for row in rows
    )
    return (
        f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>\n"
        f"<tbody>{body}</tbody></table>\n"
    )


def told_rows(values: Mapping[str, float | None]) -> list[list[str]]:
    """What was told of the patient; an unknown value is said to be unknown."""
    units = NUMBERS | NUMBERS_OPTIONAL
    return [
        [name, "unknown" if value is None or math.isnan(value) else f"{value:g}", units[name].unit]
        for name, value in values.items()
    ]


def html_forecast(
    patient_id: str, picture: bytes, shares: tuple[float, float], tables: list[str], seed: int
) -> str:
    """The page: warning, picture, numbers, and what made them."""
    title = f"Forecast of the haemorrhage of {escape(patient_id)}"
    encoded = base64.b64encode(picture).decode()
    p_model, share = shares
    made = "; ".join(f"{name} {version}" for name, version in versions().items())
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        f"<title>{title}</title><style>{LOOK}</style></head>\n<body><h1>{title}</h1>\n"
        f"<p class='notice' role='note'>{escape(NOTICE)}</p>\n"
        f"<img alt='Baseline, map of new blood, volumes' src='data:image/png;base64,{encoded}'>\n"
        f"<p>Expansion (IPH growth of at least 6 mL or 33 %): {share:.0%} of the drawn "
        f"follow-ups; the model of growth says {p_model:.0%}.</p>\n"
        + "".join(tables)
        + f"<p class='about'>Volumes are native ones; slices as seen from the feet. Seed {seed}; "
        f"commit {escape(git_id())}; {escape(made)}.</p>\n</body></html>\n"
    )


def run_write_forecast(
    patient_id: str,
    values: Mapping[str, float | None],
    p_expansion: float,
    results: Path,
    out: Path,
    seed: int,
) -> None:
    """Writes the page of one patient, one self-contained HTML file.

    Args:
        patient_id: The patient.
        values: Clinical values as they were told; None where unknown.
        p_expansion: What the model of growth says.
        results: Folder with `preprocess/` and `samples/` of the patient.
        out: The page.
        seed: Run seed.
    """
    started = time.perf_counter()
    grid = "ses-baseline_space-grid_"
    endings = {name: f"{grid}desc-{name}_mask.nii.gz" for name in ("iph", "ivh", "brain")}
    files = {
        name: patient_file(results / "preprocess", patient_id, end)
        for name, end in (endings | {"ct": f"{grid}ct.nii.gz"}).items()
    }
    expansion = "desc-expansion_probseg.nii.gz"
    files["expansion"] = patient_file(results / "samples", patient_id, expansion)
    drawn = results / "samples" / f"sub-{patient_id}" / "volumes.tsv"
    native = patient_file(
        results / "preprocess", patient_id, "ses-baseline_space-native_volumes.tsv"
    )
    table, measured = (pd.read_csv(path, sep="\t") for path in (drawn, native))
    baseline_ml = {name: float(measured[name].iloc[0]) for name in ("iph_ml", "ivh_ml")}
    images = {name: read_ras(path) for name, path in files.items()}
    with matplotlib.rc_context(STYLE):
        picture = as_png(draw_forecast(images, table["iph_ml"].to_numpy(), baseline_ml["iph_ml"]))
    header = ["Volume", "Baseline", *(f"{q:.0%} of samples" for q in QUANTILES)]
    tables = [
        html_rows(
            header,
            quantile_rows(table, baseline_ml),
            "Baseline, and quantiles over the drawn follow-ups",
        ),
        html_rows(["Value", "Told", "Unit"], told_rows(values), "What was told of the patient"),
    ]
    shares = p_expansion, expanding_share(table, baseline_ml["iph_ml"])
    write_text(out, html_forecast(patient_id, picture, shares, tables, seed))
    write_sidecars(
        [out],
        verb="predict",
        settings={},
        inputs=[*files.values(), drawn, native],
        started=started,
        seed=seed,
    )
