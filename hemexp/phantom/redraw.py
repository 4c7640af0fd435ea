"""Further follow-ups of one baseline: their blood alone, as their centre would draw it.

Only a box round the bleed is evaluated, some twentieth of the scan.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hemexp.phantom.bleed import Shape, ball_radius_mm, redraw_direction
from hemexp.phantom.centers import draw_motion, draw_pose, find_center, scanner_grid
from hemexp.phantom.head import Head
from hemexp.phantom.model import generator
from hemexp.phantom.outlines import outline
from hemexp.phantom.patient import describe_patient
from hemexp.phantom.tissue import Blood, ScannerGrid, Session, fill_head
from hemexp.phantom.world import WORLDS
from hemexp.settings import Phantom
from hemexp.volumes import Volume, volume_ml

FIRST_REACH, WIDER = 2.0, 1.5
"""Half width of the box in radii of a ball of the bleed's volume; one that blood touches grows."""


class Redraw(NamedTuple):
    """Another follow-up of the same baseline.

    Attributes:
        iph: Mask as the centre draws it, uint8, on a part of the scanner's grid.
        ivh: Mask there.
        motion: 4 x 4, a baseline scanner point to this follow-up's scanner point (RAS, mm).
    """

    iph: Volume
    ivh: Volume
    motion: NDArray[np.float64]


def redraw_followups(
    patient_id: str,
    center: str,
    n: int,
    settings: Phantom,
    levels: tuple[float, float] = (0.0, 1.0),
) -> Iterator[Redraw]:
    """Draws what might have become of a baseline: growth, direction, head motion.

    Args:
        patient_id: Who.
        center: Letter of the centre.
        n: How many; draw k does not depend on n.
        settings: The phantom's settings.
        levels: Between which quantiles of the true growth the draws lie; all of it by default.
    """
    seed, world = settings.seed, WORLDS[settings.world]
    place = find_center(center, world.centers)
    case, head, bleed = describe_patient(world, seed, patient_id, place)
    pose = draw_pose(place, generator(seed, patient_id, "pose"))
    grid, first_ml = scanner_grid(place, settings.spacing_factor), case.baseline_iph_ml
    (low, high), law = levels, world.law(case)
    blood, _, ivh = show_blood(head, bleed, Session(pose, first_ml), grid)
    before, swelling = blood.extent, world.swelling(case, volume_ml(ivh))
    for k in range(n):
        rng = generator(seed, patient_id, "redraw", k)
        level = low + (high - low) * rng.random(1)
        later_ml = first_ml + float(law.quantile(level)[0])
        direction = redraw_direction(bleed, rng)
        motion = draw_motion(pose, rng)
        later = Session(
            motion @ pose, later_ml, before=before, direction=direction, swelling=swelling
        )
        _, iph, ivh = show_blood(head, bleed, later, grid)
        reader = generator(seed, patient_id, "redraw", k, "outline")
        drawn = outline(place.outlines, None, iph.data, ivh.data, reader)
        yield Redraw(*(Volume(mask, iph.affine) for mask in drawn), motion)


def show_blood(
    head: Head, bleed: Shape, session: Session, grid: ScannerGrid
) -> tuple[Blood, Volume, Volume]:
    """The blood of `take_scan`: what it is, and masks of IPH and IVH in a box that holds it."""
    shape, affine = grid
    spacing_mm = np.linalg.norm(affine[:3, :3], axis=0)
    to_voxels = np.linalg.inv(affine) @ session.pose
    at = np.array([(to_voxels @ [*middle, 1.0])[:3] for middle in bleed.centers_mm])
    reach_mm = FIRST_REACH * ball_radius_mm(session.volume_ml)
    while True:
        low = np.clip(np.floor(at.min(axis=0) - reach_mm / spacing_mm).astype(int), 0, shape)
        high = np.clip(np.ceil(at.max(axis=0) + reach_mm / spacing_mm).astype(int) + 1, 0, shape)
        part = affine.copy()
        part[:3, 3] = (affine @ [*low, 1.0])[:3]
        size = tuple((high - low).tolist())
        filled = fill_head(head, bleed, session, (size, part))
        iph, ivh = (filled.mask(size, where) for where in (filled.blood.iph, filled.blood.ivh))
        inner = [
            slice(int(a > 0), n - int(b < m))
            for a, b, n, m in zip(low, high, high - low, shape, strict=True)
        ]
        found = iph | ivh
        if found.any() and found.sum() == found[tuple(inner)].sum():
            return filled.blood, Volume(iph, part), Volume(ivh, part)
        reach_mm *= WIDER
