"""What blood in the parenchyma does not cross: falx and tentorium, placed by the brain's outline.

Neither shows on a stripped scan of 5 mm slices. The falx stands in the middle of the brain's
width; the tentorium is taken as a level floor behind the middle of the brain's length, as high as
the cisterns (`ventricles.LOWEST_PART`).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hemexp.anatomy.boxes import bounding_box
from hemexp.anatomy.ventricles import LOWEST_PART

RIGHT, LEFT, POSTERIOR_FOSSA = 1, 2, 3

BEHIND_MM = 12.0
"""The posterior fossa begins this far behind the middle of the brain's length."""

LEAST_SHARE = 0.05
"""A compartment that holds less of a bleed is not one that it has broken into."""


def compartments(brain: NDArray[np.bool_], spacing_mm: ArrayLike) -> NDArray[np.uint8]:
    """Labels (x, y, z): `RIGHT` and `LEFT` above the tentorium, `POSTERIOR_FOSSA`, 0 outside.

    Args:
        brain: Brain mask (x, y, z); axes run right, front and up.
        spacing_mm: Voxel size along x, y, z.
    """
    labels = np.zeros(brain.shape, np.uint8)
    if not brain.any():
        return labels
    ends = [(side.start, side.stop - 1) for side in bounding_box(brain)]
    x, y, z = np.ogrid[tuple(slice(n) for n in brain.shape)]
    middle = [(first + last) / 2 for first, last in ends]
    behind = y < middle[1] - BEHIND_MM / float(np.asarray(spacing_mm)[1])
    low = z < ends[2][0] + LOWEST_PART * (ends[2][1] - ends[2][0])
    sides = np.where(x > middle[0], RIGHT, LEFT)
    labels[:] = np.where(behind & low, POSTERIOR_FOSSA, sides)
    return labels * brain


def open_to(iph: NDArray[np.bool_], labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where a bleed may grow (x, y, z): the compartments that hold a twentieth of it or more."""
    held = np.bincount(labels[iph], minlength=POSTERIOR_FOSSA + 1)
    held[0] = 0
    return np.isin(labels, np.flatnonzero(held >= max(1, LEAST_SHARE * held.sum())))
