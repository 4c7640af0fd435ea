"""One static page on which a reader sees every patient before and after preprocessing.

The pictures are embedded, so that the page is one file which can be sent and opened anywhere; a
patient with two scans costs about 125 kB (measured on nine real heads).
"""

import base64
import time
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from hemexp.preprocess.quality import marks
from hemexp.preprocess.thumbnails import CHECK_MM, COLOURS, PIXEL_MM
from hemexp.provenance import describe, patient_file, write_json, write_text
from hemexp.settings import QualityLimits

NOTICE = "Research software, not a medical device."
RANKS = {"failed": "✗", "warning": "!", "ok": "✓"}
"""Status of a scan and its sign, worst first."""

SESSIONS = {"baseline": "Baseline", "followup": "Follow-up"}
SPACES = {"native": "as scanned", "grid": "on the grid, skull-stripped"}

MEASURES = {
    "iph_ml": ("IPH", "mL", 2),
    "iph_grid_ml": ("IPH, grid", "mL", 2),
    "ivh_ml": ("IVH", "mL", 2),
    "ivh_grid_ml": ("IVH, grid", "mL", 2),
    "brain_ml": ("Brain", "mL", 0),
    "rotation_deg": ("Rotation", "°", 1),
    "translation_mm": ("Shift", "mm", 1),
    "registration_metric": ("−MI", "", 3),
    "correlation": ("Corr.", "", 3),
    "overlap": ("Overlap", "", 2),
}
"""Columns of `qc.tsv` that are shown, where there are any: header, unit, decimals."""

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:120rem;margin:1.5rem auto;padding:0 1rem;"
    "color:#1a1a1a}table{border-collapse:collapse;font-size:12px;font-variant-numeric:tabular-nums}"
    "th,td{border-bottom:1px solid #ddd;padding:.2rem .35rem;text-align:right;vertical-align:"
    "bottom}td,th[scope=row]{white-space:nowrap}th[scope=row]{text-align:left}thead th{"
    "border-bottom:2px solid #555}.notice{border:2px solid #d55e00;padding:.5rem 1rem}"
    "h2{font-size:17px;margin:0}ul{margin:.2rem 0}.about{color:#444;font:13px system-ui}"
    ".patient{border-top:6px solid #009e73;margin:1.2rem 0;padding-top:.4rem;break-inside:avoid}"
    ".patient.warning{border-color:#e69f00}.patient.failed{border-color:#d55e00}"
    ".badge{border-radius:.3rem;padding:0 .5rem;background:#d3efe5}td.fine{background:#e6f5f0}"
    ".warning .badge,td.doubtful{background:#fde3ad}.failed .badge{background:#f7cdb5}"
    "td.doubtful{font-weight:700}figure{margin:0;min-width:0}figcaption{color:#444;font-size:12px}"
    ".pictures{display:grid;gap:.4rem .6rem;grid-template-columns:1fr}.missing{background:#f2f2f2;"
    "margin:0;padding:1rem}img{width:100%;height:auto;display:block;background:#000}"
    ".numbers{overflow-x:auto;min-width:0}dl{display:grid;grid-template-columns:max-content 1fr;"
    "gap:.1rem .8rem;font-size:13px}dt{font-weight:600}dd{margin:0}.line{display:inline-block;"
    "width:1.1rem;height:.65rem;border:2px solid;margin:0 .3rem 0 .6rem}"
    "@media(min-width:62rem),print{.pictures{grid-template-columns:1fr 1fr}}"
    "@media(min-width:106rem){.pictures{grid-template-columns:1fr 1fr 1fr}"
    ".pair{grid-area:1/3}.numbers{grid-area:2/3}}"
)
"""The look of the run's report; with room, a patient is two rows of pictures, else three."""


def judge(scans: list[dict[str, Any]], limits: QualityLimits) -> list[dict[str, float]]:
    """How near each number of a patient comes to its limit.

    Args:
        scans: One or two rows of `qc.tsv`; NaN where something was not measured.
        limits: Beyond these a number is doubtful.

    Returns:
        For each scan, by column: 0 at the best value, 1 at the limit, more beyond it. Columns
        without limit or value are left out.
    """
    judged = []
    for scan, other in zip(scans, reversed(scans), strict=True):
        ratios: dict[str, float] = {}
        for mark in marks(scan, other["brain_ml"] if len(scans) == 2 else None, limits):
            ratios[mark.column] = max(mark.ratio, ratios.get(mark.column, 0.0))
        judged.append(ratios)
    return judged


