"""The brain on a non-contrast CT: thresholds and morphology, united with the haemorrhage.

The thresholds follow Muschelli et al. 2015 (NeuroImage 114:379); the surface that they fit with
BET is replaced by what the skull encloses, opened and closed by sizes in millimetres. Other ways
to find the brain stand beside it in `METHODS`.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hemexp import Fault
from hemexp.preprocess.coarse import block_factors, coarsen, crop, mask_box, refine
from hemexp.preprocess.scans import NativeScan
from hemexp.preprocess.slices import head_axis
from hemexp.preprocess.synthstrip import find_by_synthstrip
from hemexp.settings import SkullStrip
from hemexp.volumes import ImageError, Volume

SOFT_HU = (-20.0, 100.0)
"""Brain, CSF and clot: above fat, below bone (Muschelli: 0-100; noise takes CSF below 0)."""

COARSE_MM = 2.0
"""The skull is searched on voxels of about this size: what is cut and closed is larger."""

BONE_FRACTION = 0.25
"""A coarse voxel is skull from this part of bone on, so that thin bone still closes."""

STEPS = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3), axis=-1).reshape(-1, 3)
STEPS = STEPS[np.gcd.reduce(STEPS, axis=1) == 1]
NORMALS = np.float32(STEPS / np.linalg.norm(STEPS, axis=1, keepdims=True))
"""Half-spaces of the convex hull, (98, 3): the same for any order and direction of the axes. Round
a ball of a head's size, what they leave is 0.9 mm larger than the ball, 4 mm at most."""

TABLE_MM = 4.0
"""From the hull at the outer table to where a gap is closed: about half the skull's thickness."""

FORAMEN_MM2, BELOW_MM = 1300.0, 5.0
"""No foramen magnum is larger (40 x 36 mm is 1131), even cut obliquely; brain reaches about this
far below the lowest slice of the posterior fossa that is wider."""


def delineate_brain(scan: NativeScan, settings: SkullStrip) -> NDArray[np.bool_]:
    """Delineates the brain by the configured method.

    Args:
        scan: Head CT in HU with its haemorrhage masks, any axis order.
        settings: Which method, and its sizes.

    Returns:
        Mask (x, y, z) that holds every voxel of the two haemorrhage masks.

    Raises:
        ImageError: The method finds no brain, or cannot run; or it is `provided`, and this scan
            came without a mask.
    """
    if settings.method not in METHODS:
        raise ImageError(
            Fault(
                "brain mask",
                "an empty cell in the sample sheet",
                "a mask of the brain, for preprocess.skull_strip.method is 'provided'",
                "Name the mask in baseline_brain or followup_brain, or choose another method "
                f"({', '.join(METHODS)}).",
            )
        )
    return METHODS[settings.method](scan, settings) | scan.blood


def find_by_morphology(scan: NativeScan, settings: SkullStrip) -> NDArray[np.bool_]:
    """The soft tissue inside the skull: brain, CSF and blood.

    Args:
        scan: Head CT in HU with its haemorrhage masks, any axis order.
        settings: Threshold in HU and sizes in mm.

    Returns:
        Mask (x, y, z).

    Raises:
        ImageError: The image holds no soft tissue enclosed by bone.
    """
    ct = scan.ct
    soft = (ct.data > SOFT_HU[0]) & (ct.data < SOFT_HU[1])
    factors = block_factors(ct.spacing_mm, COARSE_MM)
    bone = coarsen(ct.with_data(ct.data > settings.bone_hu), factors)
    tissue = coarsen(ct.with_data(soft), factors).data > 0.5
    inside = _inside_skull(bone.with_data(bone.data > BONE_FRACTION), tissue, settings)
    smooth = ndimage.gaussian_filter(
        soft.astype(np.float32), settings.smooth_mm / ct.spacing_mm, truncate=3
    )
    brain = refine(inside, factors, ct.data.shape) & (smooth > 0.5)
    brain |= scan.blood
    return brain | (_fill_slices(brain, ct.affine) & (ct.data < settings.bone_hu))


