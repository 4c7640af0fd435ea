"""A CT as the scanner stores it: the one head series of a DICOM folder, upright and in its place.

The files say where each slice lies (`headers`); `dcm2niix` stacks the pixels
(`convert`). The stack is held against the places, and a tilt of the gantry or uneven steps
are undone by them (`geometry`).
"""

from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from hemexp import Fault
from hemexp.image_header import check_header, check_values, corner_distance_mm
from hemexp.preprocess.dicom.checks import (
    AGAIN,
    gap_remarks,
    height_faults,
    place_faults,
    scale_faults,
    scale_remarks,
    stack_of,
)
from hemexp.preprocess.dicom.convert import Image, convert, remarks_of
from hemexp.preprocess.dicom.geometry import AWAY_MM, Stack, regular
from hemexp.preprocess.dicom.headers import FEWEST_SLICES, Series, find_series, read_headers
from hemexp.preprocess.remarks import Remark
from hemexp.volumes import ImageError, Volume


class Reading(NamedTuple):
    """A CT as it was read.

    Attributes:
        ct: HU.
        remarks: What was done or looks doubtful.
        elsewhere: Affine under which dcm2niix writes the same voxels when it undoes a tilt. It
            misplaces most such images (its issue 259), and masks drawn on them.
    """

    ct: Volume
    remarks: list[Remark]
    elsewhere: NDArray[np.float64] | None = None

    def move(self, mask: Volume) -> Volume:
        """A mask that was drawn on dcm2niix's misplaced image, on the CT; others as they are."""
        shape = mask.data.shape
        if self.elsewhere is None or shape != self.ct.data.shape:
            return mask
        drawn_there = corner_distance_mm(shape, mask.affine, self.elsewhere) < AWAY_MM
        return self.ct.with_data(mask.data) if drawn_there else mask


def is_dicom(path: Path) -> bool:
    """Whether a path is a folder, or a file that says it is DICOM."""
    if path.is_dir():
        return True
    try:
        with path.open("rb") as handle:
            return handle.read(132)[128:] == b"DICM"
    except OSError:
        return False


def files_of(path: Path) -> list[Path]:
    """The files behind a path of the sheet: itself, or for DICOM all among which it is looked for.

    A file of a series keeps the search to its folder.
    """
    if not is_dicom(path):
        return [path]
    found = path.rglob("*") if path.is_dir() else path.parent.iterdir()
    return sorted(file for file in found if file.is_file())


def read_dicom(path: Path) -> Reading:
    """Reads the one head CT of a DICOM folder, or the series that a file belongs to.

    Args:
        path: Folder with one series (localisers aside), or any one file of the wanted series.

    Returns:
        The image with the rescale slope and intercept applied, its slices straight above each
        other and equidistant.

    Raises:
        ImageError: The folder holds no series of CT slices, or several; it does not say where
            its slices lie, or otherwise than the converted image; or the conversion fails.
    """
    files = files_of(path)
    slices, broken = read_headers(files)
    if not slices:
        raise ImageError(_nothing_fault(path, files, broken))
    found = find_series(slices)
    chosen = choose_series(path, found)
    if faults := place_faults(path, chosen) + scale_faults(path, chosen):
        raise ImageError(*faults)
    stack = stack_of(chosen)
    if faults := height_faults(path, chosen, stack):
        raise ImageError(*faults)
    image = convert(path, chosen.files)
    check_values(path, image.data)
    stack = _find_stack(path, image, stack)
    remarks = [
        *gap_remarks(chosen, stack),
        *scale_remarks(path, chosen, stack, image.data),
        *remarks_of(image.said),
        *_aside(path, found, chosen, broken),
    ]
    volume, done = _upright(image, stack)
    check_header(path, nib.Nifti1Image(volume.data, volume.affine))
    words = ", ".join([f"series {chosen.number}", *done])
    remarks = [Remark(f"converted from DICOM ({words})"), *remarks]
    return Reading(volume, remarks, image.mended if stack.is_sheared else None)


def _nothing_fault(path: Path, files: list[Path], broken: dict[Path, str]) -> Fault:
    why = "".join(f"; {file}: {reason}" for file, reason in [*broken.items()][:1])
    return Fault(
        str(path),
        f"no DICOM picture among {len(files)} files{why}",
        "the slices of a head CT",
        "Name the folder of the head CT, or its NIfTI file.",
    )


