"""The phantom's head as functions of head coordinates.

Head coordinates are RAS millimetres, undeformed: x = 0 is the midline plane, the origin lies near
the thalami. Points are arrays (3, n). Surfaces are ellipsoids; their distance is the usual
first-order one, (|p/a| - 1) |p/a| / |p/a^2|, negative inside. HU of tissues follow textbook
values: air -1000, fat -90, CSF 6, white matter 29, grey matter 37, falx 50, bone 700-1300.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hemexp.phantom.model import generator

SKULL_MM, SCALP_MM = 6.5, 5.5
CAVITY_BOTTOM_MM = -60.0
"""Brain ends here, at the foramen magnum; below it run cord and canal."""

AIR_HU, FAT_HU, MUSCLE_HU, CSF_HU, WHITE_HU, GREY_HU, FALX_HU = -1000, -90, 50, 6, 29, 37, 50
EDGE_MM = 1.2
"""Width over which one tissue passes into the next (partial volume)."""

Points = NDArray[np.float32]
Field = NDArray[np.float32]
Ellipsoid = tuple[tuple[float, float, float], tuple[float, float, float]]

# (centre, semi-axes) in mm for the right side; |x| mirrors them.
VENTRICLES: tuple[Ellipsoid, ...] = (
    ((7.5, 27, 9), (6.5, 15, 8)),
    ((10.5, 2, 17), (8, 27, 6.5)),
    ((23, -30, 9), (7, 13, 10)),
    ((32, -14, -10), (3.5, 15, 4)),
    ((0, -2, 0), (2.2, 13, 9)),
    ((0, -44, -30), (6, 5, 7)),
)
DEEP_GREY: tuple[Ellipsoid, ...] = (
    ((11, -10, 4), (8, 14, 9)),
    ((25, 6, 2), (6, 17, 10)),
    ((15, 25, 10), (5, 9, 9)),
)
CISTERNS: tuple[Ellipsoid, ...] = (
    ((0, 10, -24), (13, 9, 6)),
    ((0, -32, -8), (11, 4, 7)),
    ((50, 13, -2), (15, 2.5, 9)),
)
FACE: tuple[tuple[Ellipsoid, float], ...] = (
    (((0, 66, -46), (13, 16, 18)), AIR_HU),
    (((30, 62, -44), (18, 22, 16)), FAT_HU),
    (((30, 66, -44), (12, 12, 12)), 15),
)


@dataclass(frozen=True)
class Head:
    """One patient's head.

    Attributes:
        scale: Size along x, y, z relative to the standard head.
        ventricle_scale: Size of the ventricles (1 = standard).
        rim_mm: Width of the CSF between brain and skull.
        fold_phase: Phases of the sulci, radians, shape (6,).
        yielding: How far the deep brain moves for a mL, relative to the standard head.
    """

    scale: NDArray[np.float32]
    ventricle_scale: float
    rim_mm: float
    fold_phase: NDArray[np.float32]
    yielding: float = 1.0


def draw_head(seed: int, patient_id: str, age: float) -> Head:
    """Draws a head; the old have wider ventricles and a wider CSF rim."""
    rng = generator(seed, patient_id, "head")
    atrophy = np.clip((age - 60) / 60, -0.3, 0.5)
    return Head(
        scale=rng.uniform(0.96, 1.03, 3).astype(np.float32),
        ventricle_scale=float(rng.uniform(0.9, 1.15) + 0.2 * atrophy),
        rim_mm=float(rng.uniform(2.0, 3.0) + 2 * atrophy),
        fold_phase=rng.uniform(0, 2 * np.pi, 6).astype(np.float32),
    )


def ellipsoid_mm(points: Points, center: tuple, semi: tuple) -> Field:
    """First-order distance to an ellipsoid, negative inside."""
    scaled = [
        (p - c) / s for p, c, s in zip(points, np.float32(center), np.float32(semi), strict=True)
    ]
    squared = scaled[0] ** 2 + scaled[1] ** 2 + scaled[2] ** 2
    slope = sum((q / s) ** 2 for q, s in zip(scaled, np.float32(semi), strict=True))
    return (squared - np.sqrt(squared)) / np.sqrt(slope + np.float32(1e-9))


def nearest_mm(points: Points, shapes: tuple[Ellipsoid, ...], scale: float = 1.0) -> Field:
    """Distance to the nearest of several ellipsoids, mirrored in the midline."""
    mirrored = np.stack([np.abs(points[0]), points[1], points[2]])
    fields = [
        ellipsoid_mm(mirrored, center, tuple(scale * s for s in semi)) for center, semi in shapes
    ]
    return np.minimum.reduce(fields)


def blend(distance_mm: Field, width_mm: float = EDGE_MM) -> Field:
    """Share of a voxel that lies inside a surface: 1 well inside, 0 well outside."""
    return np.clip(np.float32(0.5) - distance_mm / np.float32(width_mm), 0, 1)


def cavity_mm(head: Head, points: Points) -> Field:
    """Distance to the skull's inner table, negative inside: cerebrum, posterior fossa, canal."""
    x, y, z = (p / s for p, s in zip(points, head.scale, strict=True))
    egg = x * (1 + np.float32(0.0013) * y)
    height = np.where(z > 0, z, z * np.float32(70 / 41))
    cerebrum = ellipsoid_mm(np.stack([egg, y, height]), (0, 0, 0), (66, 83, 70))
    fossa = ellipsoid_mm(np.stack([x, y, z]), (0, -36, -32), (48, 42, 29))
    canal = np.maximum(np.hypot(x, y + 24) - np.float32(13), z + np.float32(34))
    return _smooth_minimum(_smooth_minimum(cerebrum, fossa, 8.0), canal, 5.0)


