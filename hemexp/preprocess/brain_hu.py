"""Whether what was found inside a skull can be a brain: its volume, HU without contrast medium."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hemexp import Fault
from hemexp.preprocess.coarse import block_factors, coarsen
from hemexp.settings import RawInput
from hemexp.volumes import Volume, volume_ml

VESSEL_HU, RIM_MM = (110, 400), 8.0
"""Vessels with contrast; near the skull, voxels of part bone are as bright."""


def brain_faults(
    ct: Volume, brain: NDArray[np.bool_], blood: NDArray[np.bool_], limits: RawInput
) -> list[Fault]:
    """Faults that only show once the brain is known: its volume, wrong units, contrast medium.

    Args:
        ct: CT in HU.
        brain: Brain mask (x, y, z).
        blood: IPH and IVH together (x, y, z).
        limits: Volume and median HU of the brain, share of bright vessels.

    Returns:
        Faults whose `where` is a word; the caller adds patient and file.
    """
    low_ml, high_ml = limits.brain_ml
    if not low_ml <= (brain_ml := volume_ml(ct.with_data(brain))) <= high_ml:
        return [
            Fault(
                "brain",
                f"a brain mask of {brain_ml:.0f} mL",
                f"{low_ml:g} to {high_ml:g} mL (preprocess.raw.brain_ml)",
                "Look at the scan: does it hold the whole head, is it very noisy or full of "
                "streaks? Else draw the brain and name the mask in baseline_brain or "
                "followup_brain (--baseline-brain of predict).",
            )
        ]
    calm = brain & ~blood
    if not calm.any():
        return []
    median, (low, high) = float(np.median(ct.data[calm])), limits.brain_hu
    if not low <= median <= high:
        return [
            Fault(
                "brain",
                f"a median of {median:.0f} HU",
                f"{low:g} to {high:g} HU",
                "Contrast medium, a series that is not in HU, or a mask that holds bone or air: "
                "look at the scan. The limits are preprocess.raw.brain_hu.",
            )
        ]
    share = vessel_share(ct, calm, limits.vessel_share)
    if share <= limits.vessel_share:
        return []
    return [
        Fault(
            "brain",
            f"{share:.1%} of its inside brighter than {VESSEL_HU[0]} HU, as vessels with "
            "contrast, streaks from metal or bone in the mask are",
            f"at most {limits.vessel_share:.1%} (a scan without contrast)",
            "Look at the scan, and name the one taken before contrast; the limit is "
            "preprocess.raw.vessel_share.",
        )
    ]


def vessel_share(ct: Volume, calm: NDArray[np.bool_], limit: float) -> float:
    """Part of the brain's inside, more than 8 mm from its rim, that is as bright as vessels.

    Args:
        ct: CT in HU.
        calm: Brain without blood (x, y, z).
        limit: A brain far below this with its rim is not looked at more closely.
    """
    bright = calm & (ct.data > VESSEL_HU[0]) & (ct.data < VESSEL_HU[1])
    everywhere = np.count_nonzero(bright) / np.count_nonzero(calm)
    if everywhere <= limit / 4:
        return everywhere
    factors = block_factors(ct.spacing_mm, RIM_MM / 2)
    blocks = coarsen(ct.with_data(calm), factors)
    filled = ndimage.binary_fill_holes(blocks.data > 0.5)
    deep = ndimage.distance_transform_edt(filled, sampling=blocks.spacing_mm) > RIM_MM
    if not deep.any():
        return 0.0
    return float(coarsen(ct.with_data(bright), factors).data[deep].sum() / blocks.data[deep].sum())
