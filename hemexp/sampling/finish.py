"""From a decoded sample to CT, labels and measurements, relative to the baseline it grew from."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hemexp.anatomy.midline import midline_shift_mm
from hemexp.sampling.patient import Baseline
from hemexp.sampling.sample import DecodedScan
from hemexp.sampling.volume import correct_logits, iph_margin, matched_ml, matching_offset

IPH_LABEL, IVH_LABEL = 1, 2
"""Labels of the `_dseg` files."""


class FinishedSample(NamedTuple):
    """A sample as it is written.

    Attributes:
        ct_hu: (x, y, z), the baseline's plus the decoded change.
        labels: (x, y, z) of `IPH_LABEL` and `IVH_LABEL`.
        measured: The row's measured columns.
    """

    ct_hu: NDArray[np.float32]
    labels: NDArray[np.uint8]
    measured: dict[str, float]


def label_voxels(
    iph: NDArray[np.bool_], ivh_logit: NDArray[np.float32], brain: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Labels (x, y, z): 1 where `iph` holds, else 2 where the brain has a positive IVH logit."""
    return (IPH_LABEL * iph + IVH_LABEL * ((ivh_logit > 0) & brain & ~iph)).astype(np.uint8)


def finish_sample(
    decoded: DecodedScan, reference: DecodedScan, baseline: Baseline, target_growth_ml: float
) -> FinishedSample:
    """CT, labels and measurements of one decoded sample.

    Args:
        decoded: The sample.
        reference: The decoded baseline: what the decoder does to a scan that did not change.
        baseline: The baseline itself.
        target_growth_ml: Growth to bring the volume to; NaN leaves it as it was decoded.
    """
    scan = baseline.scan
    voxel_ml, brain = scan.ct.voxel_ml, scan.brain
    iph_logit = correct_logits(decoded.iph_logit, reference.iph_logit, scan.iph)
    ivh_logit = correct_logits(decoded.ivh_logit, reference.ivh_logit, scan.ivh)
    margin, before = iph_margin(iph_logit, ivh_logit, brain), np.count_nonzero(scan.iph)
    raw_ml = matched_ml(baseline.iph_ml, np.count_nonzero(margin > 0), before, voxel_ml)
    offset = 0.0
    if not np.isnan(target_growth_ml):
        offset = matching_offset(margin, before + target_growth_ml / voxel_ml)
    labels = label_voxels(margin + offset > 0, ivh_logit, brain)
    iph_ml = matched_ml(baseline.iph_ml, np.count_nonzero(labels == IPH_LABEL), before, voxel_ml)
    ivh_before = np.count_nonzero(scan.ivh)
    ivh_ml = matched_ml(
        baseline.ivh_ml, np.count_nonzero(labels == IVH_LABEL), ivh_before, voxel_ml
    )
    ct_hu = np.where(brain, scan.ct.data + decoded.ct_hu - reference.ct_hu, 0.0)
    shift_mm = midline_shift_mm(
        scan.ct.data, ct_hu, scan.blood | (labels > 0), brain, scan.ct.spacing_mm
    )
    measured = {
        "iph_ml": float(iph_ml),
        "iph_raw_ml": float(raw_ml),
        "ivh_ml": float(ivh_ml),
        "logit_offset": offset,
        "midline_shift_mm": shift_mm,
    }
    return FinishedSample(ct_hu.astype(np.float32), labels, measured)
