"""Pieces that the pages of the report and that for a reviewer share."""

import csv
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from hemexp.html import Link, html_figure, html_page, html_table, render
from hemexp.layout import Layout
from hemexp.notice import NOTICE
from hemexp.reporting.catalogue import FIGURES, Table
from hemexp.reporting.report.contents import ALL_PAGES, page_file
from hemexp.reporting.report.glossary import GLOSSARY, link_terms, term_links

WARNING = (
    f"{NOTICE} The images and numbers on this page are drawn by a "
    "statistical model; they must not be used for the care of a patient."
)

PRINT_CSS = (
    "@page{size:A4 landscape;margin:10mm}"
    "@media print{body{font-size:9pt}img{max-height:150mm;width:auto}}"
)
"""Tables are wide, and a figure fits on a page."""

SCORE = "Score"
"""Column whose cells are names of scores."""


def report_page(title: str, body: str, nav: Iterable[Link] = ()) -> str:
    """A page whose tables can be sorted.

    Args:
        title: Its heading.
        body: HTML.
        nav: Ways to other pages.
    """
    return html_page(title, PRINT_CSS, WARNING, body, nav, script=True)


def nav_links(here: str = "") -> list[Link]:
    """Ways from one page of the report to all.

    Args:
        here: The page that they stand on: a name of `ALL_PAGES`.
    """
    return [
        Link(page_file(name), page.words, page.about, name == here)
        for name, page in ALL_PAGES.items()
    ]


def html_sections(sections: dict[str, list[str]]) -> Markup:
    """Contents, then the sections: pieces of HTML by title."""
    parts = [
        (name.lower().replace(" ", "-"), name, [Markup(piece) for piece in pieces])
        for name, pieces in sections.items()
    ]
    return render(Path(__file__).parent / "report" / "sections.html", sections=parts)


def show_table(layout: Layout, table: Table, glossary: str = GLOSSARY) -> Markup:
    """A table of the catalogue; columns and names of scores lead to their definitions.

    Args:
        layout: Of the run.
        table: Of the catalogue.
        glossary: Page that holds it; empty: the page itself.
    """
    header, rows = read_csv(layout.table(table.name))
    if SCORE in header:
        place = header.index(SCORE)
        named = zip(rows, link_terms([row[place] for row in rows], glossary), strict=True)
        rows = [[*row[:place], name, *row[place + 1 :]] for row, name in named]
    return html_table(header, rows, table.caption, terms=term_links(header, glossary))


def show_figure(layout: Layout, name: str, *, alone: bool = False) -> Markup:
    """A figure with its bytes in the page, so that the page can be shown alone.

    Args:
        layout: Of the run.
        name: Of the catalogue.
        alone: Without a link to the vector file.
    """
    figure = FIGURES[name]
    vector = "" if alone else address(layout.figure(name, "svg"), layout)
    return html_figure(layout.figure(name).read_bytes(), figure.alt, figure.caption, vector)


def address(path: Path, layout: Layout) -> str:
    """Where a file of the run lies, seen from the pages of the report."""
    if path.parent == layout.report.parent:
        return path.name
    return f"../{path.relative_to(layout.root).as_posix()}"


def html_remarks(qc: pd.DataFrame) -> Markup:
    """The scans that quality control marked, with the reason.

    Args:
        qc: `qc.tsv`: one row a scan, with patient_id, session, status, reason.
    """
    marked = qc[qc["status"] != "ok"]
    counts = f"{len(qc)} scans checked, {len(marked)} marked."
    columns = ["patient_id", "session", "status", "reason"]
    rows = marked[columns].fillna("").astype(str).to_numpy().tolist()
    return html_table(["Patient", "Scan", "Status", "Reason"], rows, counts)


def html_excluded(excluded: pd.DataFrame) -> Markup:
    """The patients whom preprocessing could not use; nothing when there are none.

    Args:
        excluded: `excluded.tsv`: one row a patient, with patient_id, session, step, reason.
    """
    if excluded.empty:
        return Markup()
    rows = excluded.fillna("").astype(str).to_numpy().tolist()
    caption = f"{len(excluded)} patients excluded: no result on this page counts them."
    return html_table(["Patient", "Scan", "Step", "Reason"], rows, caption)


def read_csv(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table for people."""
    with path.open(encoding="utf-8", newline="") as handle:
        header, *rows = list(csv.reader(handle)) or [[]]
    return header, rows
