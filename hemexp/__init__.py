"""hemexp: many plausible follow-up CT scans of one brain haemorrhage, from its baseline scan.

An independent implementation of the HemExp method (arXiv 2606.15304) as a reproducible workflow.
Research software, not a medical device.
"""

from typing import NamedTuple

__version__ = "0.2.0"


class Fault(NamedTuple):
    """One thing that is wrong with an input, told so that it can be mended.

    Attributes:
        where: The patient, file, row, column or key that is at fault.
        found: What was found there.
        expected: What was expected instead.
        cure: What to do about it, as a sentence.
    """

    where: str
    found: str
    expected: str
    cure: str

    def __str__(self) -> str:
        """Says the fault in one line."""
        return f"{self.where}: found {self.found}; expected {self.expected}. {self.cure}"


class HemexpError(ValueError):
    """An input that the user can mend. Holds every fault found, not only the first."""

    def __init__(self, *faults: Fault, title: str = "") -> None:
        """Joins the faults, a line each, below an optional title."""
        self.faults = faults
        super().__init__("\n".join([*([title] if title else []), *map(str, faults)]))
