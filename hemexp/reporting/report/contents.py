"""Which page of the report shows what. Light: the workflow reads it at every start."""

from pathlib import Path
from typing import NamedTuple

from hemexp.provenance import PACKAGE
from hemexp.reporting.catalogue import entries

HEADLINE_TABLES = ("forecasts", "expected", "expansion", "maps", "consistency")
"""Evaluation tables that the headline stands in."""

METHODS, MADE_WITH = "Methods", "Made with"
"""Sections without a table or figure of the catalogue."""

GLOSSARY_SOURCE = PACKAGE / "shipped" / "reference" / "glossary.md"
"""The repository's `docs/reference/glossary.md`, or the wheel's copy of it."""

COLUMNS = Path(__file__).with_name("columns.tsv")
"""Pattern of a column's header, without its interval, and the term that explains it."""


class Page(NamedTuple):
    """A page beside `index.html`.

    Attributes:
        words: Its name.
        about: What is there.
        sections: Of the catalogue, in their order; none where a page is made in its own way.
    """

    words: str
    about: str
    sections: tuple[str, ...] = ()


PATIENTS_PAGE, GLOSSARY_PAGE = "patients", "glossary"
PAGES = {
    PATIENTS_PAGE: Page(
        "Patients", "Every patient with forecast, masks and checks. Search, sort, and open one."
    ),
    "cohort": Page(
        "Cohort",
        "Who the patients are, who was left out, and what is unknown of them.",
        (entries.PATIENTS,),
    ),
    "forecasts": Page(
        "Forecasts",
        "How good forecast volumes and probabilities are, in subgroups too, and what if.",
        (
            entries.VOLUMES,
            entries.EXPANSION,
            entries.SUBGROUPS,
            entries.WHAT_IF,
            entries.ROBUSTNESS,
            entries.ABLATIONS,
            entries.ORACLE,
        ),
    ),
    "images": Page(
        "Images",
        "Drawn follow-ups beside true ones, maps of new blood, and whether image and table agree.",
        (entries.DRAWN, entries.MAPS, entries.IMAGES, entries.ONE_THING, entries.WHAT_IF_IMAGES),
    ),
    "quality": Page(
        "Quality",
        "What is doubtful: scans, registration, the worst forecasts, the autoencoder.",
        (entries.SCANS, entries.FAILURES, entries.AUTOENCODER),
    ),
    "making": Page(
        "Methods",
        "How this run was made, in sentences; trainings; versions.",
        (METHODS, entries.TRAINING, MADE_WITH),
    ),
    GLOSSARY_PAGE: Page("Glossary", "What every word and every column means."),
}
"""By the name of the file."""

ALL_PAGES = {
    "index": Page("Overview", "What was done, how good it is, and where to look."),
    **PAGES,
    "review": Page(
        "Review", "For a reviewer: patient flow, failures, robustness, model card, checklists."
    ),
}
"""With those that have places of their own in the layout."""


def page_file(name: str) -> str:
    """A page's address, seen from the pages beside it."""
    return f"{name}.html"


def report_files() -> list[Path]:
    """What these pages are made of besides code, so that a rule can hash it."""
    return [*sorted(Path(__file__).parent.glob("*.html")), COLUMNS, GLOSSARY_SOURCE]
