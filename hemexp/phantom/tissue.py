"""What lies at the voxels of a grid in a phantom's head: tissue that a bleed moved, and blood."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hemexp.phantom.bleed import (
    Extent,
    Shape,
    distance_mm,
    first_extent,
    grow,
    growth_speed,
    relative_radius,
)
from hemexp.phantom.head import Field, Head, Points, cavity_mm, ventricle_distance_mm
from hemexp.phantom.mass_effect import displacement_mm

HEAD_RADII_MM = (92.0, 108.0)
"""Nothing of the head lies outside this elliptic cylinder."""

DURA_MM, MIDLINE_MM, TENTORIUM_MM = 4.0, 1.5, -48.0
"""A bleed keeps this far from skull and midline, and above this height."""

SPILL_ML, SPILL_REACH = (0.1, 1.5), 0.8
"""Less than 0.1 mL of the bleed in a ventricle stays unseen; from there on blood spreads beyond
the bleed's margin, at 1.5 mL and more by 80 % of its radius."""


@dataclass(frozen=True)
class Tissue:
    """The inside of the skull at one session, at n voxels.

    Attributes:
        points: Head coordinates, (3, n).
        material: Where the tissue seen there lies in the undeformed head, (3, n).
        cavity: Distance of `material` to the skull, negative, (n,).
        ventricle: Distance of `material` to the ventricles, negative inside, (n,).
        free: Where a bleed may lie: parenchyma of its own hemisphere, (n,).
    """

    points: Points
    material: Points
    cavity: Field
    ventricle: Field
    free: NDArray[np.bool_]


@dataclass(frozen=True)
class Blood:
    """A bleed at the voxels of a `Tissue`.

    Attributes:
        extent: How far it reaches.
        radius: Relative radius at each voxel, below 1 inside, (n,).
        iph: Blood in the parenchyma, (n,).
        ivh: Blood in the ventricles, (n,).
    """

    extent: Extent
    radius: Field
    iph: NDArray[np.bool_]
    ivh: NDArray[np.bool_]


@dataclass(frozen=True)
class Session:
    """What is asked of a scan.

    Attributes:
        pose: Head coordinates to scanner mm, 4 x 4.
        volume_ml: IPH volume.
        oedema_mm: Width of the oedema.
        before: Extent at baseline, for a follow-up.
        direction: Growth direction, for a follow-up.
        swelling: Part by which blocked CSF has widened the ventricles.
    """

    pose: NDArray[np.float64]
    volume_ml: float
    oedema_mm: float = 0.0
    before: Extent | None = None
    direction: NDArray[np.float64] | None = None
    swelling: float = 0.0


ScannerGrid = tuple[tuple[int, int, int], NDArray[np.float64]]
"""Shape and affine of a scan."""


