"""Images with their geometry: one loader, one saver, one way to measure a volume.

A volume keeps its array together with the affine that maps voxel indices to scanner
coordinates (RAS, millimetres: the NIfTI convention). Code that needs LPS (ITK) converts at its
own border.
"""

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

    Args:
        path: A `.nii` or `.nii.gz` file.

    Returns:
        The image, scaled by the header's slope and intercept once, as float32 (x, y, z).

    Raises:
        ImageError: The file cannot be read, is not 3D, holds NaN or Inf, has a voxel of size
            zero or a sheared affine. The message names the file, the finding and the cure.
    """
    path = Path(path)
    try:
        image = nib.load(path)
        data = np.asanyarray(image.dataobj)
    except (
        OSError,
        EOFError,
        zlib.error,
        ValueError,
        nib.filebasedimages.ImageFileError,
    ) as error:
        raise ImageError(
            Fault(
                str(path),
                f"a file that cannot be read ({(str(error) or repr(error)).splitlines()[0]})",
                "a complete NIfTI image (.nii or .nii.gz)",
                "Copy or convert the image again and check that the file opens in a viewer.",
            )
        ) from error
    _check_array(path, data)
    affine = np.asarray(image.affine, dtype=np.float64)
    _check_affine(path, affine)
    return Volume(np.asarray(data, dtype=np.float32), affine)


def _check_array(path: Path, data: NDArray) -> None:
    if data.ndim != 3 or min(data.shape) < 2:
        raise ImageError(
            Fault(
                str(path),
                f"an array of shape {tuple(data.shape)}",
                "a 3D image with at least 2 voxels along each axis",
                "Export one time point as one 3D volume.",
            )
        )
    if data.dtype.kind not in "iufb":
        raise ImageError(
            Fault(
                str(path), f"values of type {data.dtype}", "numbers", "Export it as grey values."
            )
        )
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
    if not np.all(np.isfinite(affine)) or np.any(spacing_mm < 1e-3):
        raise ImageError(
            Fault(
                str(path),
                f"voxel sizes of {np.round(spacing_mm, 4).tolist()} mm",
                "positive voxel sizes",
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


def write_volume(path: Path | str, data: NDArray, affine: ArrayLike, dtype: DTypeLike) -> None:
    """Writes a NIfTI image whole or not at all; equal input gives equal bytes.

    Args:
        path: Target `.nii.gz` file; its folder is made if missing.
        data: Array (x, y, z).
        affine: 4 x 4, voxel index to RAS mm; stored as qform and sform.
        dtype: Type on disk. Integers are rounded first; slope and intercept stay 1 and 0.
    """
    dtype = np.dtype(dtype)
    stored = np.rint(data).astype(dtype) if dtype.kind in "iu" else np.asarray(data, dtype=dtype)
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
