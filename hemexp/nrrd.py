"""NRRD images, as 3D Slicer saves them: `.nrrd`, `.seg.nrrd`, and `.nhdr` with its data beside it.

SimpleITK reads them. It is imported where one is read, for most jobs never see one.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hemexp import Fault
from hemexp.image_header import ImageError, check_affine, check_shape

if TYPE_CHECKING:
    import SimpleITK

NRRD_SUFFIXES = (".nrrd", ".nhdr")

SPACE = "left-posterior-superior"
"""The one space that ITK turns all it knows into; a file without it says not where it lies."""

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def load_nrrd(path: Path) -> tuple[NDArray, NDArray[np.float64]]:
    """Reads an NRRD image; its header is judged before the data are read.

    Args:
        path: A `.nrrd` or `.nhdr` file.

    Returns:
        Values (x, y, z) and the 4 x 4 matrix from voxel index to RAS mm.

    Raises:
        ImageError: It cannot be read, is not one 3D image, or does not say where it lies.
    """
    import SimpleITK as sitk

    try:
        reader = _read_header(path)
        affine = _check_information(path, reader)
        data = sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        said = str(error).strip().splitlines()[-1].strip()
        raise ImageError(
            Fault(
                str(path),
                f"a file that cannot be read ({said})",
                "a complete NRRD image",
                "Export it again; the data file that a .nhdr names must lie beside it.",
            )
        ) from error
    return data.reshape(reader.GetSize()[2::-1]).T, affine


def nrrd_shape(path: Path) -> tuple[int, ...]:
    """Voxels along each axis of an NRRD image, from its header alone.

    Raises:
        RuntimeError: From ITK; it cannot be read.
    """
    return _read_header(path).GetSize()


def _read_header(path: Path) -> "SimpleITK.ImageFileReader":
    """A reader that knows an image's header and has not read its data."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetImageIO("NrrdImageIO")
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return reader


def _check_information(path: Path, reader: "SimpleITK.ImageFileReader") -> NDArray[np.float64]:
    """The image's affine, from its header alone; whatever is no single 3D image is refused."""
    layers = reader.GetNumberOfComponents()
    if layers > 1:
        raise ImageError(
            Fault(
                str(path),
                f"{layers} layers in one file",
                "one 3D image",
                "Segments that overlap are saved in layers: export them as one label map, or each "
                "as a binary mask.",
            )
        )
    check_shape(path, reader.GetSize())
    space = reader.GetMetaData("NRRD_space") if reader.HasMetaDataKey("NRRD_space") else "none"
    if space != SPACE:
        raise ImageError(
            Fault(
                str(path),
                f"no placement (the header's space: {space})",
                f"one placement in the scanner's space, such as 'space: {SPACE}'",
                "Export it again from a program that keeps the CT's header.",
            )
        )
    axes, affine = (reader.GetDimension(),) * 2, np.eye(4)
    directions = np.reshape(reader.GetDirection(), axes)[:3, :3]
    affine[:3, :3] = directions * reader.GetSpacing()[:3]
    affine[:3, 3] = reader.GetOrigin()[:3]
    affine = LPS_TO_RAS @ affine
    check_affine(path, affine)
    return affine
