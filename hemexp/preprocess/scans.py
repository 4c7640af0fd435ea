"""One scan in standard form, as `strip-skull` leaves it: CT, haemorrhage masks, brain mask."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hemexp import Fault
from hemexp.layout import Layout, ScanFiles
from hemexp.volumes import ImageError, Volume, read_volume, write_volume


@dataclass(frozen=True)
class NativeScan:
    """One head CT and its haemorrhage masks, all on the scanner's grid.

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


def read_native_scan(
    layout: Layout, patient_id: str, session: str
) -> tuple[NativeScan, NDArray[np.bool_]]:
    """Reads a scan in standard form; it was checked when it was written.

    Args:
        layout: Of the run.
        patient_id: Patient of the sample sheet.
        session: `baseline` or `followup`.

    Returns:
        The scan and its brain mask (x, y, z).

    Raises:
        ImageError: A file cannot be read; the message names the patient and the session.
    """
    try:
        ct, *masks = map(read_volume, layout.native(patient_id, session).images)
    except ImageError as error:
        raise ImageError(*name_faults(error.faults, patient_id, session)) from error
    iph, ivh, brain = (mask.with_data(mask.data != 0) for mask in masks)
    return NativeScan(ct, iph, ivh), brain.data


def write_images(
    files: ScanFiles, images: Mapping[str, NDArray], affine: NDArray[np.float64]
) -> None:
    """Writes the four images of a scan, in either space.

    Args:
        files: Where they lie.
        images: `ct` (HU, stored as int16), `iph`, `ivh` and `brain` (stored as uint8).
        affine: Voxel index to RAS mm.
    """
    for name, path in files.images._asdict().items():
        write_volume(path, images[name], affine, np.int16 if name == "ct" else np.uint8)


def name_faults(faults: Iterable[Fault], patient_id: str, what: str) -> list[Fault]:
    """Puts the patient and what the file is (`baseline ct`) before each fault's file."""
    return [
        fault._replace(where=f"patient {patient_id}, {what}, {fault.where}") for fault in faults
    ]
