"""A table as LaTeX, in the manner of booktabs."""

import re

import pandas as pd

from hemexp.reporting.cells import REMARK

SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "²": "$^2$",
    "–": "--",
    "°": r"$^\circ$",
    "±": r"$\pm$",
}
NEGATIVE = re.compile(r"(?<![\w.])-(?=\d)")
NUMERIC = re.compile(r"[-–\d\[\], .%/();]*")
FITTING_COLUMNS = 7
"""Tables of more columns are scaled to the width of the text."""


def escape(text: object) -> str:
    """Text that LaTeX prints as it is; a sign before a digit becomes a minus."""
    pieces = NEGATIVE.split(str(text))
    return "$-$".join("".join(SPECIAL.get(letter, letter) for letter in one) for one in pieces)


def latex_table(table: pd.DataFrame, caption: str, label: str) -> str:
    """A floating table with caption and label; needs the packages booktabs and graphicx.

    Args:
        table: Cells as people read them. A column Remark becomes notes below the table.
        caption: Above the table.
        label: Such as `tab:cohort`.
    """
    remarks = list(dict.fromkeys(note for note in table.get(REMARK, []) if note))
    body = table.drop(columns=REMARK, errors="ignore")
    rows = [[escape(cell) for cell in row] for row in body.itertuples(index=False)]
    for row, note in zip(rows, table.get(REMARK, []), strict=False):
        row[-1] += rf"\textsuperscript{{{remarks.index(note) + 1}}}" if note else ""
    aligned = "".join("r" if _is_numeric(body[name]) else "l" for name in body)
    wide = len(body.columns) > FITTING_COLUMNS
    lines = [
        r"\begin{table}[htbp]",
        r"\centering",
        rf"\caption{{{escape(caption)}}}",
        rf"\label{{{label}}}",
        *([r"\resizebox{\textwidth}{!}{%"] if wide else []),
        rf"\begin{{tabular}}{{{aligned or 'l'}}}",
        r"\toprule",
        " & ".join(map(escape, body)) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        *(["}"] if wide else []),
        *(
            rf"\par\footnotesize\textsuperscript{{{n}}} {escape(note)}"
            for n, note in enumerate(remarks, 1)
        ),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _is_numeric(column: pd.Series) -> bool:
    return all(NUMERIC.fullmatch(str(cell)) for cell in column)
