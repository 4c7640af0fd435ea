"""Whether a follow-up's image, masks, midline and ventricles say one thing.

What a table says of a drawn follow-up is measured here on its image, and on the true one alike.
Lengths and volumes are those of the grid.
"""

import numpy as np
from numpy.typing import NDArray

from hemexp.anatomy.boxes import bounding_box, within_mm
from hemexp.anatomy.looks import (
    correlation,
    count_pieces,
    dense_mask,
    fine_structure,
    neighbour_correlation,
    smoothing_margin,
)
from hemexp.anatomy.noise import CALM_MM
from hemexp.evaluation.patient.before import LEAST_SIDE_MM, NEAR_MM, Before
from hemexp.evaluation.patient.inputs import Followup
from hemexp.evaluation.patient.masks import dice
from hemexp.statistics.scores import Score

LEAST_TEXTURE_VOXELS = 100
NO_CALM = f"fewer than {LEAST_TEXTURE_VOXELS} deep voxels further than {CALM_MM:g} mm from blood"
NO_NEW_IPH = "no new IPH"
NO_SIDE = f"bleed within {LEAST_SIDE_MM:g} mm of the middle: nothing is away from it"

MEASURES = (
    "growth_ml",
    "ivh_growth_ml",
    "hu_growth_ml",
    "mask_hu_dice",
    "new_mask_hu_dice",
    "new_blood_hu",
    "pieces",
    "far_ml",
    "midline_shift_mm",
    "midline_away_mm",
    "ventricle_change_ml",
    "texture",
    "noise_sd_hu",
    "noise_lag1",
)
"""What `measure_followup` measures, in this order."""

COLUMNS = ("patient_id", "model", "indicator", "sample", "target_growth_ml", *MEASURES, "note")
"""Of a patient's `consistency.tsv`."""

Measured = dict[str, Score | float]


def measure_followup(followup: Followup, shift_mm: Score, before: Before) -> Measured:
    """What one follow-up's image and masks say, each by itself.

    Args:
        followup: True, drawn or copied.
        shift_mm: Its midline shift since the baseline, positive to the patient's right.
        before: The baseline.

    Returns:
        Everything in `MEASURES`, with the reason of what is undefined:
        growth_ml, ivh_growth_ml: of the masks.
        hu_growth_ml, mask_hu_dice, new_mask_hu_dice: from `measure_density`.
        new_blood_hu: Mean CT number of IPH where the baseline had no blood.
        pieces: Of the IPH mask.
        far_ml: New IPH further than 15 mm from the baseline's blood.
        midline_shift_mm: As given.
        midline_away_mm: The same, positive away from the bleed.
        ventricle_change_ml: Of their volume, from the image.
        texture, noise_sd_hu, noise_lag1: from `measure_texture`.
    """
    voxel_ml, scan = before.scan.ct.voxel_ml, before.scan
    new_iph = followup.iph & ~scan.blood
    found = {
        "growth_ml": voxel_ml * _more(followup.iph, scan.iph),
        "ivh_growth_ml": voxel_ml * _more(followup.ivh, scan.ivh),
        "new_blood_hu": _mean(followup.ct_hu[new_iph], NO_NEW_IPH),
        "pieces": float(count_pieces(followup.iph)),
        "far_ml": voxel_ml * int(np.count_nonzero(new_iph & before.far)),
        "ventricle_change_ml": before.ventricles.change_ml(followup.ct_hu, followup.blood),
        **measure_density(followup, before),
        **measure_shift(shift_mm, before.side),
        **measure_texture(followup, before),
    }
    return {name: found[name] for name in MEASURES}


def _more(mask: NDArray, before: NDArray) -> int:
    """Voxels by which a mask has grown."""
    return int(np.count_nonzero(mask)) - int(np.count_nonzero(before))


def _mean(values: NDArray, missing: str) -> Score:
    return Score(float(values.mean())) if values.size else Score(None, missing)


def measure_density(followup: Followup, before: Before) -> Measured:
    """What looks like blood within 15 mm of the IPH of either scan, apart from IVH.

    Returns:
        hu_growth_ml: Its growth since the baseline.
        mask_hu_dice: Its overlap with the IPH mask; undefined without IPH.
        new_mask_hu_dice: The same outside the baseline's IPH; undefined without new IPH.
    """
    scan, spacing_mm = before.scan, before.spacing_mm
    near = (before.near | within_mm(followup.iph, NEAR_MM, spacing_mm)) & before.brain
    near &= ~(scan.ivh | followup.ivh)
    if not near.any():
        nothing = Score(None, "no IPH")
        return dict.fromkeys(("hu_growth_ml", "mask_hu_dice", "new_mask_hu_dice"), nothing)
    box = bounding_box(near, smoothing_margin(spacing_mm))
    near = near[box]
    dense = dense_mask(followup.ct_hu[box], before.brain[box], spacing_mm) & near
    iph, new = followup.iph[box] & near, ~scan.iph[box]
    return {
        "hu_growth_ml": scan.ct.voxel_ml * _more(dense, before.dense[box] & near),
        "mask_hu_dice": dice(dense, iph),
        "new_mask_hu_dice": dice(dense & new, iph & new),
    }


def measure_shift(shift_mm: Score, side: int) -> Measured:
    """The midline shift, and how much of it is away from the bleed.

    Args:
        shift_mm: Positive to the patient's right.
        side: As `bleed_side` gives it.
    """
    away = shift_mm
    if shift_mm.value is not None:
        away = Score(-side * shift_mm.value) if side else Score(None, NO_SIDE)
    return {"midline_shift_mm": shift_mm, "midline_away_mm": away}


def measure_texture(followup: Followup, before: Before) -> Measured:
    """What is finer than 3 mm in the plane, deep in the brain and far from all blood.

    Returns:
        texture: Its correlation with the baseline's: 1 where the baseline's own noise is shown.
        noise_sd_hu: Its SD.
        noise_lag1: Its correlation with itself one voxel on.
    """
    slices, spacing_mm = before.slices, before.spacing_mm
    new = followup.blood & ~before.scan.blood
    calm = before.calm & ~within_mm(new, CALM_MM, spacing_mm)[..., slices]
    if np.count_nonzero(calm) < LEAST_TEXTURE_VOXELS:
        return dict.fromkeys(("texture", "noise_sd_hu", "noise_lag1"), Score(None, NO_CALM))
    fine = fine_structure(followup.ct_hu[..., slices], before.brain[..., slices], spacing_mm)
    flat = "nothing varies far from blood"
    return {
        "texture": _finite(correlation(before.fine[calm], fine[calm]), flat),
        "noise_sd_hu": float(fine[calm].std()),
        "noise_lag1": _finite(neighbour_correlation(fine, calm), flat),
    }


def _finite(value: float, missing: str) -> Score:
    return Score(value) if np.isfinite(value) else Score(None, missing)
