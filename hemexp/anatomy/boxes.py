"""Boxes round masks: work on a part of a scan instead of all of it."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import distance_transform_edt


def bounding_box(mask: NDArray, margin_voxels: ArrayLike = 0) -> tuple[slice, ...]:
    """The smallest box round a mask, widened on every side as far as the array reaches.

    Args:
        mask: Boolean, at least one voxel.
        margin_voxels: One number, or one an axis.
    """
    part, box = mask, []
    for axis, margin in enumerate(np.broadcast_to(margin_voxels, mask.ndim).astype(int)):
        others = tuple({*range(mask.ndim)} - {axis})
        side = np.flatnonzero(part.any(axis=others))
        first, end = int(side[0]), int(side[-1]) + 1
        box.append(slice(max(0, first - int(margin)), min(mask.shape[axis], end + int(margin))))
        part = part[(slice(None),) * axis + (slice(first, end),)]
    return tuple(box)


@dataclass(frozen=True)
class Frame:
    """The part of a grid in which work is done.

    Attributes:
        shape: Of the whole grid.
        box: The part.
    """

    shape: tuple[int, ...]
    box: tuple[slice, ...]

    @classmethod
    def of(cls, mask: NDArray) -> Self:
        """The least box that holds a mask; the whole grid when it is empty."""
        return cls(mask.shape, bounding_box(mask)) if mask.any() else cls.whole(mask.shape)

    @classmethod
    def whole(cls, shape: tuple[int, ...]) -> Self:
        """All of a grid."""
        return cls(shape, tuple(slice(0, size) for size in shape))

    @property
    def beside(self) -> list[tuple[int, int]]:
        """Voxels before and after the part, by axis."""
        sides = zip(self.box, self.shape, strict=True)
        return [(side.start, size - side.stop) for side, size in sides]

    def cut(self, whole: NDArray) -> NDArray:
        """The part of an image (x, y, z)."""
        return np.ascontiguousarray(whole[self.box])

    def spread(self, part: NDArray) -> NDArray:
        """The image of which this is the part, 0 elsewhere; in the order of a NIfTI file."""
        whole = np.zeros(self.shape, part.dtype, order="F")
        whole[self.box] = part
        return whole


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
