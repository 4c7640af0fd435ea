"""One scan of a phantom patient: anatomy, bleed and noise at the voxel centres of a scanner."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from hemexp.phantom.bleed import Extent, Shape, ball_radius_mm, first_extent, grow, relative_radius
from hemexp.phantom.head import (
    AIR_HU,
    CAVITY_BOTTOM_MM,
    Field,
    Head,
    Points,
    blend,
    brain_hu,
    cavity_mm,
    shell_hu,
    ventricle_mm,
)
from hemexp.phantom.mass_effect import displacement_mm

HEAD_RADII_MM = (92.0, 108.0)
"""Nothing of the head lies outside this elliptic cylinder."""

DURA_MM, MIDLINE_MM, TENTORIUM_MM = 4.0, 1.5, -48.0
"""A bleed keeps this far from skull and midline, and above this height."""

SPILL_ML, SPILL_REACH = (0.3, 3.0), 0.4
"""Less than 0.3 mL of the bleed in a ventricle stays unseen; from there on blood spreads beyond
the bleed's margin, at 3 mL and more by 40 % of its radius."""

BLOOD_HU, BLOOD_FALL_HU, IVH_HU, POCKET_HU, OEDEMA_HU = 69, 9, 54, 40, 21
"""Fresh blood in the middle, its fall to the margin, blood in CSF, hypodense pocket, oedema."""


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
    """

    pose: NDArray[np.float64]
    volume_ml: float
    oedema_mm: float = 0.0
    before: Extent | None = None
    direction: NDArray[np.float64] | None = None


Grid = tuple[tuple[int, int, int], NDArray[np.float64]]
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


def deform(head: Head, bleed: Shape, points: Points, cavity: Field, volume_ml: float) -> Tissue:
    """The inside of the skull with the mass effect of a bleed of this volume."""
    material = points - displacement_mm(points, cavity, bleed.center_mm, volume_ml)
    depth = cavity_mm(head, material)
    ventricle = ventricle_mm(head, material)
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
    free = tissue.points[:, tissue.free]
    if before is None or direction is None:
        extent = first_extent(bleed, free, voxels)
    else:
        extent = grow(bleed, free, voxels, before, direction)
    radius = relative_radius(bleed, tissue.points, extent)
    in_ventricle = (tissue.ventricle < 0) & (bleed.side * tissue.material[0] > -MIDLINE_MM)
    spilled_ml = np.count_nonzero(in_ventricle & (radius < 1)) * voxel_ml
    reach = 1 + SPILL_REACH * min(spilled_ml / SPILL_ML[1], 1)
    ivh = in_ventricle & (radius < reach) & (spilled_ml >= SPILL_ML[0])
    return Blood(extent, radius, tissue.free & (radius < 1), ivh)


def fill_head(
    head: Head,
    bleed: Shape,
    session: Session,
    grid: Grid,
    cavity_at: Callable[[Head, Points], Field] = cavity_mm,
    tissue_at: Callable[[Head, Shape, Points, Field, float], Tissue] = deform,
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
    tissue = tissue_at(head, bleed, points[:, inside], cavity[inside], volume_ml)
    blood = place_blood(bleed, tissue, volume_ml, voxel_ml, session.before, session.direction)
    return Filled(index, points, cavity, tissue, blood)


def paint(
    head: Head, bleed: Shape, tissue: Tissue, blood: Blood, volume_ml: float, oedema_mm: float
) -> Field:
    """HU inside the skull: tissue, oedema around the bleed, blood, pockets, blood in CSF."""
    values = brain_hu(head, tissue.material, tissue.cavity, tissue.ventricle)
    outside_mm = (blood.radius - 1) * ball_radius_mm(volume_ml)
    parenchyma = blend(-tissue.ventricle) * blend(tissue.cavity + np.float32(DURA_MM))
    oedema = 0.8 * blend(outside_mm - np.float32(oedema_mm), 3.0) * parenchyma * tissue.free
    values = (1 - oedema) * values + oedema * OEDEMA_HU
    clot_hu = BLOOD_HU - BLOOD_FALL_HU * np.clip(blood.radius, 0, 1) ** 2
    for pocket in bleed.pockets_mm:
        away = np.linalg.norm(tissue.points - (bleed.center_mm + pocket)[:, None], axis=0)
        share = blend(away - np.float32(bleed.pocket_radius_mm), 2.0)
        clot_hu = (1 - share) * clot_hu + share * POCKET_HU
    clot = blend(outside_mm) * tissue.free
    values = (1 - clot) * values + clot * clot_hu
    return np.where(blood.ivh, blend(tissue.ventricle) * (IVH_HU - values) + values, values)


@dataclass(frozen=True)
class PhantomScan:
    """What a scanner gives, and the truth on its grid.

    Attributes:
        ct: HU, int16.
        iph: Mask, uint8.
        ivh: Mask, uint8.
        brain: Mask of the cavity above the foramen magnum, uint8.
        extent: How far the bleed reaches.
    """

    ct: NDArray[np.int16]
    iph: NDArray[np.uint8]
    ivh: NDArray[np.uint8]
    brain: NDArray[np.uint8]
    extent: Extent


def take_scan(
    head: Head, bleed: Shape, session: Session, grid: Grid, noise_hu: float, rng: Generator
) -> PhantomScan:
    """Scans a patient: every tissue is evaluated at the voxel centres of the grid."""
    shape, _ = grid
    filled = fill_head(head, bleed, session, grid)
    inside, tissue, blood = filled.inside, filled.tissue, filled.blood
    values = np.empty(inside.size, np.float32)
    values[~inside] = shell_hu(head, filled.points[:, ~inside], filled.cavity[~inside])
    values[inside] = paint(head, bleed, tissue, blood, session.volume_ml, session.oedema_mm)
    ct = np.full(shape, AIR_HU, np.float32)
    ct.ravel()[filled.index] = values
    ct += draw_noise(shape, noise_hu, rng)
    return keep_scan(ct, filled)


def keep_scan(ct_hu: Field, filled: Filled) -> PhantomScan:
    """What a scanner stores of HU on a grid (x, y, z), and the truth there."""
    shape, blood = ct_hu.shape, filled.blood
    return PhantomScan(
        ct=np.clip(np.rint(ct_hu), -1024, 3071).astype(np.int16),
        iph=filled.mask(shape, blood.iph),
        ivh=filled.mask(shape, blood.ivh),
        brain=filled.mask(shape, filled.tissue.points[2] > CAVITY_BOTTOM_MM),
        extent=blood.extent,
    )


def draw_noise(shape: tuple[int, int, int], noise_hu: float, rng: Generator) -> Field:
    """Noise with the in-plane correlation of a soft reconstruction kernel."""
    white = rng.standard_normal(shape, dtype=np.float32)
    smooth = gaussian_filter(white, (0.6, 0.6, 0), truncate=3)
    return smooth * np.float32(noise_hu / smooth.std())


def fill_mask(shape: tuple[int, int, int], index: NDArray[np.intp]) -> NDArray[np.uint8]:
    """A mask of this shape that is 1 at these flat indices."""
    mask = np.zeros(shape, np.uint8)
    mask.ravel()[index] = 1
    return mask
