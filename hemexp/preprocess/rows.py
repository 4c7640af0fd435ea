"""One-row tables: a verb writes one a scan or a pair, `collect-qc` reads them together."""

import csv
import math
from collections.abc import Mapping
from pathlib import Path

from hemexp import Fault, HemexpError
from hemexp.provenance import write_text

TEXT = ("patient_id", "session", "voxels", "warnings", "notes", "failure")


def write_row(path: Path | str, row: Mapping[str, str | float]) -> None:
    """Writes one row as a tab-separated table with a header, whole or not at all."""
    cells = [
        f"{value:.6g}" if isinstance(value, float) else " ".join(value.split())
        for value in row.values()
    ]
    write_text(path, "\t".join(row) + "\n" + "\t".join(cells) + "\n")


def read_row(path: Path | str, patient_id: str) -> dict[str, str | float]:
    """Reads a one-row table of one patient: text columns, and numbers (NaN where empty).

    Raises:
        HemexpError: The file is missing, or holds another patient or more than one row.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as handle:
            rows = list(csv.DictReader(handle, delimiter="\t"))
    except OSError as error:
        raise HemexpError(
            Fault(
                f"patient {patient_id}, {path}",
                f"no table ({error})",
                "a one-row table",
                "Run the step that writes it again.",
            )
        ) from error
    found = [row.get("patient_id") for row in rows]
    if found != [patient_id]:
        raise HemexpError(
            Fault(
                f"patient {patient_id}, {path}",
                f"rows of {found}",
                "one row of this patient",
                "Delete the file and run the workflow again.",
            )
        )
    return {
        name: value if name in TEXT else float(value or math.nan)
        for name, value in rows[0].items()
    }
