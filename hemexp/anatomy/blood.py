"""Where new blood came, and how far from the old: pure functions, masks are boolean (x, y, z)."""

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


def shell_mm(growth_ml: ArrayLike, baseline_ml: ArrayLike) -> NDArray[np.float64]:
    """How much the radius of a ball of the baseline's volume grows; 0 for a bleed that shrinks."""
    before, grown = (np.asarray(value, dtype=float) for value in (baseline_ml, growth_ml))
    radii = [(3000 * ml.clip(min=0) / (4 * np.pi)) ** (1 / 3) for ml in (before, before + grown)]
    return (radii[1] - radii[0]).clip(min=0)
