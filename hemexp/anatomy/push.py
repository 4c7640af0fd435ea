"""Mass effect: how growing blood pushes the brain, as a warp of the baseline.

One equation of the baseline alone. Per mL of push,
    -lap(p) + (LEAK + sink * ventricle) p = s,    no flux through the skull,    u = -grad(p):
the source s is the bleed blurred, 1 mL in all; tissue takes it up a little everywhere (LEAK), CSF
in the ventricles more (sink). The displacement is linear in the push. Tissue at X comes to lie at
X + push u(X), so a voxel at p shows what lay at p + back(p), back(p) = -push u(p + back(p)).
Axes are (x, y, z), but any order will do if spacing and masks share it; the first is the sideways
one of `mean_shift_mm`.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from hemexp.anatomy.boxes import bounding_box
from hemexp.anatomy.midline import BLOOD_MM, LEAST_PART, midline_strip
from hemexp.anatomy.pressure import Mask, flow, solve_pressure

COARSE_MM = 6.0
"""The field is solved on voxels of at most this size: whole multiples of the scan's."""

BLUR_MM = 12.0
LEAK_PER_MM2 = 3e-4
"""SD of the source's blur and uptake of tissue. On 64 growing phantoms the midline's foretold
shift has a slope of .93 to .99 on the true one, r .94 to .97 and an error of 0.09 of 0.82 mm.
Neighbouring values do as well, and small cohorts cannot tell them: they are no settings."""

LARGEST_MM = 15.0
"""No tissue moves further; beyond it patients rarely survive to a second scan."""

STEEPEST = 0.8
"""Largest change of displacement per mm: below 1 the warp is one-to-one."""

ROUNDS, SETTLED_VOXELS = 25, 1e-3
"""Of the fixed point for back(p), at most, and when it has settled on the coarse grid: a round
leaves at most `STEEPEST` of the error, mostly .2."""

EDGE_MM = 15.0
"""How far a CT is continued beyond the brain, for reads that end just outside."""


@dataclass(frozen=True)
class PushField:
    """Displacement of tissue per mL of push, on a coarse grid over the brain's box.

    Attributes:
        u_mm: Displacement in mm per mL, (3, X, Y, Z); 0 outside the brain.
        inside: Coarse voxels that are brain, (X, Y, Z).
        brain: The brain on the scan's grid.
        box: The brain's box on the scan's grid.
        factors: Voxels of the scan in a coarse one, by axis.
        spacing_mm: Of the scan.
    """

    u_mm: NDArray[np.float32]
    inside: Mask
    brain: Mask
    box: tuple[slice, ...]
    factors: tuple[int, ...]
    spacing_mm: NDArray[np.float64]

    @property
    def coarse_mm(self) -> NDArray[np.float64]:
        """Size of a coarse voxel, by axis."""
        return self.spacing_mm * self.factors

    @cached_property
    def largest_mm(self) -> float:
        """Largest displacement, mm per mL."""
        size = np.sqrt((self.u_mm.astype(float) ** 2).sum(axis=0))
        return float(size[self.inside].max(initial=0))

    @cached_property
    def largest_push_ml(self) -> float:
        """Push beyond which the warp would move tissue too far or fold it; infinite without any.

        Displacement stays below 15 mm and its gradient (spectral norm) below .8 per mm.
        """
        size = self.largest_mm
        if not size:
            return float("inf")
        slopes = _gradients(self.u_mm, self.coarse_mm)[self.inside]
        steepest = np.linalg.norm(slopes, 2, axis=(1, 2)).max()
        return float(min(LARGEST_MM / size, STEEPEST / steepest if steepest else np.inf))

    def mean_shift_mm(self, region: Mask) -> float:
        """Mean displacement along the first axis in a region, mm per mL; 0 for an empty one.

        Args:
            region: Boolean, on the scan's grid: `midline_plane`.
        """
        start = [side.start for side in self.box]
        at = np.argwhere(region).T - np.reshape(start, (-1, 1))
        if not at.size:
            return 0.0
        at = (at + 0.5) / np.reshape(self.factors, (-1, 1)) - 0.5
        return float(ndimage.map_coordinates(self.u_mm[0], at, order=1, mode="nearest").mean())


@dataclass(frozen=True)
class BackMap:
    """Where a warped scan reads the baseline.

    Attributes:
        brain: Voxels that move; the others stay.
        coordinates: Voxel coordinates read at these n voxels, (3, n).
        push_ml: The push, after its limit.
    """

    brain: Mask
    coordinates: NDArray[np.float32]
    push_ml: float


