"""Scores of masks, maps and images on the common grid: pure functions on arrays (x, y, z)."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import distance_transform_edt
from skimage.metrics import structural_similarity

from hemexp.statistics.scores import Score, brier

WINDOW_HU = (0.0, 100.0)
"""PSNR and SSIM see the window of the model (docs/method.md 1)."""

EMPTY_REGION = "the region holds no voxel"


def dice(forecast: NDArray, truth: NDArray) -> Score:
    """Overlap of two boolean masks.

    Returns:
        1 for equal masks, 0 when just one of them is empty. Undefined when both are: most
        patients have no IVH, and to count those as 1 would reward saying nothing. Such patients
        are left out of means and counted apart.
    """
    total = int(forecast.sum()) + int(truth.sum())
    if total == 0:
        return Score(None, "both masks are empty")
    return Score(2 * int(np.logical_and(forecast, truth).sum()) / total)


def psnr_db(forecast_hu: NDArray, truth_hu: NDArray, brain: NDArray) -> Score:
    """Peak signal-to-noise ratio over the brain's voxels, both images cut to the window.

    Args:
        forecast_hu: CT numbers.
        truth_hu: Raw CT numbers of the true follow-up.
        brain: Boolean mask of the voxels that count.

    Returns:
        Decibel; undefined (infinite) for equal images.
    """
    difference = np.clip(forecast_hu, *WINDOW_HU) - np.clip(truth_hu, *WINDOW_HU)
    mse = float(np.mean(np.square(difference[brain], dtype=np.float64)))
    if mse == 0:
        return Score(None, "equal images: PSNR is infinite")
    return Score(10 * float(np.log10((WINDOW_HU[1] - WINDOW_HU[0]) ** 2 / mse)))


def similarity_map(forecast_hu: NDArray, truth_hu: NDArray, brain: NDArray) -> NDArray:
    """Slice-wise structural similarity (window 7 x 7 voxels); 0 in slices without brain.

    Slice-wise, because slices lie further apart than voxels: a 3D window would mix scales.

    Args:
        forecast_hu: CT numbers.
        truth_hu: Raw CT numbers of the true follow-up.
        brain: Boolean mask of the voxels that count.
    """
    one, other = np.clip(forecast_hu, *WINDOW_HU), np.clip(truth_hu, *WINDOW_HU)
    similarity = np.zeros(brain.shape)
    for z in np.flatnonzero(brain.any(axis=(0, 1))):
        _, similarity[..., z] = structural_similarity(
            one[..., z], other[..., z], data_range=WINDOW_HU[1] - WINDOW_HU[0], full=True
        )
    return similarity


def score_image(
    forecast_hu: NDArray, truth_hu: NDArray, brain: NDArray, band: NDArray
) -> dict[str, Score]:
    """PSNR and SSIM in the brain and, as `*_band`, round the bleed.

    Args:
        forecast_hu: CT numbers.
        truth_hu: Raw CT numbers of the true follow-up.
        brain: Boolean mask.
        band: Part of it round the baseline's bleed; may be empty.
    """
    similarity = similarity_map(forecast_hu, truth_hu, brain)
    found = {}
    for ending, region in (("", brain), ("_band", band)):
        empty = Score(None, EMPTY_REGION)
        found[f"psnr_db{ending}"] = (
            psnr_db(forecast_hu, truth_hu, region) if region.any() else empty
        )
        found[f"ssim{ending}"] = Score(float(similarity[region].mean())) if region.any() else empty
    return found


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


def map_brier(probability: NDArray, event: NDArray, region: NDArray) -> Score:
    """Brier score of a probability map over a region; undefined over an empty one."""
    if not region.any():
        return Score(None, EMPTY_REGION)
    return Score(brier(probability[region], event[region]))
