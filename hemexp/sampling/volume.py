"""Masks and volumes of decoded samples, raw and matched to a target."""

import numpy as np
from numpy.typing import NDArray

OUTSIDE = -100.0
"""Margin of voxels outside the brain: no offset reaches it."""


def correct_logits(
    logit: NDArray[np.float32], reference: NDArray[np.float32], mask: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Logits of a sample without what the decoder gets wrong on the baseline itself.

    Where the decoded baseline is on the wrong side of 0, all samples of the patient would be: the
    map of new blood would be certain of a voxel that nothing happened in. There the logit counts
    from the other side, so that a sample without change has the baseline's own mask.

    Args:
        logit: (x, y, z) of a sample.
        reference: (x, y, z) of the decoded baseline.
        mask: (x, y, z), the baseline's own.
    """
    return np.where((reference > 0) == mask, logit, logit - 2 * reference)


def iph_margin(
    iph_logit: NDArray[np.float32], ivh_logit: NDArray[np.float32], brain: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """How clearly a voxel is IPH: above 0 its IPH logit is positive and beats the IVH logit.

    Args:
        iph_logit: (..., x, y, z).
        ivh_logit: Same shape.
        brain: (x, y, z); outside it nothing is IPH.
    """
    return np.where(brain, iph_logit - np.maximum(ivh_logit, 0), OUTSIDE).astype(np.float32)


def matching_offset(margin: NDArray[np.float32], target_voxels: float) -> float:
    """The scalar that, added to the margins, leaves the target number of voxels above 0.

    The volume falls in steps of one voxel as the scalar falls, so it is read off the sorted
    margins: exact to half a voxel, with no search.

    Args:
        margin: (x, y, z) of one sample.
        target_voxels: Wanted volume in voxels; it is held between 0 and the brain's.

    Returns:
        The offset; 0 when the raw volume is already the target.
    """
    values = np.sort(margin[margin > OUTSIDE])[::-1]
    wanted = int(np.clip(round(target_voxels), 0, len(values)))
    if wanted == int(np.count_nonzero(values > 0)):
        return 0.0
    # Any offset strictly between these two leaves exactly `wanted` voxels above 0.
    highest = -values[wanted] if wanted < len(values) else np.inf
    lowest = -values[wanted - 1] if wanted > 0 else -np.inf
    if not np.isfinite(lowest):
        return float(highest) - 1e-3
    if not np.isfinite(highest):
        return float(lowest) + 1e-3
    return float((lowest + highest) / 2)


def matched_ml(
    native_ml: float, grid_voxels: NDArray[np.int64] | int, reference_voxels: int, voxel_ml: float
) -> NDArray[np.float64]:
    """Volume in native millilitres: the baseline's native volume plus the change on the grid.

    method.md 1: volumes relative to the baseline seen the same way beat absolute ones, since
    what the grid does to a mask it does to both.
    """
    change = (np.asarray(grid_voxels) - reference_voxels) * voxel_ml
    return np.maximum(native_ml + change, 0.0)
