"""Reporting checklists as data: item number, what it asks for in our words, what a run answers.

TRIPOD+AI: Collins 2024, BMJ 385:e078378 (27 items, 52 with their parts). CLAIM 2024: Tejani 2024,
Radiol Artif Intell 6(4):e240300 (44 items). Their texts are the publishers'; a manuscript goes
with the originals.
"""

import csv
from collections.abc import Mapping
from pathlib import Path

CHECKLISTS = {
    "tripod_ai": "TRIPOD+AI (Collins et al., BMJ 2024;385:e078378)",
    "claim": "CLAIM 2024 (Tejani et al., Radiol Artif Intell 2024;6(4):e240300)",
}
"""Name of the file, and what it is."""

TITLES = {name: source.split(" (")[0] for name, source in CHECKLISTS.items()}

HEADER = ("Item", "Section", "Asks for", "Answered by", "Answer", "Where in results/")
STATUS = {"run": "the run", "partly": "the run and the authors", "authors": "the authors"}
OPEN = "Open: for the authors."


def checklist_file(name: str) -> Path:
    """The TSV of a checklist, inside the package."""
    return Path(__file__).with_name(f"{name}.tsv")


def read_items(name: str) -> list[dict[str, str]]:
    """Items of a checklist: item, section, topic, status, answer, where."""
    with checklist_file(name).open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE))


def fill_checklist(name: str, facts: Mapping[str, str]) -> list[list[str]]:
    """A checklist as far as a run knows, its rows under `HEADER`.

    Args:
        name: One of `CHECKLISTS`.
        facts: What stands for the names in braces.

    Raises:
        KeyError: An answer names a fact that is not there.
    """
    return [
        [
            item["item"],
            item["section"],
            item["topic"],
            STATUS[item["status"]],
            item["answer"].format_map(facts) or OPEN,
            item["where"],
        ]
        for item in read_items(name)
    ]
