"""A Gaussian in the plane as products of matrices: a wide one is several times quicker so.

Voxels of a slice are multiplied by the filter's band matrix along x and along y. It is the filter
of `scipy.ndimage.gaussian_filter` in 32 bits; sums end in another last digit.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

ROWS = 64
"""Of a band that are multiplied at once: what lies beyond the filter's reach is skipped."""

Band = tuple[slice, NDArray[np.float32]]
"""Columns that some rows of a band matrix reach, and the matrix of those rows and columns."""


class PlaneBlur:
    """Blurs images of one shape along x and y, cut at 4 SD; z stays."""

    def __init__(
        self,
        shape: Sequence[int],
        sd_voxels: ArrayLike,
        box: Sequence[slice] = (slice(None), slice(None)),
        mode: str = "constant",
    ) -> None:
        """Makes the matrices.

        Args:
            shape: Of the images.
            sd_voxels: SD along x and y.
            box: Part along x and y that is wanted of the blurred images.
            mode: What lies beyond the edge: 0 (`constant`), or the image mirrored (`reflect`).
        """
        sds = np.broadcast_to(sd_voxels, 2)
        self._x, self._y = (
            _bands(size, sd, part, mode)
            for size, sd, part in zip(shape[:2], sds, box[:2], strict=True)
        )

    def __call__(self, image: NDArray) -> NDArray[np.float32]:
        """The blurred image (x, y, z)."""
        lines = np.ascontiguousarray(image, np.float32).reshape(len(image), -1)
        across = np.concatenate([part @ lines[reach] for reach, part in self._x])
        across = across.reshape(len(across), *image.shape[1:])
        return np.concatenate([part @ across[:, reach] for reach, part in self._y], axis=1)


def _bands(size: int, sd: float, box: slice, mode: str) -> list[Band]:
    """The rows of one axis that are wanted, some at a time."""
    impulses = np.eye(size)
    matrix = ndimage.gaussian_filter1d(impulses, sd, axis=0, mode=mode) if sd else impulses
    matrix = matrix[box].astype(np.float32)
    bands = []
    for first in range(0, len(matrix), ROWS):
        rows = matrix[first : first + ROWS]
        reached = np.flatnonzero(rows.any(axis=0))
        reach = slice(int(reached[0]), int(reached[-1]) + 1)
        bands.append((reach, np.ascontiguousarray(rows[:, reach])))
    return bands
