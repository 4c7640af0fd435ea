"""Verb `new-center`: rows of a sample sheet from the names in a folder, for a person to complete.

Files are found by patterns; what a name does not say stays empty, and every name that no pattern
fits is listed.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from hemexp import Fault, HemexpError
from hemexp.columns import FILES, REQUIRED, SESSIONS
from hemexp.desk.name_patterns import PATTERN, column_of, compile_pattern
from hemexp.preprocess.dicom.read import is_dicom
from hemexp.provenance import write_text
from hemexp.ranges import NUMBERS


class Draft(NamedTuple):
    """What a folder gave.

    Attributes:
        sheet: Rows of the sample sheet, as text.
        unmatched: Files, relative to the folder, that no pattern fits.
        missing: Sentences on what a patient's row still lacks among its files.
    """

    sheet: pd.DataFrame
    unmatched: list[str]
    missing: list[str]


def scan_names(folder: Path) -> list[str]:
    """Images below a folder, links followed, relative to it; one that holds DICOM counts as one.

    Names with a dot in front, of files or folders below it, are not looked at.
    """
    names: set[str] = set()
    for path in _files(folder, frozenset()):
        # DICOM files carry no suffix, or .dcm; their folder is what the sheet names.
        dicom = path.suffix.lower() == ".dcm" or is_dicom(path)
        names.add(str((path.parent if dicom else path).relative_to(folder)))
    return sorted(names)


def _files(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    """All files below a folder; a link to a folder that it lies in is not followed again."""
    inside = above | {folder.resolve()}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if not path.is_dir():
            yield path
        elif path.resolve() not in inside:
            yield from _files(path, inside)


def draft_rows(
    names: Iterable[str], patterns: Iterable[re.Pattern[str]], center: str, start: str
) -> Draft:
    """Rows of the sheet from names.

    Args:
        names: Paths relative to the folder.
        patterns: Of `compile_pattern`; the first that fits counts.
        center: The centre's name.
        start: What leads from the sheet to the folder, such as `../scans/`.

    Raises:
        HemexpError: Two files for one cell, or two names that become one patient_id.
    """
    cells, unmatched = _sort_names(names, list(patterns), start)
    columns = [*REQUIRED, *(f"{s}_brain" for s in SESSIONS)]
    blank = dict.fromkeys(columns, "")
    rows = [blank | _row(patient_id, center, cells[patient_id]) for patient_id in sorted(cells)]
    sheet = pd.DataFrame(rows, columns=columns)
    empty = [name for name in columns if name not in REQUIRED and not sheet[name].any()]
    missing = [f"{p}: no {c}" for p in sorted(cells) for c in _lacking(cells[p])]
    return Draft(sheet.drop(columns=empty), unmatched, missing)


def _sort_names(
    names: Iterable[str], patterns: list[re.Pattern[str]], start: str
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Cells of every patient by column, and the names that fit no pattern."""
    cells: dict[str, dict[str, str]] = {}
    named: dict[str, str] = {}
    unmatched, faults = [], []
    for name in names:
        fit = next(filter(None, (column_of(name, one) for one in patterns)), None)
        if fit is None:
            unmatched.append(name)
            continue
        patient_id = re.sub(r"[^A-Za-z0-9]", "", fit[0])
        if not patient_id:
            faults.append(
                Fault(
                    name,
                    f"the patient {fit[0]!r}",
                    "a name with letters from A to Z or digits",
                    "Rename the patient's files.",
                )
            )
            continue
        first = named.setdefault(patient_id, fit[0])
        row = cells.setdefault(patient_id, {})
        if first != fit[0]:
            faults.append(
                Fault(
                    name,
                    f"the patient {fit[0]!r}, who would be {patient_id} like {first!r}",
                    "names that stay apart without signs",
                    "Rename one of them.",
                )
            )
        elif fit[1] in row:
            faults.append(
                Fault(
                    name,
                    f"a second {fit[1]} of {fit[0]!r} (first {row[fit[1]]})",
                    "one file",
                    "Narrow --pattern, or move one away.",
                )
            )
        row[fit[1]] = f"{start}{name}"
    if faults:
        raise HemexpError(*faults)
    return cells, unmatched


def _row(patient_id: str, center: str, files: dict[str, str]) -> dict[str, str]:
    # Whom to learn from is the study's to say; `test` is the split that trains nothing.
    split = "test" if any(name.startswith("followup") for name in files) else "predict"
    return {"patient_id": patient_id, "center": center, "split": split, **files}


def _lacking(files: dict[str, str]) -> list[str]:
    followed = any(name.startswith("followup") for name in files)
    wanted = FILES if followed else FILES[:3]
    return [name for name in wanted if name not in files]


def run_new_center(folder: Path, patterns: list[str], center: str, out: Path) -> Draft:
    """Writes draft rows and says what is left to do.

    Args:
        folder: Of the centre's images.
        patterns: How its files are named; `PATTERN` and a flat one where there are none.
        center: Letters and digits.
        out: The table to write; it must not be there.

    Raises:
        HemexpError: The table is there, the folder is not, or no file fits.
    """
    if out.exists():
        raise HemexpError(
            Fault(
                str(out),
                "a file that is there already",
                "a new file",
                "Give another --out; rows are joined to a sheet by hand.",
            )
        )
    if not folder.is_dir():
        raise HemexpError(
            Fault(str(folder), "no such folder", "a folder of scans", "Correct the path.")
        )
    if not re.fullmatch(r"[A-Za-z0-9]+", center):
        raise HemexpError(Fault("--center", repr(center), "letters and digits only", "Rename it."))
    asked = patterns or [PATTERN, PATTERN.replace("/", "_")]
    start = _way(out.parent, folder)
    draft = draft_rows(scan_names(folder), map(compile_pattern, asked), center, start)
    if draft.sheet.empty:
        example = f", such as {draft.unmatched[0]}" if draft.unmatched else ""
        raise HemexpError(
            Fault(
                str(folder),
                f"{len(draft.unmatched)} files, none of which fits {' or '.join(asked)}{example}",
                "names that fit a pattern",
                "Give --pattern as the files are named.",
            )
        )
    write_text(out, draft.sheet.to_csv(sep="\t", index=False))
    return draft


def _way(start: Path, folder: Path) -> str:
    """Path from the sheet to the folder, with a slash at its end."""
    base, target = start.resolve(), folder.resolve()
    if target.is_relative_to(base):
        inside = target.relative_to(base).as_posix()
        return "" if inside == "." else f"{inside}/"
    return f"{target.as_posix()}/"


def draft_lines(draft: Draft, out: Path) -> list[str]:
    """What was drafted and what is left to fill in, as lines."""
    splits = draft.sheet["split"].value_counts().to_dict()
    counted = ", ".join(f"{count} {name}" for name, count in splits.items())
    lines = [
        f"{out}: {len(draft.sheet)} patients ({counted}). Set split to 'train' for whom "
        "the models shall learn from.",
        f"Left empty, fill in: {', '.join(NUMBERS)}. Unknown stays empty.",
    ]
    lines += [f"missing: {line}" for line in draft.missing]
    lines += [f"fits no pattern: {name}" for name in draft.unmatched]
    # Not of the draft: without a `train` row of its own it is refused, and most centres have none.
    last = (
        "Then copy the rows into your sheet and check that: "
        "hemexp check --samples config/samples.tsv"
    )
    return [*lines, last]
