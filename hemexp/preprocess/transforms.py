"""The border between this package and ITK: RAS here, LPS there, both in millimetres.

A rigid map is a 4 x 4 matrix in RAS mm here and an ITK transform file (`.tfm`) on disk.
"""

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from hemexp import Fault, HemexpError
from hemexp.provenance import write_atomically
from hemexp.volumes import Volume

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""RAS to LPS, and back."""


def to_itk(volume: Volume) -> sitk.Image:
    """The same image for ITK: axes (z, y, x) in memory, LPS in space."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.data.T))
    affine = LPS @ volume.affine
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetSpacing(volume.spacing_mm.tolist())
    image.SetDirection((affine[:3, :3] / volume.spacing_mm).ravel().tolist())
    return image


def matrix_from_itk(transform: sitk.Transform) -> NDArray[np.float64]:
    """4 x 4 RAS matrix of a linear ITK transform."""
    origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    axes = [np.array(transform.TransformPoint(tuple(axis))) - origin for axis in np.eye(3)]
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = np.array(axes).T, origin
    return LPS @ matrix @ LPS


def itk_from_matrix(
    matrix: NDArray[np.float64], centre_mm: NDArray[np.float64]
) -> sitk.Euler3DTransform:
    """ITK transform (LPS) of a rigid 4 x 4 RAS matrix, about a centre given in RAS mm."""
    lps, centre = LPS @ matrix @ LPS, LPS[:3, :3] @ centre_mm
    transform = sitk.Euler3DTransform()
    transform.SetCenter(centre.tolist())
    transform.SetMatrix(lps[:3, :3].ravel().tolist(), 1e-6)
    transform.SetTranslation((lps[:3, :3] @ centre + lps[:3, 3] - centre).tolist())
    return transform


def write_transform(
    path: Path | str, matrix: NDArray[np.float64], centre_mm: NDArray[np.float64]
) -> None:
    """Writes a rigid 4 x 4 RAS matrix as an ITK text transform, whole or not at all."""
    with write_atomically(path) as temporary:
        sitk.WriteTransform(itk_from_matrix(matrix, centre_mm), str(temporary))


def read_transform(path: Path | str) -> NDArray[np.float64]:
    """Reads an ITK transform as a 4 x 4 RAS matrix.

    Raises:
        HemexpError: The file cannot be read.
    """
    try:
        # Of a file that cannot be opened ITK prints more than anybody reads.
        Path(path).open("rb").close()
        return matrix_from_itk(sitk.ReadTransform(str(path)))
    except (OSError, RuntimeError) as error:
        raise HemexpError(
            Fault(
                str(path),
                "no readable ITK transform",
                "a rigid transform (.tfm)",
                "Delete the file and run the workflow again.",
            )
        ) from error
