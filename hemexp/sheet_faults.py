"""What can be wrong with a sample sheet, each fault with what was expected and its cure."""

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from hemexp import Fault
from hemexp.columns import FILES, NO_IVH, OPTIONAL_MASKS, REQUIRED, SPLITS
from hemexp.layout import is_phantom
from hemexp.ranges import RANGES

SHOWN_SIGNS = 60
"""Of a cell in a message: about a line."""

SEXES = {"female": "female", "f": "female", "male": "male", "m": "male", "": ""}
"""What a cell of the optional column `sex` may hold in either case, and how it is kept."""

Row = dict[str, str | float]
"""A patient: text (files relative to the working directory) and numbers (NaN where unknown)."""


def column_faults(path: Path, columns: list[str]) -> list[Fault]:
    """Columns that are missing, or there more than once."""
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
    return faults + [
        Fault(
            f"{path}, column {name or 'without a name'}",
            "the column more than once",
            "each column once",
            "Remove or rename one of them." if name else "Remove the tabs behind the last name.",
        )
        for name in twice
    ]


def training_faults(rows: Iterable[Row]) -> list[Fault]:
    """A sheet to train with that has nobody to learn from."""
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


def id_faults(rows: dict[int, Row]) -> list[Fault]:
    """Names that cannot be a file's, and patients who stand in more than one row.

    Names that only differ by upper and lower case are one folder on many disks.
    """
    faults: list[Fault] = []
    first: dict[str, int] = {}
    for line, row in rows.items():
        patient_id = row["patient_id"]
        for column in ("patient_id", "center"):
            if not re.fullmatch(r"[A-Za-z0-9]+", row[column]):
                faults.append(
                    Fault(
                        _where(line, row, column),
                        _shown(row[column]),
                        "letters and digits only",
                        "Rename it.",
                    )
                )
        folder = patient_id.lower()
        if folder in first:
            faults.append(_repeated_fault(line, row, first[folder], rows[first[folder]]))
        first.setdefault(folder, line)
    return faults


def _repeated_fault(line: int, row: Row, before: int, first: Row) -> Fault:
    """A patient_id that an earlier row has, in the same letters or in other case."""
    where = _where(line, row, "patient_id")
    if row["patient_id"] != first["patient_id"]:
        found = (
            f"{row['patient_id']!r}, which is {first['patient_id']!r} of row {before} but for case"
        )
        return Fault(
            where,
            found,
            "names that differ in more than upper and lower case (one folder on many disks)",
            "Rename one of them, or keep one row if they are one patient.",
        )
    found = f"the patient again (first in row {before})"
    if row["split"] != first["split"]:
        found += f", in two splits ({' and '.join(sorted((first['split'], row['split'])))})"
    return Fault(where, found, "one row per patient", "Keep one row.")


def split_faults(line: int, row: Row) -> list[Fault]:
    """A word that is no split."""
    if row["split"] in SPLITS:
        return []
    return [
        Fault(
            _where(line, row, "split"),
            _shown(row["split"]),
            f"one of {', '.join(SPLITS)}",
            "Correct the word.",
        )
    ]


def number_faults(line: int, row: Row) -> list[Fault]:
    """Numeric cells, still text, that do not fit."""
    faults = []
    for column, allowed in RANGES.items():
        text = str(row.get(column, ""))
        if column not in row or allowed.fits(read_number(text)):
            continue
        expected = f"{allowed}, or empty when unknown"
        comma = "," in text and allowed.fits(read_number(text.replace(",", ".")))
        cure = "Write a point, not a comma." if comma else "Correct the value or its unit."
        faults.append(Fault(_where(line, row, column), _shown(text), expected, cure))
    return faults


def sex_faults(line: int, row: Row) -> list[Fault]:
    """A word in the optional column `sex` that is none of `SEXES`."""
    if str(row.get("sex", "")).lower() in SEXES:
        return []
    return [
        Fault(
            _where(line, row, "sex"),
            _shown(str(row["sex"])),
            "female, male, f or m, or empty when unknown",
            "Correct the word.",
        )
    ]


