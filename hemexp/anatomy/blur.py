"""A Gaussian in the plane as products of matrices: a wide one is several times quicker so.

Voxels of a slice are multiplied by the filter's band matrix along x and along y. It is the filter
of `scipy.ndimage.gaussian_filter` in 32 bits; sums end in another last digit.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

ROWS = 32
"""Of a band that are multiplied at once: what lies beyond the filter's reach is skipped. Fewer
rows make products too small to be quick (384 x 384 x 36, SD of 1.5 to 11 voxels)."""


class Band(NamedTuple):
    """Some rows of a band matrix, the columns that they reach, and the matrix of both."""

    rows: slice
    reach: slice
    part: NDArray[np.float32]


class PlaneBlur:
    """Blurs images of one shape along x and y, cut at 4 SD; z stays."""

    def __init__(self, shape: Sequence[int], sd_voxels: ArrayLike, mode: str = "constant") -> None:
        """Makes the matrices.

        Args:
            shape: Of the images.
            sd_voxels: SD along x and y.
            mode: What lies beyond the edge: 0 (`constant`), or the image mirrored (`reflect`).
        """
        sds = np.broadcast_to(sd_voxels, 2)
        self._x, self._y = (
            _bands(size, sd, mode) for size, sd in zip(shape[:2], sds, strict=True)
        )

    def __call__(self, image: NDArray) -> NDArray[np.float32]:
        """The blurred image (x, y, z)."""
        size, height, depth = image.shape
        lines = np.ascontiguousarray(image, np.float32).reshape(size, height * depth)
        across = np.empty((size, height * depth), np.float32)
        for band in self._x:
            np.matmul(band.part, lines[band.reach], out=across[band.rows])
        across = across.reshape(image.shape)
        blurred = np.empty(image.shape, np.float32)
        for band in self._y:
            np.matmul(band.part, across[:, band.reach], out=blurred[:, band.rows])
        return blurred


def _bands(size: int, sd: float, mode: str) -> list[Band]:
    """The rows of one axis, some at a time."""
    matrix = np.eye(size, dtype=np.float32)
    if sd:
        matrix = ndimage.gaussian_filter1d(np.eye(size), sd, axis=0, mode=mode).astype(np.float32)
    bands = []
    for first in range(0, size, ROWS):
        rows = matrix[first : first + ROWS]
        reached = np.flatnonzero(rows.any(axis=0))
        reach = slice(int(reached[0]), int(reached[-1]) + 1)
        part = np.ascontiguousarray(rows[:, reach])
        bands.append(Band(slice(first, first + len(rows)), reach, part))
    return bands
