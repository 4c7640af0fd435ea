"""Patients of a new centre on whom a released model may be recalibrated, and who may not."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from hemexp import Fault, HemexpError
from hemexp.expansion.patients import read_patients
from hemexp.expansion.train import without_shrunk
from hemexp.layout import Layout, patient_of
from hemexp.outcomes import expansion_outcomes
from hemexp.release.models import RECALIBRATED
from hemexp.statistics.calibration import LEAST_EVENTS

log = logging.getLogger(__name__)

LEAST_PATIENTS = 30
"""With fewer, what is learned is the prior: intercepts are known to +-0.4 at 30."""


def read_local(layout: Layout, patients: pd.DataFrame) -> pd.DataFrame:
    """A centre's patients with a follow-up: sheet, volumes, features, outcomes.

    Args:
        layout: Of the run that preprocessed them and measured their bleeds.
        patients: Their rows of the sheet; those of split `predict` have no follow-up.

    Raises:
        HemexpError: Several centres, too few patients or events, or a volume that is not known.
    """
    followed = patients[patients["split"] != "predict"]
    if len(followed) < len(patients):
        log.info("%d patients without a follow-up are left out", len(patients) - len(followed))
    centers = sorted(set(followed["center"]))
    if len(centers) > 1:
        raise HemexpError(
            Fault(
                "--samples, column center",
                f"the centres {', '.join(centers)}",
                "one centre, which the models are recalibrated for",
                "Give a sheet with the rows of that centre alone.",
            )
        )
    _check_number(len(followed), "patients with a follow-up", LEAST_PATIENTS)
    everyone = expansion_outcomes(read_patients(layout, followed, follow_up=True))
    _check_volumes(everyone)
    table = without_shrunk(everyone)
    _check_number(len(table), "patients whose bleed did not shrink", LEAST_PATIENTS)
    for name, events in (("with", table["he"].sum()), ("without", (1 - table["he"]).sum())):
        _check_number(int(events), f"patients {name} expansion", LEAST_EVENTS)
    return table


def _check_number(found: int, what: str, least: int) -> None:
    if found < least:
        raise HemexpError(
            Fault(
                "--samples",
                f"{found} {what}",
                f"{least} or more: fewer tell chance from a difference no better than a guess",
                "Use the released models as they are until there are more.",
            )
        )


def _check_volumes(table: pd.DataFrame) -> None:
    known = (table["baseline_iph_ml"] > 0) & table["growth_ml"].notna()
    if not known.all():
        raise HemexpError(
            Fault(
                f"native volumes, patients {', '.join(table.index[~known])}",
                "an empty or unknown baseline IPH, or no follow-up volume",
                "a baseline IPH above 0 mL and an IPH volume at follow-up",
                "Correct their masks, or take these patients out of the sheet.",
            )
        )


def scan_hashes(layout: Layout, patient_ids: Iterable[str]) -> dict[str, str]:
    """Hash of the voxels of each patient's baseline, as `strip-skull` keeps it."""
    files = {name: layout.native(name, "baseline").volumes for name in patient_ids}
    tables = {name: pd.read_csv(path, sep="\t", dtype=str) for name, path in files.items()}
    return {name: str(table["voxels"].iloc[0]) for name, table in tables.items()}


def check_strangers(folder: Path, record: dict[str, Any], hashes: dict[str, str]) -> None:
    """Refuses patients whom the released models have learned from already.

    Known are the scans of a finished run, and of whom models were recalibrated on; of training
    patients whose tables are gone, the names. By one name with other scans go two people.

    Args:
        folder: The released models.
        record: Their `model.json`.
        hashes: The centre's patients and the hashes of their baselines.

    Raises:
        HemexpError: There are such patients; it names them.
    """
    folders = {Path(name).parent for name in record.get("inputs", {})}
    trained = {patient_of(one) for one in folders if patient_of(one) != one.name}
    if not trained:
        log.warning(
            "%s keeps no list of the patients it was trained on: see to it that none of yours is "
            "among them",
            folder,
        )
    run = Layout(folder)
    tables = run.find(run.native("*", "baseline").volumes)
    there = trained & {patient_of(path.parent) for path in tables}
    past = (scan for one in record.get(RECALIBRATED, []) for scan in one["scans"])
    seen = {*scan_hashes(run, there).values(), *past}
    nameless = trained - there
    known = sorted(name for name, scan in hashes.items() if scan in seen or name in nameless)
    if known:
        raise HemexpError(
            Fault(
                f"--samples, patients {', '.join(known)}",
                f"patients whom {folder} has learned from",
                "patients who are new to the models",
                "Take them out of the sheet; other patients of these names need other names.",
            )
        )