def choose_series(path: Path, found: list[Series]) -> Series:
    """The one head series of a folder, or the one that a named file belongs to.

    Raises:
        ImageError: There is none, or there are several.
    """
    kept = [series for series in found if series.is_head]
    if path.is_file():
        kept = [series for series in kept if path in series.files]
    if len(kept) == 1:
        return kept[0]
    told = [f"{series}, one of its files: {series.files[0]}" for series in kept]
    listed = "; ".join(told or map(str, found))
    if kept:
        cure = "Name one file of the wanted series instead of the folder."
    else:
        cure = f"Name the folder of the head CT; it needs {FEWEST_SLICES} slices or more."
    what = f"{len(kept)} series" if kept else "no head CT"
    raise ImageError(
        Fault(str(path), f"{what} in this DICOM folder: {listed}", "one head CT series", cure)
    )


def _aside(
    path: Path, found: list[Series], chosen: Series, broken: dict[Path, str]
) -> list[Remark]:
    """What else lies in the folder: doubtful where it may belong to the scan."""
    remarks = []
    for series in found:
        of_scan = series.uid == chosen.uid and not series.is_localiser
        if series is not chosen and (of_scan or path.is_dir()):
            remarks.append(Remark(f"left aside: {series}", doubtful=of_scan))
    if broken:
        why = next(iter(broken.values()))
        words = f"{len(broken)} of the folder's files cannot be read ({why})"
        remarks.append(Remark(words, doubtful=True))
    return remarks


def _find_stack(path: Path, image: Image, stack: Stack) -> Stack:
    """The stack in the order of rows and slices that the converted image has.

    dcm2niix turns the order of the rows round, and may that of the slices. Which it did shows on
    the first slice, which it places by the same positions.

    Raises:
        ImageError: The image has other slices, or lies elsewhere than its files say.
    """
    _, rows, slices = image.data.shape
    if slices != len(stack.positions):
        found = f"{len(stack.positions)} slices, of which dcm2niix takes {slices}"
        raise ImageError(Fault(str(path), found, "slices that make one stack", AGAIN))
    ways = [
        way.turned(rows) if turn else way for way in (stack, stack.reversed) for turn in (1, 0)
    ]
    apart = [_apart_mm(image, way) for way in ways]
    best = int(np.argmin(apart))
    if not apart[best] <= AWAY_MM:
        found = f"positions that lie {apart[best]:.3g} mm from where dcm2niix places the image"
        raise ImageError(Fault(str(path), found, f"{AWAY_MM} mm or less", AGAIN))
    return ways[best]


def _apart_mm(image: Image, stack: Stack) -> float:
    """Mean distance of the corners of the first and last slice from where the image has them.

    dcm2niix has one affine: of uneven slices it holds for the slice from which it counts alone.
    Of sheared ones it may lie the whole shear aside within the plane; its axes and its height
    still tell the order of rows and slices, and the files all the rest.
    """
    columns, rows, slices = image.data.shape
    corners = [(0, 0), (columns - 1, 0), (0, rows - 1), (columns - 1, rows - 1)]
    apart = []
    for k in (0, slices - 1):
        told = [image.affine[:3] @ [i, j, k, 1] for i, j in corners]
        away = told - (stack.positions[k] + np.array(corners) @ stack.axes)
        if stack.is_sheared:
            aside = away.mean(axis=0)
            away = away - (aside - (aside @ stack.normal) * stack.normal)
        apart.append(np.linalg.norm(away, axis=1).mean())
    return float(min(apart) if stack.is_sheared or stack.is_uneven else max(apart))


def _upright(image: Image, stack: Stack) -> tuple[Volume, list[str]]:
    """The image with its slices straight above each other and even, and what that took."""
    done = []
    if stack.is_sheared:
        done.append(f"gantry tilt of {stack.tilt_deg:.3g} degrees undone")
    if stack.is_uneven:
        done.append("slices made equidistant")
    return Volume(*regular(image.data, stack)) if done else Volume(image.data, image.affine), done
