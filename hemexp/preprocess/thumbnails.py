"""Small pictures of a scan and of a registered pair, for the quality control page.

Every picture is a row of the same five planes along the scan's own axes, in the radiologist's
convention: the patient's right on the left; front, or in a sagittal plane the top, at the top.
Only the pixels shown are read from the volume, so that a picture costs a fraction of a second.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from nibabel.orientations import io_orientation
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from hemexp.provenance import write_atomically
from hemexp.volumes import Volume

PIXEL_MM = 1.5
FIELD_MM = (168.0, 210.0, 210.0)
"""Left to right, back to front, foot to head, about the brain's centre: an adult head fits."""

ROOM = 0.88
"""A brain mask that fills more of the field than this (a leak) gets larger pixels, not a crop."""

SUBPIXELS = 2
"""Samples along each side of a pixel; their mean is what is shown."""

COLOURS = {"brain": (0, 158, 115), "ivh": (86, 180, 233), "iph": (230, 159, 0)}
"""Okabe and Ito 2008: told apart by colour-blind readers, too. The later is drawn on top."""

BRAIN_WINDOW = ((0, 80), (0, 1))
PAIR_WINDOW = ((-200, 0, 80, 1000), (0, 0.1, 0.7, 1))
"""HU and their greys: brain and ventricles keep contrast, and bone is not all white."""

CHECK_MM = 18.0
TINT = (0.8, 0.92, 1.0)
"""The moving scan's fields are a little blue, so that one sees which scan is where."""

DASH_MM = 4.5
"""Dash, and gap, of the contour of a mask that the workflow made: three pixels, mostly."""

GREYS = 24
"""Steps of 3.5 HU in the brain, below the noise; 32 would make the files an eighth larger."""


class Plane(NamedTuple):
    """A picture's plane in the space of a scan.

    Attributes:
        affine: 4 x 4, from (row, column, 0) of a pixel's centre to RAS mm.
        shape: Rows and columns.
        sides: What lies on the left and on the right.
    """

    affine: NDArray[np.float64]
    shape: tuple[int, int]
    sides: str


def choose_planes(scan: Volume, masks: Mapping[str, NDArray]) -> list[Plane]:
    """Three axial planes, a coronal and a sagittal one.

    Axial at a quarter of the brain's height, where most blood is (without blood: halfway), and at
    three quarters; coronal where most blood is; sagittal through the brain's middle.

    Args:
        scan: Gives the axes; they are shown as they are, reordered and flipped.
        masks: `brain`, `iph` and `ivh`, arrays (x, y, z) on the scan's voxels.
    """
    orientation = io_orientation(scan.affine)
    order = np.argsort(orientation[:, 0])
    spacing_mm = scan.spacing_mm[order]
    axes = scan.affine[:3, order] / spacing_mm * orientation[order, 1]
    ends = np.array([_ends(masks["brain"], axis) for axis in order])
    middle = ends.mean(1)
    bloody = [_bloodiest(masks, *both) for both in zip(order, middle, strict=True)]
    low, high = ends[2] @ [[0.75, 0.25], [0.25, 0.75]]
    if orientation[order[2], 1] < 0:
        low, high = high, low
    extent_mm = (np.ptp(ends, axis=1) + 1) * spacing_mm
    pixel_mm = PIXEL_MM * max(1.0, float(np.max(extent_mm / FIELD_MM)) / ROOM)
    planes = []
    for through, place in ((2, low), (2, bloody[2]), (2, high), (1, bloody[1]), (0, middle[0])):
        index = np.empty(3)
        index[order] = middle
        index[order[through]] = np.rint(place)  # a slice as it is, not a mixture of two
        planes.append(_lay(axes, (scan.affine @ [*index, 1.0])[:3], through, pixel_mm))
    return planes


def _ends(mask: NDArray, axis: int) -> tuple[int, int]:
    """First and last slice of a mask along an array axis; of the image, if the mask is empty."""
    found = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
    return (found[0], found[-1]) if found.size else (0, mask.shape[axis] - 1)


def _bloodiest(masks: Mapping[str, NDArray], axis: int, otherwise: float) -> float:
    """The slice along an array axis with the most blood."""
    others = tuple({0, 1, 2} - {axis})
    blood = sum(np.count_nonzero(masks[name], axis=others) for name in ("iph", "ivh"))
    return float(np.argmax(blood)) if np.any(blood) else otherwise


def _lay(
    axes: NDArray[np.float64], centre_mm: NDArray[np.float64], through: int, pixel_mm: float
) -> Plane:
    """The plane across one of the axes, which run right, front and up, about a point."""
    down, across = {0: (2, 1), 1: (2, 0), 2: (1, 0)}[through]
    rows, columns = (round(FIELD_MM[axis] / PIXEL_MM) for axis in (down, across))
    affine = np.eye(4)
    affine[:3, :3] = axes[:, [down, across, through]] * (-pixel_mm, -pixel_mm, pixel_mm)
    affine[:3, 3] = centre_mm - affine[:3, :3] @ [(rows - 1) / 2, (columns - 1) / 2, 0]
    return Plane(affine, (rows, columns), "AP" if through == 0 else "RL")


