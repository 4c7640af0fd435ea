"""Slices of one CT on another level of HU: an intercept that changes within the series."""

from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hemexp import Fault
from hemexp.preprocess.hounsfield import count_hu, histogram_faults
from hemexp.preprocess.remarks import Remark
from hemexp.preprocess.slices import head_axis
from hemexp.volumes import ImageError, Volume

STEPS_HU = (1024, 1000)
"""Intercepts of CT: what a slice is off by when its own was forgotten or applied twice."""

STEP_TOLERANCE_HU = 12
"""Half the difference between the two; noise moves a median over a slice by less than 2."""

UNLIKE_HU, ALIKE_HU = 200, 60
"""All voxels of a slice change together if their median change is larger than the first and their
median distance from it smaller than the second. Where the head ends, they do not."""

OBJECT_HU = -500
"""Brighter voxels are no air. They must change with it: where padding begins, only air does."""

PADDING_HU = -1100
"""A lowest value below this is padding, or air that is too low: it says nothing."""

LEAST_SHARE = 0.005
"""A pair of slices with fewer such voxels, or all but this part of it padding, says nothing."""


def mend_slices(path: Path, ct: Volume) -> tuple[Volume, list[Remark]]:
    """Brings slices that lie an intercept off the others to their level.

    Args:
        path: For the messages.
        ct: Values as the file gives them.

    Returns:
        The CT and what was mended; as it was where all slices are on one level.

    Raises:
        ImageError: Slices are on unlike levels, and it is not certain how to mend them.
    """
    through, _ = head_axis(ct.affine)
    slices = np.moveaxis(ct.data, through, 0)
    steps_hu = slice_steps(slices)
    if not steps_hu.any():
        return ct, []
    levels_hu = np.cumsum([0, *(_intercept(step_hu) for step_hu in steps_hu)])
    right = [
        base_hu
        for base_hu in np.unique(levels_hu)
        if np.isfinite(levels_hu).all()
        and not histogram_faults(path, count_hu(_lowered(slices, levels_hu - base_hu)))
    ]
    if len(right) != 1:
        raise ImageError(_unlike_fault(path, steps_hu))
    off_hu = levels_hu - right[0]
    mended = np.moveaxis(_lowered(slices, off_hu), 0, through)
    words = f"{_describe(off_hu)}: brought to the level of the others"
    return ct.with_data(mended), [Remark(words, doubtful=True)]


def slice_steps(slices: NDArray[np.float32]) -> NDArray[np.float64]:
    """By how much all voxels change together from each slice to the next.

    Args:
        slices: CT with the slices first (z, ., .).

    Returns:
        (z - 1,) HU; 0 where there is no such change.
    """
    lowest = slices.min()
    return np.array([_step(one, other, lowest) for one, other in pairwise(slices)])


def _step(one: NDArray[np.float32], other: NDArray[np.float32], lowest: float) -> float:
    """The change from one slice to another; what is `lowest` in both may be padding."""
    change = other - one
    seen = (one > lowest) | (other > lowest) | (lowest > PADDING_HU)
    bright = (one > OBJECT_HU) | (other > OBJECT_HU)
    if min(np.count_nonzero(part) for part in (seen, bright)) < LEAST_SHARE * change.size:
        return 0.0
    if min(one[bright].std(), other[bright].std()) < ALIKE_HU:
        return 0.0  # one of them shows no head: it ends here, or its slices were blanked
    middle = np.median(change[seen])
    spread = np.median(np.abs(change[seen] - middle))
    together = spread < ALIKE_HU and abs(np.median(change[bright]) - middle) < UNLIKE_HU
    return float(middle) if together and abs(middle) > UNLIKE_HU else 0.0


def _intercept(step_hu: float) -> float:
    """The intercept that a step is, with its sign; 0 for no step, NaN for one of no intercept."""
    if step_hu == 0:
        return 0.0
    near = min(STEPS_HU, key=lambda size_hu: abs(abs(step_hu) - size_hu))
    if abs(abs(step_hu) - near) > STEP_TOLERANCE_HU:
        return float("nan")
    return float(np.copysign(near, step_hu))


def _lowered(slices: NDArray[np.float32], by_hu: NDArray[np.float64]) -> NDArray[np.float32]:
    return slices - by_hu.astype(np.float32)[:, None, None]


def _describe(off_hu: NDArray[np.float64]) -> str:
    """Which slices are off and by how much, counted from the file's first as 1."""
    bounds = np.flatnonzero(np.diff(off_hu)) + 1
    blocks = np.split(np.arange(len(off_hu)), bounds)
    return " and ".join(
        f"slices {block[0] + 1} to {block[-1] + 1} of {len(off_hu)} {abs(by_hu):.0f} HU too "
        f"{'high' if by_hu > 0 else 'low'}"
        for block in blocks
        if (by_hu := off_hu[block[0]])
    )


def _unlike_fault(path: Path, steps_hu: NDArray[np.float64]) -> Fault:
    where = np.flatnonzero(steps_hu)
    changes = ", ".join(f"{steps_hu[k]:+.0f} HU from slice {k + 1} to {k + 2}" for k in where)
    return Fault(
        str(path),
        f"slices on unlike levels ({changes}, of {len(steps_hu) + 1})",
        "one intercept for all slices",
        "Convert the series again with each slice's own rescale intercept, or export it anew.",
    )
