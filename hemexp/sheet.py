"""The sample sheet: every row read and checked as plain values, all faults told at once.

No pandas here: the jobs of one patient read one row, thousands of times, and start quicker so.
"""

import csv
import math
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from hemexp import Fault, HemexpError
from hemexp.columns import FILES, IMAGES, OPTIONAL_MASKS, REQUIRED, SPLITS
from hemexp.layout import is_phantom

Row = dict[str, str | float]
"""A patient: text (files relative to the working directory) and numbers (NaN where unknown)."""


class Range(NamedTuple):
    """Allowed values of one numeric column."""

    low: float
    high: float
    unit: str
    required: bool = False
    whole: bool = False

    def fits(self, value: float | None) -> bool:
        """Whether a value is allowed; None is an unknown one."""
        if value is None:
            return not self.required
        return self.low <= value <= self.high and not (self.whole and value % 1)

    def __str__(self) -> str:
        """What is expected, for a message."""
        kind = "whole number" if self.whole else "number"
        return f"a {kind} from {self.low:g} to {self.high:g} ({self.unit})"


NUMBERS = {
    "onset_to_ct_h": Range(0, 24, "hours", required=True),
    "anticoagulant": Range(0, 1, "0 or 1", whole=True),
    "antiplatelet": Range(0, 1, "0 or 1", whole=True),
    "age": Range(0, 120, "years"),
    "gcs": Range(3, 15, "points", whole=True),
    "sbp": Range(40, 300, "mmHg"),
}
NUMBERS_OPTIONAL = {
    "followup_interval_h": Range(0, 1000, "hours"),
    "expansion_prob": Range(0, 1, "probability"),
}


class SheetError(HemexpError):
    """A sample sheet that cannot be used as it is."""


def read_rows(
    path: Path | str, patient_id: str | None = None, *, need_training: bool = True
) -> list[Row]:
    """Reads and checks the sample sheet.

    Args:
        path: Tab-separated sheet with the columns of `config/README.md`.
        patient_id: Read and check this patient's row alone, as the jobs of one patient do.
        need_training: Refuse a sheet without training patients; with released models it is fine.

    Returns:
        A row a patient in the sheet's order. Files are relative to the working directory where
        they lie below it; further columns are kept as text.

    Raises:
        SheetError: With every fault of the sheet in one message.
    """
    path = Path(path)
    (_, columns), *lines = _read_lines(path, patient_id or "")
    _check_columns(path, columns)
    rows = {line: dict(zip(columns, cells, strict=True)) for line, cells in lines}
    if patient_id is not None:
        rows = _one_patient(path, rows, patient_id)
    faults = _id_faults(rows)
    if need_training and patient_id is None:
        faults += _training_faults(rows.values())
    for line, row in rows.items():
        faults += [*_split_faults(line, row), *_read_numbers(line, row)]
        for column in _file_columns(row):
            row[column] = _locate(row[column], path.parent)
    faults += _file_faults(rows)
    if faults:
        raise SheetError(*sorted(faults, key=_row_of), title=f"{path}: {len(faults)} fault(s)")
    return [*rows.values()]


def read_patient_row(path: Path | str, patient_id: str) -> Row:
    """Reads and checks one patient's row.

    Raises:
        SheetError: There is no such row, or it has faults.
    """
    return read_rows(path, patient_id)[0]


def scan_files(row: Mapping[str, str | float], session: str) -> dict[str, str]:
    """Files that a row of the sheet names for one scan, a brain mask where it is given."""
    named = {image: row.get(f"{session}_{image}", "") for image in (*IMAGES, "brain")}
    return {image: name for image, name in named.items() if name}


