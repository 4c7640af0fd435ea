"""The sample sheet: every row read and checked as plain values, all faults in one message.

No pandas here: the jobs of one patient read one row, thousands of times, and start quicker so.
"""

import csv
import math
import os
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from hemexp import Fault, HemexpError
from hemexp.columns import IMAGES, LEAST_ONSETS, LEFT_OUT, NO_IVH
from hemexp.ranges import RANGES
from hemexp.sheet_faults import (
    SEXES,
    Row,
    column_faults,
    file_columns,
    file_faults,
    id_faults,
    number_faults,
    read_number,
    row_of,
    sex_faults,
    split_faults,
    training_faults,
)

SEPARATORS = {",": "commas", ";": "semicolons", "|": "bars"}
"""What other exports put between columns."""


class SheetError(HemexpError):
    """A sample sheet that cannot be used as it is."""


def read_rows(
    path: Path | str,
    patient_id: str | None = None,
    *,
    need_training: bool = True,
    everyone: bool = False,
) -> list[Row]:
    """Reads and checks the sample sheet.

    Args:
        path: Tab-separated sheet with the columns of `config/README.md`.
        patient_id: Read and check this patient's row alone, as the jobs of one patient do.
        need_training: Refuse a sheet without training patients; with released models it is fine.
        everyone: Also those of `read_left_out`.

    Returns:
        A row a patient in the sheet's order. Files are relative to the working directory where
        they lie below it; further columns are kept as text.

    Raises:
        SheetError: With every fault of the sheet in one message.
    """
    rows = _read_all(Path(path), patient_id, need_training=need_training)
    return [row for row in rows if everyone or not left_out(row)]


def read_left_out(path: Path | str) -> dict[str, str]:
    """Patients whom a rule leaves out, and the column of `LEFT_OUT` that says so.

    Nothing is made of them. They may lack any scan. The sheet is checked by `read_rows`.
    """
    (_, columns), *lines = _read_lines(Path(path), "")
    rows = [dict(zip(columns, cells, strict=True)) for _, cells in lines]
    return {row["patient_id"]: why for row in rows if (why := left_out(row))}


def left_out(row: Mapping[str, str | float]) -> str:
    """The column of `LEFT_OUT` that leaves a patient out, empty where none does."""
    return next((name for name in LEFT_OUT if read_number(str(row.get(name, ""))) == 1), "")


def _read_all(path: Path, patient_id: str | None, *, need_training: bool) -> list[Row]:
    (_, columns), *lines = _read_lines(path, patient_id or "")
    _refuse(path, column_faults(path, columns))
    rows: dict[int, Row] = {line: dict(zip(columns, row, strict=True)) for line, row in lines}
    if patient_id is not None:
        rows = _one_patient(path, rows, patient_id)
    faults = id_faults(rows)
    for line, row in rows.items():
        faults += [*split_faults(line, row), *number_faults(line, row), *sex_faults(line, row)]
        _read_values(row, path.parent)
    used = {line: row for line, row in rows.items() if not left_out(row)}
    if need_training and patient_id is None:
        faults += training_faults(used.values())
    faults += file_faults(used)
    _refuse(path, sorted(faults, key=row_of))
    return [*rows.values()]


def read_patient_row(path: Path | str, patient_id: str) -> Row:
    """Reads and checks one patient's row.

    Raises:
        SheetError: There is no such row, or it has faults.
    """
    rows = _read_all(Path(path), patient_id, need_training=False)
    if why := left_out(rows[0]):
        raise SheetError(
            Fault(
                f"{path}, patient {patient_id!r}, column {why}",
                f"1: {LEFT_OUT[why]}",
                "a patient who is used",
                f"Empty {why} if that is wrong; nothing is made of who is left out.",
            )
        )
    return rows[0]


def read_center_onsets(path: Path | str) -> dict[str, float]:
    """Median hours from onset to the baseline scan by centre, where the sheet knows enough.

    Rounded to a tenth: one more patient seldom moves what was made of the others.
    """
    (_, columns), *lines = _read_lines(Path(path), "")
    known: dict[str, list[float]] = {}
    for _, cells in lines:
        row = dict(zip(columns, cells, strict=True))
        onset_h = read_number(row["onset_to_ct_h"])
        if onset_h is not None and RANGES["onset_to_ct_h"].fits(onset_h):
            known.setdefault(row["center"], []).append(onset_h)
    return {
        center: round(median(onsets_h), 1)
        for center, onsets_h in known.items()
        if len(onsets_h) >= LEAST_ONSETS
    }


