"""What all scans of a cohort measured: quality control, exclusions, outcome of each bleed."""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from hemexp import Fault, HemexpError
from hemexp.columns import BASELINE, FOLLOWUP, LEFT_OUT, OTHER_SESSION, SESSIONS
from hemexp.layout import Layout
from hemexp.made_masks import GIVEN, MADE_BY
from hemexp.mask_error import MaskDoubt, doubt_files, read_doubt
from hemexp.preprocess.identity import Scan, find_twins, leak_faults, twin_words
from hemexp.preprocess.outcomes_table import outcomes_table
from hemexp.preprocess.quality import scan_warnings
from hemexp.preprocess.rows import read_row
from hemexp.provenance import write_sidecars, write_text
from hemexp.settings import Preprocess, QualityLimits
from hemexp.tables import read_table

REGISTRATION = ("rotation_deg", "translation_mm", "registration_metric", "correlation", "overlap")
QC = (
    "patient_id",
    "session",
    "iph_ml",
    "ivh_ml",
    "iph_grid_ml",
    "ivh_grid_ml",
    "brain_ml",
    "lowest_share",
    "highest_share",
    "compactness",
    *REGISTRATION,
    "status",
    "reason",
    "notes",
)
OF_MASKS = ("mask", "iph_error_ml", "ivh_error_ml")
"""Further columns of `qc.tsv` in a run that made masks: their source, and the expected errors."""

EXCLUDED = ("patient_id", "session", "step", "reason")
"""Columns of `excluded.tsv`: one row for each step that failed first in a scan or a pair, or for
the column of the sheet that leaves a patient out."""


NOBODY: Mapping[str, str] = MappingProxyType({})


def run_collect_qc(
    layout: Layout,
    sheet: pd.DataFrame,
    source: Path | str,
    settings: Preprocess,
    left_out: Mapping[str, str] = NOBODY,
) -> None:
    """Gathers the one-row tables of every scan and pair.

    Writes `qc.tsv`, one row a scan; `excluded.tsv`, one row a patient who cannot be used; and
    `outcomes.tsv`, one row a usable patient: native volumes, growth, expansion.

    Args:
        layout: Of the run.
        sheet: All patients.
        source: The sample sheet's file, for the sidecars.
        settings: Limits beyond which a scan is marked, reference, what a failure does.
        left_out: Whom the sheet leaves out: by patient, the column of `LEFT_OUT` that says so.

    Raises:
        HemexpError: A scan's table is missing, a patient failed and the run shall stop, no
            training patient is left, or patients of two splits share a scan.
    """
    started = time.perf_counter()
    inputs: list[Path] = [Path(source)]
    patients = []
    for _, patient in sheet.iterrows():
        tables = _step_tables(layout, patient, settings.reference)
        inputs += [path for _, _, path in tables]
        patients.append(_read_patient(layout, patient["patient_id"], tables))
        for row in patients[-1][0]:
            inputs += doubt_files(layout, row["patient_id"], row["session"])
    excluded = _excluded_table(failure for _, failures in patients for failure in failures)
    _refuse(excluded, sheet, settings.on_failure)
    twins = find_twins(row for rows, failures in patients if not failures for row in rows)
    if faults := leak_faults(twins, sheet["split"]):
        raise HemexpError(*faults, title=f"{len(faults)} fault(s)")
    rows = [
        row for found, failures in patients for row in _judge(found, failures, twins, settings)
    ]
    kept = sheet.drop(index=excluded["patient_id"])
    tables = {
        layout.qc: qc_table(rows),
        layout.excluded: pd.concat([excluded, left_out_table(left_out)], ignore_index=True),
        layout.outcomes: outcomes_table(layout, kept),
    }
    for path, table in tables.items():
        write_text(path, table.to_csv(sep="\t", index=False, float_format="%.6g"))
    write_sidecars(
        tables, verb="collect-qc", settings=settings.as_json(), inputs=inputs, started=started
    )


def qc_table(rows: list[pd.Series]) -> pd.DataFrame:
    """Rows of `qc.tsv`; what is known of made masks stands in it where there are any."""
    table = pd.DataFrame(rows)
    made = not table["mask"].isin((GIVEN, "")).all()
    return table[[*QC, *(OF_MASKS if made else ())]]


def _step_tables(
    layout: Layout, patient: pd.Series, reference: str
) -> list[tuple[str, str, Path]]:
    """Step, session and one-row table of all that was done to a patient's scans, in order."""
    patient_id = patient["patient_id"]
    sessions = [session for session in SESSIONS if patient[f"{session}_ct"]]
    stripped = [table for s in sessions for table in _native_tables(layout, patient, s)]
    resampled = [("resample-scan", s, layout.grid(patient_id, s).volumes) for s in sessions]
    if len(sessions) < len(SESSIONS):
        return stripped + resampled
    moved = ("register-followup", OTHER_SESSION[reference], layout.pair(patient_id).qc)
    return [*stripped, moved, *resampled]


