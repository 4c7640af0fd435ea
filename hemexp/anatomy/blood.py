"""Where new blood came, and how far from the old: pure functions on boolean arrays (x, y, z)."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import distance_transform_edt


def new_blood(blood: NDArray, baseline_blood: NDArray) -> NDArray[np.bool_]:
    """Expansion: blood where the baseline had none."""
    return np.logical_and(blood, ~baseline_blood)


def blood_distance_mm(blood: NDArray, spacing_mm: ArrayLike) -> NDArray[np.float64]:
    """Distance of every voxel to the blood; infinite everywhere without any."""
    if not blood.any():
        return np.full(blood.shape, np.inf)
    return distance_transform_edt(~blood, sampling=np.asarray(spacing_mm))


def bleed_band(distance_mm: NDArray, width_mm: float) -> NDArray[np.bool_]:
    """Voxels outside the baseline's blood and no further from it than `width_mm`."""
    return (distance_mm > 0) & (distance_mm <= width_mm)
