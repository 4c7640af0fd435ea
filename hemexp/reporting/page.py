"""One static page with everything a reader of the run wants to see."""

import csv
import time
from collections.abc import Iterable
from html import escape
from pathlib import Path

import pandas as pd

from hemexp.html import html_page, html_table
from hemexp.layout import Layout
from hemexp.notice import NOTICE
from hemexp.provenance import git_id, versions, write_sidecars, write_text
from hemexp.reporting.catalogue import FIGURES, TABLES, Table
from hemexp.settings import Reporting
from hemexp.tables import read_table

WARNING = (
    f"{NOTICE} The images and numbers on this page are drawn by a "
    "statistical model; they must not be used for the care of a patient."
)

QUALITY_LINK = (
    "<p>Every patient with pictures, worst first: <a href='../preprocess/qc.html'>qc.html</a>.</p>"
)

REVIEW_LINK = (
    "<p>Patient flow, failures, robustness, model card and checklists: "
    "<a href='review.html'>review.html</a>.</p>\n"
)

CSS = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;"
    "color:#1a1a1a}table{border-collapse:collapse;font-size:12px;font-variant-numeric:tabular-nums}"
    "th,td{border-bottom:1px solid #ddd;padding:.25rem .5rem;text-align:left;vertical-align:top}"
    "thead th{border-bottom:2px solid #555}.wide{overflow-x:auto}img{max-width:100%;height:auto}"
    ".notice{border:2px solid #d55e00;padding:.5rem 1rem}figure{margin:1.5rem 0}"
    "figcaption,caption{color:#444;font-size:13px;text-align:left}caption{padding-bottom:.4rem}"
)


def html_figure(name: str, caption: str) -> str:
    """A figure by relative link, with its caption and a link to the vector file."""
    source = f"../figures/{name}"
    return (
        f"<figure id='figure-{name}'><img src='{source}.png' alt='{escape(caption, quote=True)}'>"
        f"<figcaption>{escape(caption)} <a href='{source}.svg'>SVG</a></figcaption></figure>"
    )


def html_remarks(qc: pd.DataFrame) -> str:
    """The scans that quality control marked, with the reason.

    Args:
        qc: `qc.tsv`: one row a scan, with patient_id, session, status, reason.
    """
    marked = qc[qc["status"] != "ok"]
    counts = f"{len(qc)} scans checked, {len(marked)} marked."
    columns = ["patient_id", "session", "status", "reason"]
    rows = marked[columns].fillna("").astype(str).to_numpy().tolist()
    return html_table(["Patient", "Scan", "Status", "Reason"], rows, counts)


def html_excluded(excluded: pd.DataFrame) -> str:
    """The patients whom preprocessing could not use; nothing when there are none.

    Args:
        excluded: `excluded.tsv`: one row a patient, with patient_id, session, step, reason.
    """
    if excluded.empty:
        return ""
    rows = excluded.fillna("").astype(str).to_numpy().tolist()
    caption = f"{len(excluded)} patients excluded: no result on this page counts them."
    return html_table(["Patient", "Scan", "Step", "Reason"], rows, caption)


def html_sections(sections: dict[str, str]) -> str:
    """Contents, then the sections, HTML by title."""
    ids = {name: name.lower().replace(" ", "-") for name in sections}
    links = " · ".join(f"<a href='#{ids[name]}'>{escape(name)}</a>" for name in sections)
    body = "\n".join(
        f"<section id='{ids[name]}'><h2>{escape(name)}</h2>\n{content}</section>"
        for name, content in sections.items()
    )
    return f"<nav>{links}</nav>\n{body}"


def run_write_report(
    layout: Layout, settings: Reporting, preset: str, seed: int, tables: Iterable[Table] = TABLES
) -> Path:
    """Writes `index.html`, which links to the figures beside its folder.

    Args:
        layout: Of the run: tables, figures and quality control are read.
        settings: Kept in the sidecar.
        preset: Name of the run's preset.
        seed: Run seed.
        tables: Those that `write-tables` wrote; optional ones are shown where they are there.

    Returns:
        The page.
    """
    started = time.perf_counter()
    there = [t for t in tables if not t.optional or layout.table(t.name).exists()]
    files = [layout.table(table.name) for table in there]
    shown = {
        table.name: html_table(*read_csv(path), table.caption)
        for table, path in zip(there, files, strict=True)
    }
    sections = {
        "Cohort": shown.pop("cohort"),
        "Figures": "\n".join(html_figure(name, text) for name, text in FIGURES.items()),
        "Results": "\n".join(shown.values()),
        "Quality": _quality(layout),
        "Run": _made_with(preset, seed),
    }
    title = "hemexp: drawn follow-ups of brain haemorrhage"
    write_text(
        layout.report, html_page(title, CSS, WARNING, REVIEW_LINK + html_sections(sections))
    )
    pictures = [layout.figure(name) for name in FIGURES]
    write_sidecars(
        [layout.report],
        verb="write-report",
        settings=settings.as_json(),
        started=started,
        inputs=[*files, *pictures, layout.qc, layout.excluded],
        seed=seed,
    )
    return layout.report


def _made_with(preset: str, seed: int) -> str:
    facts = {"Preset": preset, "Seed": str(seed), "Commit": git_id()} | versions()
    return html_table(["What", "Value"], list(facts.items()), "Made with:")


def _quality(layout: Layout) -> str:
    excluded, qc = read_table(layout.excluded), read_table(layout.qc)
    return "\n".join([QUALITY_LINK, html_excluded(excluded), html_remarks(qc)])


def read_csv(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table for people."""
    with path.open(encoding="utf-8", newline="") as handle:
        header, *rows = list(csv.reader(handle)) or [[]]
    return header, rows
