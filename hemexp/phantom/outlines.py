"""Masks as people and programs draw them, from what is true."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, gaussian_filter

Mask = NDArray[np.uint8]

IN_PLANE = np.array([[[0], [1], [0]], [[1], [1], [1]], [[0], [1], [0]]], dtype=bool)
"""A voxel and its four neighbours in the slice."""

SMOOTH_VOXELS = 1.0
"""SD of the smoothing of an outline that was drawn by hand, in voxels of the slice."""

PROGRAM_HU = 44
"""A program calls blood what is denser, within a voxel of the true bleed."""

MISSED_IVH_SHARE = 0.25
"""In so many scans a hasty reader leaves out blood in the ventricles."""


def _exact(mask: Mask, ct_hu: NDArray[np.int16] | None) -> Mask:
    return mask


def _smoothed(mask: Mask, ct_hu: NDArray[np.int16] | None) -> Mask:
    soft = gaussian_filter(mask.astype(np.float32), (SMOOTH_VOXELS, SMOOTH_VOXELS, 0))
    return (soft > 0.5).astype(np.uint8)


def _wide(mask: Mask, ct_hu: NDArray[np.int16] | None) -> Mask:
    return binary_dilation(mask, IN_PLANE).astype(np.uint8)


def _thresholded(mask: Mask, ct_hu: NDArray[np.int16] | None) -> Mask:
    if ct_hu is None:
        return mask
    smooth = gaussian_filter(ct_hu.astype(np.float32), (SMOOTH_VOXELS, SMOOTH_VOXELS, 0))
    return (binary_dilation(mask, IN_PLANE) & (smooth > PROGRAM_HU)).astype(np.uint8)


OUTLINES: Mapping[str, Callable[[Mask, NDArray[np.int16] | None], Mask]] = {
    "exact": _exact,
    "smoothed": _smoothed,
    "wide": _wide,
    "thresholded": _thresholded,
    "hasty": _smoothed,
}
"""How a centre draws: `wide` a voxel too large, `hasty` smoothed and now and then without IVH."""


def outline(
    kind: str, ct_hu: NDArray[np.int16] | None, iph: Mask, ivh: Mask, rng: Generator
) -> tuple[Mask, Mask]:
    """Masks of IPH and IVH of one scan as a centre draws them; IPH wins where both are.

    Args:
        kind: A key of `OUTLINES`.
        ct_hu: The scan, (x, y, z); None where only its masks were drawn: a program's are then
            exact.
        iph: The true mask.
        ivh: The true mask.
        rng: Decides whether IVH is missed.
    """
    draw = OUTLINES[kind]
    drawn_iph, drawn_ivh = draw(iph, ct_hu), draw(ivh, ct_hu)
    if kind == "hasty" and rng.random() < MISSED_IVH_SHARE:
        drawn_ivh = np.zeros_like(ivh)
    if not drawn_iph.any():
        # A bleed of few voxels that smoothing took away: nobody draws an empty mask of it.
        drawn_iph = iph
    return drawn_iph, drawn_ivh * (1 - drawn_iph)
