"""One static page on which a reader sees every patient before and after preprocessing.

The pictures are embedded, so that the page is one file which can be sent and opened anywhere; a
patient with two scans costs about 125 kB (measured on nine real heads).
"""

import time
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from hemexp.html import html_page, html_png
from hemexp.layout import Layout
from hemexp.made_masks import MADE_BY
from hemexp.notice import NOTICE
from hemexp.preprocess.acceptance import NO_MADE, Acceptance, masks_summary, read_acceptance
from hemexp.preprocess.page_style import QC_CSS
from hemexp.preprocess.quality import marks
from hemexp.preprocess.thumbnails import CHECK_MM, COLOURS, PIXEL_MM
from hemexp.provenance import describe, write_json, write_text
from hemexp.settings import QualityLimits

RANKS = {"failed": "✗", "warning": "!", "ok": "✓"}
"""Status of a scan and its sign, worst first."""

SESSION_WORDS = {"baseline": "Baseline", "followup": "Follow-up"}
SPACE_WORDS = {"native": "as scanned", "grid": "on the grid, skull-stripped"}
PAIR_WORDS = "Both scans after registration, checkerboard"

SHOWN = {
    "iph_ml": ("IPH", "mL", 2),
    "iph_grid_ml": ("IPH, grid", "mL", 2),
    "iph_error_ml": ("± expected", "mL", 2),
    "ivh_ml": ("IVH", "mL", 2),
    "ivh_grid_ml": ("IVH, grid", "mL", 2),
    "ivh_error_ml": ("IVH ± expected", "mL", 2),
    "brain_ml": ("Brain", "mL", 0),
    "lowest_share": ("Lower end", "of widest", 2),
    "highest_share": ("Upper end", "of widest", 2),
    "compactness": ("Compact", "", 2),
    "rotation_deg": ("Rotation", "°", 1),
    "translation_mm": ("Shift", "mm", 1),
    "registration_metric": ("−MI", "", 3),
    "correlation": ("Corr.", "", 3),
    "overlap": ("Overlap", "", 2),
}
"""Columns of `qc.tsv` that are shown, where there are any: header, unit, decimals."""


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


def rank(
    scans: list[dict[str, Any]], limits: QualityLimits, masks: Acceptance = NO_MADE, step: str = ""
) -> tuple[int, float, str]:
    """Sorts patients, worst first: by status, by worst number, by name.

    First of all is who was excluded because no IPH was found in a scan. The expected error of
    masks that a person accepted does not count.

    Args:
        scans: As for `judge`.
        limits: As for `judge`.
        masks: Which of the masks are made, and accepted.
        step: The step that failed, empty for a patient who is used.
    """
    ratios = [
        ratio
        for scan, found in zip(scans, judge(scans, limits), strict=True)
        for column, ratio in found.items()
        if not (column == "iph_error_ml" and masks.is_accepted(scan))
    ]
    status = min(list(RANKS).index(scan["status"]) for scan in scans)
    return -1 if step == MADE_BY else status, -max(ratios, default=0.0), scans[0]["patient_id"]


def html_picture(path: Path, caption: str, kind: str = "") -> str:
    """A picture with its bytes in the page, or a sentence where there is none."""
    if path.exists() and path.stat().st_size:
        shown = html_png(path.read_bytes(), caption)
    else:
        shown = "<p class='missing'>No picture: this step left none.</p>"
    return f"<figure class='{kind}'><figcaption>{escape(caption)}</figcaption>{shown}</figure>"


