"""One scan with its haemorrhage masks: read, checked, every fault told with the patient's name."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hemexp import Fault
from hemexp.volumes import SAME_GRID_MM, ImageError, Volume, grid_distance_mm, read_volume

PADDING_HU = -1024.0
"""Scanners pad with -1024, -2000 or -3024; nothing in a body lies below air."""

AIR_HU = -500.0
"""The darkest 1 % of a head CT is air; above this it is not (intercept missed: about 24)."""

DICOM_CURE = (
    "Convert it with dcm2niix and name the NIfTI file in the sheet (take the _Tilt or _Eq file "
    "where there is one, and draw the masks on that file)."
)


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
    patient_id: str, session: str, ct: Path | str, iph: Path | str, ivh: Path | str
) -> Scan:
    """Reads one scan and checks it whole.

    Where the masks overlap, the voxel is IVH: annotators paint IVH over an IPH that broke
    through, so a mask of all blood may be given as IPH. An IPH mask without a voxel of its own is
    a fault in both sessions: without a bleed, or after its removal, there is no growth to learn.

    Args:
        patient_id: For the messages.
        session: `baseline` or `followup`, for the messages.
        ct: NIfTI file in HU.
        iph: Binary mask (0/1 or 0/255) on the CT's grid, not empty.
        ivh: Binary mask on the CT's grid, possibly empty.

    Raises:
        ImageError: With every fault found in the three files.
    """
    paths = {"ct": Path(ct), "iph": Path(iph), "ivh": Path(ivh)}
    found: dict[str, Volume] = {}
    faults: list[Fault] = []
    for image, path in paths.items():
        try:
            found[image] = read_mask(path) if image != "ct" else _read_ct(path)
        except ImageError as error:
            faults += name_faults(error.faults, patient_id, f"{session} {image}")
    for image in ("iph", "ivh"):
        if image in found and "ct" in found:
            fault = same_grid_fault(paths[image], found[image], found["ct"])
            faults += name_faults(fault, patient_id, f"{session} {image}")
    if not faults:
        found["iph"] = found["iph"].with_data(found["iph"].data & ~found["ivh"].data)
        fault = _empty_fault(paths["iph"], found["iph"])
        faults += name_faults(fault, patient_id, f"{session} iph")
    if faults:
        raise ImageError(*faults)
    return Scan(found["ct"], found["iph"], found["ivh"])


def read_mask(path: Path) -> Volume:
    """Reads a binary mask stored as 0/1 or 0/255, as bool.

    Raises:
        ImageError: The file is unreadable or holds other values.
    """
    mask = read_volume(path)
    nonzero = mask.data[mask.data != 0]
    if not (np.all(nonzero == 1) or np.all(nonzero == 255)):
        values = ", ".join(f"{value:g}" for value in np.unique(nonzero)[:5])
        raise ImageError(
            Fault(str(path), f"a mask with the values 0 and {values}", "0 and 1, or 0 and 255",
                  "Export one binary mask per kind of blood.")
        )  # fmt: skip
    return mask.with_data(mask.data != 0)


def read_given_brain(patient_id: str, session: str, path: Path | str, scan: Scan) -> Volume:
    """Reads a brain mask that the study gives, on the grid of its scan.

    Raises:
        ImageError: It is unreadable, not binary, empty or on another grid.
    """
    try:
        brain = read_mask(Path(path))
        faults = same_grid_fault(Path(path), brain, scan.ct)
        if not brain.data.any():
            faults.append(Fault(str(path), "an empty mask", "a brain mask", "Draw it again."))
    except ImageError as error:
        faults = list(error.faults)
    if faults:
        raise ImageError(*name_faults(faults, patient_id, f"{session} brain"))
    return brain


def same_grid_fault(path: Path, mask: Volume, ct: Volume) -> list[Fault]:
    """A fault if a mask does not lie on its CT's grid, else nothing."""
    distance_mm = grid_distance_mm(mask, ct)
    if distance_mm <= SAME_GRID_MM:
        return []
    found = f"shape {mask.data.shape}, corners {distance_mm:.3g} mm away"
    if mask.data.shape != ct.data.shape:
        found = f"shape {mask.data.shape}"
    return [
        Fault(str(path), found, f"the grid of its CT (shape {ct.data.shape}, same affine)",
              "Draw or export the mask on this very CT file.")
    ]  # fmt: skip


def name_faults(faults: Iterable[Fault], patient_id: str, what: str) -> list[Fault]:
    """Puts the patient and what the file is (`baseline ct`) before each fault's file."""
    return [
        fault._replace(where=f"patient {patient_id}, {what}, {fault.where}") for fault in faults
    ]


def _read_ct(path: Path) -> Volume:
    if path.is_dir():
        raise ImageError(Fault(str(path), "a folder", "a NIfTI file", DICOM_CURE))
    ct = read_volume(path)
    low, high = float(ct.data.min()), float(ct.data.max())
    air_hu = float(np.percentile(ct.data, 1))
    expected = "Hounsfield units (air near -1000, bone above 300)"
    if low >= 0 and high <= 255:
        raise ImageError(
            Fault(str(path), f"grey values from {low:g} to {high:g}, not HU", expected,
                  "This is a windowed picture: convert the original DICOM series.")
        )  # fmt: skip
    if high > np.iinfo(np.int16).max:
        raise ImageError(
            Fault(str(path), f"values up to {high:g}", expected,
                  "Negative HU wrapped round in unsigned numbers: convert the scan as signed.")
        )  # fmt: skip
    if air_hu > AIR_HU:
        raise ImageError(
            Fault(str(path), f"air (the darkest 1 %) at {air_hu:g} HU", expected,
                  "Apply the rescale intercept (subtract 1024 where values are 1024 too high), "
                  "or give the whole head, neither clipped nor skull-stripped.")
        )  # fmt: skip
    return ct.with_data(np.maximum(ct.data, PADDING_HU))


def _empty_fault(path: Path, iph: Volume) -> list[Fault]:
    if iph.data.any():
        return []
    return [
        Fault(str(path), "an empty mask (no voxel outside the IVH)", "at least one voxel of IPH",
              "Check that the right mask is named, and that IPH and IVH are not swapped.")
    ]  # fmt: skip
