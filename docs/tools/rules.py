"""The workflow's rules: in which room each stands, what it writes and hands on."""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DEFINED = re.compile(r"^ *(?:rule|checkpoint|use rule \w+ as) +(\w+)", re.MULTILINE)


Pair = tuple[str, str]
"""Who writes and who reads, rules or rooms."""


class Workflow(NamedTuple):
    """Rules that run in the embedded default.

    Attributes:
        rooms: Room of each rule, in the order of the rooms and of their files.
        writes: Kinds of files that each writes, such as `results/samples/sub-ID/volumes.tsv`.
        handed_on: Kinds of files that a rule writes and another reads, by both.
        of_one_patient: The same as far as the reader works for one patient of `test`.
    """

    rooms: dict[str, str]
    writes: dict[str, list[str]]
    handed_on: dict[Pair, set[str]]
    of_one_patient: dict[Pair, set[str]]

    def between_rooms(self) -> dict[Pair, set[str]]:
        """Kinds of files that go from a room to another, by both."""
        return _gathered(
            (self.rooms[start], self.rooms[end], file)
            for (start, end), files in self.handed_on.items()
            for file in files
        )


def read_workflow() -> Workflow:
    """Asks Snakemake for the rules of the embedded default.

    Raises:
        CalledProcessError: Snakemake cannot read the workflow; it has said why.
    """
    with tempfile.TemporaryDirectory() as folder:
        sheet = Path(folder, "config", "samples.tsv")
        sheet.parent.mkdir()
        shutil.copy(ROOT / "config" / "samples.tsv", sheet)
        program = Path(__file__).with_name("workflow_files.py")
        command = [sys.executable, program, ROOT / "Snakefile"]
        done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, check=True)
    found = json.loads(done.stdout)
    rooms = {rule: room for rule, room in rooms_of_rules().items() if found["writes"].get(rule)}
    # Rules that gather (`all`, `phantom`, ...) write nothing and run nothing.
    ways = ([way for way in found[key] if way[1] in rooms] for key in Workflow._fields[2:])
    return Workflow(rooms, found["writes"], *map(_gathered, ways))


def rooms_of_rules() -> dict[str, str]:
    """The room of every rule, in the order of the rooms and of their files."""
    included = re.findall(r"rules/(\w+)\.smk", (ROOT / "Snakefile").read_text(encoding="utf-8"))
    return {
        rule: room
        for room in included
        for rule in DEFINED.findall(
            (ROOT / "workflow" / "rules" / f"{room}.smk").read_text(encoding="utf-8")
        )
    }


def _gathered(ways: Iterable[tuple[str, str, str]]) -> dict[Pair, set[str]]:
    """Files by who writes and who reads them; what stays in one place is left out."""
    files = defaultdict(set)
    for start, end, file in ways:
        if start != end:
            files[start, end].add(file)
    return dict(files)


def reduced(arrows: Iterable[Pair]) -> set[Pair]:
    """Arrows without those that lead where a way over others leads too; there is no circle."""
    arrows, after = set(arrows), defaultdict(set)
    for start, end in arrows:
        after[start].add(end)

    def reached(start: str) -> set[str]:
        return after[start] | {far for end in after[start] for far in reached(end)}

    return {
        (start, end)
        for start, end in arrows
        if not any(end in reached(other) for other in after[start] - {end})
    }
