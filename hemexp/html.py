"""Pages that people read: templates escape whatever goes in; one style and one script for all."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

PAGES = Path(__file__).parent / "pages"
"""Templates that all rooms share, the style and the script."""


class Link(NamedTuple):
    """A way to another page.

    Attributes:
        href: Where it leads, seen from the page.
        words: Its name.
        about: What is there; empty where the name says it.
        here: Whether it leads to the page itself.
    """

    href: str
    words: str
    about: str = ""
    here: bool = False


def render(template: Path, **values: Any) -> Markup:  # noqa: ANN401
    """Fills a template in, which may use those of `PAGES` too.

    Args:
        template: A file of jinja2.
        **values: By the names that it uses. Text is escaped, `Markup` is not.

    Returns:
        HTML.

    Raises:
        jinja2.UndefinedError: A name that the template uses is missing.
    """
    return Markup(_environment(template.parent).get_template(template.name).render(values))


@cache
def _environment(folder: Path) -> Environment:
    # A name without a value would leave a gap that nobody sees.
    return Environment(
        loader=FileSystemLoader([folder, PAGES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def html_page(
    title: str, css: str, notice: str, body: str, nav: Iterable[Link] = (), script: bool = False
) -> str:
    """A whole page: ways to others, heading, the notice in its box, then the body.

    Args:
        title: Of the page.
        css: Of this page alone, after the style of all.
        notice: In its box, on screen and in print.
        body: HTML.
        nav: Pages beside this one.
        script: Whether tables can be sorted and searched.
    """
    style = (PAGES / "style.css").read_text(encoding="utf-8")
    code = (PAGES / "page.js").read_text(encoding="utf-8") if script else ""
    return render(
        PAGES / "page.html",
        title=title,
        css=Markup(style + css),
        notice=notice,
        body=Markup(body),
        nav=list(nav),
        script=Markup(code),
    )


def html_markdown(text: str) -> Markup:
    """The words of a paragraph of Markdown; HTML in it stays text."""
    return Markup(MarkdownIt("commonmark", {"html": False}).renderInline(text))


def html_png(png: bytes, alt: str) -> Markup:
    """A picture with its bytes in the page."""
    data = base64.b64encode(png).decode("ascii")
    return Markup("<img alt='{}' decoding='async' src='data:image/png;base64,{}'>").format(
        alt, data
    )


def html_figure(png: bytes, alt: str, caption: str, vector: str = "") -> Markup:
    """A figure with its caption.

    Args:
        png: The picture.
        alt: What is to be seen, for who does not see it.
        caption: Below it.
        vector: Where its vector file lies, seen from the page; empty: nowhere.
    """
    return render(
        PAGES / "figure.html", picture=html_png(png, alt), caption=caption, vector=vector
    )


def html_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    caption: str,
    *,
    named: bool = False,
    terms: Mapping[str, str] | None = None,
) -> Markup:
    """A table; says so when it is empty.

    Args:
        header: A cell a column.
        rows: Cells, row by row: text or `Markup`.
        caption: Above the table.
        named: The first cell of every row is its name.
        terms: Where a column is explained, by its header.
    """
    return render(
        PAGES / "table.html",
        header=header,
        rows=rows,
        caption=caption,
        named=named,
        terms=terms or {},
    )
