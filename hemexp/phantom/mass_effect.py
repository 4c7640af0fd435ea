"""Mass effect: how a bleed pushes the tissue around it, squeezes ventricles, shifts the midline.

A voxel at p shows the tissue that lay at p - u(p), with

    p - u(p) = p + free(p) (m(p) - p),    m = sinks o rebound o source.

Source and sinks are one map, towards or from a centre c inside an ellipsoid with semi-axes a:
with q = |(p - c) / a|, p goes to c + (p - c) (1 + k min(1, q^-3))^(1/3). Inside the ellipsoid the
material of a seen mL is (1 + k) mL, outside 1 mL, so tissue there moves and keeps its volume. The
source is a ball about the bleed (k < 0), the sinks are the ellipsoids of the lateral ventricles
(k > 0). The rebound moves the deep brain as a whole, away from the skull near the bleed. `free`
holds everything at the skull, so what the skull contains keeps its volume: what the bleed pushes
out and the ventricles do not give, the outermost 20 mm (sulci, rim of CSF) do.

The law is this phantom's own. In 60 patients the midline's largest shift (`largest_shift_mm`) is
0.8, 3.6 and 7.9 mm at 5, 30 and 100 mL (median), its mean (`mean_shift_mm`) 0.6, 2.7 and 6.5 mm. A
bleed of 20 mL takes 0.25 mL per mL from the ventricles, one of 100 mL 0.15; the growth of a cohort
0.17.
"""

import numpy as np
from numpy.typing import NDArray

from hemexp.phantom.head import VENTRICLES, Field, Head, Points, cavity_mm, ventricle_distance_mm

PUSHED_SHARE, PUSHED_SATURATION_ML = 0.7, 100.0
"""Part of a small bleed's volume that pushes tissue outwards; half of it at 100 mL. The rest lies
between fibres or has taken the place of tissue."""

STRETCH = 0.8
"""-k of the source: tissue seen within its ball is stretched to 5 times its volume. Less blurs the
push, 1 would tear the tissue at the centre."""

REBOUND_MM_PER_ML, REBOUND_SATURATION_ML = 0.09, 200.0
"""The deep brain as a whole moves 0.09 mm per mL from the near skull; half of it at 200 mL."""

NEAR_LOSS_PER_ML, FAR_LOSS_PER_ML, LEAST_LEFT = 0.0125, 0.006, 0.4
"""Part of a lateral ventricle that a mL of a small bleed squeezes out, on the bleed's side and on
the other; of an ellipsoid 40 % always stay."""

LATERAL = VENTRICLES[:3]
"""Frontal horn, body and atrium; the small temporal horn, third and fourth ventricle only move."""

BLOCK = 1 << 14
"""Points moved at a time: they stay in the processor's cache."""

HELD_MM = 20.0
"""Tissue moves freely from this depth below the skull, not at all at the skull."""

PLANE_Y_MM, PLANE_Z_MM = (-40.0, 40.0), (-16.0, 26.0)
"""Where `mean_shift_mm` looks: the middle half of the brain's length, the middle third of its
height, as `hemexp.anatomy.midline` does."""

VENTRICLES_MM = (-48.0, 48.0), (-62.0, 50.0), (-48.0, 34.0)
"""A box (x, y, z) that holds the ventricles of every head."""

LATTICE_MM = 1.5
"""Of the lattice on which ventricles are measured, the same at every volume: a change is known to
0.1 mL. The voxels of a scan, 5 mm apart, would know it to 0.6 mL."""

SEPTUM_Y_MM, SEPTUM_Z_MM = (-10.0, 35.0), (0.0, 22.0)
"""Where `largest_shift_mm` looks."""


def displacement_mm(
    head: Head,
    points: Points,
    cavity: Field,
    center_mm: Points,
    volume_ml: float,
    swelling: float = 0.0,
) -> Points:
    """How far the tissue seen at each point has moved, (3, n).

    Args:
        head: Whose ventricles give way.
        points: Head coordinates, (3, n).
        cavity: Distance of each to the skull, negative inside, (n,).
        center_mm: Centre of the bleed, (3,).
        volume_ml: IPH volume, above 0.
        swelling: By which part of their volume blocked CSF widens the lateral ventricles.
    """
    pushed_ml = PUSHED_SHARE * volume_ml / (1 + volume_ml / PUSHED_SATURATION_ML)
    radius_mm = (3000 * pushed_ml / STRETCH / (4 * np.pi)) ** (1 / 3)
    rebound_mm = REBOUND_MM_PER_ML * volume_ml / (1 + volume_ml / REBOUND_SATURATION_ML)
    rebound_mm *= head.yielding
    back = np.float32(rebound_mm / np.linalg.norm(center_mm)) * center_mm[:, None]
    sinks = _sinks(head, 1 if center_mm[0] > 0 else -1, volume_ml, swelling)
    moved = np.empty_like(points)
    for start in range(0, cavity.size, BLOCK):
        here = points[:, start : start + BLOCK]
        material = here.copy()
        _scale_about(material, center_mm, np.full(3, radius_mm), -STRETCH)
        material += back
        for sink in sinks:
            _scale_about(material, *sink)
        np.subtract(here, material, out=moved[:, start : start + BLOCK])
    free = np.clip(-cavity / np.float32(HELD_MM), 0, 1)
    return moved * (free * free * (3 - 2 * free))