def read_number(text: str) -> float | None:
    """The number in a cell; None when empty, NaN (which fits no range) when it is no number."""
    if text == "":
        return None
    try:
        return math.nan if "_" in text else float(text)
    except ValueError:
        return math.nan


def file_columns(row: Row) -> list[str]:
    """Columns of a row that name files."""
    return [*FILES, *(name for name in OPTIONAL_MASKS if name in row)]


def file_faults(rows: dict[int, Row]) -> list[Fault]:
    """Files that are not named, not there, not wanted, or named twice; paths as a job opens them.

    Args:
        rows: By line of the sheet.
    """
    faults: list[Fault] = []
    first: dict[str, str] = {}
    for line, row in rows.items():
        for column in file_columns(row):
            value, where = str(row[column]), _where(line, row, column)
            faults += _one_file_faults(row, column, where)
            if value == NO_IVH or _is_label_file(row, column):
                continue
            if value and value in first:
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


def lacks_masks(row: Mapping[str, str | float], session: str) -> bool:
    """Whether both mask cells of a scan are empty: IPH and IVH are for the workflow to find."""
    return not row[f"{session}_iph"] and not row[f"{session}_ivh"]


def _is_label_file(row: Row, column: str) -> bool:
    """Whether an IVH cell names the file of the same scan's IPH: one label file holds both."""
    return column.endswith("_ivh") and row[column] == row[column.replace("_ivh", "_iph")]


def _one_file_faults(row: Row, column: str, where: str) -> list[Fault]:
    """What is wrong with one cell, whatever the others name."""
    value = str(row[column])
    unwanted = row["split"] == "predict" and column.startswith("followup")
    if not value:
        session, image = column.split("_")
        if unwanted or column in OPTIONAL_MASKS or (image != "ct" and lacks_masks(row, session)):
            return []
        return [_empty_fault(column, where)]
    if value == NO_IVH and not unwanted:
        return [] if column.endswith("_ivh") else [_none_fault(column, where)]
    if unwanted:
        expected = "nothing for a 'predict' patient"
        return [Fault(where, value, expected, "Empty the cell, or set split to 'test'.")]
    why = "" if is_phantom(value) else _why_missing(value)
    if why:
        cure = "Correct the path: it is relative to the sheet."
        return [Fault(where, f"{value}, which {why}", "an existing file", cure)]
    return []


def _empty_fault(column: str, where: str) -> Fault:
    cure = "Name the file" if column.startswith("baseline") else "Name the follow-up's file"
    if column.endswith("_ivh"):
        return Fault(
            where,
            "nothing",
            f"a file or {NO_IVH}",
            f"{cure}, or write {NO_IVH} if the scan shows no IVH.",
        )
    if column.endswith("_iph"):
        return Fault(
            where,
            "nothing beside an IVH cell that is filled in",
            "a file, or both cells empty",
            f"{cure}, or empty the IVH cell too: then the workflow finds IPH and IVH.",
        )
    split = "" if column.startswith("baseline") else ", or set split to 'predict'"
    return Fault(where, "nothing", "a file", f"{cure}{split}.")


def _none_fault(column: str, where: str) -> Fault:
    cure = f"Name the file: only an IVH mask may be {NO_IVH}."
    if column in OPTIONAL_MASKS:
        cure = "Empty the cell, or name a brain mask."
    return Fault(where, NO_IVH, "a file", cure)


def _why_missing(path: str) -> str:
    """Why a file cannot be found, in words; empty for a file that is there."""
    try:
        Path(path).stat()
    except FileNotFoundError:
        return "does not exist"
    except OSError as error:
        return f"cannot be reached ({error.strerror})"
    return ""


def _shown(cell: str) -> str:
    """A cell in quotation marks, the end left out where it is long."""
    return repr(cell if len(cell) <= SHOWN_SIGNS else f"{cell[:SHOWN_SIGNS]}...")


def _where(line: int, row: Row, column: str) -> str:
    return f"row {line}, patient {_shown(row['patient_id'])}, column {column}"


def row_of(fault: Fault) -> int:
    """Row of the sheet a fault is in; faults of the whole sheet come first."""
    found = re.match(r"row (\d+)", fault.where)
    return int(found.group(1)) if found else 0