def rank(scans: list[dict[str, Any]], limits: QualityLimits) -> tuple[int, float, str]:
    """Sorts patients, worst first: by status, by worst number, by name; arguments as `judge`."""
    worst = max((ratio for found in judge(scans, limits) for ratio in found.values()), default=0.0)
    status = min(list(RANKS).index(scan["status"]) for scan in scans)
    return status, -worst, scans[0]["patient_id"]


def html_picture(path: Path, caption: str, kind: str = "") -> str:
    """A picture with its bytes in the page, or a sentence where there is none."""
    if path.exists() and path.stat().st_size:
        data = base64.b64encode(path.read_bytes()).decode("ascii")
        shown = (
            f"<img alt='{escape(caption)}' decoding='async' src='data:image/png;base64,{data}'>"
        )
    else:
        shown = "<p class='missing'>No picture: this step left none.</p>"
    return f"<figure class='{kind}'><figcaption>{escape(caption)}</figcaption>{shown}</figure>"


def html_numbers(scans: list[dict[str, Any]], limits: QualityLimits) -> str:
    """A patient's numbers, a row a scan, signed where there is a limit; arguments as `judge`."""
    shown = {column: about for column, about in MEASURES.items() if column in scans[0]}
    head = "".join(
        f"<th scope='col'>{escape(name)}{f'<br>{escape(unit)}' if unit else ''}</th>"
        for name, unit, _ in shown.values()
    )
    rows = []
    for scan, ratios in zip(scans, judge(scans, limits), strict=True):
        cells = "".join(
            _cell(scan[column], decimals, ratios.get(column))
            for column, (_, _, decimals) in shown.items()
        )
        rows.append(f"<tr><th scope='row'>{SESSIONS[scan['session']]}</th>{cells}</tr>")
    return (
        f"<div class='numbers'><table><thead><tr><th scope='row'>Scan</th>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cell(value: float, decimals: int, ratio: float | None) -> str:
    """One number; a dash where nothing was measured."""
    if pd.isna(value):
        return "<td>–</td>"
    text = f"{value:.{decimals}f}"
    if ratio is None:
        return f"<td>{text}</td>"
    kind, sign, word = ("doubtful", "!", "beyond") if ratio > 1 else ("fine", "✓", "within")
    return f"<td class='{kind}' title='{word} the limit: {ratio:.2f} of it'>{text} {sign}</td>"


def html_patient(
    scans: list[dict[str, Any]], step: str, folder: Path, limits: QualityLimits
) -> str:
    """Everything about one patient: status, reasons, pictures, numbers.

    Args:
        scans: The patient's rows of `qc.tsv`.
        step: The step that failed, empty for a patient who is used.
        folder: `results/preprocess`.
        limits: Beyond these a number is doubtful.
    """
    place, worst, name = rank(scans, limits)
    status = list(RANKS)[place]
    about = [str(scans[0][column]) for column in ("center", "split") if column in scans[0]]
    about += [f"worst number at {-worst:.0%} of its limit"] if worst else []
    about += [f"excluded: {step} failed"] if step else []
    said = [
        f"{SESSIONS[scan['session']]}: {scan[text]}"
        for scan in scans
        for text in ("reason", "notes")
        if scan.get(text)
    ]
    reasons = "".join(f"<li>{escape(line)}</li>" for line in said)
    pictures = [
        html_picture(
            patient_file(folder, name, f"ses-{scan['session']}_space-{space}_qc.png"),
            f"{SESSIONS[scan['session']]}, {words}",
        )
        for scan in scans
        for space, words in SPACES.items()
    ]
    if len(scans) == 2:
        path = patient_file(folder, name, "desc-checkerboard_qc.png")
        pictures.append(html_picture(path, "Both scans after registration, checkerboard", "pair"))
    return (
        f"<section class='patient {status}' id='sub-{escape(name)}'><h2>{escape(name)} "
        f"<span class='badge'>{RANKS[status]} {status}</span> "
        f"<span class='about'>{escape(' · '.join(about))}</span></h2>"
        f"{f'<ul>{reasons}</ul>' if reasons else ''}<div class='pictures'>{''.join(pictures)}"
        f"{html_numbers(scans, limits)}</div></section>"
    )


def html_legend(limits: QualityLimits) -> str:
    """What is seen on the pictures and what the numbers are held against."""
    names = {"iph": "IPH", "ivh": "IVH", "brain": "brain mask (as scanned only)"}
    lines = " ".join(
        f"<span class='line' style='border-color:rgb{COLOURS[mask]}'></span>{name}"
        for mask, name in names.items()
    )
    low, high = limits.brain_ml
    facts = {
        "Planes": "axial low, axial with the most blood, axial high, coronal with the most blood, "
        "sagittal through the middle; along the scan's own axes. R and L are the patient's sides.",
        "Brain window": f"0–80 HU, {PIXEL_MM:g} mm a pixel.",
        "Checkerboard": f"fields of {CHECK_MM:g} mm; the bluish ones are the scan that was moved. "
        "Edges of skull and ventricles must run through. Greys bend at 0 and 80 HU.",
        "Limits": f"brain (all inside the skull) {low:g}–{high:g} mL and within "
        f"{limits.brain_change:.0%} of the other scan; rotation {limits.rotation_deg:g}°; shift "
        f"{limits.translation_mm:g} mm; volume on the grid within {limits.grid_volume_error:.0%}. "
        "✓ within, ! beyond, no sign: no limit. −MI: mutual information, negated; Corr.: of HU.",
    }
    rows = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in facts.items())
    return f"<dl><dt>Contours</dt><dd>{lines}</dd>{rows}</dl>"


