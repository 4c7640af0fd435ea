"""The glossary as a page, and which of its terms explains a column."""

import csv
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from hemexp import Fault, HemexpError
from hemexp.html import html_markdown, render
from hemexp.reporting.report.contents import COLUMNS, GLOSSARY_PAGE, GLOSSARY_SOURCE, page_file

GLOSSARY = page_file(GLOSSARY_PAGE)
_ENTRY = re.compile(r"^- \*\*(?P<term>[^*]+)\*\*: (?P<text>.+(?:\n  .+)*)", re.MULTILINE)
_INTERVAL = " [95 % CI]"


class Entry(NamedTuple):
    """A term of the glossary; `html` is its definition."""

    term: str
    anchor: str
    html: Markup


@cache
def read_glossary(path: Path = GLOSSARY_SOURCE) -> tuple[Entry, ...]:
    """All terms in their order.

    Raises:
        HemexpError: The file is not there or holds none.
    """
    if not path.is_file():
        cure = "Install hemexp again, or check the repository out with its symbolic links."
        raise HemexpError(Fault(str(path), "no file", "the glossary of hemexp", cure))
    found = list(_ENTRY.finditer(path.read_text(encoding="utf-8")))
    if not found:
        expected = "lines such as `- **term**: definition`"
        raise HemexpError(Fault(str(path), "no terms", expected, "Restore the file."))
    return tuple(
        Entry(one["term"], anchor(one["term"]), html_markdown(one["text"])) for one in found
    )


def anchor(term: str) -> str:
    """Where a term stands on its page: `copy (of baseline)` at `term-copy-of-baseline`."""
    return "term-" + re.sub(r"[^a-z0-9]+", "-", term.lower()).strip("-")


@cache
def _explained() -> list[tuple[re.Pattern[str], str]]:
    with COLUMNS.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [(re.compile(row["header"]), row["term"]) for row in rows]


def linked_terms() -> set[str]:
    """Every term that a column may lead to."""
    return {term for _, term in _explained()}


def term_of(header: str) -> str | None:
    """The term that explains a column: the first whose pattern its whole header meets."""
    name = header.removesuffix(_INTERVAL)
    return next((term for pattern, term in _explained() if pattern.fullmatch(name)), None)


def term_link(term: str, page: str = GLOSSARY) -> str:
    """Where a term is explained.

    Args:
        term: As the glossary spells it.
        page: That holds the glossary; empty: the page itself.
    """
    return f"{page}#{anchor(term)}"


def term_links(texts: list[str], page: str = GLOSSARY) -> dict[str, str]:
    """Where columns, or the names of scores, are explained, by text; unknown ones are left out."""
    return {text: term_link(term, page) for text in texts if (term := term_of(text))}


def link_terms(texts: list[str], page: str = GLOSSARY) -> list[str]:
    """The same texts, each with the way to its definition where there is one."""
    links, link = term_links(texts, page), Markup("<a href='{}'>{}</a>")
    return [link.format(links[text], text) if text in links else text for text in texts]


def html_glossary() -> Markup:
    """All terms with their definitions."""
    return render(Path(__file__).with_name("glossary.html"), entries=read_glossary())
