"""Whether an IVH mask lies in the ventricles: beside CSF deep in the brain, or beside its mirror.

IVH rarely fills a ventricle without a rest of CSF. Where it does, the other ventricle, mirrored,
tells where this one is. HU do not tell IVH from IPH, so this finds masks that are swapped: 34 of
38, of phantom heads and of real anatomy, none of which was doubted with its right masks. What it
misses are bleeds beside a ventricle, or where the other side has its ventricle. It doubts right
masks of a fourth ventricle, a temporal horn or a squeezed ventricle that blood fills.
"""

import numpy as np
from nibabel.orientations import io_orientation
from numpy.typing import NDArray

from hemexp.anatomy.boxes import bounding_box, within_mm
from hemexp.anatomy.ventricles import deep_brain, ventricle_mask
from hemexp.preprocess.coarse import crop
from hemexp.preprocess.remarks import Remark
from hemexp.settings import NearLimits
from hemexp.volumes import Volume

NEAR_MM = 3.0
"""So near lies IVH to the CSF that it floats in. At 4 mm half as many swapped masks are told."""


def mirrored(
    mask: NDArray[np.bool_], brain: NDArray[np.bool_], affine: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """A mask turned round left to right, each row of voxels about the middle of the brain there.

    In a head turned by 8 degrees, what lies 12 mm from the middle is 4 mm off.

    Args:
        mask: (x, y, z), any axis order.
        brain: Brain mask (x, y, z).
        affine: Voxel index to RAS mm.

    Returns:
        What of it lies in the brain (x, y, z).
    """
    across = int(np.flatnonzero(io_orientation(affine)[:, 0] == 0)[0])
    rows, inside = (np.moveaxis(part, across, 0) for part in (mask, brain))
    count = len(inside)
    ends = inside.argmax(axis=0) + count - 1 - inside[::-1].argmax(axis=0)
    source = np.clip(ends - np.arange(count)[:, None, None], 0, count - 1)
    return np.moveaxis(np.take_along_axis(rows, source, axis=0) & inside, 0, across)


def near_shares(
    ct: Volume, brain: NDArray[np.bool_], blood: NDArray[np.bool_], ivh: NDArray[np.bool_]
) -> tuple[float, float]:
    """How much of an IVH mask lies beside CSF that is deep in the brain.

    Args:
        ct: CT in HU, any axis order.
        brain: Brain mask with all blood in it (x, y, z).
        blood: IPH and IVH together (x, y, z).
        ivh: IVH mask, not empty (x, y, z).

    Returns:
        Share of it within 3 mm of CSF; the same of CSF and its mirror image together.
    """
    box = bounding_box(brain)
    part, inside = crop(ct, box), brain[box]
    deep = deep_brain(inside, ct.spacing_mm)
    csf = ventricle_mask(part.data, blood[box], np.zeros_like(inside), deep, ct.spacing_mm)
    there = ivh[box]
    round_it = bounding_box(there, np.ceil(NEAR_MM / ct.spacing_mm))
    own, both = (
        float(within_mm(found[round_it], NEAR_MM, ct.spacing_mm)[there[round_it]].mean())
        for found in (csf, csf | mirrored(csf, inside, ct.affine))
    )
    return own, both


def place_remarks(
    ct: Volume,
    brain: NDArray[np.bool_],
    blood: NDArray[np.bool_],
    ivh: NDArray[np.bool_],
    limits: NearLimits,
) -> list[Remark]:
    """A doubt if an IVH mask lies away from the ventricles; arguments as for `near_shares`.

    Args:
        ct: CT in HU.
        brain: Brain mask.
        blood: IPH and IVH together.
        ivh: IVH mask; an empty one is no matter of doubt.
        limits: Both shares must be below theirs for a doubt.
    """
    if not ivh.any():
        return []
    own, both = near_shares(ct, brain, blood, ivh)
    if own >= limits.csf or both >= limits.mirrored:
        return []
    words = (
        f"IVH mask away from the ventricles ({own:.1%} of it within {NEAR_MM:g} mm of CSF deep in "
        f"the brain, limit {limits.csf:.1%}): are IPH and IVH swapped, is it drawn elsewhere, or "
        "does it fill a fourth ventricle, a temporal horn or a squeezed ventricle?"
    )
    return [Remark(words, doubtful=True)]
