"""The shell: a bleed that grows or shrinks to a volume told, in the order that its scan suggests.

Every voxel has a *level*, negative inside the bleed: its distance in mm to the bleed's margin,
moved by part of a voxel where the mask's surroundings or the CT say that the true margin lies
nearer or farther. The bleed of N voxels is the N lowest levels, the last of them in part; so any
volume is met, and small growth is no more than a fraction of a voxel. A tilt towards one side
moves its centroid. Constants are those of the trial in docs/method.md 6.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

MASK_BLUR_VOXELS = (1.0, 1.0, 0.7)
"""Along x, y, z: over how many voxels the mask tells where in a voxel its margin lies."""

CT_PART = 0.75
"""How far, in voxels, the CT moves a level."""

NEAR_MM = 9.0
"""Farther from the margin than this the CT says nothing about where it lies."""

LEAST_OUT_MM, LEAST_IN_MM = 0.3, 0.1
RING_MM = (6.0, 16.0)
"""Tissue round the bleed, beyond the voxels that both share."""

TISSUE_HU, LEAST_CONTRAST_HU = 30.0, 10.0
"""Of tissue where no ring is left, and the least by which blood stands out."""

REACH_MM = 60.0
"""No growth beyond this distance from the bleed."""

LARGEST_TILT, TILT_LIMIT, TILT_STEPS = 4.0, 3.0, 10
"""Kappa is searched from 0 to 4 by halving; no level grows by more than exp(3)."""

AXIS_MM = 5.0
"""Within about this distance of the bleed's centroid no direction counts."""


class BleedHu(NamedTuple):
    """HU of a bleed, and of the tissue round it."""

    blood: float
    tissue: float

    @property
    def middle(self) -> float:
        """Half way: above it a voxel looks like blood."""
        return (self.blood + self.tissue) / 2


def bleed_hu(
    ct_hu: NDArray,
    blood: NDArray[np.bool_],
    iph: NDArray[np.bool_],
    brain: NDArray[np.bool_],
    distance_mm: NDArray,
) -> BleedHu:
    """Mean HU of the bleed and of the tissue 6-16 mm away from it.

    Args:
        ct_hu: (x, y, z).
        blood: IPH or IVH (x, y, z).
        iph: IPH (x, y, z), not empty.
        brain: Brain mask (x, y, z).
        distance_mm: Of every voxel to the IPH.
    """
    ring = brain & ~blood & (distance_mm > RING_MM[0]) & (distance_mm < RING_MM[1])
    tissue = float(ct_hu[ring].mean()) if ring.any() else TISSUE_HU
    return BleedHu(max(float(ct_hu[iph].mean()), tissue + LEAST_CONTRAST_HU), tissue)


def margin_distance_mm(mask: NDArray[np.bool_], spacing_mm: ArrayLike) -> NDArray[np.float32]:
    """Distance of every voxel to the nearest of the other kind, negative inside the mask."""
    spacing = np.asarray(spacing_mm, dtype=float)
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    outside = ndimage.distance_transform_edt(~mask, sampling=spacing)
    # Padded: at the grid's edge the bleed ends too.
    inside = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
    return (outside - inside).astype(np.float32)


def bleed_level_mm(
    ct_hu: NDArray,
    iph: NDArray[np.bool_],
    distance_mm: NDArray,
    hu: BleedHu,
    spacing_mm: ArrayLike,
) -> NDArray[np.float32]:
    """Level of every voxel (x, y, z), negative inside the bleed.

    Args:
        ct_hu: (x, y, z).
        iph: Mask of the bleed, not empty.
        distance_mm: Of `margin_distance_mm`.
        hu: Of blood and tissue.
        spacing_mm: Voxel size along x, y, z.
    """
    voxel_mm = float(np.mean(np.asarray(spacing_mm, dtype=float)[:2]))
    share = np.clip((ct_hu - hu.tissue) / (hu.blood - hu.tissue), 0, 1)
    soft = ndimage.gaussian_filter(iph.astype(np.float32), MASK_BLUR_VOXELS)
    near = CT_PART * voxel_mm * (np.abs(distance_mm) < NEAR_MM)
    outside = distance_mm - voxel_mm * soft - near * share
    inside = -distance_mm - voxel_mm * (1 - soft) - near * (1 - share)
    level = np.where(iph, -np.maximum(inside, LEAST_IN_MM), np.maximum(outside, LEAST_OUT_MM))
    return level.astype(np.float32)


@dataclass(frozen=True)
class Candidates:
    """The voxels that may be blood, n of them.

    Attributes:
        level_mm: (n,), negative inside the bleed.
        position_mm: (n, 3) along x, y, z.
        center_mm: (3,) centroid of the bleed before.
    """

    level_mm: NDArray
    position_mm: NDArray
    center_mm: NDArray


def fill(level_mm: NDArray, voxels: float) -> NDArray[np.float32]:
    """Shares (n,) of the lowest levels that add up to a number of voxels; all of them at most."""
    shares = np.zeros(len(level_mm), np.float32)
    wanted = float(np.clip(voxels, 0, len(level_mm)))
    whole = int(wanted)
    order = np.argsort(level_mm, kind="stable")[: whole + 1]
    shares[order[:whole]] = 1
    if whole < len(order):
        shares[order[whole]] = wanted - whole
    return shares


def tilt_level_mm(candidates: Candidates, drift_mm: NDArray, kappa: float) -> NDArray:
    """Levels outside the bleed that fall towards the drift and rise away from it."""
    away = candidates.position_mm - candidates.center_mm
    direction = drift_mm / np.linalg.norm(drift_mm)
    cosine = away @ direction / (np.linalg.norm(away, axis=1) + AXIS_MM)
    factor = np.exp(np.minimum(kappa * (1 - cosine), TILT_LIMIT))
    return np.where(candidates.level_mm > 0, candidates.level_mm * factor, candidates.level_mm)


def _centroid_moves_mm(
    candidates: Candidates, level_mm: NDArray, voxels: int, along: NDArray
) -> float:
    """How far the centroid of the lowest levels lies from the bleed's, along a unit vector."""
    chosen = np.argpartition(level_mm, voxels - 1)[:voxels]
    return float((candidates.position_mm[chosen].mean(axis=0) - candidates.center_mm) @ along)


def grow_shell(
    candidates: Candidates, voxels: float, before: float, drift_mm: NDArray
) -> NDArray[np.float32]:
    """Shares (n,) of a bleed of a told number of voxels whose centroid moves as told.

    Args:
        candidates: Where it may lie.
        voxels: How large it is then; where less room is left, all of it is filled.
        before: How large it was.
        drift_mm: (3,) along x, y, z; NaN: even on all sides, as is growth below a voxel.
    """
    level_mm, whole = candidates.level_mm, int(min(voxels, len(candidates.level_mm)))
    length = float(np.linalg.norm(drift_mm))
    if not length > 0 or voxels < before + 1 or whole < 1:
        return fill(level_mm, voxels)
    low, high, along = 0.0, LARGEST_TILT, np.asarray(drift_mm) / length
    for _ in range(TILT_STEPS):
        kappa = (low + high) / 2
        tilted = tilt_level_mm(candidates, drift_mm, kappa)
        if _centroid_moves_mm(candidates, tilted, whole, along) < length:
            low = kappa
        else:
            high = kappa
    return fill(tilt_level_mm(candidates, drift_mm, (low + high) / 2), voxels)
