"""Images on the planes of a scanner's own slices, which may be tilted or uneven.

The scan was straightened and made even when it was read (`preprocess/dicom`). Here its masks go
back: every pixel of every source slice is asked where it lies, and what the image says there.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hemexp.preprocess.dicom.geometry import Stack
from hemexp.volumes import Volume

INDEX_DECIMALS = 6
"""Voxel indices are rounded so: a pixel that lies on a voxel within a rounding error takes it."""


def slab_mm(heights_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much of the height each slice stands for, in mm: half way to its neighbours.

    The first and the last reach as far outwards as inwards.

    Args:
        heights_mm: Growing, of two slices or more.
    """
    steps = np.diff(heights_mm)
    return (np.r_[steps[0], steps] + np.r_[steps, steps[-1]]) / 2


def pixel_ml(stack: Stack) -> NDArray[np.float64]:
    """Volume that a pixel of each slice stands for, in mL."""
    column, row = stack.axes
    return np.linalg.norm(np.cross(column, row)) * slab_mm(stack.heights_mm) / 1000.0


def on_planes(image: Volume, stack: Stack, shape: tuple[int, int]) -> NDArray[np.float32]:
    """An image on the source slices, interpolated linearly at the pixels' centres, 0 outside.

    Args:
        image: In RAS mm.
        stack: Where the slices lie, by height.
        shape: Columns and rows of a slice.

    Returns:
        (slice, row, column), as DICOM orders pixels.
    """
    columns, rows = shape
    inverse = np.linalg.inv(image.affine)
    data = np.asarray(image.data, dtype=np.float32)
    steps = inverse[:3, :3] @ stack.axes.T
    row, column = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    within = steps[:, :1, None] * column + steps[:, 1:, None] * row
    planes = np.empty((len(stack.positions), rows, columns), dtype=np.float32)
    for place, position in enumerate(stack.positions):
        first = inverse[:3] @ [*position, 1]
        index = np.round(within + first[:, None, None], INDEX_DECIMALS)
        planes[place] = ndimage.map_coordinates(data, index, order=1, mode="grid-constant")
    return planes


def fill_planes(
    soft: NDArray[np.float32], pixel_ml: NDArray[np.float64], volume_ml: float
) -> NDArray[np.bool_]:
    """A mask of the wanted volume: the fullest pixels, as many as come nearest to it.

    Args:
        soft: Share of each pixel that is filled (slice, row, column).
        pixel_ml: Volume of a pixel of each slice, mL.
        volume_ml: What the mask shall hold, mL.
    """
    filled = np.flatnonzero(soft > 0)
    order = filled[np.argsort(-soft.ravel()[filled], kind="stable")]
    held_ml = np.r_[0, np.cumsum(pixel_ml[np.unravel_index(order, soft.shape)[0]])]
    mask = np.zeros(soft.shape, dtype=bool)
    mask.flat[order[: int(np.argmin(np.abs(held_ml - volume_ml)))]] = True
    return mask


def masks_on_planes(
    masks: dict[str, tuple[Volume, float]], stack: Stack, shape: tuple[int, int]
) -> dict[str, NDArray[np.bool_]]:
    """Masks on the source slices, each with its volume, none over another.

    Args:
        masks: Image and volume in mL by name; where they meet, an earlier one keeps the pixel.
        stack: Where the slices lie, by height.
        shape: Columns and rows of a slice.
    """
    each_ml, found = pixel_ml(stack), {}
    taken = np.zeros((len(stack.positions), *reversed(shape)), dtype=bool)
    for name, (mask, volume_ml) in masks.items():
        soft = np.where(taken, 0, on_planes(mask, stack, shape))
        found[name] = fill_planes(soft, each_ml, volume_ml)
        taken |= found[name]
    return found
