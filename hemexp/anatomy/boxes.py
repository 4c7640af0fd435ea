"""Boxes round masks: work on a part of a scan instead of all of it."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import distance_transform_edt


def bounding_box(mask: NDArray, margin_voxels: ArrayLike = 0) -> tuple[slice, ...]:
    """The smallest box round a mask, widened on every side as far as the array reaches.

    Args:
        mask: Boolean, at least one voxel.
        margin_voxels: One number, or one an axis.
    """
    margin = np.broadcast_to(margin_voxels, mask.ndim)
    axes = range(mask.ndim)
    sides = [np.flatnonzero(mask.any(axis=tuple({*axes} - {axis}))) for axis in axes]
    return tuple(
        slice(max(0, int(side[0] - wide)), int(side[-1] + wide) + 1)
        for side, wide in zip(sides, margin, strict=True)
    )


def within_mm(mask: NDArray, reach_mm: float, spacing_mm: ArrayLike) -> NDArray[np.bool_]:
    """Voxels of a mask and no further from it than `reach_mm`; none where the mask is empty.

    Args:
        mask: Boolean (x, y, z).
        reach_mm: Distance between voxel centres.
        spacing_mm: Voxel size along x, y, z.
    """
    spacing = np.asarray(spacing_mm, dtype=float)
    near = np.zeros(mask.shape, dtype=bool)
    if mask.any():
        box = bounding_box(mask, np.ceil(reach_mm / spacing))
        near[box] = distance_transform_edt(~mask[box], sampling=spacing) <= reach_mm
    return near