def solve_push(
    iph: Mask, ventricles: Mask, brain: Mask, spacing_mm: ArrayLike, sink_per_mm2: float
) -> PushField:
    """Solves the displacement per mL of push.

    Args:
        iph: IPH of the baseline (x, y, z); empty, or outside the brain, nothing moves.
        ventricles: Its ventricles, blood in them included; may be empty.
        brain: Its brain.
        spacing_mm: Voxel size, by axis.
        sink_per_mm2: Uptake of ventricles beside that of tissue, 0 or more.
    """
    spacing = np.asarray(spacing_mm, dtype=float)
    brain = np.asarray(brain, dtype=bool)
    factors = tuple(max(1, int(COARSE_MM / size + 1e-6)) for size in spacing)
    box = _box(brain)
    inside, ventricle, bleed = (
        _coarse(mask[box], factors) for mask in (brain, ventricles, iph & brain)
    )
    inside = inside >= 0.5
    coarse_mm = spacing * factors
    source = _source(bleed, inside, coarse_mm)
    uptake = LEAK_PER_MM2 + sink_per_mm2 * ventricle
    pressure = solve_pressure(source, uptake, inside, coarse_mm)
    u = np.stack([flow(pressure, inside, axis, size) for axis, size in enumerate(coarse_mm)])
    return PushField(u.astype(np.float32), inside, brain, box, factors, spacing)


def midline_plane(brain: Mask, blood: Mask, spacing_mm: ArrayLike) -> Mask:
    """The mid-sagittal plane where the midline measure looks, away from blood.

    Its mean displacement is what `midline_shift_mm` measures.

    Args:
        brain: Brain mask (x, y, z), x sideways.
        blood: IPH and IVH of both scans, or of the baseline alone; left out with a margin.
        spacing_mm: Voxel size, by axis.
    """
    spacing = np.asarray(spacing_mm, dtype=float)
    plane = np.zeros(brain.shape, dtype=bool)
    if not brain.any():
        return plane
    columns, rows, slices = midline_strip(brain, spacing)
    sides = np.flatnonzero(brain.any(axis=(1, 2)))
    middle = (sides[0] + sides[-1]) / 2
    columns = slice(int(np.floor(middle)), int(np.ceil(middle)) + 1)
    plane[columns, rows, slices] = brain[columns, rows, slices]
    box = _box(plane, np.ceil(max(BLOOD_MM) / spacing).astype(int))
    if not blood[box].any():
        return plane
    away_mm = ndimage.distance_transform_edt(~blood[box], sampling=spacing)
    for margin_mm in filter(None, BLOOD_MM):  # the last, 0, leaves the whole plane
        calm = plane[box] & (away_mm > margin_mm)
        if np.count_nonzero(calm) >= LEAST_PART * np.count_nonzero(plane):
            plane[box] = calm
            break
    return plane


def back_map(field: PushField, push_ml: float) -> BackMap:
    """Where each voxel of the pushed brain reads the baseline.

    Args:
        field: Of the baseline.
        push_ml: mL; negative pulls. Cut at the field's `largest_push_ml`.
    """
    push = float(np.clip(push_ml, -field.largest_push_ml, field.largest_push_ml))
    u = field.u_mm * (push / field.coarse_mm[:, None, None, None]).astype(np.float32)
    here = np.indices(u.shape[1:], dtype=np.float32)
    back = -u
    for _ in range(ROUNDS):
        read = [ndimage.map_coordinates(part, here + back, order=1, mode="nearest") for part in u]
        before, back = back, -np.stack(read)
        if np.abs(back - before).max() < SETTLED_VOXELS:
            break
    kept = field.brain[field.box]
    coordinates = np.array(np.nonzero(field.brain), dtype=np.float32)
    for axis, factor in enumerate(field.factors):
        coordinates[axis] += factor * _fine(back[axis], field.factors, kept.shape)[kept]
    return BackMap(field.brain, coordinates, push)


@dataclass(frozen=True)
class SplineSource:
    """A CT to be read between its voxels.

    Attributes:
        coefficients: Of a cubic spline (x, y, z).
        start: Voxel of the scan at which they begin, (3, 1).
    """

    coefficients: NDArray[np.float32]
    start: NDArray[np.float32]

    def read(self, coordinates: NDArray[np.float32]) -> NDArray[np.float32]:
        """HU (n,) at voxel coordinates (3, n) of the scan."""
        at = coordinates - self.start
        return ndimage.map_coordinates(
            self.coefficients, at, np.float32, order=3, mode="mirror", prefilter=False
        )


