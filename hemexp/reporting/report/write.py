"""Verb `write-report`: the pages of the cohort's report."""

import time
from collections.abc import Iterable
from pathlib import Path

from markupsafe import Markup

from hemexp.html import html_markdown, html_table
from hemexp.layout import Layout
from hemexp.provenance import git_id, versions, write_sidecars, write_text
from hemexp.reporting.catalogue import FIGURES, TABLES, Table
from hemexp.reporting.catalogue.entries import SCANS
from hemexp.reporting.flow import read_flow
from hemexp.reporting.methods import make_paragraphs
from hemexp.reporting.page import (
    address,
    html_excluded,
    html_remarks,
    html_sections,
    nav_links,
    report_page,
    show_figure,
    show_table,
)
from hemexp.reporting.reader import Reader
from hemexp.reporting.report.contents import (
    GLOSSARY_PAGE,
    HEADLINE_TABLES,
    MADE_WITH,
    METHODS,
    PAGES,
    PATIENTS_PAGE,
)
from hemexp.reporting.report.glossary import html_glossary
from hemexp.reporting.report.overview import html_overview, html_scores, say_done
from hemexp.reporting.report.patients import html_patients
from hemexp.settings import Reporting

TITLE = "hemexp: drawn follow-ups of brain haemorrhage"
QUALITY_WORDS = "Every patient with pictures, worst first"


def html_of_section(
    layout: Layout, section: str, tables: Iterable[Table], first: Iterable[Markup] = ()
) -> list[Markup]:
    """A section's own pieces, then its figures and tables in the catalogue's order.

    Args:
        layout: Of the run.
        section: Its title.
        tables: Those that are there.
        first: What no catalogue knows.
    """
    figures = [
        show_figure(layout, name) for name, one in FIGURES.items() if one.section == section
    ]
    return [*first, *figures, *(show_table(layout, t) for t in tables if t.section == section)]


def make_bodies(reader: Reader, tables: list[Table], preset: str, seed: int) -> dict[str, Markup]:
    """What the pages hold, by their names in `contents.ALL_PAGES`; not that of the review.

    Args:
        reader: Of the results.
        tables: Those that are there.
        preset: Name of the run's preset.
        seed: Run seed.
    """
    layout, patients = reader.layout, reader.patients()
    own = {
        SCANS: html_scans(reader),
        METHODS: html_methods(layout),
        MADE_WITH: [html_made_with(preset, seed)],
    }
    scores = html_scores({name: reader.table(layout.evaluation(name)) for name in HEADLINE_TABLES})
    facts = say_done(read_flow(reader), patients["samples"], preset, seed)
    bodies = {"index": html_overview(facts, scores)}
    for name, page in PAGES.items():
        pieces = {
            section: html_of_section(layout, section, tables, own.get(section, ()))
            for section in page.sections
        }
        bodies[name] = html_sections({section: each for section, each in pieces.items() if each})
    bodies[PATIENTS_PAGE] = html_patients(patients, layout)
    return bodies | {GLOSSARY_PAGE: html_glossary()}


def run_write_report(
    layout: Layout, settings: Reporting, preset: str, seed: int, tables: Iterable[Table] = TABLES
) -> list[Path]:
    """Writes `index.html` and the pages beside it.

    Args:
        layout: Of the run: tables, figures, cohort, samples and quality control are read.
        settings: Kept in the sidecars.
        preset: Name of the run's preset.
        seed: Run seed.
        tables: Those that `write-tables` wrote; optional ones are shown where they are there.

    Returns:
        The pages, `index.html` first.
    """
    started, reader = time.perf_counter(), Reader(layout)
    there = [t for t in tables if not t.optional or layout.table(t.name).exists()]
    pages = []
    for name, body in make_bodies(reader, there, preset, seed).items():
        title = TITLE if name == "index" else PAGES[name].words
        pages.append(layout.report_page(name))
        write_text(pages[-1], report_page(title, body, nav_links(name)))
    shown = [layout.table(table.name) for table in there] + [layout.figure(n) for n in FIGURES]
    write_sidecars(
        pages,
        verb="write-report",
        settings=settings.as_json(),
        started=started,
        inputs=sorted({*shown, *reader.seen}),
        seed=seed,
    )
    return pages


def html_scans(reader: Reader) -> list[Markup]:
    """Where the pictures are, who was left out, and which scans are doubtful."""
    layout = reader.layout
    link = Markup("<p>{}: <a href='{}'>quality control</a>.</p>")
    return [
        link.format(QUALITY_WORDS, address(layout.qc_page, layout)),
        html_excluded(reader.table(layout.excluded)),
        html_remarks(reader.table(layout.qc)),
    ]


def html_methods(layout: Layout) -> list[Markup]:
    """How the run was made, a paragraph a part."""
    paragraph = Markup("<p><strong>{}.</strong> {}</p>")
    parts = make_paragraphs(layout)
    return [paragraph.format(name, html_markdown(text)) for name, text in parts.items()]


def html_made_with(preset: str, seed: int) -> Markup:
    """What a run is told apart by."""
    facts = {"Preset": preset, "Seed": str(seed), "Commit": git_id()} | versions()
    return html_table(["What", "Value"], [*facts.items()], "What made this page.", named=True)
