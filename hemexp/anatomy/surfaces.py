"""Distances between masks, with their spacing: pure functions on boolean arrays (x, y, z).

SciPy's distance transform serves here: MONAI's metrics of the same names need torch.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt

from hemexp.anatomy.boxes import bounding_box


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
    box = bounding_box(forecast | truth)
    one, other = (_surface(mask[box]) for mask in (forecast, truth))
    to_other, to_one = (
        distance_transform_edt(~edge, sampling=np.asarray(spacing_mm)) for edge in (other, one)
    )
    return Gaps(to_other[one], to_one[other])


def _surface(mask: NDArray) -> NDArray[np.bool_]:
    return mask & ~binary_erosion(mask)