@dataclass(frozen=True)
class Filled:
    """The head at the voxels of a grid, with its bleed.

    Attributes:
        index: Flat indices of the n voxels in or near the head, (n,).
        points: Their head coordinates, (3, n).
        cavity: Their distance to the skull's inside, negative within, (n,).
        tissue: What is inside.
        blood: The bleed there.
    """

    index: NDArray[np.intp]
    points: Points
    cavity: Field
    tissue: Tissue
    blood: Blood

    @property
    def inside(self) -> NDArray[np.bool_]:
        """Which of the n voxels `tissue` and `blood` speak of."""
        return self.cavity < 0

    def mask(self, shape: tuple[int, int, int], where: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """A mask of the grid's shape from a property of the voxels inside."""
        return fill_mask(shape, self.index[self.inside][where])


def locate_voxels(
    shape: tuple[int, int, int], affine: NDArray[np.float64], pose: NDArray[np.float64]
) -> tuple[NDArray[np.intp], Points]:
    """Voxels in or near the head.

    Args:
        shape: Array shape.
        affine: Voxel index to scanner mm.
        pose: Head coordinates to scanner mm.

    Returns:
        Their flat indices (n,) and head coordinates (3, n).
    """
    matrix = (np.linalg.inv(pose) @ affine).astype(np.float32)
    i, j, k = np.ogrid[: shape[0], : shape[1], : shape[2]]
    x, y, z = ((row[0] * i + row[1] * j) + (row[2] * k + row[3]) for row in matrix[:3])
    near = (x / np.float32(HEAD_RADII_MM[0])) ** 2 + (y / np.float32(HEAD_RADII_MM[1])) ** 2 < 1
    index = np.flatnonzero(near)
    return index, np.stack([axis.ravel()[index] for axis in (x, y, z)]).astype(np.float32)


def deform(
    head: Head,
    bleed: Shape,
    points: Points,
    cavity: Field,
    volume_ml: float,
    swelling: float = 0.0,
) -> Tissue:
    """The inside of the skull with the mass effect of a bleed of this volume, and blocked CSF."""
    effect = bleed.center_mm, volume_ml, swelling
    material = points - displacement_mm(head, points, cavity, *effect)
    depth = cavity_mm(head, material)
    ventricle = ventricle_distance_mm(head, material)
    free = (depth < -DURA_MM) & (ventricle > 0) & (points[2] > TENTORIUM_MM)
    free &= bleed.side * material[0] > MIDLINE_MM
    return Tissue(points, material, depth, ventricle, free)


def place_blood(
    bleed: Shape,
    tissue: Tissue,
    volume_ml: float,
    voxel_ml: float,
    before: Extent | None = None,
    direction: NDArray[np.float64] | None = None,
) -> Blood:
    """Fills tissue with blood of a given IPH volume, and ventricles where it reaches them.

    Args:
        bleed: Form and place.
        tissue: The inside of the skull with this volume's mass effect.
        volume_ml: IPH volume, met within a voxel.
        voxel_ml: Volume of a voxel.
        before: Extent at baseline; None draws the baseline bleed itself.
        direction: Growth direction of this follow-up, with `before`.
    """
    voxels = round(volume_ml / voxel_ml)
    distance, free = distance_mm(bleed, tissue.points), tissue.free
    if before is None or direction is None:
        extent = first_extent(bleed, distance[free], voxels)
        radius = relative_radius(distance, extent)
    else:
        speed = growth_speed(bleed, tissue.points, direction)
        extent = grow(distance[free], speed[free], voxels, before, direction)
        radius = relative_radius(distance, extent, speed)
    in_ventricle = (tissue.ventricle < 0) & (bleed.side * tissue.material[0] > -MIDLINE_MM)
    spilled_ml = np.count_nonzero(in_ventricle & (radius < 1)) * voxel_ml
    reach = 1 + SPILL_REACH * min(spilled_ml / SPILL_ML[1], 1)
    ivh = in_ventricle & (radius < reach) & (spilled_ml >= SPILL_ML[0])
    return Blood(extent, radius, tissue.free & (radius < 1), ivh)


def fill_head(
    head: Head,
    bleed: Shape,
    session: Session,
    grid: ScannerGrid,
    cavity_at: Callable[[Head, Points], Field] = cavity_mm,
    tissue_at: Callable[..., Tissue] = deform,
) -> Filled:
    """Evaluates anatomy and bleed at the voxel centres of a grid.

    Args:
        head: Anatomy.
        bleed: Form and place.
        session: Pose, volume and, for a follow-up, what it grew from.
        grid: Where.
        cavity_at: Distance to the skull's inside; another for a head that is open elsewhere.
        tissue_at: The inside of the skull; another for a bleed that may lie elsewhere.
    """
    shape, affine = grid
    voxel_ml = abs(np.linalg.det(affine[:3, :3])) / 1000
    index, points = locate_voxels(shape, affine, session.pose)
    cavity = cavity_at(head, points)
    inside, volume_ml = cavity < 0, session.volume_ml
    effect = volume_ml, session.swelling
    tissue = tissue_at(head, bleed, points[:, inside], cavity[inside], *effect)
    blood = place_blood(bleed, tissue, volume_ml, voxel_ml, session.before, session.direction)
    return Filled(index, points, cavity, tissue, blood)


def fill_mask(shape: tuple[int, int, int], index: NDArray[np.intp]) -> NDArray[np.uint8]:
    """A mask of this shape that is 1 at these flat indices."""
    mask = np.zeros(shape, np.uint8)
    mask.ravel()[index] = 1
    return mask
