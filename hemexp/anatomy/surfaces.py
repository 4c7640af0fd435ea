"""Distances between masks, with their spacing: pure functions on boolean arrays (x, y, z).

SciPy's distance transform serves here: MONAI's metrics of the same names need torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt

from hemexp.statistics.scores import Score

BOTH_EMPTY = "both masks are empty"


@dataclass(frozen=True)
class Gaps:
    """How far two masks' surfaces lie apart.

    Attributes:
        forecast_mm: From every surface voxel of the forecast to the true surface.
        truth_mm: From every true surface voxel to the forecast's surface.
    """

    forecast_mm: NDArray[np.float64]
    truth_mm: NDArray[np.float64]


def surface_gaps(forecast: NDArray, truth: NDArray, spacing_mm: ArrayLike) -> Gaps | None:
    """Distances between surfaces: voxels with a neighbour across a face outside the mask.

    Args:
        forecast: Boolean mask.
        truth: Boolean mask.
        spacing_mm: Voxel size along x, y, z.

    Returns:
        The distances; None when a mask is empty, for it has no surface.
    """
    if not (forecast.any() and truth.any()):
        return None
    box = _bounding_box(forecast | truth)
    one, other = (_surface(mask[box]) for mask in (forecast, truth))
    to_other, to_one = (
        distance_transform_edt(~edge, sampling=np.asarray(spacing_mm)) for edge in (other, one)
    )
    return Gaps(to_other[one], to_one[other])


def _bounding_box(mask: NDArray) -> tuple[slice, ...]:
    sides = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    return tuple(slice(side[0], side[-1] + 1) for side in sides)


def _surface(mask: NDArray) -> NDArray[np.bool_]:
    return mask & ~binary_erosion(mask)


def hd95_mm(gaps: Gaps | None, both_empty: bool) -> Score:
    """95 % Hausdorff distance: the larger of the two directions' 95th percentiles.

    Undefined when a mask is empty: when one alone is, the distance is infinite, and any number
    put in its place would be an invention. The Dice of 0 tells of such a patient.
    """
    if gaps is None:
        return Score(None, BOTH_EMPTY if both_empty else "one mask is empty: no distance")
    ends = [np.percentile(gap, 95) for gap in (gaps.forecast_mm, gaps.truth_mm)]
    return Score(float(max(ends)))


def surface_dice(gaps: Gaps | None, both_empty: bool, tolerance_mm: float) -> Score:
    """Share of both surfaces that lies within a tolerance of the other (Nikolov 2021).

    As for Dice: 0 when one mask alone is empty, undefined when both are.
    """
    if gaps is None:
        return Score(None, BOTH_EMPTY) if both_empty else Score(0.0)
    distances = np.concatenate([gaps.forecast_mm, gaps.truth_mm])
    return Score(float(np.mean(distances <= tolerance_mm)))


def energy_distance(members: Sequence[NDArray[np.intp]], truth: NDArray[np.intp]) -> dict:
    """Generalised energy distance with d = 1 - Dice (Kohl 2018, there with 1 - IoU).

    2 E d(S, Y) - E d(S, S') over distinct pairs; E d(Y, Y') is 0 with one truth. Two empty masks
    have d = 0: here saying nothing of nothing is right.

    Args:
        members: Flat indices of each member's voxels, at least one member.
        truth: Flat indices of the truth's voxels.

    Returns:
        `ged`, and its two terms: `ged_error` = E d(S, Y), `ged_diversity` = E d(S, S'), which is
        0 for a single member.
    """
    voxels, where = np.unique(np.concatenate([*members, truth]), return_inverse=True)
    ends = np.cumsum([0, *map(len, members), len(truth)])
    masks = np.zeros((len(members) + 1, max(len(voxels), 1)), dtype=np.float32)
    for row, (start, end) in enumerate(pairwise(ends)):
        masks[row, where[start:end]] = 1
    size = masks.sum(axis=1)
    total = size[:, None] + size[None]
    overlap = np.divide(2 * masks @ masks.T, total, out=np.ones_like(total), where=total > 0)
    distance = 1 - overlap.astype(np.float64)
    k = len(members)
    error = float(distance[:k, k].mean())
    diversity = float(distance[:k, :k].sum() / (k * (k - 1))) if k > 1 else 0.0
    return {"ged": 2 * error - diversity, "ged_error": error, "ged_diversity": diversity}
