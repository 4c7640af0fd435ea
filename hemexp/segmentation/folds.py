"""Which training patients a network sees."""

from collections.abc import Iterable, Sequence


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


def fold_of(masked: Iterable[str], patient_id: str, folds: int) -> int:
    """The fold whose network did not see a training patient."""
    return sorted(masked).index(patient_id) % folds
