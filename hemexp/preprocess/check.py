"""For people, before any work: are the sample sheet and the scans it names usable?"""

from pathlib import Path

import pandas as pd

from hemexp import Fault
from hemexp.cohort import SESSIONS, CohortError, is_phantom, read_samples
from hemexp.preprocess.scans import read_given_brain, read_scan
from hemexp.volumes import ImageError


def run_check(samples: Path | str, images: bool) -> None:
    """Checks the sample sheet and, if asked, every scan in it.

    A faulty sheet is told first: its scans can only be found once it is right. Scans that the
    workflow makes and has not made yet are not looked for.

    Args:
        samples: The sample sheet.
        images: Whether to read the scans too.

    Raises:
        CohortError: With every fault of the sheet, or else of the scans, in one message.
    """
    sheet = read_samples(samples)
    if not images:
        return
    faults = [fault for _, row in sheet.iterrows() for fault in image_faults(row)]
    if faults:
        raise CohortError(*faults, title=f"{samples}: {len(faults)} fault(s) in its images")


def image_faults(row: pd.Series) -> list[Fault]:
    """Every fault of one patient's scans; `row` is a row of the sample sheet."""
    faults: list[Fault] = []
    for session in SESSIONS:
        ct, iph, ivh = (row[f"{session}_{image}"] for image in ("ct", "iph", "ivh"))
        if not ct or (is_phantom(ct) and not Path(ct).exists()):
            continue
        try:
            scan = read_scan(row["patient_id"], session, ct, iph, ivh)
            brain = row.get(f"{session}_brain", "")
            if brain:
                read_given_brain(row["patient_id"], session, brain, scan)
        except ImageError as error:
            faults += error.faults
    return faults
