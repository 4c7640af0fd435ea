"""Links of pages that are read in the repository and on the site alike."""

import re
from collections.abc import Callable, Mapping
from posixpath import basename, dirname, join, normpath, relpath
from typing import NamedTuple

FENCE = re.compile(r"^ *(```|~~~)")
CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)(\s+\"[^\"]*\")?\)")
OUTSIDE = re.compile(r"[a-z][a-z0-9+.-]*:|#", re.IGNORECASE)


class Repository(NamedTuple):
    """What links may lead to.

    Attributes:
        places: Where files of the repository lie on the site.
        titles: What the navigation calls a page of the site.
        there: Whether the repository holds a path.
    """

    places: Mapping[str, str]
    titles: Mapping[str, str]
    there: Callable[[str], bool]


def rewrite_links(text: str, source: str, page: str, repository: Repository) -> str:
    """Turns links between files of the repository into links between pages of the site.

    A link that is called like its file is called like the page. A link to a file that is no page
    keeps its text, as code. One to what is not there stays, for mkdocs to refuse it.

    Args:
        text: Markdown, links relative to `source`.
        source: Where the text lies in the repository, such as `config/README.md`.
        page: Where it lies on the site, such as `reference/sheet.md`.
        repository: What is there to lead to.

    Returns:
        Markdown, links relative to `page`. Code, headings' anchors and outer links stay.
    """

    def rewritten(link: re.Match[str]) -> str:
        mark, words, target, tip = link.groups(default="")
        if OUTSIDE.match(target):
            return link[0]
        path, hash_mark, anchor = target.partition("#")
        path = normpath(join(dirname(source), path))
        place = repository.places.get(path)
        if place is None:
            words = words if words.startswith("`") else f"`{words}`"
            return words if repository.there(path) else link[0]
        if words.strip("`") in (path, basename(path)):
            words = repository.titles.get(place, words)
        new = relpath(place, dirname(page) or ".")
        return f"{mark}[{words}]({new}{hash_mark}{anchor}{tip})"

    return outside_fences(text, lambda part: _outside_code(part, rewritten))


def outside_fences(text: str, change: Callable[[str], str]) -> str:
    """Changes what stands outside fenced code, a stretch between two fences at a time."""
    parts, fence = [[]], ""
    for line in text.splitlines(keepends=True):
        found = FENCE.match(line)
        opens = found is not None and not fence
        closes = found is not None and found[1] == fence
        if opens:
            parts.append([])
            fence = found[1]
        parts[-1].append(line)
        if closes:
            parts.append([])
            fence = ""
    # Every second part is a fenced one.
    return "".join(
        "".join(lines) if number % 2 else change("".join(lines))
        for number, lines in enumerate(parts)
    )


def _outside_code(text: str, rewritten: Callable[[re.Match[str]], str]) -> str:
    """Rewrites links but those inside code; the words of a link may hold code."""
    done, start = [], 0
    while found := _next(text, start):
        done.append(text[start : found.start()])
        done.append(rewritten(found) if found.re is LINK else found[0])
        start = found.end()
    return "".join(done) + text[start:]


def _next(text: str, start: int) -> re.Match[str] | None:
    """The next link or code, whichever starts first."""
    found = [match for match in (LINK.search(text, start), CODE.search(text, start)) if match]
    return min(found, key=re.Match.start, default=None)
