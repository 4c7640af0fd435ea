"""What a table and a figure for people are, and the sections of the report that they stand in."""

from typing import NamedTuple

PATIENTS = "Patients"
SCANS = "Scans"
VOLUMES = "Volumes"
EXPANSION = "Expansion"
SUBGROUPS = "Subgroups"
WHAT_IF = "What if"
ROBUSTNESS = "Robustness"
ABLATIONS = "Ablations"
ORACLE = "Samples that knew the outcome"
DRAWN = "Drawn follow-ups"
MAPS = "Maps"
IMAGES = "Overlap and likeness"
ONE_THING = "Does a drawn scan show what its table says?"
WHAT_IF_IMAGES = "What if, in images"
FAILURES = "Failures"
AUTOENCODER = "Autoencoder"
TRAINING = "Training"


class Table(NamedTuple):
    """A table for people, as CSV, as LaTeX and on a page.

    Attributes:
        name: Of its files.
        section: Of the report.
        caption: Stands beside it wherever it is shown.
        made_by: `module:function` of this room that makes it.
        sources: What the function takes: `evaluation:NAME` and `growth:NAME` are tables of the
            rooms evaluation and expansion; the others are listed in `tables.read_source`.
        optional: Left out of a run that lacks its sources.
    """

    name: str
    section: str
    caption: str
    made_by: str
    sources: tuple[str, ...]
    optional: bool = False


class Figure(NamedTuple):
    """A figure for people, as PNG and SVG and on a page.

    Attributes:
        section: Of the report.
        caption: Stands below it wherever it is shown.
        alt: What is to be seen, for who does not see it.
    """

    section: str
    caption: str
    alt: str
