"""The bleed: an irregular level set that grows along a direction of its own.

In the (deformed) head coordinates p, with n the direction from the bleed's centre c,
    phi(p) = |E (p - c)| / (1 + a h(n))
is its distance in mm: E stretches an ellipsoid of unit volume ratio, h is a low-frequency
angular noise, a grows with the margin's irregularity. The baseline bleed is phi < R. Growth has
a speed s(n) = e + (1 - e) exp(k (n . g - 1)) that is largest along the growth direction g, and the
follow-up is phi < R (1 + T s(n)): it contains the baseline bleed for T > 0. R and T are chosen so
that the tissue voxels inside have the model's volume.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from hemexp.phantom.centers import rotation_matrix
from hemexp.phantom.head import Field, Points
from hemexp.phantom.model import Case, generator


class Site(NamedTuple):
    """Where a bleed may lie.

    Attributes:
        kind: `deep`, `lobar` or `infratentorial`.
        share: Of the patients of the plain world; 0: the clinical world alone.
        middle_mm: Mean of the centre on the right side, head coordinates.
        spread_mm: Its half range.
    """

    kind: str
    share: float
    middle_mm: tuple[float, float, float]
    spread_mm: tuple[float, float, float]


SITES = {
    "basal ganglia": Site("deep", 0.5, (27.0, 2.0, 4.0), (3.0, 6.0, 3.0)),
    "thalamus": Site("deep", 0.25, (17.0, -12.0, 6.0), (2.0, 3.0, 2.0)),
    "frontal lobe": Site("lobar", 0.125, (34.0, 32.0, 24.0), (4.0, 6.0, 5.0)),
    "parietal lobe": Site("lobar", 0.125, (34.0, -38.0, 26.0), (4.0, 6.0, 5.0)),
    "temporal lobe": Site("lobar", 0.0, (44.0, -10.0, -14.0), (3.0, 8.0, 4.0)),
    "cerebellum": Site("infratentorial", 0.0, (20.0, -46.0, -31.0), (4.0, 4.0, 2.0)),
}

MARGIN = (0.05, 0.28)
"""Amplitude a of the margin's noise for irregularity 0 and 1."""

WAVES = 10
SPEED_FLOOR, SPEED_FOCUS = 0.15, 2.5
"""e and k of the growth speed: 15 % of the full speed away from the direction, half at 44 deg."""

DIRECTION_JITTER = 0.3
"""SD per axis added to the patient's mean growth direction at each draw (then normalised)."""

SECOND_AWAY_MM = 35.0
"""The centres of two bleeds of one patient lie at least so far apart."""

POCKET_SHARE, POCKET_MIN_MM = 0.27, 3.0
"""Radius of a pocket relative to the bleed's, and its smallest value."""


@dataclass(frozen=True)
class Shape:
    """Form and place of one patient's bleed; everything but its volume.

    Attributes:
        side: 1 right, -1 left.
        site: Key of `SITES`.
        center_mm: Centre c, head coordinates, (3,).
        stretch: Matrix E, (3, 3), determinant 1.
        waves: Wave vectors of the margin noise, (WAVES, 3).
        phases: Their phases, (WAVES,).
        margin: Amplitude a of the margin noise.
        direction: Mean growth direction, unit vector (3,).
        pockets_mm: Centres of the hypodense pockets relative to c, (pockets, 3).
        pocket_radius_mm: Their radius.
        unevenness: 0 (even blood) to 1.
        second: Another bleed of the same patient, whose radius is `second_share` of this one's.
        second_share: That share.
    """

    side: int
    site: str
    center_mm: NDArray[np.float32]
    stretch: NDArray[np.float32]
    waves: NDArray[np.float32]
    phases: NDArray[np.float32]
    margin: float
    direction: NDArray[np.float64]
    pockets_mm: NDArray[np.float32]
    pocket_radius_mm: float
    unevenness: float = 0.0
    second: "Shape | None" = None
    second_share: float = 0.0

    @property
    def centers_mm(self) -> list[NDArray[np.float32]]:
        """Centres of all bleeds, the largest first."""
        return [self.center_mm] + ([] if self.second is None else [self.second.center_mm])


