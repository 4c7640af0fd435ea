"""Lists as Python-Markdown reads them.

GitHub takes a list right below a paragraph, and what an item holds is as far in as its first word.
Python-Markdown wants an empty line before the list, and four spaces a level.
"""

import re

from links import FENCE

ITEM = re.compile(r"( *)([-*+]|\d+[.)]) +(?=\S)")
SPACES = 4


def indent_lists(text: str) -> str:
    """Rewrites lists of GitHub's Markdown for Python-Markdown.

    Args:
        text: Markdown; what an item holds is indented as far as the item's first word.

    Returns:
        The same with an empty line before each list and four spaces a level.
    """
    lines: list[str] = []
    # How far in what the open items hold stands in the source, the outermost first.
    inside: list[int] = []
    listed, fence = False, ""
    for line in text.splitlines():
        spaces = len(line) - len(line.lstrip())
        found = FENCE.match(line)
        item = None if fence or found else ITEM.match(line)
        if line.strip() and not fence and (item or found or not _goes_on(lines)):
            listed = bool(inside)
            inside = [depth for depth in inside if depth <= spaces]
        if item and not inside and not listed and _goes_on(lines):
            lines.append("")
        left = spaces - (inside[-1] if inside else 0)
        indent = SPACES * len(inside) + max(left, 0) if inside else spaces
        lines.append((" " * indent + line.lstrip()) if line.strip() else "")
        if item:
            inside.append(item.end())
        if found:
            fence = "" if found[1] == fence else fence or found[1]
    return "\n".join(lines) + "\n"


def _goes_on(lines: list[str]) -> bool:
    """Whether the next line may belong to the paragraph above it."""
    return bool(lines and lines[-1].strip())
