"""Further follow-ups of one baseline, as the scanner would show them: their blood alone.

Only a box round the bleed is evaluated, some twentieth of the scan.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hemexp.phantom.bleed import Shape, ball_radius_mm, draw_shape, redraw_direction
from hemexp.phantom.centers import draw_motion, draw_pose, find_center, scanner_grid
from hemexp.phantom.head import Head, draw_head
from hemexp.phantom.model import draw_case, generator, growth_quantile
from hemexp.phantom.tissue import Blood, ScannerGrid, Session, fill_head
from hemexp.settings import Phantom
from hemexp.volumes import Volume

FIRST_REACH, WIDER = 2.0, 1.5
"""Half width of the box in radii of a ball of the bleed's volume; one that blood touches grows."""


class Redraw(NamedTuple):
    """Another follow-up of the same baseline.

    Attributes:
        iph: Mask, uint8, on a part of the scanner's grid.
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
    seed = settings.seed
    case, place = draw_case(seed, patient_id), find_center(center)
    head, bleed = draw_head(seed, patient_id, case.age), draw_shape(seed, case)
    pose = draw_pose(place, generator(seed, patient_id, "pose"))
    grid, first_ml = scanner_grid(place, settings.spacing_factor), case.baseline_iph_ml
    low, high = levels
    before = show_blood(head, bleed, Session(pose, first_ml), grid)[0].extent
    for k in range(n):
        rng = generator(seed, patient_id, "redraw", k)
        level = low + (high - low) * rng.random(1)
        later_ml = first_ml + float(growth_quantile(case, level)[0])
        direction = redraw_direction(bleed, rng)
        motion = draw_motion(pose, rng)
        later = Session(motion @ pose, later_ml, before=before, direction=direction)
        _, iph, ivh = show_blood(head, bleed, later, grid)
        yield Redraw(iph, ivh, motion)


def show_blood(
    head: Head, bleed: Shape, session: Session, grid: ScannerGrid
) -> tuple[Blood, Volume, Volume]:
    """The blood of `take_scan`: what it is, and masks of IPH and IVH in a box that holds it."""
    shape, affine = grid
    spacing_mm = np.linalg.norm(affine[:3, :3], axis=0)
    at = np.linalg.inv(affine) @ session.pose @ [*bleed.center_mm, 1.0]
    reach_mm = FIRST_REACH * ball_radius_mm(session.volume_ml)
    while True:
        low = np.clip(np.floor(at[:3] - reach_mm / spacing_mm).astype(int), 0, shape)
        high = np.clip(np.ceil(at[:3] + reach_mm / spacing_mm).astype(int) + 1, 0, shape)
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
