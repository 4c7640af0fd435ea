"""Scores of CT images on the common grid: pure functions on arrays (x, y, z)."""

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from hemexp.statistics.scores import Score

MODEL_WINDOW_HU = (0.0, 100.0)
"""PSNR and SSIM see the window of the model (method.md 1)."""


def psnr_db(forecast_hu: NDArray, truth_hu: NDArray, brain: NDArray) -> Score:
    """Peak signal-to-noise ratio over the brain's voxels, both images cut to the window.

    Args:
        forecast_hu: CT numbers.
        truth_hu: Raw CT numbers of the true follow-up.
        brain: Boolean mask of the voxels that count.

    Returns:
        Decibel; undefined (infinite) for equal images.
    """
    difference = np.clip(forecast_hu, *MODEL_WINDOW_HU) - np.clip(truth_hu, *MODEL_WINDOW_HU)
    mse = float(np.mean(np.square(difference[brain], dtype=np.float64)))
    if mse == 0:
        return Score(None, "equal images: PSNR is infinite")
    return Score(10 * float(np.log10((MODEL_WINDOW_HU[1] - MODEL_WINDOW_HU[0]) ** 2 / mse)))


def similarity_map(forecast_hu: NDArray, truth_hu: NDArray, brain: NDArray) -> NDArray:
    """Slice-wise structural similarity (window 7 x 7 voxels); 0 in slices without brain.

    Slice-wise, because slices lie further apart than voxels: a 3D window would mix scales.

    Args:
        forecast_hu: CT numbers.
        truth_hu: Raw CT numbers of the true follow-up.
        brain: Boolean mask of the voxels that count.
    """
    one, other = np.clip(forecast_hu, *MODEL_WINDOW_HU), np.clip(truth_hu, *MODEL_WINDOW_HU)
    similarity = np.zeros(brain.shape)
    for z in np.flatnonzero(brain.any(axis=(0, 1))):
        _, similarity[..., z] = structural_similarity(
            one[..., z],
            other[..., z],
            data_range=MODEL_WINDOW_HU[1] - MODEL_WINDOW_HU[0],
            full=True,
        )
    return similarity
