"""What the baseline image shows of the bleed, as numbers: pure functions on the native scan.

On the models' grid, a few millimetres wide, margin and hypodense spots blur into what lies round
them (method.md 5). Nothing outside the bleed is read but the ventricles: oedema widens with
the hours since onset, and a model that saw it would credit the image with part of what onset does.
"""

import contextlib
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist, squareform
from skimage.measure import marching_cubes, mesh_surface_area

from hemexp.anatomy.ventricles import ventricle_mask, ventricle_region

EDGE_MM = 2.0
"""Nearer to the margin a voxel shows other tissue too, and whether it counts is the outline's."""

SMOOTHING_MM = 1.5
"""SD of the Gaussian over HU inside the bleed: evens out what kernels and scanners differ in."""

DARK_HU, SPOT_ML = 9.0, 0.03
"""A hypodense spot lies this far below the bleed's median, well below smoothed noise, and is at
least so large: a ball of 4 mm."""

LEAST_VOXELS, LEAST_SD_HU = 8, 1e-6

FARTHEST_MM = 60.0
"""Distance to the ventricle where none is seen."""

WITHIN_MM = (2, 4, 6, 10, 15, 40)
"""How far from the bleed the volume of free ventricle is measured; the last is all that counts."""

FULL_SLICE, HALF_SLICE = 0.75, 0.25
"""Weights of slices in ABC/2 by area relative to the largest (Kothari 1996, Stroke 27:1304)."""


class BleedScan(NamedTuple):
    """A native baseline, upright; z runs across the slices.

    Attributes:
        ct_hu: HU (x, y, z), skull-stripped.
        iph: IPH mask (x, y, z), not empty.
        ivh: IVH mask (x, y, z).
        brain: Brain mask (x, y, z).
        spacing_mm: Voxel size along x, y, z.
    """

    ct_hu: NDArray
    iph: NDArray[np.bool_]
    ivh: NDArray[np.bool_]
    brain: NDArray[np.bool_]
    spacing_mm: ArrayLike


def measure_bleed(scan: BleedScan, iph_ml: float, ivh_ml: float) -> dict[str, float]:
    """Features of one baseline scan.

    Args:
        scan: The images.
        iph_ml: IPH volume.
        ivh_ml: IVH volume.

    Returns:
        By name: volumes in mL, `sphericity` (1 is a ball),
        `irregularity` (share of the bleed outside its own ellipsoid), mean, SD and skew of HU
        inside, of hypodensities `dark_share`, `dark_hu` (mean depth below the limit) and
        `dark_spots` (how many), and what `ventricles_nearby` says.
    """
    spacing = np.asarray(scan.spacing_mm, dtype=float)
    ct_hu, iph, ivh, brain = (_crop(part, scan.brain) for part in scan[:4])
    measured = {
        "iph_ml": float(iph_ml),
        "ivh_ml": float(ivh_ml),
        "abc2_ml": abc2_ml(iph, spacing),
        "sphericity": sphericity(iph, spacing),
        "irregularity": irregularity(iph, spacing),
        **densities(ct_hu, iph, spacing),
        **ventricles_nearby(ct_hu, iph, ivh, brain, spacing),
    }
    # As they stand in the table: a forecast made from it and one made from here are the same.
    return {name: round(value, 6) for name, value in measured.items()}


def _crop(part: NDArray, brain: NDArray[np.bool_]) -> NDArray:
    return part[ndimage.find_objects(brain.astype(np.uint8))[0]]


def abc2_ml(iph: NDArray[np.bool_], spacing_mm: NDArray[np.float64]) -> float:
    """ABC/2: longest diameter, the widest across it, and weighted slices, over two (Kothari)."""
    area = iph.sum(axis=(0, 1))
    share = area / area.max()
    half = (share >= HALF_SLICE) & (share <= FULL_SLICE)
    slices = (share > FULL_SLICE).sum() + 0.5 * half.sum()
    points = np.argwhere(iph[:, :, area.argmax()]) * spacing_mm[:2]
    # With all voxels in one row the points are their own hull.
    with contextlib.suppress(QhullError):
        points = points[ConvexHull(points).vertices]
    apart = squareform(pdist(points)) if len(points) > 1 else np.zeros((1, 1))
    one, other = np.unravel_index(apart.argmax(), apart.shape)
    axis = points[other] - points[one]
    length = float(np.linalg.norm(axis))
    across = points @ (np.array([-axis[1], axis[0]]) / length) if length else np.zeros(1)
    voxel = float(spacing_mm[:2].mean())
    # Diameters reach from edge to edge of the voxels, not from centre to centre.
    return float((length + voxel) * (np.ptp(across) + voxel) * slices * spacing_mm[2] / 2000)


def sphericity(iph: NDArray[np.bool_], spacing_mm: NDArray[np.float64]) -> float:
    """Surface of the ball of equal volume over the bleed's own; voxel steps count as surface."""
    spacing = tuple(float(side) for side in spacing_mm)
    corners, faces, *_ = marching_cubes(np.pad(iph, 1).astype(np.float32), 0.5, spacing=spacing)
    volume = np.count_nonzero(iph) * np.prod(spacing)
    return float(np.pi ** (1 / 3) * (6 * volume) ** (2 / 3) / mesh_surface_area(corners, faces))


