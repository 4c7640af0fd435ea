"""One scan in standard form, as `strip-skull` leaves it: CT, haemorrhage masks, brain mask."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hemexp import Fault
from hemexp.volumes import ImageError, Volume, read_volume

NATIVE = {
    "ct": "ct.nii.gz",
    "iph": "desc-iph_mask.nii.gz",
    "ivh": "desc-ivh_mask.nii.gz",
    "brain": "desc-brain_mask.nii.gz",
}
"""Endings of a scan's files in standard form, after `ses-{session}_space-native_`."""

STRIPPED = NATIVE | {"picture": "qc.png", "volumes": "volumes.tsv"}
"""Endings of all that `strip-skull` writes; of all that `resample-scan` writes, too, there after
`ses-{session}_space-grid_`."""

PAIR = {
    "transform": "from-followup_to-baseline_mode-image_xfm.tfm",
    "qc": "desc-registration_qc.tsv",
    "picture": "desc-checkerboard_qc.png",
}
"""Endings of what `register-followup` writes."""


@dataclass(frozen=True)
class Scan:
    """One head CT and its haemorrhage masks, all on one grid.

    Attributes:
        ct: HU, float32, not below -1024.
        iph: Intraparenchymal haemorrhage, bool, without the voxels of `ivh`.
        ivh: Intraventricular haemorrhage, bool.
    """

    ct: Volume
    iph: Volume
    ivh: Volume

    @property
    def blood(self) -> NDArray[np.bool_]:
        """IPH and IVH together."""
        return self.iph.data | self.ivh.data


def read_scan(
    patient_id: str, session: str, files: Mapping[str, Path | str]
) -> tuple[Scan, NDArray[np.bool_]]:
    """Reads a scan in standard form; it was checked when it was written.

    Args:
        patient_id: For the messages.
        session: `baseline` or `followup`, for the messages.
        files: The files named in `NATIVE`.

    Returns:
        The scan and its brain mask (x, y, z).

    Raises:
        ImageError: A file cannot be read.
    """
    try:
        images = {image: read_volume(files[image]) for image in NATIVE}
    except ImageError as error:
        raise ImageError(*name_faults(error.faults, patient_id, session)) from error
    ct, iph, ivh, brain = images.values()
    scan = Scan(ct, *(mask.with_data(mask.data != 0) for mask in (iph, ivh)))
    return scan, brain.data != 0


def name_faults(faults: Iterable[Fault], patient_id: str, what: str) -> list[Fault]:
    """Puts the patient and what the file is (`baseline ct`) before each fault's file."""
    return [
        fault._replace(where=f"patient {patient_id}, {what}, {fault.where}") for fault in faults
    ]