def _inside_skull(
    bone: Volume, tissue: NDArray[np.bool_], settings: SkullStrip
) -> NDArray[np.bool_]:
    """The largest piece of tissue inside the skull, with the ways out of it cut.

    The bone is the wall; where it is missing (a craniotomy, the ends of the scan), its convex
    hull is. The core is what lies deeper than `open_mm`; growing it back to half as far again
    fills the corners of the skull but follows narrow ways out (optic canals) for a short way
    only. The spinal canal is cut where it is no wider than a foramen magnum.
    """
    spacing_mm = bone.spacing_mm
    box = mask_box(bone.data, 2 * settings.close_mm, spacing_mm)
    near = crop(bone, box)
    skull = _close(near.data, settings.close_mm, spacing_mm)
    soft = tissue[box] & ~skull
    room = soft.copy()
    room[room] = _within_hull(np.argwhere(room), near.data, spacing_mm)
    depth_mm = ndimage.distance_transform_edt(room, sampling=spacing_mm)
    core = _largest(depth_mm > settings.open_mm)
    if not (bone.data.any() and core.any()):
        raise ImageError(
            Fault(
                "skull",
                f"no soft tissue enclosed by bone above {settings.bone_hu:g} HU",
                "a head CT with its skull, in HU",
                "Look at the scan: is the skull cut off or stripped, are these HU, do streaks or "
                "noise break it up? preprocess.skull_strip holds the threshold and sizes.",
            )
        )
    away_mm = ndimage.distance_transform_edt(~core, sampling=spacing_mm)
    above = _above_foramen(near.with_data(away_mm <= settings.open_mm))
    found = _largest(room & above & (away_mm <= 1.5 * settings.open_mm))
    inside = np.zeros(bone.data.shape, dtype=bool)
    # A voxel more reaches the soft part of coarse voxels that count as bone, but not past them.
    inside[box] = found | (ndimage.binary_dilation(found) & ~soft & above)
    return inside


def _within_hull(
    where: NDArray[np.intp], bone: NDArray[np.bool_], spacing_mm: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which voxels, of indices (n, 3), lie inside the convex hull of the bone (x, y, z).

    The hull is what the half-spaces of `NORMALS` leave, moved inwards from the outer table. Bone
    that leaves the image is taken to go on, so that no brain is lost where the scan ends.
    """
    if not bone.any():
        return np.zeros(len(where), dtype=bool)
    more = np.ceil(2 * TABLE_MM / spacing_mm).astype(int)
    beyond = np.argwhere(np.pad(bone, [(n, n) for n in more], mode="edge")) - more
    scaled = np.float32(spacing_mm)
    inside = np.ones(len(where), dtype=bool)
    bone_mm, where_mm = beyond * scaled, where * scaled
    for normal in NORMALS:
        inside &= where_mm @ normal <= (bone_mm @ normal).max() - np.float32(TABLE_MM)
    return inside


def _above_foramen(opened: Volume) -> NDArray[np.bool_]:
    """The slices of the brain: none below the foramen magnum; shape broadcasts to the image's.

    Args:
        opened: What is inside the skull, without corners and narrow ways.
    """
    through, direction = head_axis(opened.affine)
    others = tuple({0, 1, 2} - {through})
    voxel_mm2 = np.prod(opened.spacing_mm[list(others)])
    wide = np.count_nonzero(opened.data, axis=others) * voxel_mm2 > FORAMEN_MM2
    upwards = wide[:: int(direction)]
    lowest = int(upwards.argmax()) - round(BELOW_MM / opened.spacing_mm[through])
    above = np.arange(len(wide)) >= lowest
    return above[:: int(direction)].reshape([-1 if axis == through else 1 for axis in range(3)])


def _close(
    mask: NDArray[np.bool_], radius_mm: float, spacing_mm: NDArray[np.float64]
) -> NDArray[np.bool_]:
    wide = ndimage.distance_transform_edt(~mask, sampling=spacing_mm) <= radius_mm
    return (ndimage.distance_transform_edt(wide, sampling=spacing_mm) > radius_mm) | mask


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    sizes = np.bincount(labels.ravel())
    return labels == 1 + sizes[1:].argmax()


def _fill_slices(mask: NDArray[np.bool_], affine: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Fills what the mask encloses in each axial slice (dense clot, calcified plexus)."""
    through, _ = head_axis(affine)
    plane = ndimage.generate_binary_structure(3, 1)
    plane[tuple(slice(0, 3, 2) if axis == through else 1 for axis in range(3))] = False
    rim = [(0, 0) if axis == through else (1, 1) for axis in range(3)]
    labels, _ = ndimage.label(~np.pad(mask, rim), plane)
    edge = labels.take(0, axis=(through + 1) % 3)
    outside = np.isin(labels, np.unique(edge[edge > 0]))
    return ~outside[tuple(slice(before, -before or None) for before, _ in rim)]


METHODS: dict[str, Callable[[NativeScan, SkullStrip], NDArray[np.bool_]]] = {
    "morphology": find_by_morphology,
    "synthstrip": find_by_synthstrip,
}
"""How the brain can be found, by the name in the configuration."""
