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

from hemexp import Fault
from hemexp.image_header import ImageError, check_header, check_values, corner_distance_mm
from hemexp.nrrd import NRRD_SUFFIXES, load_nrrd
from hemexp.provenance import write_atomically

SAME_GRID_MM = 0.01
"""Two grids are the same when no voxel corner lies further apart than this."""

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
    """Sum of a mask times the voxel volume, in millilitres (method.md 1)."""
    return float(np.sum(mask.data, dtype=np.float64)) * mask.voxel_ml


def read_volume(path: Path | str) -> Volume:
    """Reads a 3D NIfTI or NRRD image with finite values and an affine that is a rigid placement.

    The header is judged before the data are read, and no more is read than it claims.

    Args:
        path: A `.nii`, `.nii.gz`, `.nrrd` or `.nhdr` file; a fourth axis of one entry is dropped.

    Returns:
        The image, scaled by the header's slope and intercept once, as float32 (x, y, z).

    Raises:
        ImageError: The file cannot be read, is not 3D or too large, gives no single placement in
            mm, holds NaN or Inf, has a voxel of size zero or a sheared affine. The message names
            the file, the finding and the cure.
    """
    path = Path(path)
    try:
        data, affine = _load(path)
    except ImageError:
        raise
    except UNREADABLE as error:
        said = getattr(error, "strerror", None) or (str(error) or repr(error)).splitlines()[0]
        raise ImageError(
            Fault(
                str(path),
                f"a file that cannot be read ({said})",
                "a complete image (.nii, .nii.gz or .nrrd)",
                "Check the path and its permissions, or copy or convert the image again.",
            )
        ) from error
    with np.errstate(over="ignore"):  # a number too large becomes infinite, and is told
        data = np.asarray(data, dtype=np.float32)
    check_values(path, data)
    return Volume(data, np.asarray(affine, dtype=np.float64))


def _load(path: Path) -> tuple[NDArray, NDArray]:
    if path.stat().st_size == 0:
        raise ImageError(
            Fault(
                str(path),
                "a file of 0 bytes",
                "a complete image (.nii, .nii.gz or .nrrd)",
                "Copy or export it again.",
            )
        )
    if path.suffix.lower() in NRRD_SUFFIXES:
        return load_nrrd(path)
    image = nib.load(path)
    check_header(path, image)
    data = np.asanyarray(image.dataobj)
    return data.reshape(data.shape[:3]), image.affine


def read_ras(path: Path | str) -> Volume:
    """Reads an image with its axes turned to run right, front, up; see `read_volume`."""
    volume = read_volume(path)
    image = nib.as_closest_canonical(nib.Nifti1Image(volume.data, volume.affine))
    return Volume(np.asarray(image.dataobj), image.affine)


def write_volume(path: Path | str, data: NDArray, affine: ArrayLike, dtype: DTypeLike) -> None:
    """Writes a NIfTI image whole or not at all; equal input gives equal bytes.

    Args:
        path: Target `.nii.gz` file; its folder is made if missing.
        data: Array (x, y, z), or a sequence of them (x, y, z, n).
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
    return corner_distance_mm(one.data.shape, one.affine, other.affine)