def _smooth_minimum(one: Field, other: Field, width: float) -> Field:
    h = np.maximum(np.float32(width) - np.abs(one - other), 0) / np.float32(width)
    return np.minimum(one, other) - h * h * np.float32(width / 4)


def ventricle_distance_mm(head: Head, points: Points) -> Field:
    """Distance to the ventricles, negative inside; the septum keeps the lateral ones apart."""
    scaled = points / head.scale[:, None]
    inside = nearest_mm(scaled, VENTRICLES, head.ventricle_scale)
    septum = np.where(scaled[1] > -18, np.float32(0.7) - np.abs(scaled[0]), np.float32(-1))
    return np.where(scaled[2] > 6, np.maximum(inside, septum), inside)


def shell_hu(head: Head, points: Points, cavity: Field) -> Field:
    """HU outside the brain cavity: skull, scalp, face, neck, air.

    Args:
        head: The head.
        points: Head coordinates, (3, n).
        cavity: Distance to the inner table, (n,).
    """
    x, y, z = (p / s for p, s in zip(points, head.scale, strict=True))
    flat = np.zeros_like(x)
    neck = np.maximum(ellipsoid_mm(np.stack([x, y, flat]), (0, 4, 0), (60, 76, 60)), z + 22)
    skin = np.minimum(cavity - np.float32(SKULL_MM + SCALP_MM), neck)
    below = blend(z + np.float32(22), 10)
    soft = below * MUSCLE_HU + (1 - below) * np.where(
        skin > -3, np.float32(20), np.float32(FAT_HU)
    )
    soft = np.where(neck > -4, np.where(neck > -1.5, np.float32(20), np.float32(FAT_HU)), soft)
    deep = z < -20
    face = np.stack([x[deep], y[deep], z[deep]])
    values = soft[deep]
    for shape, hu in FACE:
        share = blend(nearest_mm(face, (shape,)))
        values = share * np.float32(hu) + (1 - share) * values
    soft[deep] = values
    table = np.abs(2 * cavity / np.float32(SKULL_MM) - 1)
    bone = np.float32(650) + 650 * np.clip(table, 0, 1) ** 2
    share = blend(np.abs(cavity - np.float32(SKULL_MM / 2)) - np.float32(SKULL_MM / 2))
    inside = share * bone + (1 - share) * np.where(cavity < 1, np.float32(CSF_HU), soft)
    air = blend(-skin)
    return air * AIR_HU + (1 - air) * inside


def brain_hu(head: Head, points: Points, cavity: Field, ventricle: Field) -> Field:
    """HU inside the cavity, without any bleed.

    Args:
        head: The head.
        points: Undeformed head coordinates of the tissue seen at each voxel, (3, n).
        cavity: Distance to the inner table, (n,), negative.
        ventricle: Distance to the ventricles, (n,).
    """
    x, y, z = points
    fold = _folds(head, points)
    grey = np.maximum(blend(np.abs(fold) - 1.1, 0.4) * blend(-cavity - 19), blend(-cavity - 7))
    grey = np.maximum(grey, blend(nearest_mm(points / head.scale[:, None], DEEP_GREY)))
    posterior = (z < -18) & (y < -12)
    tissue = WHITE_HU + np.float32(GREY_HU - WHITE_HU) * np.where(
        posterior, np.float32(0.75), grey
    )
    tissue += np.float32(0.8) * np.sin(x / 9 + fold) * np.sin(y / 11 + z / 8)
    sulcus = (
        blend(np.abs(fold) - 0.2, 0.3) * blend(-cavity - 13, 8) * np.where(posterior, 0.4, 0.8)
    )
    csf = np.maximum(blend(-cavity - np.float32(head.rim_mm)), sulcus.astype(np.float32))
    csf = np.maximum(csf, blend(ventricle))
    csf = np.maximum(csf, blend(nearest_mm(points / head.scale[:, None], CISTERNS)))
    crest = (z > -8) & (((y + 4) / 62) ** 2 + ((z - 6) / 38) ** 2 > 1)
    csf = np.maximum(csf, np.where(crest, 0.75 * blend(np.abs(x) - 2.2), 0).astype(np.float32))
    canal = z < CAVITY_BOTTOM_MM
    csf = np.where(canal, np.maximum(csf, blend(-cavity - 5)), csf)
    values = csf * CSF_HU + (1 - csf) * tissue
    falx = np.where(crest, blend(np.abs(x) - np.float32(0.8)), 0)
    return (falx * FALX_HU + (1 - falx) * values).astype(np.float32)


def _folds(head: Head, points: Points) -> Field:
    """A wavy field whose zero surfaces are the sulci."""
    x, y, z = points
    a, b, c, d, e, f = head.fold_phase
    return (
        np.sin(x / np.float32(6.5) + 1.7 * np.sin(y / np.float32(14) + a) + d)
        + np.sin(y / np.float32(7) + 1.9 * np.sin(z / np.float32(15) + b) + e)
        + np.sin(z / np.float32(7.5) + 1.8 * np.sin(x / np.float32(13) + c) + f)
    )
