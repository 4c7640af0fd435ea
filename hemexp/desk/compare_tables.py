"""Which cells differ between two folders of tables: for runs on two machines."""

import contextlib
import csv
import io
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hemexp import Fault, HemexpError
from hemexp.layout import Layout

SEPARATORS = {".tsv": "\t", ".csv": ","}
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?!\w)")
"""A number that stands by itself, as in `3.36 [2.30, 4.40]`; not that of a name such as `D01`."""


def read_cells(path: Path) -> list[list[str]]:
    """Every row of a table as text, the header first."""
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.reader(handle, delimiter=SEPARATORS[path.suffix]))


def last_digit(cell: str, found: re.Match[str]) -> float:
    """How much a unit in the last digit shown is, for rounding may turn it.

    A whole number counts something and may not turn, unless it is a percentage.
    """
    _, point, decimals = found[0].partition(".")
    if "e" in found[0].lower():
        return 0.0
    if point:
        return 10.0 ** -len(decimals)
    return float(cell[found.end() :].lstrip().startswith("%"))


def is_equal(one: str, other: str, tolerance: float) -> bool:
    """Whether two cells are the same text, its numbers apart by no more than the tolerance.

    Args:
        one: A cell.
        other: A cell.
        tolerance: Largest difference relative to the larger number; below 1 it is absolute, so
            that a p of 0.0001 and one of 0.0002 are alike to a tolerance of 0.001. Above 0 it also
            allows what rounding makes of a small difference: one unit in the last digit shown.
    """
    if one == other:
        return True
    if tolerance == 0 or NUMBER.split(one) != NUMBER.split(other):
        return False
    for a, b in zip(NUMBER.finditer(one), NUMBER.finditer(other), strict=True):
        x, y = float(a[0]), float(b[0])
        rounding = 1.001 * min(last_digit(one, a), last_digit(other, b))
        if abs(x - y) > max(tolerance * max(1.0, abs(x), abs(y)), rounding):
            return False
    return True


def differing_cells(one: Path, other: Path, tolerance: float) -> list[str]:
    """Every difference between two tables, a line each, with row and column."""
    a, b = read_cells(one), read_cells(other)
    if a[:1] != b[:1]:
        return [f"{one.name}: columns {a[:1]} and {b[:1]}"]
    if len(a) != len(b):
        return [f"{one.name}: {len(a) - 1} and {len(b) - 1} rows"]
    return [
        f"{one.name}, row {number}, {column}: {x!r} and {y!r}"
        for number, (row, other_row) in enumerate(zip(a[1:], b[1:], strict=True), 1)
        for column, x, y in zip(a[0], row, other_row, strict=True)
        if not is_equal(x, y, tolerance)
    ]


def compare_folders(
    one: Path, other: Path, tolerance: float, left_out: str | None = None
) -> list[str]:
    """Differences between all tables of two folders, and tables that only one of them has.

    Args:
        one: Folder of tables.
        other: Another one.
        tolerance: As `is_equal` takes it.
        left_out: File name of a table that is not compared.
    """
    tables = [
        {
            path.relative_to(folder)
            for path in folder.rglob("*")
            if path.suffix in SEPARATORS and path.name != left_out
        }
        for folder in (one, other)
    ]
    if not tables[0] | tables[1]:
        raise HemexpError(
            Fault(
                f"{one} and {other}",
                "no table",
                "folders that hold .tsv or .csv files",
                "Name folders such as results/tables or results/evaluation.",
            )
        )
    alone = [
        f"{name}: only in {folder}"
        for folder, names in ((one, tables[0] - tables[1]), (other, tables[1] - tables[0]))
        for name in sorted(names)
    ]
    return alone + [
        line
        for name in sorted(tables[0] & tables[1])
        for line in differing_cells(one / name, other / name, tolerance)
    ]


@contextlib.contextmanager
def committed(folder: Path) -> Iterator[Path]:
    """What git's last commit holds of a folder, as a folder for the time of the block.

    Raises:
        HemexpError: The folder lies in no repository, or the commit holds nothing of it.
    """
    command = ["git", "-C", str(folder), "archive", "--format=tar", "HEAD", "."]
    try:
        archive = subprocess.run(command, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", b"").decode(errors="replace").strip() or str(error)
        raise HemexpError(
            Fault(
                str(folder),
                f"no committed tables ({said})",
                "a folder of a git checkout",
                "Name the folder to compare it with.",
            )
        ) from error
    with tempfile.TemporaryDirectory() as place, tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        folder = Path(place, "last_commit")  # a table that the run lacks is told to be only there
        tar.extractall(folder, filter="data")
        yield folder


def run_compare_tables(one: Path, other: Path | None, tolerance: float) -> int:
    """Prints every difference, or that there is none; gives their number.

    Args:
        one: Folder of tables.
        other: Another one; None: what git's last commit holds of the first.
        tolerance: As `is_equal` takes it.
    """
    of_patients = None if other else Layout().patients.name  # no commit has it
    with contextlib.nullcontext(other) if other else committed(one) as beside:
        found = compare_folders(one, beside, tolerance, of_patients)
    for line in found:
        print(line)
    within = f"within tolerance {tolerance:g}"
    print(f"not the same {within}: {len(found)} differences" if found else f"same {within}")
    return len(found)