def sample(
    image: Volume,
    plane: Plane,
    matrix: NDArray[np.float64],
    outside: float,
    subpixels: int = SUBPIXELS,
) -> NDArray[np.float32]:
    """Values of an image on a plane's pixels: the mean of linearly interpolated subpixels.

    Args:
        image: Array (x, y, z) of numbers or bool.
        plane: Where.
        matrix: 4 x 4 RAS mm, takes a point of the plane's space to the image's space.
        outside: Value where there is no image.
        subpixels: Samples along each side of a pixel.

    Returns:
        Array (rows, columns).
    """
    fine = np.diag([1 / subpixels, 1 / subpixels, 1.0, 1.0])
    fine[:2, 3] = (1 / subpixels - 1) / 2
    index = np.linalg.inv(image.affine) @ matrix @ plane.affine @ fine
    data = image.data.view(np.uint8) if image.data.dtype == bool else image.data
    rows, columns = plane.shape
    values = ndimage.affine_transform(
        data,
        index[:3, :3],
        index[:3, 3],
        (rows * subpixels, columns * subpixels, 1),
        output=np.float32,
        order=1,
        mode="grid-constant",
        cval=outside,
    )
    return values.reshape(rows, subpixels, columns, subpixels).mean((1, 3))


def draw_scan(
    ct: Volume,
    masks: Mapping[str, NDArray],
    outlined: tuple[str, ...] = ("brain", "ivh", "iph"),
    dashed: tuple[str, ...] = (),
) -> NDArray[np.uint8]:
    """One scan in the brain window, 0-80 HU, with the contours of its masks.

    Args:
        ct: HU, on any grid: the native scan, or the stripped one on the common grid.
        masks: `brain`, `iph` and `ivh`, arrays (x, y, z) on the CT's voxels.
        outlined: Which masks get a contour; it lies just outside the mask.
        dashed: Which of these contours are dashed: those of masks that the workflow made.

    Returns:
        Picture (rows, columns, 3).
    """
    pictures = []
    for plane in choose_planes(ct, masks):
        picture = _grey(sample(ct, plane, np.eye(4), -1024), BRAIN_WINDOW)
        for name, colour in COLOURS.items():
            if name in outlined:
                mask = sample(ct.with_data(masks[name]), plane, np.eye(4), 0, 1) >= 0.5
                contour = ndimage.binary_dilation(mask) & ~mask
                picture[contour & _dash(plane) if name in dashed else contour] = colour
        pictures.append(_label(picture, plane.sides))
    return _row(pictures)


def _dash(plane: Plane) -> NDArray[np.bool_]:
    """(rows, columns): where a dashed line is drawn; stripes across level and upright lines."""
    rows, columns = np.indices(plane.shape) * np.linalg.norm(plane.affine[:3, 0])
    return (rows + columns) // DASH_MM % 2 == 0


def draw_pair(
    fixed: Volume, masks: Mapping[str, NDArray], moving: Volume, matrix: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """Two registered scans as a checkerboard: edges of skull and ventricles must run through.

    Args:
        fixed: CT in HU of the reference scan.
        masks: Its `brain`, `iph` and `ivh`, which choose the planes as in `draw_scan`.
        moving: CT in HU of the other scan; its fields are tinted blue.
        matrix: 4 x 4 RAS mm, takes a point of the fixed scan to the moving scan.

    Returns:
        Picture (rows, columns, 3).
    """
    pictures = []
    for plane in choose_planes(fixed, masks):
        one = _grey(sample(fixed, plane, np.eye(4), -1024), PAIR_WINDOW)
        other = _grey(sample(moving, plane, matrix, -1024), PAIR_WINDOW)
        pixel_mm = np.linalg.norm(plane.affine[:3, 0])
        rows, columns = np.indices(plane.shape) * pixel_mm // CHECK_MM
        odd = ((rows + columns) % 2 == 1)[..., None]
        picture = np.where(odd, np.rint(other * TINT), one).astype(np.uint8)
        pictures.append(_label(picture, plane.sides))
    return _row(pictures)


def _grey(
    hu: NDArray[np.float32], window: tuple[tuple[float, ...], tuple[float, ...]]
) -> NDArray[np.uint8]:
    """HU to greys (rows, columns, 3): linear between the window's points, in even steps."""
    steps = np.rint(np.interp(hu, *window) * (GREYS - 1))
    grey = np.rint(steps * 255 / (GREYS - 1))
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)


def _label(picture: NDArray[np.uint8], sides: str) -> NDArray[np.uint8]:
    """Writes which side is where into the upper corners."""
    image = Image.fromarray(picture)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size=11)
    pen.fontmode = "1"
    for text, x, anchor in ((sides[0], 2, "la"), (sides[1], picture.shape[1] - 3, "ra")):
        pen.text((x, 1), text, fill=(255, 255, 255), font=font, anchor=anchor)
    return np.asarray(image)


def _row(pictures: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Pictures of equal height side by side, parted by a white line."""
    line = np.full((len(pictures[0]), 2, 3), 255, dtype=np.uint8)
    parts = [part for picture in pictures for part in (line, picture)]
    return np.concatenate(parts[1:], axis=1)


def write_png(path: Path | str, rgb: NDArray[np.uint8]) -> None:
    """Writes a picture (rows, columns, 3) of at most 256 colours; equal pictures, equal bytes."""
    codes = rgb.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
    colours, indices = np.unique(codes, return_inverse=True)
    image = Image.fromarray(indices.reshape(codes.shape).astype(np.uint8))
    palette = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1)
    image.putpalette(palette.astype(np.uint8).tobytes())
    with write_atomically(path) as temporary:
        image.save(temporary, optimize=True)