def html_page(
    qc: pd.DataFrame, excluded: pd.DataFrame, folder: Path, limits: QualityLimits
) -> str:
    """The whole page.

    Args:
        qc: `qc.tsv`: text columns without NaN, measures as numbers.
        excluded: `excluded.tsv`: patient_id, session, step, reason.
        folder: `results/preprocess`, where the pictures lie.
        limits: Beyond these a number is doubtful.
    """
    patients = [rows.to_dict("records") for _, rows in qc.groupby("patient_id", sort=False)]
    patients.sort(key=lambda scans: rank(scans, limits))
    steps = dict(zip(excluded["patient_id"], excluded["step"], strict=True))
    counts = qc["status"].value_counts()
    told = ", ".join(f"{counts.get(status, 0)} {status}" for status in reversed(RANKS))
    cards = "\n".join(
        html_patient(scans, steps.get(scans[0]["patient_id"], ""), folder, limits)
        for scans in patients
    )
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>hemexp: preprocessing</title><style>{STYLE}</style></head>\n"
        f"<body><h1>Preprocessing, patient by patient</h1><p class='notice' role='note'>{NOTICE}"
        f"</p>\n<p><strong>{len(patients)} patients, {len(qc)} scans: {told}. Patients excluded: "
        f"{len(excluded)}.</strong> Worst first.</p>\n{html_legend(limits)}\n{cards}\n"
        "</body></html>\n"
    )


def read_text_table(path: Path) -> pd.DataFrame:
    """A table as it stands: every cell is text, nothing is taken for NaN; measures are numbers."""
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    return table.assign(**{name: pd.to_numeric(table[name]) for name in MEASURES if name in table})


def run_write_qc(qc: Path, excluded: Path, folder: Path, out: Path, limits: QualityLimits) -> None:
    """Writes `qc.html`; where it comes from lies beside it in `qc.html.json`.

    Args:
        qc: `qc.tsv`.
        excluded: `excluded.tsv`.
        folder: `results/preprocess`, where the pictures lie.
        out: The page.
        limits: Beyond these a number is doubtful.
    """
    started = time.perf_counter()
    write_text(out, html_page(read_text_table(qc), read_text_table(excluded), folder, limits))
    pictures = sorted(folder.glob("sub-*/sub-*_qc.png"))
    # Not `sidecar_path`: `qc.json` is the sidecar of `qc.tsv`.
    record = describe(
        verb="write-qc",
        settings=limits.as_json(),
        started=started,
        inputs=[qc, excluded, *pictures],
    )
    write_json(out.with_name(f"{out.name}.json"), {"product": out.name, **record})
