"""Scores of masks and of maps on the common grid: pure functions on arrays (x, y, z)."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hemexp.anatomy.surfaces import Gaps
from hemexp.evaluation.patient.map_sums import EMPTY_REGION
from hemexp.statistics.scores import Score, brier

NO_TRUTH = "the true follow-up has no such blood"
NO_DISTANCE = "a forecast mask is empty: no distance"


def dice(forecast: NDArray, truth: NDArray) -> Score:
    """Overlap of two boolean masks.

    Returns:
        1 for equal masks, 0 for an empty forecast. Undefined where the truth is empty, whatever
        the forecast: most patients have no IVH, to count those as 1 would reward saying nothing,
        and who is scored may not hang on who forecasts. `presence_brier` scores such patients.
    """
    if not truth.any():
        return Score(None, NO_TRUTH)
    total = int(forecast.sum()) + int(truth.sum())
    return Score(2 * int(np.logical_and(forecast, truth).sum()) / total)


def presence_brier(has_blood: Sequence[bool], truly: bool) -> Score:
    """Squared difference of the share of follow-ups with such blood and whether the truth has it.

    Args:
        has_blood: Of each follow-up, whether it has any.
        truly: Whether the true follow-up has.
    """
    return Score(float((np.mean(has_blood) - truly) ** 2))


def hd95_mm(gaps: Gaps | None, truth_empty: bool) -> Score:
    """95 % Hausdorff distance: the larger of the two directions' 95th percentiles.

    Undefined when a mask is empty: when one alone is, the distance is infinite, and any number
    put in its place would be an invention. The Dice of 0 tells of such a patient.
    """
    if gaps is None:
        return Score(None, NO_TRUTH if truth_empty else NO_DISTANCE)
    ends = [np.percentile(gap, 95) for gap in (gaps.forecast_mm, gaps.truth_mm)]
    return Score(float(max(ends)))


def surface_dice(gaps: Gaps | None, truth_empty: bool, tolerance_mm: float) -> Score:
    """Share of both surfaces that lies within a tolerance of the other (Nikolov 2021).

    As for Dice: 0 for an empty forecast, undefined where the truth is empty.
    """
    if gaps is None:
        return Score(None, NO_TRUTH) if truth_empty else Score(0.0)
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


def map_brier(probability: NDArray, event: NDArray, region: NDArray) -> Score:
    """Brier score of a probability map over a region; undefined over an empty one."""
    if not region.any():
        return Score(None, EMPTY_REGION)
    return Score(brier(probability[region], event[region]))
