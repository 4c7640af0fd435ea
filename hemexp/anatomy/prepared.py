"""A baseline with all that is the same for its references: computed once a patient."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hemexp.anatomy.blood import blood_distance_mm
from hemexp.anatomy.compartments import compartments, open_to
from hemexp.anatomy.push import PushField, SplineSource, solve_push, spline_source
from hemexp.anatomy.shell import REACH_MM, BleedHu, bleed_hu, bleed_level_mm, margin_distance_mm
from hemexp.anatomy.ventricles import Ventricles
from hemexp.grid_scan import GridScan
from hemexp.settings import Reference

IN_PLANE = ndimage.generate_binary_structure(2, 1)[..., None]
"""In an axial slice a voxel touches four."""


@dataclass(frozen=True)
class Prepared:
    """A baseline with all that is the same for its references.

    Attributes:
        scan: The baseline.
        kind: Which parts the reference has.
        hu: Of its bleed and the tissue round it; None without IPH.
        where: Indices (3, n) of the brain's voxels.
        away_mm: (n,) from each to the nearest voxel that is or may become blood.
        source: The CT to be read between voxels; None where nothing is warped.
        level_mm: Levels of the bleed (x, y, z).
        ivh_level_mm: The order in which ventricles fill (x, y, z): negative inside the IVH, else
            the distance to blood.
        iph: IPH (x, y, z), 0 or 1.
        ivh: IVH that is not IPH.
        free: Where the bleed may grow.
        room: Where blood may stand in a ventricle.
        ventricles: The ventricles (x, y, z).
        field: The push field; None where nothing is warped.
    """

    scan: GridScan
    kind: Reference
    hu: BleedHu | None
    where: NDArray[np.intp]
    away_mm: NDArray[np.float64]
    source: SplineSource | None
    level_mm: NDArray[np.float32]
    ivh_level_mm: NDArray[np.float32]
    iph: NDArray[np.float32]
    ivh: NDArray[np.float32]
    free: NDArray[np.float32]
    room: NDArray[np.float32]
    ventricles: NDArray[np.bool_]
    field: PushField | None


def prepare(scan: GridScan, kind: Reference, sink_per_mm2: float) -> Prepared:
    """Gets a baseline ready for its references.

    Args:
        scan: The baseline on the grid.
        kind: Which parts the reference has.
        sink_per_mm2: How readily ventricles give way, of the fitted push.
    """
    spacing_mm, iph, ivh = scan.ct.spacing_mm, scan.iph, scan.ivh & ~scan.iph
    ct = np.asarray(scan.ct.data, np.float32)
    ventricle = Ventricles(scan).mask | ivh
    distance_mm = margin_distance_mm(iph, spacing_mm)
    level_mm, hu, bleeds = distance_mm, None, bool(iph.any())
    free = scan.brain & ~ventricle
    if bleeds:
        hu = bleed_hu(ct, scan.blood, iph, scan.brain, distance_mm)
        level_mm = bleed_level_mm(ct, iph, distance_mm, hu, spacing_mm)
        free &= open_to(iph, compartments(scan.brain, spacing_mm)) & (distance_mm < REACH_MM)
    to_blood_mm = margin_distance_mm(scan.blood, spacing_mm)
    ivh_level_mm = np.where(ivh, margin_distance_mm(ivh, spacing_mm), np.abs(to_blood_mm))
    # A voxel wider than it shows: at its rim a ventricle is brighter than CSF.
    room = ndimage.binary_dilation(ventricle, IN_PLANE) & scan.brain & ~iph
    field, source = None, None
    if kind.warp and bleeds:
        field = solve_push(iph, ventricle, scan.brain, spacing_mm, sink_per_mm2)
        source = spline_source(ct, scan.brain, spacing_mm)
    masks = [np.asarray(mask, np.float32) for mask in (iph, ivh, free, room)]
    where = np.array(np.nonzero(scan.brain))
    away_mm = blood_distance_mm(np.any(masks, axis=0), spacing_mm)[scan.brain]
    return Prepared(
        scan, kind, hu, where, away_mm, source, level_mm, ivh_level_mm, *masks, ventricle, field
    )
