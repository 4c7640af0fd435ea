"""One page that holds all a reviewer asks for and needs no other, and what lies beside it."""

import csv
import io
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from hemexp.html import html_table
from hemexp.layout import Layout
from hemexp.provenance import write_sidecars, write_text
from hemexp.reporting.catalogue import FIGURES, TABLES
from hemexp.reporting.checklists import CHECKLISTS, HEADER, STATUS, TITLES, fill_checklist
from hemexp.reporting.failures import read_failures
from hemexp.reporting.model_card import card_html, card_markdown, read_made, write_sections
from hemexp.reporting.page import (
    html_excluded,
    html_sections,
    report_page,
    show_figure,
    show_table,
)
from hemexp.reporting.reader import Reader
from hemexp.reporting.report.glossary import html_glossary, term_links
from hemexp.reporting.run_facts import read_facts
from hemexp.settings import Reporting

SECTIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Patients": (("flow",), ("cohort", "missing")),
    "Volumes": (("growth", "calibration"), ("forecasts", "comparisons", "coverage")),
    "Expansion": (
        ("roc", "decision_curve", "calibration_curves", "reliability"),
        ("expansion", "thresholds", "decisions"),
    ),
    "Maps": (("expansion_maps",), ("maps",)),
    "Subgroups": (("subgroups",), ("subgroups",)),
    "What if": (("what_if_maps",), ("what_if_images",)),
    "Failures": (("failures",), ()),
    "Robustness": ((), ("robustness",)),
}
"""Figures and tables of the catalogue that a section shows, in this order."""

FAILURES_CAPTION = (
    "The scored patients with the greatest CRPS of follow-up IPH volume, at most ten. Place of "
    "the truth: the share of the forecast below what happened. What went wrong is found by rule: "
    "growth outside the 90 % interval; IVH growth of 1 mL or more; a follow-up mask whose Dice "
    "with what looks like blood is below 0.7; marks of the quality control; a fifth of the "
    "samples or more that disagree with what they were told."
)


def html_shown(layout: Layout, section: str) -> list[Markup]:
    """Figures and tables of a section, as far as the catalogue has them."""
    figures, tables = SECTIONS[section]
    known = {table.name: table for table in TABLES}
    shown = [show_figure(layout, name, alone=True) for name in figures if name in FIGURES]
    return shown + [show_table(layout, known[name], "") for name in tables if name in known]


def html_checklist(name: str, rows: Sequence[Sequence[str]]) -> Markup:
    """A filled-in checklist; says how much of it is open."""
    counts = Counter(row[HEADER.index("Answered by")] for row in rows)
    told = ", ".join(f"{counts[status]} by {status}" for status in STATUS.values())
    caption = (
        f"{CHECKLISTS[name]}, items in this project's words. Answered: {told}. A manuscript goes "
        "with the original."
    )
    return html_table(HEADER, rows, caption)


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Writes a CSV whole or not at all."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    write_text(path, text.getvalue())


def run_write_review(layout: Layout, settings: Reporting, preset: str, seed: int) -> None:
    """Writes `review.html`, the model card, the checklists and the table of failures.

    Args:
        layout: Of the run: tables, figures, evaluation, cohort and records are read.
        settings: Kept in the sidecars.
        preset: Name of the run's preset.
        seed: Run seed.
    """
    started, reader = time.perf_counter(), Reader(layout)
    facts = read_facts(reader, seed)
    card = write_sections(facts, [f"Preset {preset}, seed {seed}.", *read_made(reader)])
    lists = {name: fill_checklist(name, facts) for name in CHECKLISTS}
    failures = read_failures(reader)
    header, failed = list(failures), [list(map(str, row)) for row in failures.to_numpy().tolist()]
    write_text(layout.model_card, card_markdown(card))
    write_csv(layout.failures, header, failed)
    for name, rows in lists.items():
        write_csv(layout.checklist(name), HEADER, rows)
    sections = {name: shown for name in SECTIONS if (shown := html_shown(layout, name))}
    sections["Patients"].append(html_excluded(reader.table(layout.excluded)))
    sections["Failures"].append(
        html_table(header, failed, FAILURES_CAPTION, terms=term_links(header, ""))
    )
    sections["Model card"] = [card_html(card)]
    sections |= {TITLES[name]: [html_checklist(name, rows)] for name, rows in lists.items()}
    sections["Glossary"] = [html_glossary()]
    page = report_page("hemexp: for a reviewer", html_sections(sections))
    write_text(layout.review, page)
    write_sidecars(
        [layout.review, layout.model_card, layout.failures, *map(layout.checklist, CHECKLISTS)],
        verb="write-review",
        settings=settings.as_json(),
        inputs=sorted({*reader.seen, *_shown_files(layout)}),
        started=started,
        seed=seed,
    )


def _shown_files(layout: Layout) -> list[Path]:
    names = {table.name for table in TABLES}
    files = [layout.figure(n) for figures, _ in SECTIONS.values() for n in figures if n in FIGURES]
    return files + [
        layout.table(n) for _, tables in SECTIONS.values() for n in tables if n in names
    ]
