"""Pieces of the pages that people read: text goes in as it is and is escaped here."""

import base64
from collections.abc import Sequence
from html import escape


def html_page(title: str, css: str, notice: str, body: str) -> str:
    """A whole page: heading, the notice in its box, then the body as HTML."""
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{css}</style></head>\n<body><h1>{escape(title)}</h1>"
        f"<p class='notice' role='note'>{escape(notice)}</p>\n{body}\n"
        "</body></html>\n"
    )


def html_png(png: bytes, alt: str) -> str:
    """A picture with its bytes in the page."""
    data = base64.b64encode(png).decode("ascii")
    return f"<img alt='{escape(alt)}' decoding='async' src='data:image/png;base64,{data}'>"


def html_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], caption: str, *, named: bool = False
) -> str:
    """A table; says so when it is empty.

    Args:
        header: A cell a column.
        rows: Cells, row by row.
        caption: Above the table.
        named: The first cell of every row is its name.
    """
    if not rows:
        return f"<p>{escape(caption)} <em>No rows.</em></p>"
    head = "".join(f"<th scope='col'>{escape(cell)}</th>" for cell in header)
    body = "\n".join(f"<tr>{_cells(row, named)}</tr>" for row in rows)
    return (
        f"<div class='wide'><table><caption>{escape(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


def _cells(row: Sequence[str], named: bool) -> str:
    name = f"<th scope='row'>{escape(row[0])}</th>" if named else ""
    return name + "".join(f"<td>{escape(cell)}</td>" for cell in row[named:])
