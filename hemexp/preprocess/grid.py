"""The common grid: along the reference scan's own planes, centred on its brain."""

import numpy as np
from nibabel.orientations import io_orientation
from numpy.typing import NDArray

from hemexp import Fault, HemexpError
from hemexp.settings import Grid
from hemexp.volumes import Volume

OVERHANG_MM = 1.0
"""A brain may be longer than the grid by this, half of it at each end: the rim of a mask is not
known better, and no voxel's centre is lost."""


def lay_grid(brain: Volume, grid: Grid) -> Volume:
    """Lays the grid on the reference scan.

    The axes are the scan's voxel axes, reordered and flipped to the nearest of right, anterior
    and superior, so that acquisition planes stay planes and no slice is mixed from many.

    Args:
        brain: Brain mask of the reference scan.
        grid: Shape and spacing.

    Returns:
        An empty volume (all False) on the grid, in the reference scan's RAS mm.

    Raises:
        HemexpError: The brain is larger than the grid; it says what is missing and would fit.
    """
    orientation = io_orientation(brain.affine)
    order = np.argsort(orientation[:, 0])
    axes = _nearest_rotation(brain.affine[:3, order] * orientation[order, 1])
    low, high = _bounding_box(brain.data)
    extent_mm = ((high - low + 1) * brain.spacing_mm)[order]
    field_mm = np.multiply(grid.shape, grid.spacing_mm)
    if np.any(extent_mm > field_mm + OVERHANG_MM):
        raise HemexpError(_too_large(extent_mm, grid))
    centre = (brain.affine @ [*(low + high) / 2, 1])[:3]
    affine = np.eye(4)
    affine[:3, :3] = axes * grid.spacing_mm
    affine[:3, 3] = centre - affine[:3, :3] @ (np.array(grid.shape) - 1) / 2
    return Volume(np.zeros(grid.shape, dtype=bool), affine)


def _nearest_rotation(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rotation nearest to axes of any length (a header's axes are right-angled to 1e-3)."""
    left, _, right = np.linalg.svd(matrix / np.linalg.norm(matrix, axis=0))
    return left @ right


def _bounding_box(mask: NDArray) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    sides = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    return np.array([s[0] for s in sides]), np.array([s[-1] for s in sides])


def _too_large(extent_mm: NDArray[np.float64], grid: Grid) -> Fault:
    """Told against the grid without its overhang, so that a cure holds the whole brain."""
    field_mm = np.multiply(grid.shape, grid.spacing_mm)
    missing = ", ".join(
        f"{need - have:.1f} mm along {name}"
        for name, need, have in zip("xyz", extent_mm, field_mm, strict=True)
        if need > have + OVERHANG_MM
    )
    sizes = [" x ".join(f"{side:.1f}" for side in box) for box in (extent_mm, field_mm)]
    fitting = np.maximum(grid.shape, np.ceil(extent_mm / grid.spacing_mm).astype(int))
    wider_mm = np.maximum(grid.spacing_mm, np.ceil(100 * extent_mm / grid.shape) / 100)
    return Fault(
        "brain mask",
        f"a brain of {sizes[0]} mm",
        f"at most {sizes[1]} mm, the grid",
        f"Missing: {missing}. Look whether the brain mask leaks. If not, give preprocess.grid a "
        f"shape of at least {fitting.tolist()} (x and y divisible as the networks ask), or a "
        f"spacing_mm of at least {[float(f'{side:.2f}') for side in wider_mm]}; released models "
        "keep the grid that they were trained on.",
    )