def irregularity(iph: NDArray[np.bool_], spacing_mm: NDArray[np.float64]) -> float:
    """Share of the bleed outside the ellipsoid of its own moments and volume."""
    points = np.argwhere(iph) * spacing_mm
    middle = points.mean(axis=0)
    spread = (points - middle).T @ (points - middle) / len(points) + np.diag(spacing_mm**2 / 12)
    inverse = np.linalg.inv(spread)
    away = np.indices(iph.shape).reshape(3, -1).T * spacing_mm - middle
    radius = np.einsum("ij,jk,ik->i", away, inverse, away)
    limit = np.partition(radius, len(points) - 1)[len(points) - 1]
    return float(np.mean(radius.reshape(iph.shape)[iph] > limit))


def inside(iph: NDArray[np.bool_], spacing_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The bleed without its outermost voxels, and without those within `EDGE_MM` of other tissue.

    Holes of a slice are filled first: a threshold leaves hypodense spots out of a mask, a hand
    does not. So features hardly follow the outline (`benchmarks/feature_retest.py`).

    Voxels at the upper and lower end count: slices are thick, and an edge there looks like a dark
    spot. Where too little would be left, only the edge in the plane is taken off, or nothing.
    """
    space = ndimage.generate_binary_structure(3, 1)
    plane = space & np.array([False, True, False])
    iph = np.stack([ndimage.binary_fill_holes(part) for part in np.moveaxis(iph, 2, 0)], axis=2)
    depth_mm = ndimage.distance_transform_edt(np.pad(iph, 1), sampling=spacing_mm)
    deep = depth_mm[1:-1, 1:-1, 1:-1] > EDGE_MM
    cores = (ndimage.binary_erosion(iph, cross) & deep for cross in (space, plane))
    return next((core for core in cores if np.count_nonzero(core) >= LEAST_VOXELS), iph)


def smooth_within(
    values: NDArray, where: NDArray[np.bool_], spacing_mm: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Gaussian means of the values where `where` holds, over those there alone; 0 elsewhere."""
    sigma = SMOOTHING_MM / spacing_mm
    total = ndimage.gaussian_filter(np.where(where, values, 0.0).astype(float), sigma)
    weight = ndimage.gaussian_filter(where.astype(float), sigma)
    return np.divide(total, weight, out=np.zeros(where.shape), where=where)


def densities(
    ct_hu: NDArray, iph: NDArray[np.bool_], spacing_mm: NDArray[np.float64]
) -> dict[str, float]:
    """HU inside the bleed: mean, SD and skew, and what lies below the median by `DARK_HU`."""
    box = ndimage.find_objects(iph.astype(np.uint8))[0]
    core = inside(iph[box], spacing_mm)
    smooth = smooth_within(ct_hu[box], core, spacing_mm)
    values = smooth[core]
    limit, sd = float(np.median(values)) - DARK_HU, float(values.std())
    dark = core & (smooth < limit)
    moment = float(((values - values.mean()) ** 3).mean())
    labels, count = ndimage.label(dark, np.ones((3, 3, 3)))
    sizes_ml = ndimage.sum_labels(dark, labels, np.arange(1, count + 1)) * _voxel_ml(spacing_mm)
    return {
        "hu_mean": float(values.mean()),
        "hu_sd": sd,
        "hu_skew": moment / sd**3 if sd > LEAST_SD_HU else 0.0,
        "dark_share": float(dark.sum() / core.sum()),
        "dark_hu": float(np.maximum(limit - values, 0).mean()),
        "dark_spots": float(np.count_nonzero(sizes_ml >= SPOT_ML)),
    }


def _voxel_ml(spacing_mm: NDArray[np.float64]) -> float:
    return float(np.prod(spacing_mm)) / 1000


def ventricles_nearby(
    ct_hu: NDArray,
    iph: NDArray[np.bool_],
    ivh: NDArray[np.bool_],
    brain: NDArray[np.bool_],
    spacing_mm: NDArray[np.float64],
) -> dict[str, float]:
    """Where the bleed may break into a ventricle, and what it may fill there.

    Returns:
        `ventricle_mm`, the shortest way to a ventricle or to blood in one, and
        `free_ventricle_Nmm_ml`, how much ventricle without blood lies within N of `WITHIN_MM`.
    """
    region = ventricle_region(brain, spacing_mm)
    # Blood in a ventricle shows it where none is looked for, too.
    ventricle = ventricle_mask(ct_hu, iph, ivh, region, spacing_mm) | ivh
    away_mm = ndimage.distance_transform_edt(~iph, sampling=spacing_mm)
    free_mm, voxel_ml = away_mm[ventricle & ~ivh], _voxel_ml(spacing_mm)
    return {
        "ventricle_mm": float(away_mm[ventricle].min(initial=FARTHEST_MM)),
        **{f"free_ventricle_{mm}mm_ml": np.sum(free_mm <= mm) * voxel_ml for mm in WITHIN_MM},
    }