@dataclass(frozen=True)
class Extent:
    """How far a bleed reaches.

    Attributes:
        radius_mm: R of the baseline bleed.
        reach: T, 0 at baseline.
        direction: Growth direction g, unit vector (3,).
    """

    radius_mm: float
    reach: float
    direction: NDArray[np.float64]


def draw_shape(seed: int, case: Case) -> Shape:
    """Draws form and place; volume, pockets and irregularity are the case's."""
    rng = generator(seed, case.patient_id, "bleed")
    side = int(rng.choice([-1, 1]))
    shape = _draw_one(case, side, case.site or _draw_site(rng), rng)
    if not case.second_share:
        return shape
    second = generator(seed, case.patient_id, "second bleed")
    alone = replace(case, pockets=0)
    while True:
        other = _draw_one(alone, side, str(second.choice(list(SITES))), second)
        if np.linalg.norm(other.center_mm - shape.center_mm) > SECOND_AWAY_MM:
            return replace(shape, second=other, second_share=case.second_share)


def _draw_site(rng: Generator) -> str:
    """A site of the plain world."""
    shares = {name: site.share for name, site in SITES.items() if site.share}
    return str(rng.choice(list(shares), p=list(shares.values())))


def _draw_one(case: Case, side: int, name: str, rng: Generator) -> Shape:
    """Form and place of one bleed at a site of `SITES`."""
    site = SITES[name]
    center = (np.array(site.middle_mm) + rng.uniform(-1, 1, 3) * site.spread_mm) * [side, 1, 1]
    ratios = np.exp(rng.normal([0.12, -0.15, 0.0], 0.12))
    turn = rotation_matrix(rng.uniform(-30, 30, 3))
    stretch = np.diag(ratios / np.prod(ratios) ** (1 / 3)) @ turn
    waves = rng.normal(size=(WAVES, 3))
    waves *= (rng.uniform(3, 7, WAVES) / np.linalg.norm(waves, axis=1))[:, None]
    phases = rng.uniform(0, 2 * np.pi, WAVES)
    radius_mm = ball_radius_mm(case.baseline_iph_ml)
    pockets = rng.normal(size=(case.pockets, 3))
    pockets *= 0.5 * radius_mm / np.linalg.norm(pockets, axis=1, keepdims=True)
    return Shape(
        side=side,
        site=name,
        center_mm=center.astype(np.float32),
        stretch=stretch.astype(np.float32),
        waves=waves.astype(np.float32),
        phases=phases.astype(np.float32),
        margin=MARGIN[0] + (MARGIN[1] - MARGIN[0]) * case.irregularity,
        direction=_growth_direction(center, side, rng),
        pockets_mm=pockets.astype(np.float32),
        pocket_radius_mm=max(POCKET_MIN_MM, POCKET_SHARE * radius_mm) * case.pocket_scale,
        unevenness=case.unevenness,
    )


def _growth_direction(
    center_mm: NDArray[np.float64], side: int, rng: Generator
) -> NDArray[np.float64]:
    """Half way between the nearest point of the lateral ventricle's axis and a random direction.

    Bleeds break into the ventricle or follow white matter of their own side: the axis runs from
    y = -25 to 30 mm at x = 10, z = 14 mm; the random direction points away from the midline.
    """
    nearest = np.array([10.0 * side, np.clip(center_mm[1], -25, 30), 14.0])
    anywhere = _unit(rng.normal(size=3))
    anywhere[0] = side * abs(anywhere[0])
    return _unit(_unit(nearest - center_mm) + anywhere)


def draw_direction(shape: Shape, rng: Generator) -> NDArray[np.float64]:
    """The growth direction of one follow-up: the patient's mean direction with some deviation."""
    return _deviate(shape.direction, rng)


