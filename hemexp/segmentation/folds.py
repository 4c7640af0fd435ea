"""Which training patients a network sees."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from hemexp import Fault, HemexpError
from hemexp.columns import SESSIONS

if TYPE_CHECKING:  # the workflow asks for folds, and starts without pandas
    import pandas as pd

    from hemexp.settings import Segmentation

MASK_COLUMNS = [f"{session}_{mask}" for session in SESSIONS for mask in ("iph", "ivh")]


def masked_patients(sheet: "pd.DataFrame") -> list[str]:
    """Patients whose row names the masks of both scans, `none` for no IVH included; sorted."""
    return sorted(sheet.index[sheet[MASK_COLUMNS].ne("").all(axis=1)])


def fold_patients(masked: Iterable[str], fold: int, folds: int) -> list[str]:
    """Patients whom the network of a fold never sees: every `folds`-th of the sorted ones.

    Sorted by name, patients of one centre mostly follow each other, and spread over the folds.

    Args:
        masked: Training patients with masks.
        fold: From 0.
        folds: How many there are.
    """
    return sorted(masked)[fold::folds]


def training_patients(masked: Sequence[str], fold: int | None, folds: int) -> list[str]:
    """Patients whom a network learns from: all who have masks, or those outside its fold."""
    left_out = [] if fold is None else fold_patients(masked, fold, folds)
    return sorted(set(masked).difference(left_out))


def check_enough(masked: Sequence[str], settings: "Segmentation") -> None:
    """Refuses to learn from too few.

    Raises:
        HemexpError: Fewer training patients have masks than `least_masked`, or than `folds`.
    """
    least = max(settings.least_masked, settings.folds)
    if len(masked) >= least:
        return
    raise HemexpError(
        Fault(
            "sample sheet",
            f"scans without masks, and {len(masked)} patients of split `train` with IPH and IVH "
            "masks of both scans",
            f"{least} or more (segmentation.least_masked, segmentation.folds)",
            f"Draw the masks of {least - len(masked)} more, or export them from ITK-SNAP or 3D "
            "Slicer as label files (config/README.md); or let a program of your own make the "
            "missing ones (segmentation.method: command).",
        )
    )
