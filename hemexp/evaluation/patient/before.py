"""A baseline, prepared once so that many follow-ups can be measured against it."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hemexp.anatomy.blood import blood_distance_mm
from hemexp.anatomy.boxes import within_mm
from hemexp.anatomy.looks import dense_mask, fine_structure
from hemexp.anatomy.noise import calm_tissue
from hemexp.anatomy.ventricles import Ventricles
from hemexp.grid_scan import GridScan

NEAR_MM = 15.0
"""Round the IPH of either scan: what is bright here is asked whether it is in the mask. New IPH
further than this from the baseline's blood is far."""

TEXTURE_SLICES = 12
"""Texture is taken from so many slices, evenly spread; more only take time on fine grids."""

LEAST_SIDE_MM = 5.0
"""A bleed nearer to the brain's middle lies on no side."""


@dataclass(frozen=True)
class Before:
    """A baseline and what its follow-ups are measured against.

    Attributes:
        scan: The baseline on the grid.
        brain: Voxels in the brain on every scan that is measured.
        far: Further than `NEAR_MM` from the baseline's blood.
        near: Within `NEAR_MM` of its IPH.
        dense: What looks like blood.
        ventricles: Those of the baseline, and how they change.
        slices: Where texture is taken.
        calm: Of these slices the voxels that texture is taken from, (x, y, slices).
        fine: Their fine structure, likewise.
        side: 1 where the bleed lies to the patient's right, -1 to the left, 0 in the middle.
    """

    scan: GridScan
    brain: NDArray[np.bool_]
    far: NDArray[np.bool_]
    near: NDArray[np.bool_]
    dense: NDArray[np.bool_]
    ventricles: Ventricles
    slices: NDArray[np.intp]
    calm: NDArray[np.bool_]
    fine: NDArray[np.float32]
    side: int

    @property
    def spacing_mm(self) -> NDArray[np.float64]:
        """Voxel size along x, y, z."""
        return self.scan.ct.spacing_mm

    @classmethod
    def of(cls, scan: GridScan, brain: NDArray, ventricles: Ventricles) -> Self:
        """Prepares a baseline.

        Args:
            scan: On the grid.
            brain: Voxels in the brain on every scan that will be measured.
            ventricles: Of the baseline.
        """
        ct_hu, spacing_mm = scan.ct.data, scan.ct.spacing_mm
        distance_mm = blood_distance_mm(scan.blood, spacing_mm)
        calm = calm_tissue(brain, scan.blood, ventricles.mask, spacing_mm)
        slices = _spread(np.flatnonzero(calm.any(axis=(0, 1))), TEXTURE_SLICES)
        return cls(
            scan=scan,
            brain=brain,
            far=distance_mm > NEAR_MM,
            near=within_mm(scan.iph, NEAR_MM, spacing_mm),
            dense=dense_mask(ct_hu, brain, spacing_mm),
            ventricles=ventricles,
            slices=slices,
            calm=calm[..., slices],
            fine=fine_structure(ct_hu[..., slices], brain[..., slices], spacing_mm),
            side=bleed_side(scan.iph, scan.brain, spacing_mm),
        )


def bleed_side(iph: NDArray, brain: NDArray, spacing_mm: ArrayLike) -> int:
    """On which side of the brain's middle along x a bleed lies.

    Args:
        iph: Boolean mask; x runs to the patient's right.
        brain: Boolean mask.
        spacing_mm: Voxel size along x, y, z.

    Returns:
        1 to the patient's right, -1 to the left; 0 without a bleed, or with its centroid within
        `LEAST_SIDE_MM` of the middle.
    """
    if not (iph.any() and brain.any()):
        return 0
    columns = np.flatnonzero(brain.any(axis=(1, 2)))
    centroid = np.average(np.arange(len(iph)), weights=iph.sum(axis=(1, 2)))
    off_mm = (centroid - (columns[0] + columns[-1]) / 2) * np.asarray(spacing_mm)[0]
    return int(np.sign(off_mm)) if abs(off_mm) >= LEAST_SIDE_MM else 0


def _spread(places: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """At most `count` of the places, evenly spread."""
    if len(places) <= count:
        return places
    return places[np.linspace(0, len(places) - 1, count).round().astype(int)]