def html_numbers(scans: list[dict[str, Any]], limits: QualityLimits) -> str:
    """A patient's numbers, a row a scan, signed where there is a limit; arguments as `judge`."""
    shown = {column: about for column, about in SHOWN.items() if column in scans[0]}
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
        rows.append(f"<tr><th scope='row'>{SESSION_WORDS[scan['session']]}</th>{cells}</tr>")
    return (
        # Where it is wider than the window, arrow keys move it.
        f"<div class='numbers' role='group' aria-label='Numbers' tabindex='0'><table>"
        f"<thead><tr><th scope='row'>Scan</th>{head}</tr></thead>"
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


def picture_files(scans: list[dict[str, Any]], layout: Layout) -> dict[str, Path]:
    """A patient's pictures by what they show: each scan in both spaces, then the pair.

    Args:
        scans: The patient's rows of `qc.tsv`.
        layout: Of the run.
    """
    found = {}
    for name, session in ((scan["patient_id"], scan["session"]) for scan in scans):
        files = {"native": layout.native(name, session), "grid": layout.grid(name, session)}
        for space, words in SPACE_WORDS.items():
            found[f"{SESSION_WORDS[session]}, {words}"] = files[space].picture
    if len(scans) == 2:
        found[PAIR_WORDS] = layout.pair(scans[0]["patient_id"]).picture
    return found


def html_patient(
    scans: list[dict[str, Any]],
    step: str,
    layout: Layout,
    limits: QualityLimits,
    masks: Acceptance = NO_MADE,
) -> str:
    """Everything about one patient: status, reasons, pictures, numbers.

    Args:
        scans: The patient's rows of `qc.tsv`.
        step: The step that failed, empty for a patient who is used.
        layout: Of the run.
        limits: Beyond these a number is doubtful.
        masks: Which of the masks are made, and accepted.
    """
    _, worst, name = rank(scans, limits, masks)
    status = min((scan["status"] for scan in scans), key=list(RANKS).index)
    about = [str(scans[0][column]) for column in ("center", "split") if column in scans[0]]
    about += [f"worst number at {-worst:.0%} of its limit"] if worst else []
    about += [f"excluded: {step} failed"] if step else []
    said = [
        f"{SESSION_WORDS[scan['session']]}: {text}"
        for scan in scans
        for text in (scan.get("reason"), scan.get("notes"), masks.words(scan))
        if text
    ]
    reasons = "".join(f"<li>{escape(line)}</li>" for line in said)
    pictures = [
        html_picture(path, words, "pair" if words == PAIR_WORDS else "")
        for words, path in picture_files(scans, layout).items()
    ]
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
        f"{limits.brain_change:.0%} of the other scan; its ends (7.5 mm from the lowest and the "
        f"highest point) at most {limits.end_share:.0%} of its widest slice; compactness (volume "
        f"over that slice to the power 1.5) at least {limits.compactness:g}; rotation "
        f"{limits.rotation_deg:g}°; shift {limits.translation_mm:g} mm; volume on "
        f"the grid within {limits.grid_volume_error:.0%}. "
        "✓ within, ! beyond, no sign: no limit. −MI: mutual information, negated; Corr.: of HU.",
    }
    rows = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in facts.items())
    return f"<dl><dt>Contours</dt><dd>{lines}</dd>{rows}</dl>"


def qc_html(
    qc: pd.DataFrame,
    excluded: pd.DataFrame,
    layout: Layout,
    limits: QualityLimits,
    masks: Acceptance = NO_MADE,
) -> str:
    """The whole page.

    Args:
        qc: `qc.tsv`: text columns without NaN, measures as numbers.
        excluded: `excluded.tsv`: patient_id, session, step, reason.
        layout: Of the run, where the pictures lie.
        limits: Beyond these a number is doubtful.
        masks: Which of the masks are made, and accepted.
    """
    patients = [rows.to_dict("records") for _, rows in qc.groupby("patient_id", sort=False)]
    steps = dict(zip(excluded["patient_id"], excluded["step"], strict=True))
    patients.sort(
        key=lambda scans: rank(scans, limits, masks, steps.get(scans[0]["patient_id"], ""))
    )
    counts = qc["status"].value_counts()
    total = ", ".join(f"{counts.get(status, 0)} {status}" for status in reversed(RANKS))
    cards = "\n".join(
        html_patient(scans, steps.get(scans[0]["patient_id"], ""), layout, limits, masks)
        for scans in patients
    )
    summary = (
        f"<p><strong>{len(patients)} patients, {len(qc)} scans: {total}. Patients excluded: "
        f"{len(excluded)}.</strong> Worst first.{masks_summary(qc, masks)}</p>"
    )
    body = f"{summary}\n{html_legend(limits)}\n{cards}"
    return html_page("Preprocessing, patient by patient", QC_CSS, NOTICE, body)


def read_text_table(path: Path) -> pd.DataFrame:
    """A table as it stands: every cell is text, nothing is taken for NaN; measures are numbers."""
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    return table.assign(**{name: pd.to_numeric(table[name]) for name in SHOWN if name in table})


def run_write_qc(layout: Layout, limits: QualityLimits, accepted: Path) -> None:
    """Writes `qc.html`; where it comes from lies beside it in `qc.html.json`.

    Args:
        layout: Of the run, whose `qc.tsv`, `excluded.tsv` and pictures it shows.
        limits: Beyond these a number is doubtful.
        accepted: `accepted_masks.tsv`, where a person accepted masks.
    """
    started = time.perf_counter()
    qc, excluded = read_text_table(layout.qc), read_text_table(layout.excluded)
    masks = read_acceptance(layout, qc, accepted)
    write_text(layout.qc_page, qc_html(qc, excluded, layout, limits, masks))
    patients = (rows.to_dict("records") for _, rows in qc.groupby("patient_id"))
    pictures = [path for scans in patients for path in picture_files(scans, layout).values()]
    # Not `sidecar_path`: `qc.json` is the sidecar of `qc.tsv`.
    record = describe(
        verb="write-qc",
        settings=limits.as_json(),
        started=started,
        inputs=[layout.qc, layout.excluded, *filter(Path.is_file, [*pictures, accepted])],
    )
    page = layout.qc_page
    write_json(page.with_name(f"{page.name}.json"), {"product": page.name, **record})
