"""What a reader of the quality control should know of a scan that is used all the same."""

from collections.abc import Iterable
from typing import NamedTuple


class Remark(NamedTuple):
    """One thing that was seen or mended.

    Attributes:
        words: A phrase for people.
        doubtful: Whether somebody should look: the scan is then marked `warning`. Else a note.
    """

    words: str
    doubtful: bool = False


def notes_of(remarks: Iterable[Remark]) -> tuple[str, ...]:
    """The words of what is merely told."""
    return tuple(remark.words for remark in remarks if not remark.doubtful)


def warnings_of(remarks: Iterable[Remark]) -> tuple[str, ...]:
    """The words of what somebody should look at."""
    return tuple(remark.words for remark in remarks if remark.doubtful)
