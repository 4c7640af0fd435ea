"""Patients who cannot be used: the run stops for them, or goes on without them."""

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from hemexp import HemexpError
from hemexp.preprocess.rows import read_row, write_row
from hemexp.provenance import StorageError, leave_empty

log = logging.getLogger(__name__)


class NothingFound(HemexpError):
    """No bleed was found in a scan: the patient is set aside, and shown first in quality control.

    Whatever `on_failure` says: a program that overlooks one bleed must not hold up a study, and
    its cure, a drawn mask, needs the page.
    """


def run_or_exclude(
    step: Callable[[], None],
    patient_id: str,
    table: Path,
    products: Iterable[Path],
    on_failure: str,
    hidden: Mapping[str, str] | None = None,
) -> None:
    """Runs one step of one patient; a fault of the patient's files ends it as the config says.

    Args:
        step: The work.
        patient_id: Whose.
        table: The step's one-row table.
        products: The files that the step writes, the table among them.
        on_failure: `stop` lets the error through, but `NothingFound`. `exclude` leaves
            empty files in place of the products, and in the table the reason (column `failure`),
            for `collect-qc` to find.
        hidden: What the reason calls a path that it must not give away.

    Raises:
        HemexpError: The step failed and the run shall stop.
        StorageError: The disk failed, which is no fault of the patient.
    """
    try:
        step()
    except StorageError:
        raise
    except HemexpError as error:
        if on_failure == "stop" and not isinstance(error, NothingFound):
            raise
        leave_empty(products)
        reason = str(error)
        for path, name in (hidden or {}).items():
            reason = reason.replace(path, name)
        write_row(table, {"patient_id": patient_id, "failure": reason})
        log.warning("excluded: %s", error)


def pass_on(before: Path, patient_id: str, table: Path, products: Iterable[Path]) -> bool:
    """Excludes a patient from a step, too, who was excluded in the one before, for its reason.

    Args:
        before: One-row table of the step before.
        patient_id: Whose.
        table: This step's one-row table.
        products: The files of this step.

    Returns:
        Whether the patient was excluded.
    """
    row = read_row(before, patient_id)
    if not row.get("failure"):
        return False
    leave_empty(products)
    write_row(table, row)
    return True
