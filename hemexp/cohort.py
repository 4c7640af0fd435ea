"""The sample sheet: read and checked whole; and what counts as expansion."""

import io
import math
import os
import re
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from hemexp import Fault, HemexpError
from hemexp.provenance import hash_value

SPLITS = ("train", "val", "test", "predict")
SESSIONS = ("baseline", "followup")
IMAGES = ("ct", "iph", "ivh")
FILES = tuple(f"{session}_{image}" for session in SESSIONS for image in IMAGES)
MASKS_OPTIONAL = ("baseline_brain", "followup_brain")

PHANTOM_FOLDER = "results/phantom/"
"""Scans named below this folder are drawn by the workflow: they need not exist beforehand."""


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
CLINICAL = tuple(NUMBERS)
"""The six clinical variables of the sheet; the seventh, baseline IPH volume, is measured."""

REQUIRED = ("patient_id", "center", "split", *FILES, *NUMBERS)


class CohortError(HemexpError):
    """A sample sheet that cannot be used as it is."""


def is_phantom(path: str) -> bool:
    """Whether a file of the sheet is one that the workflow draws itself."""
    return path.startswith(PHANTOM_FOLDER)


def read_samples(
    path: Path | str, patient_id: str | None = None, *, need_training: bool = True
) -> pd.DataFrame:
    """Reads and checks the sample sheet.

    Args:
        path: Tab-separated sheet with the columns of `config/README.md`.
        patient_id: Read and check this patient's row alone, as the jobs of one patient do.
        need_training: Refuse a sheet without training patients; with released models it is fine.

    Returns:
        One row per patient, indexed by `patient_id` in the sheet's order. Text columns hold
        strings ("" where empty), files relative to the working directory where they lie below
        it; numeric columns hold floats, NaN where unknown. Further columns are kept as text.

    Raises:
        CohortError: With every fault of the sheet in one message.
    """
    text = _read_text(Path(path))
    sheet = pd.read_csv(io.StringIO(text), sep="\t", dtype=str, keep_default_na=False)
    sheet = sheet.apply(lambda column: column.str.strip())
    _check_columns(Path(path), text.splitlines()[0].split("\t"))
    if patient_id is not None:
        sheet = _one_patient(Path(path), sheet, patient_id)
    faults = [
        *_id_faults(sheet),
        *_split_faults(sheet, need_training=need_training and patient_id is None),
    ]
    for column, allowed in (NUMBERS | NUMBERS_OPTIONAL).items():
        if column in sheet:
            sheet[column], found = _read_numbers(sheet[column], column, allowed)
            faults += found
    columns = [*FILES, *(name for name in MASKS_OPTIONAL if name in sheet)]
    for column in columns:
        sheet[column] = [_locate(value, Path(path).parent) for value in sheet[column]]
    faults += _file_faults(sheet, columns)
    if faults:
        faults.sort(key=_row_of)
        raise CohortError(*faults, title=f"{path}: {len(faults)} fault(s)")
    return sheet.set_index("patient_id", drop=False)


def read_excluded(path: Path | str) -> list[str]:
    """Patients whom `preprocess` excluded: `patient_id` of `excluded.tsv`; none without it."""
    if not Path(path).exists():
        return []
    return pd.read_csv(path, sep="\t", dtype=str)["patient_id"].tolist()


def patient_file(folder: Path | str, patient_id: str, ending: str) -> Path:
    """`folder/sub-ID/sub-ID_ending`: where the products of one patient lie."""
    return Path(folder) / f"sub-{patient_id}" / f"sub-{patient_id}_{ending}"


def read_volumes(
    folder: Path | str, samples: pd.DataFrame, sessions: tuple[str, ...] = SESSIONS
) -> pd.DataFrame:
    """Native volumes of the given patients, as `preprocess` measured them.

    Args:
        folder: `results/preprocess`.
        samples: Rows of the sheet.
        sessions: Which scans to look at; a forecast must not look at the follow-up.

    Returns:
        `baseline_iph_ml`, `baseline_ivh_ml`, `followup_iph_ml`, `followup_ivh_ml`, indexed by
        patient_id; follow-up values are NaN where not looked at and for `predict` patients.
    """
    rows: dict[str, dict[str, float]] = {}
    for patient_id, split in samples["split"].items():
        rows[patient_id] = {
            f"{s}_{mask}_ml": math.nan for s in SESSIONS for mask in ("iph", "ivh")
        }
        for session in sessions:
            if split == "predict" and session == "followup":
                continue
            path = patient_file(folder, patient_id, f"ses-{session}_space-native_volumes.tsv")
            measured = pd.read_csv(path, sep="\t").iloc[0]
            for mask in ("iph", "ivh"):
                rows[patient_id][f"{session}_{mask}_ml"] = float(measured[f"{mask}_ml"])
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("patient_id")


def digest_rows(samples: pd.DataFrame, columns: tuple[str, ...]) -> str:
    """Hash of some rows and columns, so that a rule reruns when just these change."""
    kept = samples[list(columns)].astype(object)
    return hash_value(kept.where(kept.notna(), None).to_dict("list"))


