"""Where the slices of a series lie: their order, tilt, steps and gaps; and a regular grid of them.

Lengths are millimetres. A stack's slices are sorted by height, which is the position along the
normal of the slices.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

AWAY_MM = 0.1
"""Slices that lie this near to a regular grid lie on it: DICOM's positions are rounded."""

SAME_HEIGHT_MM = 0.02
"""No scanner reconstructs slices nearer than 0.1 mm: two at one height are one taken twice."""

GAP = 1.5
"""A step this many times the larger of its neighbours lacks a slice; where a scan changes from
thin to thick slices, the step has a neighbour of its own size."""

STEP_SHARE = 0.1
"""A gap is a whole number of steps within this part of a step."""

FINEST_MM = 0.5
"""Uneven slices are not resampled finer."""


class Stack(NamedTuple):
    """Slices of one orientation, by height.

    Attributes:
        positions: First voxel of each slice, RAS mm (slice, 3).
        axes: Steps from voxel to voxel within a slice, RAS mm (2, 3).
        normal: Unit vector of growing height, RAS.
        order: Which slice of the series lies at each place.
    """

    positions: NDArray[np.float64]
    axes: NDArray[np.float64]
    normal: NDArray[np.float64]
    order: NDArray[np.int_]

    @property
    def reversed(self) -> "Stack":
        """The same slices, counted from the other end."""
        return Stack(self.positions[::-1], self.axes, -self.normal, self.order[::-1])

    def turned(self, rows: int) -> "Stack":
        """The same slices, each with its last row first."""
        column, row = self.axes
        return self._replace(
            positions=self.positions + (rows - 1) * row, axes=np.stack([column, -row])
        )

    @property
    def heights_mm(self) -> NDArray[np.float64]:
        """Along the normal."""
        return self.positions @ self.normal

    @property
    def tilt_deg(self) -> float:
        """Angle between the normal and the line from the first slice to the last."""
        along = self.positions[-1] - self.positions[0]
        across = along - (along @ self.normal) * self.normal
        return float(np.rad2deg(np.arctan2(np.linalg.norm(across), abs(along @ self.normal))))

    @property
    def offsets(self) -> NDArray[np.float64]:
        """How far each slice is shifted within its plane against the first, voxels (slice, 2)."""
        sizes = np.sum(self.axes**2, axis=1)
        return (self.positions - self.positions[0]) @ self.axes.T / sizes

    @property
    def is_sheared(self) -> bool:
        """Whether the slices do not lie straight above each other: a tilted gantry."""
        shifts = self.offsets * np.linalg.norm(self.axes, axis=1)
        return bool(np.abs(shifts).max() > AWAY_MM)

    @property
    def is_bent(self) -> bool:
        """Whether the slices do not even lie along one slanting line."""
        share = (self.heights_mm - self.heights_mm[0]) / np.ptp(self.heights_mm)
        away = self.positions - self.positions[0]
        away = away - np.outer(share, away[-1])
        across = away - np.outer(away @ self.normal, self.normal)
        return bool(np.linalg.norm(across, axis=1).max() > AWAY_MM)

    @property
    def is_uneven(self) -> bool:
        """Whether the slices are not equidistant."""
        regular = np.linspace(self.heights_mm[0], self.heights_mm[-1], len(self.positions))
        return bool(np.abs(self.heights_mm - regular).max() > AWAY_MM)

    def affine(self, step_mm: float) -> NDArray[np.float64]:
        """Voxel index to RAS mm, for slices that lie straight above each other."""
        matrix = np.eye(4)
        matrix[:3, :2], matrix[:3, 2] = self.axes.T, step_mm * self.normal
        matrix[:3, 3] = self.positions[0]
        return matrix


def same_heights(heights_mm: NDArray[np.float64]) -> NDArray[np.int_]:
    """Slices that lie where the one before them lies."""
    return 1 + np.flatnonzero(np.diff(heights_mm) < SAME_HEIGHT_MM)


def find_gaps(
    heights_mm: NDArray[np.float64], instances: NDArray[np.float64]
) -> list[tuple[int, int]]:
    """Where slices are missing.

    A step that is a whole number of usual steps is a gap where both neighbours are smaller, or
    where the slices' numbers jump by as much.

    Args:
        heights_mm: Growing.
        instances: The scanner's numbers of the slices, NaN where it gives none.

    Returns:
        The slice below each gap, and how many are missing.
    """
    steps = np.diff(heights_mm)
    if len(steps) < 2:
        return []
    usual = np.median(steps)
    around = np.maximum(np.r_[0, steps[:-1]], np.r_[steps[1:], 0])
    jumps = np.abs(np.diff(instances))
    gaps = []
    for k, step in enumerate(steps):
        single = min(usual, around[k])
        count = round(step / single)
        whole = abs(step - count * single) <= STEP_SHARE * single
        if count >= 2 and whole and (step >= GAP * around[k] or jumps[k] == count):
            gaps.append((k, count - 1))
    return gaps


def regular(
    data: NDArray[np.float32], stack: Stack
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Puts sheared or uneven slices on a grid with right angles and even steps, linearly.

    The grid holds every slice whole; its slices are parallel to the scanner's. What no slice
    shows gets the lowest value.

    Args:
        data: HU (x, y, slice), the slices by height.
        stack: Where they lie.

    Returns:
        HU on the grid, and its affine.
    """
    data, low = _straighten(data, stack.offsets if stack.is_sheared else stack.offsets * 0)
    heights = stack.heights_mm
    step_mm = np.ptp(heights) / (len(heights) - 1)
    if stack.is_uneven:
        step_mm = np.ptp(heights) / round(np.ptp(heights) / max(np.diff(heights).min(), FINEST_MM))
        data = _even(data, heights, step_mm)
    affine = stack.affine(step_mm)
    affine[:3, 3] += low @ stack.axes
    return data, affine


def _straighten(
    data: NDArray[np.float32], offsets: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Moves each slice by its offset in voxels (slice, 2) on a canvas that holds all of them.

    Returns:
        The canvas, and the offset of its first voxel.
    """
    low = offsets.min(axis=0)
    size = data.shape[:2] + np.ceil(np.round(np.ptp(offsets, axis=0), 6)).astype(int)
    lowest = data.min()
    canvas = np.empty((*size, data.shape[2]), dtype=np.float32)
    for k, offset in enumerate(offsets):
        canvas[:, :, k] = ndimage.affine_transform(
            data[:, :, k],
            np.ones(2),
            low - offset,
            tuple(size),
            order=1,
            mode="grid-constant",
            cval=lowest,
        )
    return canvas, low


def _even(
    data: NDArray[np.float32], heights_mm: NDArray[np.float64], step_mm: float
) -> NDArray[np.float32]:
    """Slices at even heights, interpolated between the two nearest."""
    wanted = heights_mm[0] + step_mm * np.arange(round(np.ptp(heights_mm) / step_mm) + 1)
    index = np.interp(wanted, heights_mm, np.arange(len(heights_mm)))
    below = np.minimum(index.astype(int), len(heights_mm) - 2)
    share = (index - below).astype(np.float32)
    return data[:, :, below] * (1 - share) + data[:, :, below + 1] * share
