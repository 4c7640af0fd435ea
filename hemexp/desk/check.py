"""For people, before any work: are the sample sheet and the scans it names usable?"""

import logging
from collections import Counter
from pathlib import Path

import pandas as pd

from hemexp import Fault
from hemexp.cohort import read_sheet
from hemexp.columns import CLINICAL, SESSIONS, SPLITS
from hemexp.desk.missing_masks import check_masks, unmasked_scans
from hemexp.layout import is_phantom
from hemexp.preprocess.raw import RawScan, read_given_brain, read_raw_scan
from hemexp.preprocess.shrinkage import pair_faults
from hemexp.settings import Preprocess, Segmentation
from hemexp.sheet import SheetError, read_left_out, scan_files
from hemexp.sheet_faults import lacks_masks
from hemexp.volumes import ImageError

log = logging.getLogger(__name__)


def run_check(
    path: Path | str,
    settings: Preprocess | None,
    segmentation: Segmentation | None = None,
    *,
    need_training: bool = True,
) -> str:
    """Checks the sample sheet and, if asked, every scan in it; what is doubtful is logged.

    The sheet's faults come first: its scans can only be found once it is right. Scans that the
    workflow makes and has not made yet are not looked for.

    Returns:
        What is there, in a line.

    Args:
        path: The sample sheet.
        settings: Limits for the scans; without them, only the sheet is checked.
        segmentation: Where masks come from that the sheet does not name; without it, nothing is
            refused for want of them.
        need_training: Refuse a sheet without training patients.

    Raises:
        SheetError: With every fault of the sheet, or else of the scans, in one message.
        HemexpError: Missing masks cannot be made.
    """
    sheet = read_sheet(path, need_training=need_training)
    for name in (name for name in CLINICAL if sheet[name].isna().all()):
        log.warning("column %s is empty for all patients: nothing can be learned of it", name)
    if segmentation is not None:
        check_masks(sheet, segmentation)
    if settings is None:
        return f"{path}: {summary(sheet)}{say_left_out(path)}, ok"
    faults: list[Fault] = []
    count = 0
    for _, row in sheet.iterrows():
        scans, found = read_scans(row, settings)
        faults, count = faults + found, count + len(scans)
    if faults:
        raise SheetError(*faults, title=f"{path}: {len(faults)} fault(s) in its images")
    return f"{path}: {summary(sheet)}{say_left_out(path)}, {count} scans read, ok"


def summary(sheet: pd.DataFrame) -> str:
    """`12 patients (8 train, 2 test, 2 predict), centres A, B`, and scans to be segmented."""
    splits = sheet["split"].value_counts()
    counted = ", ".join(f"{splits[name]} {name}" for name in SPLITS if name in splits)
    centers = ", ".join(sorted(set(sheet["center"])))
    unmasked = len(unmasked_scans(sheet))
    segmented = f", {unmasked} scans without masks will be segmented" if unmasked else ""
    return f"{len(sheet)} patients ({counted}), centres {centers}{segmented}"


def say_left_out(path: Path | str) -> str:
    """`, left out: 2 evacuated, 1 died`; empty where nobody is."""
    counts = Counter(read_left_out(path).values())
    told = ", ".join(f"{count} {name}" for name, count in counts.items())
    return f", left out: {told}" if told else ""


def read_scans(row: pd.Series, settings: Preprocess) -> tuple[dict[str, RawScan], list[Fault]]:
    """One patient's scans by session, as far as they can be used, and every fault of them.

    What is doubtful is logged.

    Args:
        row: Of the sample sheet.
        settings: Limits.
    """
    faults: list[Fault] = []
    found: dict[str, RawScan] = {}
    for session in SESSIONS:
        files = scan_files(row, session)
        ct = files.get("ct", "")
        if not ct or (is_phantom(ct) and not Path(ct).exists()):
            continue
        try:
            names = row["patient_id"], session
            masks = files.get("iph"), files.get("ivh")
            found[session] = read_raw_scan(*names, ct, *masks, settings.raw)
            for words in found[session].warnings:
                log.warning("patient %s, %s: %s", *names, words)
            if "brain" in files:
                read_given_brain(*names, files["brain"], found[session].scan)
        except ImageError as error:
            faults += error.faults
    if len(found) == 2 and not any(lacks_masks(row, session) for session in SESSIONS):
        iph_ml, ivh_ml = (
            {session: getattr(raw, name) for session, raw in found.items()}
            for name in ("iph_ml", "ivh_ml")
        )
        files = {session: row[f"{session}_ct"] for session in found}
        limits = settings.registration
        faults += pair_faults(row["patient_id"], files, iph_ml, ivh_ml, limits)
    return found, faults
