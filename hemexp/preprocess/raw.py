"""A scan as a hospital stores it: read, checked, mended where that is certain, or refused."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hemexp import Fault
from hemexp.preprocess.dicom.read import Reading, is_dicom, read_dicom
from hemexp.preprocess.hounsfield import coverage_faults, mend_hu
from hemexp.preprocess.interpolate import average
from hemexp.preprocess.levels import mend_slices
from hemexp.preprocess.masks.checks import (
    blood_limits,
    field_faults,
    judge_blood,
    overlap_remarks,
    shape_faults,
)
from hemexp.preprocess.masks.files import read_blood_mask, read_mask
from hemexp.preprocess.masks.grids import on_ct_grid, on_one_grid, without
from hemexp.preprocess.remarks import Remark, notes_of, warnings_of
from hemexp.preprocess.scans import NativeScan, name_faults
from hemexp.preprocess.slices import head_axis
from hemexp.settings import RawInput
from hemexp.volumes import ImageError, Volume, read_volume, volume_ml


@dataclass(frozen=True)
class RawScan:
    """What became of a raw scan.

    Attributes:
        scan: CT and masks, on the CT's grid.
        iph_ml: IPH volume, measured on the mask's own grid; NaN without masks.
        ivh_ml: IVH volume, alike.
        remarks: What was mended, resampled or looks doubtful, for the quality control.
    """

    scan: NativeScan
    iph_ml: float
    ivh_ml: float
    remarks: tuple[Remark, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What was mended or resampled, a phrase each."""
        return notes_of(self.remarks)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What looks doubtful, a phrase each."""
        return warnings_of(self.remarks)


def read_raw_scan(
    patient_id: str,
    session: str,
    ct: Path | str,
    iph: Path | str | None,
    ivh: Path | str | None,
    limits: RawInput,
) -> RawScan:
    """Reads one scan and checks it whole.

    A scan whose masks are yet to be made has empty ones, and no volumes.

    Where the masks overlap, the voxel is IVH: annotators paint IVH over an IPH that broke
    through, so a mask of all blood may be given as IPH. An IPH mask without a voxel of its own is
    a fault in both sessions: without a bleed, or after its removal, there is no growth to learn.

    Args:
        patient_id: For the messages.
        session: `baseline` or `followup`, for the messages.
        ct: NIfTI or NRRD file in HU, a DICOM folder, or one file of a DICOM series.
        iph: Mask in the CT's space, not empty: NIfTI or NRRD, binary (0/1 or 0/255) or labels;
            None where the masks are yet to be made.
        ivh: The same, possibly empty, or the same label file; None where there is no IVH.
        limits: Outside these a scan is refused or warned of.

    Raises:
        ImageError: With every fault found in the three files.
    """
    given = {"ct": ct, "iph": iph, "ivh": ivh}
    paths = {image: Path(path) for image, path in given.items() if path is not None}
    images, remarks, faults = _read_files(paths, limits)
    if iph is not None and not faults:
        images.setdefault("ivh", images["iph"].with_data(np.zeros_like(images["iph"].data)))
        whole, images["iph"] = images["iph"], without(images["iph"], images["ivh"])
        faults, doubts = _judge_masks(paths, images, limits)
        remarks += [*overlap_remarks(whole, images["iph"], limits), *doubts]
    named = [
        fault
        for image in faults
        for fault in name_faults(faults[image], patient_id, f"{session} {image}")
    ]
    if named:
        raise ImageError(*named)
    if iph is None:
        blank = images["ct"].with_data(np.zeros(images["ct"].data.shape, dtype=bool))
        scan = NativeScan(images["ct"], blank, blank)
        return RawScan(scan, math.nan, math.nan, tuple(remarks))
    iph_ml, ivh_ml = volume_ml(images["iph"]), volume_ml(images["ivh"])
    *masks, resampled = on_ct_grid(images["iph"], images["ivh"], images["ct"])
    return RawScan(NativeScan(images["ct"], *masks), iph_ml, ivh_ml, (*remarks, *resampled))


def _read_files(
    paths: Mapping[str, Path], limits: RawInput
) -> tuple[dict[str, Volume], list[Remark], dict[str, list[Fault]]]:
    """Images that can be read, what is said of them, and the faults of each image."""
    images: dict[str, Volume] = {}
    remarks: list[Remark] = []
    faults: dict[str, list[Fault]] = {}
    for image, path in paths.items():
        try:
            if image == "ct":
                images[image], said, move = read_ct(path, limits)
            else:
                shared = paths["iph"] == paths.get("ivh")
                if shared and "iph" in faults:
                    continue  # the same file has been told
                images[image], said = read_blood_mask(
                    path, image, limits.mask_labels, shared=shared
                )
            remarks += said
        except ImageError as error:
            faults[image] = list(error.faults)
    for image in sorted(images.keys() - {"ct"}) if "ct" in images else []:
        images[image] = move(images[image])
        if outside := field_faults(paths[image], images[image], images["ct"]):
            faults[image] = outside
    return images, remarks, faults


def _judge_masks(
    paths: Mapping[str, Path], images: Mapping[str, Volume], limits: RawInput
) -> tuple[dict[str, list[Fault]], list[Remark]]:
    """The faults of each mask, and what is doubtful in those that are used."""
    shape = shape_faults(paths["iph"], images["iph"])
    faults, remarks = {"iph": shape} if shape else {}, []
    for kind in [name for name in paths if name not in ("ct", *faults)]:
        judged = blood_limits(kind, limits)
        faults[kind], doubts = judge_blood(paths[kind], images[kind], images["ct"], judged)
        remarks += doubts
    return faults, remarks


def read_ct(
    path: Path, limits: RawInput
) -> tuple[Volume, list[Remark], Callable[[Volume], Volume]]:
    """Reads a CT: NIfTI, NRRD, a DICOM folder, or one file of a DICOM series.

    Returns:
        The CT in HU, not below -1024; what was converted or mended; and what puts a mask on it
        that was drawn on another conversion of the same files.

    Raises:
        ImageError: It cannot be read or converted, is not in HU, or shows too little of a head.
    """
    read = read_dicom(path) if is_dicom(path) else Reading(read_volume(path), [])
    image, levelled = mend_slices(path, read.ct)
    ct, mended = mend_hu(path, image)
    if faults := coverage_faults(path, ct, head_axis(ct.affine)[0], limits):
        raise ImageError(*faults)
    return ct, read.remarks + levelled + mended, read.move


def read_given_brain(patient_id: str, session: str, path: Path | str, scan: NativeScan) -> Volume:
    """Reads a brain mask that the study gives, onto the grid of its scan.

    Raises:
        ImageError: It is unreadable, not binary, empty or outside the scan.
    """
    path = Path(path)
    try:
        brain = read_mask(path)
        faults = field_faults(path, brain, scan.ct)
        if not brain.data.any():
            faults.append(Fault(str(path), "an empty mask", "a brain mask", "Draw it again."))
    except ImageError as error:
        faults = list(error.faults)
    if faults:
        raise ImageError(*name_faults(faults, patient_id, f"{session} brain"))
    if on_one_grid(brain, scan.ct):
        return brain
    return scan.ct.with_data(average(brain, scan.ct, np.eye(4)) >= 0.5)
