"""Where the pooled map of a patient lies: readers need not load what makes it."""

from pathlib import Path

from hemexp.provenance import patient_file


def pooled_file(folder: Path, patient_id: str) -> Path:
    """The pooled expansion map of one patient below `folder`, which is `results/evaluation`."""
    return patient_file(folder, patient_id, "desc-expansion_pooled-probseg.nii.gz")