def warp(
    volume: NDArray, back: BackMap, source: SplineSource | None = None
) -> NDArray[np.float32]:
    """Moves a volume's brain; what lies outside stays.

    Args:
        volume: On the scan's grid (x, y, z): a CT, or a mask, which becomes soft.
        back: Where to read.
        source: The CT from `spline_source`; without, `volume` is read linearly, darker at the
            skull where it is 0 outside: right for masks, not for a CT.
    """
    moved = np.array(volume, dtype=np.float32)
    if source:
        moved[back.brain] = source.read(back.coordinates)
    else:
        at = back.coordinates
        moved[back.brain] = ndimage.map_coordinates(moved, at, np.float32, order=1, mode="mirror")
    return moved


def spline_source(ct_hu: NDArray, brain: Mask, spacing_mm: ArrayLike) -> SplineSource:
    """Cubic spline of a CT, once a patient, for `warp`.

    Beyond the brain the CT goes on for 15 mm as the nearest brain voxel: the step at a stripped
    skull would ring, and darken the rim.

    Args:
        ct_hu: HU (x, y, z).
        brain: Its brain mask.
        spacing_mm: Voxel size, by axis.
    """
    spacing = np.asarray(spacing_mm, dtype=float)
    box, edge = _box(brain), np.ceil(EDGE_MM / spacing).astype(int)
    ct, near = (
        np.pad(np.asarray(image[box], dtype), [(voxels, voxels) for voxels in edge])
        for image, dtype in ((ct_hu, np.float32), (brain, bool))
    )
    if near.any():
        nearest = ndimage.distance_transform_edt(~near, spacing, False, True)
        ct = ndimage.spline_filter(ct[tuple(nearest)], 3, np.float32, "mirror")
    start = np.array([side.start for side in box]) - edge
    return SplineSource(ct, start.astype(np.float32)[:, None])


def _box(mask: Mask, margin: ArrayLike = 0) -> tuple[slice, ...]:
    """The least box that holds a mask, wider by a margin; the whole grid when it is empty."""
    if not mask.any():
        return tuple(slice(0, size) for size in mask.shape)
    return bounding_box(mask, margin)


def _coarse(mask: Mask, factors: tuple[int, ...]) -> NDArray[np.float64]:
    """Share of a mask in each coarse voxel; those that the last voxels do not fill count whole."""
    padded = np.pad(
        mask.astype(np.float32),
        [(0, -size % factor) for size, factor in zip(mask.shape, factors, strict=True)],
    )
    cut = [part for n, f in zip(padded.shape, factors, strict=True) for part in (n // f, f)]
    return padded.reshape(cut).mean(axis=(1, 3, 5), dtype=float)


def _fine(
    values: NDArray[np.float32], factors: tuple[int, ...], shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """Values of coarse voxels at the scan's, linearly between their centres."""
    for axis in (2, 1, 0):
        at = np.clip((np.arange(shape[axis]) + 0.5) / factors[axis] - 0.5, 0, None)
        low = np.minimum(at.astype(int), values.shape[axis] - 1)
        high = np.minimum(low + 1, values.shape[axis] - 1)
        part = (at - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        first = values.take(low, axis)
        values = first + part * (values.take(high, axis) - first)
    return values


def _source(
    bleed: NDArray[np.float64], inside: Mask, coarse_mm: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The bleed blurred within the brain, 1 mL = 1000 mm^3 in all; none without a bleed."""
    blurred = ndimage.gaussian_filter(bleed, BLUR_MM / coarse_mm, mode="constant") * inside
    total = blurred.sum() * np.prod(coarse_mm)
    return blurred * (1000 / total) if total > 0 else blurred


def _gradients(u: NDArray[np.float32], coarse_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gradient of a displacement, (X, Y, Z, 3, 3); 0 along an axis of one voxel."""
    slopes = [
        np.gradient(u.astype(float), size, axis=axis + 1) if u.shape[axis + 1] > 1 else 0 * u
        for axis, size in enumerate(coarse_mm)
    ]
    return np.moveaxis(np.stack(slopes), (0, 1), (-1, -2))