def _sinks(
    head: Head, near: int, volume_ml: float, swelling: float
) -> list[tuple[NDArray, NDArray, float]]:
    """Centre, semi-axes and k of every sink; `near` is 1 for a bleed on the right, else -1."""
    sinks = []
    for side, loss in ((near, NEAR_LOSS_PER_ML), (-near, FAR_LOSS_PER_ML)):
        most = 1 - LEAST_LEFT
        left = 1 - most * np.tanh(loss * volume_ml / most) + swelling
        for center, semi_mm in LATERAL:
            middle = np.array(center) * [side, 1, 1] * head.scale
            sinks.append((middle, semi_mm * head.scale * head.ventricle_scale, 1 / left - 1))
    return sinks


def _scale_about(points: Points, center_mm: NDArray, semi_mm: NDArray, change: float) -> None:
    """The map of source and sinks (see above), in place; `change` is k."""
    points -= np.float32(center_mm)[:, None]
    squared = np.zeros_like(points[0])
    for axis, semi in zip(points, np.float32(semi_mm), strict=True):
        squared += (axis / semi) ** 2
    factor = squared * np.sqrt(squared)
    np.divide(np.float32(change), np.maximum(factor, 1, out=factor), out=factor)
    points *= np.cbrt(1 + factor)
    points += np.float32(center_mm)[:, None]


def ventricle_ml(
    head: Head, center_mm: NDArray[np.float32], volume_ml: float, swelling: float = 0.0
) -> float:
    """Volume of all ventricles with the blood in them."""
    axes = (np.arange(low, high, LATTICE_MM, dtype=np.float32) for low, high in VENTRICLES_MM)
    points = np.stack(np.meshgrid(*axes, indexing="ij")).reshape(3, -1)
    cavity = cavity_mm(head, points)
    moved_mm = displacement_mm(head, points, cavity, center_mm, volume_ml, swelling)
    inside = ventricle_distance_mm(head, points - moved_mm) < 0
    return np.count_nonzero(inside) * LATTICE_MM**3 / 1000


def mean_shift_mm(
    head: Head, center_mm: NDArray[np.float32], volume_ml: float, swelling: float = 0.0
) -> float:
    """Mean sideways shift of the midline plane where the midline measure looks, in mm.

    Positive towards the patient's right (+x).
    """
    effect = center_mm, volume_ml, swelling
    return float(_plane_mm(head, *effect, PLANE_Y_MM, PLANE_Z_MM).mean())


def largest_shift_mm(
    head: Head, center_mm: NDArray[np.float32], volume_ml: float, swelling: float = 0.0
) -> float:
    """Largest sideways shift of the midline plane at the septum pellucidum, in mm.

    Positive towards the patient's right (+x).
    """
    effect = center_mm, volume_ml, swelling
    shift = _plane_mm(head, *effect, SEPTUM_Y_MM, SEPTUM_Z_MM)
    return float(shift[np.argmax(np.abs(shift))])


def _plane_mm(
    head: Head,
    center_mm: NDArray[np.float32],
    volume_ml: float,
    swelling: float,
    y_mm: tuple[float, float],
    z_mm: tuple[float, float],
) -> Field:
    """Where the midline plane is displaced to: x = u_x(x, y, z), by iteration; points (n,)."""
    y, z = (np.arange(low, high + 0.1, 2.5) for low, high in (y_mm, z_mm))
    y, z = np.meshgrid(y * head.scale[1], z * head.scale[2], indexing="ij")
    points = np.stack([np.zeros(y.size), y.ravel(), z.ravel()]).astype(np.float32)
    for _ in range(20):
        cavity = cavity_mm(head, points)
        points[0] = displacement_mm(head, points, cavity, center_mm, volume_ml, swelling)[0]
    return points[0]