def redraw_direction(shape: Shape, rng: Generator) -> NDArray[np.float64]:
    """The growth direction of another follow-up of the same baseline.

    The baseline shows where the bleed lies, on which the patient's mean direction depends, but not
    that direction. So it is drawn again too: kept, it would tell the truth more than the best
    forecast can know.
    """
    mean = _growth_direction(shape.center_mm.astype(np.float64), shape.side, rng)
    return _deviate(mean, rng)


def _deviate(direction: NDArray[np.float64], rng: Generator) -> NDArray[np.float64]:
    return _unit(direction + DIRECTION_JITTER * rng.normal(size=3))


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return vector / np.linalg.norm(vector)


def ball_radius_mm(volume_ml: float) -> float:
    """Radius of a ball of this volume."""
    return float((3000 * volume_ml / (4 * np.pi)) ** (1 / 3))


def distance_mm(shape: Shape, points: Points) -> Field:
    """Field phi at points (3, n): radius of the smallest bleed of this form that holds each."""
    first = _own_distance_mm(shape, points)
    if shape.second is None:
        return first
    return np.minimum(first, _second_distance_mm(shape, points))


def _second_distance_mm(shape: Shape, points: Points) -> Field:
    """Distance to the second bleed, in radii of the first."""
    return _own_distance_mm(shape.second, points) / np.float32(shape.second_share)


def _own_distance_mm(shape: Shape, points: Points) -> Field:
    away = points - shape.center_mm[:, None]
    unit = away / (np.linalg.norm(away, axis=0) + np.float32(1e-6))
    noise = np.zeros_like(points[0])
    for wave, phase in zip(shape.waves, shape.phases, strict=True):
        noise += np.cos(wave @ unit + phase)
    noise = np.clip(noise * np.float32(np.sqrt(2 / WAVES)), -2, 2)
    return np.linalg.norm(shape.stretch @ away, axis=0) / (1 + np.float32(shape.margin) * noise)


def growth_speed(shape: Shape, points: Points, direction: NDArray[np.float64]) -> Field:
    """s(n) at points (3, n): 1 along the direction, `SPEED_FLOOR` or little more against it.

    Two bleeds grow along the same direction, each from its own centre.
    """
    away = points - shape.center_mm[:, None]
    if shape.second is not None:
        nearer = _second_distance_mm(shape, points) < _own_distance_mm(shape, points)
        away[:, nearer] = points[:, nearer] - shape.second.center_mm[:, None]
    cosine = (
        direction.astype(np.float32) @ away / (np.linalg.norm(away, axis=0) + np.float32(1e-6))
    )
    focus = np.exp(np.float32(SPEED_FOCUS) * (cosine - 1))
    return np.float32(SPEED_FLOOR) + np.float32(1 - SPEED_FLOOR) * focus


def first_extent(shape: Shape, distance: Field, voxels: int) -> Extent:
    """The baseline extent: `voxels` of the tissue at these distances lie inside."""
    return Extent(_between(distance, voxels), 0.0, shape.direction)


def grow(
    distance: Field, speed: Field, voxels: int, extent: Extent, direction: NDArray[np.float64]
) -> Extent:
    """The follow-up extent: `voxels` of the tissue lie inside, most of the new along `direction`.

    Args:
        distance: `distance_mm` of tissue, (n,).
        speed: Its `growth_speed` along `direction`, (n,).
        voxels: How many of the n to fill.
        extent: At baseline.
        direction: Growth direction.
    """
    arrival = (distance / np.float32(extent.radius_mm) - 1) / speed
    return Extent(extent.radius_mm, _between(arrival, voxels), direction)


def _between(values: Field, count: int) -> float:
    """A threshold with `count` values below it."""
    return float(np.partition(values, [count - 1, count])[count - 1 : count + 1].mean())


def relative_radius(distance: Field, extent: Extent, speed: Field | None = None) -> Field:
    """How far out points lie: below 1 inside, 1 at the margin; a follow-up needs `speed`."""
    limit = np.float32(extent.radius_mm)
    if speed is not None:
        limit = limit * (1 + extent.reach * speed)
    return distance / limit
