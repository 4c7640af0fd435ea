"""The equation behind a push: a screened Poisson equation on voxels, without flux at the wall."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import cg

Mask = NDArray[np.bool_]


def solve_pressure(
    source: NDArray[np.float64],
    uptake: NDArray[np.float64],
    inside: Mask,
    coarse_mm: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Pressure p of -lap(p) + uptake p = source inside, no flux out of it.

    Args:
        source: Volume that comes up per volume, (X, Y, Z).
        uptake: Per mm^2, above 0, (X, Y, Z).
        inside: Where the equation holds.
        coarse_mm: Voxel size, by axis.

    Returns:
        p in mm^2, (X, Y, Z); 0 outside.
    """
    pressure = np.zeros(inside.shape)
    if not source.any():
        return pressure
    number = np.full(inside.shape, -1)
    number[inside] = np.arange(np.count_nonzero(inside))
    diagonal = uptake[inside].copy()
    rows, columns, values = [], [], []
    for axis, size in enumerate(coarse_mm):
        one, other = _neighbours(number, axis)
        both = (one >= 0) & (other >= 0)
        one, other = one[both], other[both]
        np.add.at(diagonal, np.concatenate([one, other]), size**-2)
        rows += [one, other]
        columns += [other, one]
        values.append(np.full(2 * one.size, -(size**-2)))
    pairs = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    matrix = sparse.csr_array(pairs, shape=2 * (diagonal.size,)) + sparse.diags_array(diagonal)
    jacobi = sparse.diags_array(1 / diagonal)
    pressure[inside] = cg(matrix, source[inside], rtol=1e-9, M=jacobi)[0]
    return pressure


def _neighbours(values: NDArray, axis: int) -> tuple[NDArray, NDArray]:
    """Values on both sides of every face across an axis."""
    moved = np.moveaxis(values, axis, 0)
    return moved[:-1], moved[1:]


def flow(
    pressure: NDArray[np.float64], inside: Mask, axis: int, size: float
) -> NDArray[np.float64]:
    """-grad(p) along an axis, (X, Y, Z): mean of a voxel's two faces; those at the skull have 0.

    Args:
        pressure: From `solve_pressure`.
        inside: The same.
        axis: 0, 1 or 2.
        size: Voxel size along it in mm.
    """
    low, high = _neighbours(pressure, axis)
    open_face = np.logical_and(*_neighbours(inside, axis))
    face = np.pad((low - high) / size * open_face, [(1, 1), (0, 0), (0, 0)])
    return np.moveaxis((face[:-1] + face[1:]) / 2, 0, axis)
