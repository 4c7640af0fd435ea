"""What the verbs read of their options: settings, and rows of the sheet.

Tables come with pandas, which jobs of preprocess start without: it is imported where one is read.
"""

import argparse
from typing import TYPE_CHECKING, Any

from hemexp import Fault, HemexpError
from hemexp.columns import SESSIONS
from hemexp.config import load_section
from hemexp.layout import Layout

if TYPE_CHECKING:
    import pandas as pd

Arguments = argparse.Namespace


def section(args: Arguments, name: str) -> Any:  # noqa: ANN401 - the class that `name` says
    """One room's settings, or a part of them."""
    return load_section(name, args.settings)


def sheet(args: Arguments) -> "pd.DataFrame":
    """The whole sheet; whether it has to hold training patients was asked before any job."""
    from hemexp.cohort import read_sheet

    return read_sheet(args.samples, need_training=False)


def kept(args: Arguments) -> "pd.DataFrame":
    """The sheet without the patients whom preprocessing excluded."""
    return _without_excluded(sheet(args), args)


def _without_excluded(patients: "pd.DataFrame", args: Arguments) -> "pd.DataFrame":
    from hemexp.outcomes import read_excluded

    excluded = read_excluded(Layout(args.results).excluded)
    return patients.drop(index=excluded, errors="ignore")


def chosen_patients(args: Arguments) -> tuple["pd.DataFrame", "pd.Index"]:
    """Rows of the kept patients of `--splits` and `--patients`, and who of the splits is not kept.

    A rule names the products of whole splits: an excluded patient's are empty files. The job of
    one patient reads that patient's row alone.

    Raises:
        HemexpError: One of `--patients` is not in the sheet.
    """
    from hemexp.cohort import read_sheet

    one = args.patients[0] if len(args.patients) == 1 and not args.splits else None
    patients = read_sheet(args.samples, one, need_training=False)
    if unknown := sorted(set(args.patients).difference(patients.index)):
        raise HemexpError(
            Fault(
                f"{args.samples}, --patients {' '.join(unknown)}",
                "no such patient_id",
                "patients of the sheet",
                "Check the spelling.",
            )
        )
    in_splits = patients[patients["split"].isin(args.splits)]
    chosen = patients[patients["split"].isin(args.splits) | patients.index.isin(args.patients)]
    chosen = _without_excluded(chosen, args)
    return chosen, in_splits.index.difference(chosen.index)


def training(args: Arguments) -> "pd.DataFrame":
    """Rows of the training patients who were kept."""
    patients = kept(args)
    return patients[patients["split"] == "train"]


def training_stripped(args: Arguments) -> "pd.DataFrame":
    """Rows of the training patients whose scans could be stripped.

    Masks are made before `collect-qc` says who is kept.
    """
    patients = sheet(args)
    patients = patients[patients["split"] == "train"]
    layout = Layout(args.results)
    return patients[[not _not_stripped(layout, name) for name in patients.index]]


def _not_stripped(layout: Layout, patient_id: str) -> bool:
    from hemexp.preprocess.rows import read_row

    tables = (layout.native(patient_id, session).volumes for session in SESSIONS)
    there = [read_row(table, patient_id) for table in tables if table.exists()]
    return any(row.get("failure") for row in there)
