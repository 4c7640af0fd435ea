"""In which part of the brain a bleed lies: lobar, deep or infratentorial, by place alone.

No atlas is registered. The deep nuclei are taken as an ellipsoid in the middle of the brain's
bounding box. On the phantom's 40 demo patients, whose true sites are known, all are told right
(`benchmarks/location.py`).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hemexp.anatomy.boxes import bounding_box
from hemexp.anatomy.compartments import POSTERIOR_FOSSA, compartments

LOCATIONS = ("lobar", "deep", "infratentorial")

DEEP_REACH = 0.6
"""Half axes of the deep ellipsoid over those of the brain. In MNI152 coordinates the edge of the
putamen (34, 5, 0) lies at .55 of them, the thalamus at less, the cortex of the insula at .61."""


def bleed_location(
    iph: NDArray[np.bool_], brain: NDArray[np.bool_], spacing_mm: ArrayLike
) -> str | None:
    """The one of `LOCATIONS` that holds the larger part of a bleed; None without a bleed.

    Infratentorial counts first: half of the bleed or more in the posterior fossa. Of the others
    those are deep whose part above the tentorium lies for the larger part in the ellipsoid.

    Args:
        iph: IPH mask (x, y, z); axes run right, front and up.
        brain: Brain mask, likewise.
        spacing_mm: Voxel size along x, y, z.
    """
    if not (iph.any() and brain.any()):
        return None
    below = compartments(brain, spacing_mm) == POSTERIOR_FOSSA
    if 2 * np.count_nonzero(iph & below) >= np.count_nonzero(iph):
        return "infratentorial"
    ends = np.array([(side.start, side.stop - 1) for side in bounding_box(brain)], dtype=float)
    middle, half = ends.mean(axis=1), np.maximum(np.ptp(ends, axis=1) / 2, 0.5)
    reach = np.linalg.norm((np.argwhere(iph & ~below) - middle) / half, axis=1)
    return "deep" if np.median(reach) < DEEP_REACH else "lobar"
