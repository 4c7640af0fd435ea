"""Images with their geometry: one loader, one saver, one way to measure a volume.

A volume keeps its array together with the affine that maps voxel indices to scanner
coordinates (RAS, millimetres: the NIfTI convention). Code that needs LPS (ITK) converts at its
own border.
"""

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from hemexp import Fault, HemexpError
from hemexp.provenance import write_atomically

SHEAR_TOLERANCE = 1e-3
"""Largest entry of |R^T R - I| that still counts as a rotation (docs/method.md, CT traps)."""

SAME_GRID_MM = 0.01
"""Two grids are the same when no voxel corner lies further apart than this."""

SAME_PLACE_MM = 0.5
"""qform and sform agree within this: the qform's float32 quaternions alone err by up to 0.4 mm."""

VOXEL_MM = (0.05, 20.0)
"""Voxel sizes of head CT and of the grids here; far outside, the unit is not the millimetre."""

MOST_VOXELS = 400_000_000
"""512 x 512 x 1500; a header that claims more is not believed, and nothing is read."""

UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
    nib.filebasedimages.ImageFileError,
    nib.spatialimages.HeaderDataError,
    nib.spatialimages.ImageDataError,
)
"""What nibabel raises for files that are no complete image."""


class ImageError(HemexpError):
    """An image file that cannot be used as it is."""


@dataclass(frozen=True)
class Volume:
    """A 3D image and where it lies.

    Attributes:
        data: Array of shape (x, y, z).
        affine: 4 x 4 matrix from voxel index to RAS millimetres.
    """

    data: NDArray
    affine: NDArray[np.float64]

    @property
    def spacing_mm(self) -> NDArray[np.float64]:
        """Voxel size along each array axis, from the affine."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres, from the affine."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    def with_data(self, data: NDArray) -> "Volume":
        """Returns another array on the same grid."""
        return Volume(data, self.affine)


def volume_ml(mask: Volume) -> float:
    """Sum of a mask times the voxel volume, in millilitres (docs/method.md 1)."""
    return float(np.sum(mask.data, dtype=np.float64)) * mask.voxel_ml


def read_volume(path: Path | str) -> Volume:
    """Reads a 3D NIfTI image with finite values and an affine that is a rigid placement.

    The header is judged before the data are read, and no more is read than it claims.

    Args:
        path: A `.nii` or `.nii.gz` file.

    Returns:
        The image, scaled by the header's slope and intercept once, as float32 (x, y, z).

    Raises:
        ImageError: The file cannot be read, is not 3D or too large, gives no single placement in
            mm, holds NaN or Inf, has a voxel of size zero or a sheared affine. The message names
            the file, the finding and the cure.
    """
    path = Path(path)
    try:
        if path.stat().st_size == 0:
            raise ImageError(
                Fault(
                    str(path),
                    "a file of 0 bytes",
                    "a complete NIfTI image (.nii or .nii.gz)",
                    "Copy or export it again.",
                )
            )
        image = nib.load(path)
        _check_header(path, image)
        data = np.asanyarray(image.dataobj)
    except ImageError:
        raise
    except UNREADABLE as error:
        said = getattr(error, "strerror", None) or (str(error) or repr(error)).splitlines()[0]
        raise ImageError(
            Fault(
                str(path),
                f"a file that cannot be read ({said})",
                "a complete NIfTI image (.nii or .nii.gz)",
                "Check the path and its permissions, or copy or convert the image again.",
            )
        ) from error
    _check_values(path, data)
    affine = np.asarray(image.affine, dtype=np.float64)
    return Volume(np.asarray(data, dtype=np.float32), affine)


def read_ras(path: Path | str) -> Volume:
    """Reads an image with its axes turned to run right, front, up; see `read_volume`."""
    volume = read_volume(path)
    image = nib.as_closest_canonical(nib.Nifti1Image(volume.data, volume.affine))
    return Volume(np.asarray(image.dataobj), image.affine)


def _check_header(path: Path, image: nib.spatialimages.SpatialImage) -> None:
    """Refuses what the header alone tells: format, shape, type, unit and placement."""
    if not isinstance(image, nib.Nifti1Pair):
        raise ImageError(
            Fault(
                str(path),
                f"an image of type {type(image).__name__}",
                "a NIfTI image (.nii or .nii.gz)",
                "Convert it with dcm2niix or a viewer.",
            )
        )
    shape = image.shape
    if len(shape) != 3 or min(shape) < 2 or np.prod(shape, dtype=float) > MOST_VOXELS:
        raise ImageError(
            Fault(
                str(path),
                f"an array of shape {tuple(shape)}",
                f"a 3D image of at least 2 voxels along each axis, {MOST_VOXELS:,} in all",
                "Export one time point as one 3D volume.",
            )
        )
    if image.get_data_dtype().kind not in "iuf":
        raise ImageError(
            Fault(
                str(path),
                f"values of type {image.get_data_dtype()}",
                "numbers",
                "Export it as grey values.",
            )
        )
    _check_affine(path, np.asarray(image.affine, dtype=np.float64))
    _check_placement(path, image)


def _check_values(path: Path, data: NDArray) -> None:
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


def _check_affine(path: Path, affine: NDArray[np.float64]) -> None:
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
    qform, sform = image.get_qform(coded=True)[0], image.get_sform(coded=True)[0]
    found, cure = "", "Convert from DICOM again, or write the right one into both."
    if qform is None and sform is None:
        found = "no placement (qform_code and sform_code are 0)"
    elif qform is not None and sform is not None:
        grid = np.broadcast_to(np.float32(0), image.shape)
        apart_mm = grid_distance_mm(Volume(grid, qform), Volume(grid, sform))
        if apart_mm > SAME_PLACE_MM:
            found = (
                f"qform and sform that differ by {apart_mm:.3g} mm ({_difference(qform, sform)})"
            )
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


def write_volume(path: Path | str, data: NDArray, affine: ArrayLike, dtype: DTypeLike) -> None:
    """Writes a NIfTI image whole or not at all; equal input gives equal bytes.

    Args:
        path: Target `.nii.gz` file; its folder is made if missing.
        data: Array (x, y, z).
        affine: 4 x 4, voxel index to RAS mm; stored as qform and sform.
        dtype: Type on disk. Integers are rounded first; slope and intercept stay 1 and 0.
    """
    dtype = np.dtype(dtype)
    data = np.asarray(data)
    rounded = np.rint(data) if dtype.kind in "iu" and data.dtype.kind == "f" else data
    stored = rounded.astype(dtype)
    image = nib.Nifti1Image(stored, np.asarray(affine, dtype=np.float64))
    image.set_qform(image.affine, code=1)
    image.set_sform(image.affine, code=1)
    image.header.set_xyzt_units("mm")
    with write_atomically(path) as temporary:
        nib.save(image, temporary)


def grid_distance_mm(one: Volume, other: Volume) -> float:
    """Largest distance between corresponding corners of two grids, infinite for unlike shapes."""
    if one.data.shape != other.data.shape:
        return float("inf")
    last = np.array(one.data.shape) - 1
    corners = np.array(np.meshgrid(*[(0, n) for n in last], [1], indexing="ij")).reshape(4, -1)
    return float(np.linalg.norm((one.affine - other.affine) @ corners, axis=0).max())
