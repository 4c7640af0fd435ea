"""Which scans of a sheet have no masks, and whether they can be made: asked before any job."""

from typing import TYPE_CHECKING

from hemexp import Fault, HemexpError
from hemexp.columns import SESSIONS
from hemexp.segmentation.folds import check_enough, masked_patients
from hemexp.sheet_faults import lacks_masks

if TYPE_CHECKING:  # the workflow asks, and starts without pandas and pydantic's sections
    import pandas as pd

    from hemexp.settings import Segmentation


def unmasked_scans(sheet: "pd.DataFrame") -> list[tuple[str, str]]:
    """Patient and session of every scan whose mask cells are empty, in the sheet's order."""
    return [
        (str(patient_id), session)
        for patient_id, row in sheet.to_dict("index").items()
        for session in SESSIONS
        if row[f"{session}_ct"] and lacks_masks(row, session)
    ]


def check_masks(sheet: "pd.DataFrame", settings: "Segmentation") -> list[tuple[str, str]]:
    """Scans that will be segmented.

    Args:
        sheet: All patients.
        settings: Where missing masks come from.

    Raises:
        HemexpError: Masks are missing that nothing may make (`provided`), or too few training
            patients have masks for a network to learn from.
    """
    scans = unmasked_scans(sheet)
    if not scans:
        return []
    if settings.method == "provided":
        raise HemexpError(*(_not_provided(*scan) for scan in scans))
    if settings.method == "network" and settings.model is None:
        check_enough(masked_patients(sheet[sheet["split"] == "train"]), settings)
    return scans


def _not_provided(patient_id: str, session: str) -> Fault:
    return Fault(
        f"sample sheet, patient {patient_id}, columns {session}_iph and {session}_ivh",
        "nothing",
        "masks of every scan (segmentation.method is 'provided')",
        "Name the files, or let the workflow make them: segmentation.method 'network' or "
        "'command'.",
    )
