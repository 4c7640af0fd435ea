"""How long the sentences of the documentation are, page by page.

    python benchmarks/readability.py

Prints a row a page: words, sentences, median and 90th percentile of words a sentence, and the
sentences with five or more numbers. Code, tables, headings and pictures do not count. An item of a
list ends its sentence. Code within a sentence is one word and no number.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).parents[1]
OUTSIDE = ("README.md", "CONTRIBUTING.md", "config/README.md", "results/README.md")
MANY_NUMBERS = 5

FENCE = re.compile(r"^ *(```|~~~).*?^ *\1 *$", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
NO_PROSE = re.compile(r"^ *(\||#|:::|<|---+$|\$\$).*$", re.MULTILINE)
FORMULA = re.compile(r"\$\$.+?\$\$|\$[^$\n]+\$", re.DOTALL)
PICTURE = re.compile(r"!\[[^\]]*\]\([^)]*\)")
LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\([^)]*\)")
CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
ITEM = re.compile(r"^ *(>|[-*+] |\d+[.)] |\[\^)", re.MULTILINE)
END = re.compile(r"(?<=[.!?])[*_\"')\]]*\s+(?=[^a-z\s])")
NUMBER = re.compile(r"(?<![\w.])[-+]?\.?\d[\d.,]*")


class Row(NamedTuple):
    """What is measured of a page.

    Attributes:
        words: All of them.
        sentences: Number.
        median: Words a sentence.
        p90: Words that nine of ten sentences do not exceed.
        crowded: Sentences with `MANY_NUMBERS` numbers or more.
    """

    words: int
    sentences: int
    median: float
    p90: float
    crowded: int


def pages() -> list[Path]:
    """All pages that people read, but the changelog."""
    return [*(ROOT / name for name in OUTSIDE), *sorted((ROOT / "docs").rglob("*.md"))]


def prose(text: str) -> str:
    """The text without code blocks, tables, headings, pictures; code and formulas are a word."""
    text = NO_PROSE.sub("\n", COMMENT.sub("", FENCE.sub("\n\n", text)))
    text = LINK.sub(r"\1", PICTURE.sub("", text))
    return FORMULA.sub("formula", CODE.sub("code", text))


def sentences(text: str) -> list[str]:
    """The sentences of a page, in order.

    Args:
        text: Markdown.
    """
    blocks = re.split(r"\n\s*\n", ITEM.sub("\n\n", prose(text)))
    found = [part for block in blocks for part in END.split(" ".join(block.split()))]
    return [part for part in found if re.search(r"\w", part)]


def measure(text: str) -> Row:
    """Measures a page.

    Args:
        text: Markdown.
    """
    found = sentences(text)
    words = [len([word for word in part.split() if re.search(r"\w", word)]) for part in found]
    crowded = sum(len(NUMBER.findall(part)) >= MANY_NUMBERS for part in found)
    middle, most = np.percentile(words, [50, 90]) if words else (0.0, 0.0)
    return Row(sum(words), len(found), float(middle), float(most), crowded)


def main() -> None:
    """Prints a row a page, then all pages as one."""
    texts = {page.relative_to(ROOT).as_posix(): page.read_text("utf-8") for page in pages()}
    texts["all"] = "\n\n".join(texts.values())
    print(f"{'page':40} {'words':>6} {'sent.':>6} {'median':>7} {'p90':>5} {'crowded':>8}")
    for name, text in texts.items():
        row = measure(text)
        numbers = f"{row.words:6d} {row.sentences:6d} {row.median:7.1f} {row.p90:5.0f}"
        print(f"{name:40} {numbers} {row.crowded:8d}")


if __name__ == "__main__":
    main()
