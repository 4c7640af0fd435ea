"""The shell: a bleed that grows or shrinks to a volume told, in the order that its scan suggests.

Every voxel has a *level*, negative inside the bleed: its distance in mm to the bleed's margin,
moved by part of a voxel where the mask's surroundings or the CT say that the true margin lies
nearer or farther. The bleed of N voxels is the N lowest levels, the last of them in part; so any
volume is met, and small growth is no more than a fraction of a voxel. A tilt towards one side
moves its centroid. Its formulas stand in method.md 6.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, Self

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

NEAR_SHELLS, NEAR_RIM_MM = 4.0, 2.0
"""A tilted shell is looked for within so many even ones and a rim, and farther only where it lies
farther: what is found is the same, sooner."""


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
    soft = ndimage.gaussian_filter(iph.astype(np.float32), MASK_BLUR_VOXELS, mode="constant")
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

    def only(self, chosen: NDArray[np.bool_]) -> Self:
        """Some of them."""
        return Candidates(self.level_mm[chosen], self.position_mm[chosen], self.center_mm)


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


@dataclass(frozen=True)
class Tilt:
    """Levels that fall towards one side, of some candidates.

    Attributes:
        level_mm: (n,), untilted.
        turned: (n,) 1 - cosine between a voxel's direction and that side: 0 ahead, 2 behind.
        ahead_mm: (n,) how far a voxel lies towards that side of the bleed's centroid.
    """

    level_mm: NDArray
    turned: NDArray
    ahead_mm: NDArray

    @classmethod
    def towards(cls, drift_mm: NDArray, candidates: Candidates) -> Self:
        """Towards a drift (3,) that is not 0."""
        away = candidates.position_mm - candidates.center_mm
        ahead_mm = away @ (drift_mm / np.linalg.norm(drift_mm))
        turned = 1 - ahead_mm / (np.linalg.norm(away, axis=1) + AXIS_MM)
        return cls(candidates.level_mm, turned, ahead_mm)

    def levels_mm(self, kappa: float) -> NDArray:
        """Levels (n,): outside the bleed they rise the more a voxel is turned away."""
        factor = np.exp(np.minimum(kappa * self.turned, TILT_LIMIT))
        return np.where(self.level_mm > 0, self.level_mm * factor, self.level_mm)


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
    if not np.linalg.norm(drift_mm) > 0 or voxels < before + 1 or whole < 1:
        return fill(level_mm, voxels)
    even_mm = max(float(np.partition(level_mm, whole - 1)[whole - 1]), 0.0)
    for reach_mm in (NEAR_SHELLS * even_mm + NEAR_RIM_MM, math.inf):
        near = level_mm <= reach_mm
        tilted_mm = _tilt_to(drift_mm, candidates.only(near), whole, reach_mm)
        if tilted_mm is not None:
            break
    shares = np.zeros(len(level_mm), np.float32)
    shares[near] = fill(tilted_mm, voxels)
    return shares


def _tilt_to(drift_mm: NDArray, near: Candidates, voxels: int, reach_mm: float) -> NDArray | None:
    """Levels tilted so that the centroid of the lowest moves as told.

    Candidates above `reach_mm` were left out. None where one of them may be among the lowest.
    """
    tilt, length_mm = Tilt.towards(drift_mm, near), float(np.linalg.norm(drift_mm))
    low, high = 0.0, LARGEST_TILT
    last = min(voxels, len(near.level_mm) - 1)  # after the whole voxels comes one in part
    if last < voxels and math.isfinite(reach_mm):
        return None
    for _ in range(TILT_STEPS + 1):
        kappa = (low + high) / 2
        level_mm = tilt.levels_mm(kappa)
        order = np.argpartition(level_mm, last)
        if level_mm[order[last]] > reach_mm:
            return None
        if tilt.ahead_mm[order[:voxels]].mean() < length_mm:
            low = kappa
        else:
            high = kappa
    return level_mm
