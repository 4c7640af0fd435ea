"""Smaller copies of an image: cropped to a mask, or averaged onto larger voxels."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hemexp.volumes import Volume


def mask_box(
    mask: NDArray, margin_mm: float, spacing_mm: NDArray[np.float64]
) -> tuple[slice, slice, slice]:
    """Box round a mask's true voxels with a margin, inside the image; all of it if none is."""
    margin = np.ceil(margin_mm / spacing_mm).astype(int)
    boxes = ndimage.find_objects(np.asarray(mask, dtype=np.uint8)) or [[slice(0, None)] * 3]
    sides = zip(boxes[0], margin, mask.shape, strict=True)
    x, y, z = (
        slice(max(0, side.start - more), min(whole, (side.stop or whole) + more))
        for side, more, whole in sides
    )
    return x, y, z


def crop(volume: Volume, box: tuple[slice, slice, slice]) -> Volume:
    """Cuts a box out of an image; the affine moves to the box's first voxel."""
    affine = volume.affine.copy()
    affine[:3, 3] = (volume.affine @ [*(side.start for side in box), 1.0])[:3]
    return Volume(volume.data[box], affine)


def block_factors(spacing_mm: NDArray[np.float64], target_mm: float) -> NDArray[np.int_]:
    """Voxels to join along each axis so that a block measures about `target_mm`."""
    return np.maximum(1, np.rint(target_mm / spacing_mm)).astype(int)


def coarsen(volume: Volume, factors: NDArray[np.int_]) -> Volume:
    """Averages blocks of voxels; a last, incomplete block is left out.

    Args:
        volume: Image of shape (x, y, z).
        factors: Voxels to join along x, y and z.

    Returns:
        The means as float32. The affine moves to the blocks' centres: block (0, 0, 0) lies
        (factor - 1) / 2 voxels inside the image.
    """
    shape = np.array(volume.data.shape) // factors
    kept = volume.data[tuple(slice(0, n) for n in shape * factors)].astype(np.float32, copy=False)
    pairs = [side for pair in zip(shape, factors, strict=True) for side in pair]
    affine = volume.affine @ np.diag([*factors, 1.0])
    affine[:3, 3] = (volume.affine @ [*(factors - 1) / 2, 1.0])[:3]
    return Volume(kept.reshape(pairs).mean((1, 3, 5)), affine)


def refine(mask: NDArray, factors: NDArray[np.int_], shape: tuple[int, ...]) -> NDArray:
    """Lays a coarse mask back on the voxels its blocks were made of; (x, y, z) of `shape`."""
    for axis, factor in enumerate(factors):
        mask = np.repeat(mask, factor, axis=axis)
    missing = [(0, whole - part) for whole, part in zip(shape, mask.shape, strict=True)]
    return np.pad(mask, missing, mode="edge")
