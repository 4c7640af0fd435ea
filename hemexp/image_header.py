"""Whether an image is what it claims to be: 3D, of numbers, in one place, in millimetres."""

from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from hemexp import Fault, HemexpError

SHEAR_TOLERANCE = 1e-3
"""Largest entry of |R^T R - I| that still counts as a rotation (method.md, CT traps)."""

SAME_PLACE_MM = 0.5
"""qform and sform agree within this: the qform's float32 quaternions alone err by up to 0.4 mm."""

VOXEL_MM = (0.05, 20.0)
"""Voxel sizes of head CT and of the grids here; far outside, the unit is not the millimetre."""

MOST_VOXELS = 400_000_000
"""512 x 512 x 1500; a header that claims more is not believed, and nothing is read."""


class ImageError(HemexpError):
    """An image file that cannot be used as it is."""


def check_header(path: Path, image: nib.spatialimages.SpatialImage) -> None:
    """Refuses what the header alone shows: format, shape, type, unit and placement."""
    if not isinstance(image, nib.Nifti1Pair):
        raise ImageError(
            Fault(
                str(path),
                f"an image of type {type(image).__name__}",
                "a NIfTI image (.nii or .nii.gz)",
                "Convert it with dcm2niix or a viewer.",
            )
        )
    check_shape(path, image.shape)
    if image.get_data_dtype().kind not in "iuf":
        raise ImageError(
            Fault(
                str(path),
                f"values of type {image.get_data_dtype()}",
                "numbers",
                "Export it as grey values.",
            )
        )
    in_file = isinstance(image, nib.Nifti1Image) and nib.is_proxy(image.dataobj)
    first = image.header.single_vox_offset
    if in_file and image.dataobj.offset < first:  # nibabel would read the header as voxels
        raise ImageError(
            Fault(
                str(path),
                f"voxels that begin at byte {image.dataobj.offset}, in the header (vox_offset)",
                f"voxels behind the header, from byte {first} on",
                "Convert the scan again.",
            )
        )
    check_affine(path, np.asarray(image.affine, dtype=np.float64))
    _check_placement(path, image)


def check_shape(path: Path, shape: tuple[int, ...]) -> None:
    """Refuses what is no 3D image; further axes of one entry are no harm."""
    one_volume = len(shape) == 3 or (len(shape) > 3 and set(shape[3:]) == {1})
    if not one_volume or min(shape[:3]) < 2 or np.prod(shape, dtype=float) > MOST_VOXELS:
        raise ImageError(
            Fault(
                str(path),
                f"an array of shape {tuple(shape)}",
                f"a 3D image of at least 2 voxels along each axis, {MOST_VOXELS:,} in all",
                "Export one time point as one 3D volume.",
            )
        )


def check_values(path: Path, data: NDArray) -> None:
    """Refuses values that are no numbers."""
    bad = data.size - int(np.count_nonzero(np.isfinite(data)))
    if bad:
        raise ImageError(
            Fault(
                str(path),
                f"{bad} voxels that are NaN or infinite",
                "finite numbers everywhere",
                "Convert the scan again; padding must be a number, such as -1024 HU.",
            )
        )


def check_affine(path: Path, affine: NDArray[np.float64]) -> None:
    """Refuses voxels of unbelievable size and axes that are not at right angles."""
    matrix = affine[:3, :3]
    spacing_mm = np.linalg.norm(matrix, axis=0)
    low, high = VOXEL_MM
    if not (np.all(np.isfinite(affine)) and low <= spacing_mm.min() <= spacing_mm.max() <= high):
        raise ImageError(
            Fault(
                str(path),
                f"voxel sizes of {np.round(spacing_mm, 4).tolist()} mm",
                f"voxel sizes between {low:g} and {high:g} mm",
                "Repair the header (qform and sform) or convert from DICOM again.",
            )
        )
    directions = matrix / spacing_mm
    shear = float(np.abs(directions.T @ directions - np.eye(3)).max())
    if shear > SHEAR_TOLERANCE:
        raise ImageError(
            Fault(
                str(path),
                f"a sheared affine (axes {shear:.4f} away from right angles)",
                f"axes at right angles within {SHEAR_TOLERANCE}",
                "Undo the gantry tilt by resampling: dcm2niix writes such a file with '_Tilt' "
                "in its name.",
            )
        )


def _check_placement(path: Path, image: nib.Nifti1Pair) -> None:
    """The header must say millimetres and one place."""
    code = int(image.header["xyzt_units"]) % 8
    if code not in (0, 2):
        unit = {1: "metre", 3: "micron"}.get(code, f"code {code}")
        raise ImageError(
            Fault(
                str(path),
                f"lengths in the unit '{unit}' (xyzt_units)",
                "millimetres",
                "Correct voxel sizes and xyzt_units in the header, or convert from DICOM again.",
            )
        )
    found, cure = "", "Convert from DICOM again, or write the right one into both."
    coded = {"qform": image.get_qform(coded=True)[0], "sform": image.get_sform(coded=True)[0]}
    forms = {name: form for name, form in coded.items() if form is not None}
    broken = [name for name, form in forms.items() if not np.isfinite(form).all()]
    if broken:
        found = f"a {broken[0]} that holds NaN or infinite numbers"
    elif not forms:
        found = "no placement (qform_code and sform_code are 0)"
    elif len(forms) == 2:
        apart_mm = corner_distance_mm(image.shape[:3], *forms.values())
        if apart_mm > SAME_PLACE_MM:
            words = _difference(*forms.values())
            found = f"qform and sform that differ by {apart_mm:.3g} mm ({words})"
    if found:
        raise ImageError(Fault(str(path), found, "one placement in the scanner's space", cure))


def _difference(one: NDArray[np.float64], other: NDArray[np.float64]) -> str:
    """What two affines differ in, in words."""
    sizes = [np.linalg.norm(affine[:3, :3], axis=0) for affine in (one, other)]
    turns = [affine[:3, :3] / size for affine, size in zip((one, other), sizes, strict=True)]
    cosines = np.clip(np.sum(turns[0] * turns[1], axis=0), -1, 1)
    return (
        f"first voxel {np.linalg.norm(one[:3, 3] - other[:3, 3]):.3g} mm, "
        f"axes {np.rad2deg(np.arccos(cosines)).max():.3g} deg, "
        f"voxel sizes {np.abs(sizes[0] - sizes[1]).max():.3g} mm apart"
    )


def corner_distance_mm(
    shape: tuple[int, ...], one: NDArray[np.float64], other: NDArray[np.float64]
) -> float:
    """Largest distance between the corners of a grid of this shape under two affines."""
    last = np.array(shape) - 1
    corners = np.array(np.meshgrid(*[(0, n) for n in last], [1], indexing="ij")).reshape(4, -1)
    return float(np.linalg.norm((one - other) @ corners, axis=0).max())