def _read_text(path: Path) -> str:
    where = str(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CohortError(
            Fault(
                where,
                f"no readable text file ({error})",
                "a tab-separated sheet in UTF-8",
                "Check `samples` in config/config.yaml and how the sheet was exported.",
            )
        ) from error
    lines = text.splitlines()
    if len(lines) < 2:
        raise CohortError(
            Fault(
                where,
                f"{len(lines)} line(s)",
                "a header and at least one patient",
                "Add a row per patient; config/README.md shows two.",
            )
        )
    if "\t" not in lines[0]:
        comma = "," in lines[0] or ";" in lines[0]
        raise CohortError(
            Fault(
                f"{where}, row 1",
                "commas between the columns" if comma else "no tab",
                "tabs between the columns",
                "Export the sheet as tab-separated text (.tsv).",
            )
        )
    width = len(lines[0].split("\t"))
    ragged = [
        Fault(
            f"{where}, row {number}",
            f"{len(line.split(chr(9)))} columns",
            f"{width} columns as in the header",
            "Add or remove tabs in this row.",
        )
        for number, line in enumerate(lines, 1)
        if line.strip() and len(line.split("\t")) != width
    ]
    if ragged:
        raise CohortError(*ragged, title=f"{where}: {len(ragged)} fault(s)")
    return text


def _check_columns(path: Path, columns: list[str]) -> None:
    missing = [name for name in REQUIRED if name not in columns]
    twice = sorted({name for name in columns if columns.count(name) > 1})
    faults = [
        Fault(f"{path}, column {name}", "no such column", f"a column named {name}",
              "Add it; config/README.md says what it holds. Unknown values may stay empty.")
        for name in missing
    ]  # fmt: skip
    faults += [
        Fault(f"{path}, column {name}", "the column more than once", "each column once",
              "Remove or rename one of them.")
        for name in twice
    ]  # fmt: skip
    if faults:
        raise CohortError(*faults, title=f"{path}: {len(faults)} fault(s)")


def _one_patient(path: Path, sheet: pd.DataFrame, patient_id: str) -> pd.DataFrame:
    if (sheet["patient_id"] == patient_id).sum() != 1:
        raise CohortError(
            Fault(f"{path}, patient {patient_id!r}", "no row, or more than one", "exactly one row",
                  "Check the patient_id.")
        )  # fmt: skip
    return sheet[sheet["patient_id"] == patient_id]


def _row_of(fault: Fault) -> int:
    """Row of the sheet a fault is in; faults of the whole sheet come first."""
    found = re.match(r"row (\d+)", fault.where)
    return int(found.group(1)) if found else 0


def _where(row: int, patient_id: str, column: str) -> str:
    return f"row {row + 2}, patient {patient_id!r}, column {column}"


def _id_faults(sheet: pd.DataFrame) -> list[Fault]:
    faults = []
    first: dict[str, int] = {}
    for row, patient_id, center in sheet[["patient_id", "center"]].itertuples():
        for column, value in (("patient_id", patient_id), ("center", center)):
            if not re.fullmatch(r"[A-Za-z0-9]+", value):
                faults.append(Fault(_where(row, patient_id, column), repr(value),
                                    "letters and digits only", "Rename it."))  # fmt: skip
        if patient_id in first:
            splits = {sheet["split"][first[patient_id]], sheet["split"][row]}
            found = f"the patient again (first in row {first[patient_id] + 2})"
            if len(splits) > 1:
                found += f", in two splits ({' and '.join(sorted(splits))})"
            faults.append(Fault(_where(row, patient_id, "patient_id"), found,
                                "one row per patient", "Keep one row."))  # fmt: skip
        first.setdefault(patient_id, row)
    return faults


def _split_faults(sheet: pd.DataFrame, *, need_training: bool) -> list[Fault]:
    faults = [
        Fault(_where(row, sheet["patient_id"][row], "split"), repr(split),
              f"one of {', '.join(SPLITS)}", "Correct the word.")
        for row, split in sheet["split"].items()
        if split not in SPLITS
    ]  # fmt: skip
    if need_training and not (sheet["split"] == "train").any():
        faults.append(Fault("column split", "no training patient", "at least one 'train' row",
                            "Mark the patients to learn from as 'train', or name released "
                            "models in autoencoder.model, diffusion.model and "
                            "expansion.model_file."))  # fmt: skip
    return faults


def _read_numbers(column: pd.Series, name: str, allowed: Range) -> tuple[list[float], list[Fault]]:
    values, faults = [], []
    for row, text in column.items():
        value = _to_number(text)
        if not allowed.fits(value):
            expected = str(allowed) + ("" if allowed.required else ", or empty when unknown")
            found = repr(text) if text else "nothing"
            where = f"row {row + 2}, column {name}"
            faults.append(Fault(where, found, expected, "Correct the value or its unit."))
        values.append(math.nan if value is None else value)
    return values, faults


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


def _file_faults(sheet: pd.DataFrame, columns: list[str]) -> list[Fault]:
    faults = []
    first: dict[str, str] = {}
    for row, patient_id, split in sheet[["patient_id", "split"]].itertuples():
        for column in columns:
            value, where = sheet[column][row], _where(row, patient_id, column)
            unwanted = split == "predict" and column.startswith("followup")
            if column not in MASKS_OPTIONAL and not value and not unwanted:
                cure = "Name the file." if column.startswith("baseline") else (
                    "Name the follow-up's file, or set split to 'predict'.")  # fmt: skip
                faults.append(Fault(where, "nothing", "a file", cure))
            if not value:
                continue
            if unwanted:
                faults.append(Fault(where, value, "nothing for a 'predict' patient",
                                    "Empty the cell, or set split to 'test'."))  # fmt: skip
            elif not is_phantom(value) and (why := _why_missing(value)):
                faults.append(Fault(where, f"{value}, which {why}", "an existing file",
                                    "Correct the path: it is relative to the sheet."))  # fmt: skip
            if value in first:
                faults.append(Fault(where, f"{value}, already used in {first[value]}",
                                    "each file once", "Name the right file."))  # fmt: skip
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