def _read_lines(path: Path, naming: str) -> list[tuple[int, list[str]]]:
    """Line numbers and stripped cells of the header and of every row with `naming` in it.

    To split all 10,000 rows of a sheet for one of them takes a fifth of a small job's start.
    """
    where = str(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SheetError(
            Fault(
                where,
                f"no readable text file ({error})",
                "a tab-separated sheet in UTF-8",
                "Check `samples` in config/config.yaml and how the sheet was exported.",
            )
        ) from error
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if len(lines) < 2:
        raise SheetError(
            Fault(
                where,
                f"{len(lines)} line(s)",
                "a header and at least one patient",
                "Add a row per patient; config/README.md shows two.",
            )
        )
    (first, header), *rows = lines
    if "\t" not in header:
        comma = "," in header or ";" in header
        raise SheetError(
            Fault(
                f"{where}, row {first}",
                "commas between the columns" if comma else "no tab",
                "tabs between the columns",
                "Export the sheet as tab-separated text (.tsv).",
            )
        )
    wanted = [lines[0], *(row for row in rows if naming in row[1])]
    cells = [
        (number, [cell.strip() for cell in next(csv.reader([line], delimiter="\t"))])
        for number, line in wanted
    ]
    width = len(cells[0][1])
    ragged = [
        Fault(
            f"{where}, row {number}",
            f"{len(row)} columns",
            f"{width} columns as in the header",
            "Add or remove tabs in this row.",
        )
        for number, row in cells
        if len(row) != width
    ]
    if ragged:
        raise SheetError(*ragged, title=f"{where}: {len(ragged)} fault(s)")
    return cells


def _check_columns(path: Path, columns: list[str]) -> None:
    missing = [name for name in REQUIRED if name not in columns]
    twice = sorted({name for name in columns if columns.count(name) > 1})
    faults = [
        Fault(
            f"{path}, column {name}",
            "no such column",
            f"a column named {name}",
            "Add it; config/README.md says what it holds. Unknown values may stay empty.",
        )
        for name in missing
    ]
    faults += [
        Fault(
            f"{path}, column {name}",
            "the column more than once",
            "each column once",
            "Remove or rename one of them.",
        )
        for name in twice
    ]
    if faults:
        raise SheetError(*faults, title=f"{path}: {len(faults)} fault(s)")


def _one_patient(path: Path, rows: dict[int, Row], patient_id: str) -> dict[int, Row]:
    found = {line: row for line, row in rows.items() if row["patient_id"] == patient_id}
    if len(found) != 1:
        raise SheetError(
            Fault(
                f"{path}, patient {patient_id!r}",
                "no row, or more than one",
                "exactly one row",
                "Check the patient_id.",
            )
        )
    return found


def _training_faults(rows: Iterable[Row]) -> list[Fault]:
    if any(row["split"] == "train" for row in rows):
        return []
    return [
        Fault(
            "column split",
            "no training patient",
            "at least one 'train' row",
            "Mark the patients to learn from as 'train', or name released models in "
            "autoencoder.model, diffusion.model and expansion.model_file.",
        )
    ]


def _row_of(fault: Fault) -> int:
    """Row of the sheet a fault is in; faults of the whole sheet come first."""
    found = re.match(r"row (\d+)", fault.where)
    return int(found.group(1)) if found else 0


def _where(line: int, row: Row, column: str) -> str:
    return f"row {line}, patient {row['patient_id']!r}, column {column}"


def _id_faults(rows: dict[int, Row]) -> list[Fault]:
    faults: list[Fault] = []
    first: dict[str, int] = {}
    for line, row in rows.items():
        patient_id = row["patient_id"]
        for column in ("patient_id", "center"):
            if not re.fullmatch(r"[A-Za-z0-9]+", row[column]):
                faults.append(
                    Fault(
                        _where(line, row, column),
                        repr(row[column]),
                        "letters and digits only",
                        "Rename it.",
                    )
                )
        if patient_id in first:
            splits = {rows[first[patient_id]]["split"], row["split"]}
            found = f"the patient again (first in row {first[patient_id]})"
            if len(splits) > 1:
                found += f", in two splits ({' and '.join(sorted(splits))})"
            faults.append(
                Fault(
                    _where(line, row, "patient_id"), found, "one row per patient", "Keep one row."
                )
            )
        first.setdefault(patient_id, line)
    return faults


def _split_faults(line: int, row: Row) -> list[Fault]:
    if row["split"] in SPLITS:
        return []
    return [
        Fault(
            _where(line, row, "split"),
            repr(row["split"]),
            f"one of {', '.join(SPLITS)}",
            "Correct the word.",
        )
    ]


def _read_numbers(line: int, row: Row) -> list[Fault]:
    """Turns the numeric cells of a row into numbers; gives those that do not fit."""
    faults = []
    for column, allowed in (NUMBERS | NUMBERS_OPTIONAL).items():
        if column not in row:
            continue
        text = row[column]
        value = _to_number(text)
        if not allowed.fits(value):
            expected = str(allowed) + ("" if allowed.required else ", or empty when unknown")
            found = repr(text) if text else "nothing"
            faults.append(
                Fault(_where(line, row, column), found, expected, "Correct the value or its unit.")
            )
        row[column] = math.nan if value is None else value
    return faults


def _to_number(text: str) -> float | None:
    """The number in a cell; None when empty, NaN (which fits no range) when it is no number."""
    if text == "":
        return None
    try:
        return float(text)
    except ValueError:
        return math.nan


def _locate(value: str, folder: Path) -> str:
    """A path of the sheet, relative to the working directory where it lies below it."""
    if not value:
        return ""
    path = os.path.abspath(folder / value)  # noqa: PTH100 - lexical: links stay as given
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


def _file_columns(row: Row) -> list[str]:
    return [*FILES, *(name for name in OPTIONAL_MASKS if name in row)]


def _file_faults(rows: dict[int, Row]) -> list[Fault]:
    faults: list[Fault] = []
    first: dict[str, str] = {}
    for line, row in rows.items():
        for column in _file_columns(row):
            value, where = row[column], _where(line, row, column)
            unwanted = row["split"] == "predict" and column.startswith("followup")
            if column not in OPTIONAL_MASKS and not value and not unwanted:
                cure = (
                    "Name the file."
                    if column.startswith("baseline")
                    else ("Name the follow-up's file, or set split to 'predict'.")
                )
                faults.append(Fault(where, "nothing", "a file", cure))
            if not value:
                continue
            if unwanted:
                faults.append(
                    Fault(
                        where,
                        value,
                        "nothing for a 'predict' patient",
                        "Empty the cell, or set split to 'test'.",
                    )
                )
            elif not is_phantom(value) and (why := _why_missing(value)):
                faults.append(
                    Fault(
                        where,
                        f"{value}, which {why}",
                        "an existing file",
                        "Correct the path: it is relative to the sheet.",
                    )
                )
            if value in first:
                faults.append(
                    Fault(
                        where,
                        f"{value}, already used in {first[value]}",
                        "each file once",
                        "Name the right file.",
                    )
                )
            first.setdefault(value, where)
    return faults


def _why_missing(path: str) -> str:
    """Why a file cannot be found, in words; empty for a file that is there."""
    try:
        Path(path).stat()
    except FileNotFoundError:
        return "does not exist"
    except OSError as error:
        return f"cannot be reached ({error.strerror})"
    return ""