def _native_tables(
    layout: Layout, patient: pd.Series, session: str
) -> list[tuple[str, str, Path]]:
    """The same of one scan in its own space; masks that are not given are a step of their own."""
    scan = patient["patient_id"], session
    volumes = layout.native(*scan).volumes
    if patient[f"{session}_iph"]:
        return [("strip-skull", session, volumes)]
    return [("strip-unmasked", session, layout.stripped(*scan)), (MADE_BY, session, volumes)]


def _read_patient(
    layout: Layout, patient_id: str, tables: Iterable[tuple[str, str, Path]]
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Measures of a patient's scans and the failed steps, in order, from `_step_tables`."""
    rows: dict[str, dict[str, Any]] = {}
    failures = []
    for step, session, path in tables:
        found = read_row(path, patient_id)
        if reason := found.pop("failure", ""):
            names = {"patient_id": patient_id, "session": session, "step": step}
            failures.append({**names, "reason": reason})
        row = rows.setdefault(
            session, dict.fromkeys(QC, float("nan")) | {"warnings": "", "voxels": ""}
        )
        row |= found | {"session": session}
    for session, row in rows.items():
        doubt = MaskDoubt("") if failures else read_doubt(layout, patient_id, session)
        row |= {"mask": doubt.source, "iph_error_ml": doubt.iph_error_ml}
        row["ivh_error_ml"] = doubt.ivh_error_ml
    return list(rows.values()), failures


def _judge(
    rows: list[dict[str, Any]],
    failures: list[dict[str, str]],
    twins: Mapping[Scan, list[Scan]],
    settings: Preprocess,
) -> list[pd.Series]:
    """A patient's rows with status and reason: failed, warning or ok."""
    judged = []
    for row, other in zip(rows, reversed(rows), strict=True):
        other_ml = other["brain_ml"] if len(rows) == 2 else None
        if failures:
            first = failures[0]
            here = first["session"] == row["session"]
            reason = first["reason"] if here else f"excluded: see the {first['session']}"
            status = "failed"
        else:
            warnings = scan_warnings(row, other_ml, settings.quality)
            if others := twins.get((row["patient_id"], row["session"])):
                warnings.insert(0, twin_words(others))
            status, reason = "warning" if warnings else "ok", "; ".join(warnings)
        notes = row["notes"] if isinstance(row["notes"], str) else ""
        judged.append(pd.Series(row | {"status": status, "reason": reason, "notes": notes}))
    return judged


def judge_baseline(layout: Layout, patient_id: str, limits: QualityLimits) -> tuple[str, str]:
    """What `collect-qc` would say of a patient who has a baseline alone.

    Args:
        layout: Holds the one-row tables of the scan in both spaces.
        patient_id: The patient.
        limits: Beyond these a scan is doubtful.

    Returns:
        Warnings and notes, each a line of text, empty where there is nothing to say.
    """
    spaces = layout.native(patient_id, BASELINE), layout.grid(patient_id, BASELINE)
    tables = [("predict", BASELINE, files.volumes) for files in spaces]
    ((row,), _) = _read_patient(layout, patient_id, tables)
    return "; ".join(scan_warnings(row, None, limits)), row["notes"]


def read_failure(layout: Layout, patient_id: str) -> pd.Series | None:
    """The row of `excluded.tsv` of a patient who was excluded; None of any other."""
    if not layout.excluded.exists():
        return None
    table = read_table(layout.excluded)
    found = table[table["patient_id"] == patient_id]
    return None if found.empty else found.iloc[0]


def _excluded_table(failures: Iterable[Mapping[str, str]]) -> pd.DataFrame:
    """Rows of `excluded.tsv`, a patient's first failure only: what follows comes of it.

    Args:
        failures: `EXCLUDED` of every failed step, in the order of the steps.
    """
    table = pd.DataFrame(list(failures), columns=list(EXCLUDED))
    return table.drop_duplicates("patient_id")


def left_out_table(left_out: Mapping[str, str]) -> pd.DataFrame:
    """Rows of `excluded.tsv` of who is left out by a rule, in the order given."""
    rows = [(patient, FOLLOWUP, name, LEFT_OUT[name]) for patient, name in left_out.items()]
    return pd.DataFrame(rows, columns=list(EXCLUDED))


def _refuse(excluded: pd.DataFrame, sheet: pd.DataFrame, on_failure: str) -> None:
    """Stops the run for patients who failed in a run that excluded them, or if none is left.

    Those in whose scan no bleed was found stop none: see `NothingFound`.
    """
    faults = [
        Fault(
            f"patient {row.patient_id}, {row.step} of the {row.session}",
            row.reason,
            "a patient who can be used",
            f"Mend the scan and delete results/preprocess/sub-{row.patient_id}, or set "
            "preprocess.on_failure: exclude.",
        )
        for row in excluded.itertuples()
        if on_failure == "stop" and row.step != MADE_BY
    ]
    training = sheet.index[sheet["split"] == "train"]
    if not faults and len(training) and training.isin(excluded["patient_id"]).all():
        faults.append(
            Fault(
                "column split",
                f"all {len(training)} training patients excluded",
                "at least one",
                "Read the reasons in results/preprocess: qc.tsv and the logs.",
            )
        )
    if faults:
        raise HemexpError(*faults, title=f"{len(faults)} fault(s)")