def scan_files(row: Mapping[str, str | float], session: str) -> dict[str, str]:
    """Files that a row of the sheet names for one scan; what is empty or `none` is left out."""
    named = {image: row.get(f"{session}_{image}", "") for image in (*IMAGES, "brain")}
    return {image: str(name) for image, name in named.items() if name not in ("", NO_IVH)}


def _refuse(path: Path, faults: list[Fault]) -> None:
    if faults:
        raise SheetError(*faults, title=f"{path}: {len(faults)} fault(s)")


def _read_lines(path: Path, naming: str) -> list[tuple[int, list[str]]]:
    """Line numbers and stripped cells of the header and of every row with `naming` in it.

    To split all 10,000 rows of a sheet for one of them takes a fifth of a small job's start.
    """
    header, *rows = _read_text(path)
    wanted = [header, *(row for row in rows if naming in row[1])]
    cells = [(number, _split(line)) for number, line in wanted]
    width = len(cells[0][1])
    _refuse(path, [_ragged_fault(path, *row, width) for row in cells if len(row[1]) != width])
    return cells


def _split(line: str) -> list[str]:
    """Cells of a line; a quotation mark that nothing closes is a sign like any other."""
    quoted = line.count('"')
    plain = not quoted or quoted % 2 or len(line) > csv.field_size_limit()
    cells = line.split("\t") if plain else next(csv.reader([line], delimiter="\t"))
    return [cell.strip() for cell in cells]


def _ragged_fault(path: Path, number: int, row: list[str], width: int) -> Fault:
    return Fault(
        f"{path}, row {number}",
        f"{len(row)} columns",
        f"{width} columns as in the header",
        "Add or remove tabs in this row; a cell holds neither tab nor line break.",
    )


def _read_text(path: Path) -> list[tuple[int, str]]:
    """Line numbers and lines of a sheet: a header with tabs, and at least one patient."""
    text = _decode(path)
    # Not `splitlines`, which also breaks at signs that no editor counts as a line's end.
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if len(lines) < 2:
        raise SheetError(
            Fault(
                str(path),
                f"{len(lines)} line(s)",
                "a header and at least one patient",
                "Add a row per patient; config/README.md shows two.",
            )
        )
    first, header = lines[0]
    if "\t" not in header:
        signs = [sign for sign in SEPARATORS if sign in header]
        most = max(signs, key=header.count, default="")
        raise SheetError(
            Fault(
                f"{path}, row {first}",
                f"{SEPARATORS[most]} between the columns" if signs else "no tab",
                "tabs between the columns",
                "Export the sheet as tab-separated text (.tsv).",
            )
        )
    return lines


def _decode(path: Path) -> str:
    """The text of a file, whichever signs end its lines."""
    try:
        raw = path.read_bytes()
        if b"\0" in raw:
            raise ValueError("a spreadsheet, or text in UTF-16")
        text = raw.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise SheetError(
            Fault(
                str(path),
                f"no readable text file ({_said(error)})",
                "a tab-separated sheet in UTF-8",
                "Check `samples` in config/config.yaml and how the sheet was exported.",
            )
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _said(error: OSError | ValueError) -> str:
    """An error in words for people: in which line a sign is not UTF-8."""
    if not isinstance(error, UnicodeDecodeError):
        return str(error)
    row = error.object.count(b"\n", 0, error.start) + 1
    near = error.object[max(error.start - 20, 0) : error.end + 20]
    word = next(word for word in near.split() if not word.isascii()).decode("latin-1")
    return f"a sign in row {row} is not UTF-8, in Latin-1 it would be {word!r}"


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


def _read_values(row: Row, folder: Path) -> None:
    """Turns text into numbers, `f` into `female`, and paths into those that a job can open."""
    if "sex" in row:
        row["sex"] = SEXES.get(str(row["sex"]).lower(), row["sex"])
    for column in RANGES.keys() & row.keys():
        value = read_number(str(row[column]))
        row[column] = math.nan if value is None else value
    for column in file_columns(row):
        value = str(row[column])
        row[column] = NO_IVH if value.lower() == NO_IVH else _locate(value, folder)


def _locate(value: str, folder: Path) -> str:
    """A path of the sheet, relative to the working directory where it lies below it."""
    if not value:
        return ""
    path = os.path.abspath(folder / value)  # noqa: PTH100 - lexical: links stay as given
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative
