"""Head CTs that are hard to strip, with their true brain: for tests and benchmarks.

The anatomy is the phantom's own (`head`, `bleed`, `mass_effect`); a `Difficulty` changes how the
head lies, what lies round it, where its skull is open and where the scan ends.
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from hemexp.phantom import head as anatomy
from hemexp.phantom.bleed import Shape, ball_radius_mm, draw_shape
from hemexp.phantom.centers import (
    HEAD_CENTER_MM,
    Center,
    find_center,
    rotation_matrix,
    scanner_grid,
)
from hemexp.phantom.head import Field, Head, Points, blend, cavity_mm, draw_head, shell_hu
from hemexp.phantom.model import draw_case, generator
from hemexp.phantom.scan import PhantomScan, draw_noise, keep_scan, paint
from hemexp.phantom.tissue import Session, Tissue, deform, fill_head

GALEA_MM, SKIN_MM, SKIN_HU = 2.5, 3.0, 20
"""Layers of the flap over a craniotomy: galea on the dura, fat, skin."""

FLAP_DIRECTIONS = ((0.80, 0.15, 0.58), (0.92, -0.25, 0.30), (0.55, 0.62, 0.56))
"""Where the skull was opened, on the right: parietal, temporal, frontal (unit vectors, RAS)."""

BLEED_DIRECTION = (0.80, -0.33, 0.50)
"""Where a bleed touches the skull of the right side: parietal."""

HOLDER_LAYERS = ((0.0, 4.0, -650), (4.0, 5.5, 90), (5.5, 8.0, 450), (8.0, 14.0, -900))
"""A head holder from the scalp outwards: from mm, to mm, HU of cushion, cover, carbon, foam."""

HOLDER_SEMI_MM, HOLDER_FRONT_MM = (80.0, 96.0), 5.0
"""Its trough: semi-axes along x and y at the scalp of a standard head, and its front end."""


@dataclass(frozen=True)
class Difficulty:
    """What makes a head hard to strip; all zero is an easy one.

    Attributes:
        pitch_deg: Rotation of the head about the left-right axis; positive lifts the chin.
        holder: Whether the head lies in a holder that touches the scalp.
        foramen_mm: Width of the foramen magnum and the canal; 0 keeps the phantom's 26 mm.
        neck_mm: Slices are added below for this much more of the neck.
        craniotomy_mm: Width of a disc missing from the skull, the scalp lying on the dura.
        bleed_at_skull: Whether the bleed reaches the inner table.
        vertex_cut_mm: How much of the brain the scan lacks at the top.
        base_cut_mm: How much of the brain the scan lacks at the bottom; 25 starts at the orbits.
    """

    pitch_deg: float = 0.0
    holder: bool = False
    foramen_mm: float = 0.0
    neck_mm: float = 0.0
    craniotomy_mm: float = 0.0
    bleed_at_skull: bool = False
    vertex_cut_mm: float = 0.0
    base_cut_mm: float = 0.0


DIFFICULTIES = {
    "easy": Difficulty(),
    "chin up": Difficulty(pitch_deg=15),
    "chin down": Difficulty(pitch_deg=-15),
    "head holder": Difficulty(holder=True),
    "open foramen": Difficulty(foramen_mm=36, neck_mm=40),
    "craniotomy 40 mm": Difficulty(craniotomy_mm=40),
    "craniotomy 70 mm": Difficulty(craniotomy_mm=70),
    "bleed at skull": Difficulty(bleed_at_skull=True),
    "cut vertex": Difficulty(vertex_cut_mm=25),
    "starts at orbits": Difficulty(base_cut_mm=25),
    "holder, both ends cut": Difficulty(holder=True, vertex_cut_mm=25, base_cut_mm=25),
    "pitched, holder, open foramen": Difficulty(15, True, 33, 30),
    "craniotomy, holder, bleed at skull": Difficulty(0, True, 0, 0, 60, True),
    "craniotomy, cut vertex, open foramen": Difficulty(0, False, 36, 30, 60, False, 20),
    "pitched, craniotomy, starts at orbits": Difficulty(-15, False, 0, 0, 55, True, 0, 20),
}
"""Each alone, and combinations."""


def draw_hard_head(
    difficulty: Difficulty, center_name: str, spacing_factor: float, patient_id: str, seed: int = 1
) -> tuple[PhantomScan, NDArray[np.float64]]:
    """Draws one scan of a hard head.

    Args:
        difficulty: What is hard about it.
        center_name: Letter of the centre whose scanner grid and noise are used.
        spacing_factor: Multiplies the in-plane spacing: 1 is the scanner's.
        patient_id: Who; head, bleed, craniotomy and noise depend on it and the seed alone.
        seed: The phantom's seed.

    Returns:
        The scan (`brain` is the cavity above the foramen magnum, as far as the scan reaches) and
        its affine (voxel index to RAS mm).

    Raises:
        HemexpError: There is no such centre.
    """
    center = find_center(center_name)
    case = draw_case(seed, patient_id)
    head, bleed = draw_head(seed, patient_id, case.age), draw_shape(seed, case)
    rng = generator(seed, patient_id, "hard")
    flap, volume_ml = rng.choice(FLAP_DIRECTIONS) * [bleed.side, 1, 1], case.baseline_iph_ml
    if difficulty.bleed_at_skull:
        bleed = _move_to_skull(bleed, head, volume_ml)
    shape, affine = _extend_down(*scanner_grid(center, spacing_factor), difficulty.neck_mm)
    pose = _pitched_pose(center, difficulty.pitch_deg)
    cavity_at = partial(open_cavity_mm, foramen_mm=difficulty.foramen_mm)
    tissue_at = partial(_tissue, difficulty)
    session = Session(pose, volume_ml, oedema_mm=3.0)
    filled = fill_head(head, bleed, session, (shape, affine), cavity_at, tissue_at)
    inside, tissue, blood = filled.inside, filled.tissue, filled.blood
    values = np.empty(inside.size, np.float32)
    values[inside] = paint(head, bleed, tissue, blood, volume_ml, session.oedema_mm)
    outer = (filled.points[:, ~inside], filled.cavity[~inside])
    values[~inside] = open_skull(shell_hu(head, *outer), *outer, flap, difficulty.craniotomy_mm)
    ct = np.full(shape, anatomy.AIR_HU, np.float32)
    if difficulty.holder:
        ct = holder_hu(head, shape, affine, pose)
    ct.ravel()[filled.index] = np.maximum(ct.ravel()[filled.index], values)
    ct += draw_noise(shape, center.noise_hu, rng)
    return _cut_ends(keep_scan(ct, filled), affine, difficulty)


def _tissue(
    difficulty: Difficulty, head: Head, bleed: Shape, points: Points, cavity: Field, *effect: float
) -> Tissue:
    """The inside of the skull; a bleed at the skull may lie as far as the inner table."""
    tissue = deform(head, bleed, points, cavity, *effect)
    if not difficulty.bleed_at_skull:
        return tissue
    free = (tissue.ventricle > 0) & (bleed.side * tissue.material[0] > 0)
    return replace(tissue, free=free)


def _extend_down(
    shape: tuple[int, int, int], affine: NDArray[np.float64], more_mm: float
) -> tuple[tuple[int, int, int], NDArray[np.float64]]:
    more = round(more_mm / np.linalg.norm(affine[:3, 2]))
    lower = affine.copy()
    lower[:3, 3] -= more * affine[:3, 2]
    return (*shape[:2], shape[2] + more), lower


def _pitched_pose(center: Center, pitch_deg: float) -> NDArray[np.float64]:
    pose = np.eye(4)
    pose[:3, :3] = rotation_matrix(np.array([pitch_deg, 0.0, 0.0]))
    pose[:3, 3] = np.array(center.offset_mm) - pose[:3, :3] @ HEAD_CENTER_MM
    return pose


def open_cavity_mm(head: Head, points: Points, foramen_mm: float) -> Field:
    """`head.cavity_mm` with a canal of another width; 0 changes nothing."""
    cavity = cavity_mm(head, points)
    if not foramen_mm:
        return cavity
    x, y, z = points
    canal = np.hypot(x, y + 24 * head.scale[1]) - np.float32(foramen_mm / 2)
    return np.minimum(cavity, np.maximum(canal, z + np.float32(45)))


def open_skull(
    values: Field, points: Points, cavity: Field, direction: NDArray, width_mm: float
) -> Field:
    """HU outside the cavity with a disc of bone missing and the scalp lying on the dura.

    Args:
        values: HU of the whole skull and scalp, (n,).
        points: Head coordinates, (3, n).
        cavity: Distance to the inner table, (n,), positive.
        direction: Unit vector from the origin to the middle of the disc.
        width_mm: Its diameter; 0 opens nothing.
    """
    if not width_mm:
        return values
    along = direction.astype(np.float32) @ points
    aside = np.sqrt(np.maximum((points**2).sum(axis=0) - along**2, 0))
    here = (along > 0) & (cavity < anatomy.SKULL_MM + anatomy.SCALP_MM)
    gap = blend(aside - np.float32(width_mm / 2)) * here
    depth = cavity - np.float32(GALEA_MM + anatomy.SCALP_MM)
    flap = np.where(depth > -SKIN_MM, np.float32(SKIN_HU), np.float32(anatomy.FAT_HU))
    galea, air = blend(cavity - np.float32(GALEA_MM)), blend(-depth)
    flap = galea * anatomy.MUSCLE_HU + (1 - galea) * flap
    flap = air * anatomy.AIR_HU + (1 - air) * flap
    return gap * flap + (1 - gap) * values


def holder_hu(
    head: Head, shape: tuple[int, int, int], affine: NDArray, pose: NDArray
) -> NDArray[np.float32]:
    """HU of a holder made for this head: a trough of layers behind it, air elsewhere."""
    matrix = (np.linalg.inv(pose) @ affine).astype(np.float32)
    i, j, k = np.ogrid[: shape[0], : shape[1], : shape[2]]
    x, y = ((row[0] * i + row[1] * j) + (row[2] * k + row[3]) for row in matrix[:2])
    along_x, along_y = head.scale[:2] * np.float32(HOLDER_SEMI_MM)
    out_mm = (np.hypot(x / along_x, y / along_y) - 1) * (along_x + along_y) / 2
    values = np.full(shape, anatomy.AIR_HU, np.float32)
    for start, end, hu in HOLDER_LAYERS:
        values[(out_mm >= start) & (out_mm < end) & (y < HOLDER_FRONT_MM)] = hu
    return values


def _move_to_skull(bleed: Shape, head: Head, volume_ml: float) -> Shape:
    """The same bleed with its margin through the inner table."""
    direction = np.array(BLEED_DIRECTION) * [bleed.side, 1, 1] / np.linalg.norm(BLEED_DIRECTION)
    reach = np.arange(20, 100, 0.5, dtype=np.float32)
    rays = direction[:, None].astype(np.float32) * reach
    skull_mm = reach[np.searchsorted(cavity_mm(head, rays), 0)]
    middle = direction * (skull_mm - 0.6 * ball_radius_mm(volume_ml))
    return replace(bleed, center_mm=middle.astype(np.float32))


def _cut_ends(
    scan: PhantomScan, affine: NDArray[np.float64], difficulty: Difficulty
) -> tuple[PhantomScan, NDArray[np.float64]]:
    """Leaves out slices so that the brain lacks what the difficulty says."""
    slice_mm = np.linalg.norm(affine[:3, 2])
    slices = np.flatnonzero(scan.brain.any(axis=(0, 1)))
    first, last = 0, scan.ct.shape[2]
    if difficulty.base_cut_mm:
        first = slices[0] + round(difficulty.base_cut_mm / slice_mm)
    if difficulty.vertex_cut_mm:
        last = slices[-1] + 1 - round(difficulty.vertex_cut_mm / slice_mm)
    images = {
        name: getattr(scan, name)[:, :, first:last].copy()
        for name in ("ct", "iph", "ivh", "brain")
    }
    lower = affine.copy()
    lower[:3, 3] += first * affine[:3, 2]
    return replace(scan, **images), lower
