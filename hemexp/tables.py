"""Tables on disk, in which no cell is empty without a reason."""

from pathlib import Path
from typing import Any

import pandas as pd

from hemexp import Fault, HemexpError
from hemexp.provenance import write_text
from hemexp.statistics.scores import Score


def cells(**scores: Score | float | None) -> dict[str, Any]:
    """Table cells from scores, the reasons of undefined ones joined in `note`."""
    row: dict[str, Any] = {}
    notes: list[str] = []
    for name, score in scores.items():
        row[name] = score.value if isinstance(score, Score) else score
        if isinstance(score, Score) and score.note and score.note not in notes:
            notes.append(score.note)
    return row | {"note": "; ".join(notes)}


def table_of(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> pd.DataFrame:
    """A table with exactly these columns, also when there is no row."""
    return pd.DataFrame(rows, columns=list(columns))


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Writes a TSV whole or not at all, numbers to six digits.

    Raises:
        HemexpError: A cell is empty in a row whose `note` does not say why.
    """
    values = table.drop(columns="note", errors="ignore")
    note = table["note"] if "note" in table else pd.Series("", index=table.index)
    silent = values.isna().any(axis=1) & (note == "")
    if silent.any():
        row = values[silent].iloc[0]
        raise HemexpError(
            Fault(
                f"{path.name}, row {row.dropna().to_dict()}",
                f"no value for {', '.join(row.index[row.isna()])} and no reason",
                "a value, or a note that says why there is none",
                "Please report this: it is a fault of the program.",
            )
        )
    write_text(path, table.to_csv(sep="\t", index=False, float_format="%.6g", lineterminator="\n"))


def read_table(path: Path) -> pd.DataFrame:
    """Reads a TSV or CSV whose identifiers stay text (patient `007` is not patient 7).

    Raises:
        HemexpError: The file is missing.
    """
    text = dict.fromkeys(("patient_id", "center", "split", "indicator", "network", "note"), str)
    try:
        table = pd.read_csv(path, sep="," if path.suffix == ".csv" else "\t", dtype=text)
    except FileNotFoundError as error:
        raise HemexpError(
            Fault(str(path), "no such file", "a table of an earlier step", "Run that step first.")
        ) from error
    for column in text.keys() & set(table.columns):
        table[column] = table[column].fillna("")
    return table
