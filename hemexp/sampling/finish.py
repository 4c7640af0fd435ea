"""From a decoded sample to CT, labels and measurements, relative to the baseline it grew from."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp.anatomy.midline import midline_shift_mm
from hemexp.layout import Layout
from hemexp.sampling.sample import Decoded
from hemexp.sampling.volume import correct_logits, iph_margin, matched_ml, matching_offset
from hemexp.volumes import Volume, read_volume

IPH, IVH = 1, 2
"""Labels of the `_dseg` files."""


@dataclass(frozen=True)
class Baseline:
    """One patient's baseline on the grid, with its native volumes.

    Attributes:
        ct: Skull-stripped CT in HU.
        iph: (x, y, z) bool.
        ivh: (x, y, z) bool.
        brain: (x, y, z) bool.
        iph_ml: Native IPH volume.
        ivh_ml: Native IVH volume.
    """

    ct: Volume
    iph: NDArray[np.bool_]
    ivh: NDArray[np.bool_]
    brain: NDArray[np.bool_]
    iph_ml: float
    ivh_ml: float

    @property
    def blood(self) -> NDArray[np.bool_]:
        """IPH or IVH (x, y, z)."""
        return self.iph | self.ivh


def baseline_files(preprocess: Path, patient_id: str) -> list[Path]:
    """The files behind `load_baseline`, and the native volumes it is told."""
    layout, scan = Layout(preprocess.parent), (patient_id, "baseline")
    return [layout.native(*scan).volumes, *layout.grid(*scan).images]


def load_baseline(preprocess: Path, patient: pd.Series) -> Baseline:
    """Reads the baseline of a row of the sheet joined with its native volumes."""
    _, *grid = baseline_files(preprocess, patient["patient_id"])
    ct, *masks = (read_volume(path) for path in grid)
    iph, ivh, brain = (mask.data > 0 for mask in masks)
    return Baseline(
        ct=ct,
        iph=iph,
        ivh=ivh,
        brain=brain,
        iph_ml=float(patient["baseline_iph_ml"]),
        ivh_ml=float(patient["baseline_ivh_ml"]),
    )


def label_voxels(
    iph: NDArray[np.bool_], ivh_logit: NDArray[np.float32], brain: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Labels (x, y, z): 1 where `iph` holds, else 2 where the brain has a positive IVH logit."""
    return (IPH * iph + IVH * ((ivh_logit > 0) & brain & ~iph)).astype(np.uint8)


def finish_sample(
    decoded: Decoded, reference: Decoded, baseline: Baseline, target_growth_ml: float, match: bool
) -> tuple[NDArray[np.float32], NDArray[np.uint8], dict[str, float]]:
    """CT, labels and measurements of one decoded sample.

    Args:
        decoded: The sample.
        reference: The decoded baseline: what the decoder does to a scan that did not change.
        baseline: The baseline itself.
        target_growth_ml: Wanted growth; NaN where none is wanted.
        match: Whether to bring the volume to the wanted one.

    Returns:
        CT in HU (the baseline's plus the decoded change), labels, and the row's measured columns.
    """
    voxel_ml, brain = baseline.ct.voxel_ml, baseline.brain
    iph_logit = correct_logits(decoded.iph_logit, reference.iph_logit, baseline.iph)
    ivh_logit = correct_logits(decoded.ivh_logit, reference.ivh_logit, baseline.ivh)
    margin, before = iph_margin(iph_logit, ivh_logit, brain), np.count_nonzero(baseline.iph)
    raw_ml = matched_ml(baseline.iph_ml, np.count_nonzero(margin > 0), before, voxel_ml)
    offset = 0.0
    if match and not np.isnan(target_growth_ml):
        offset = matching_offset(margin, before + target_growth_ml / voxel_ml)
    labels = label_voxels(margin + offset > 0, ivh_logit, brain)
    iph_ml = matched_ml(baseline.iph_ml, np.count_nonzero(labels == IPH), before, voxel_ml)
    ivh_before = np.count_nonzero(baseline.ivh)
    ivh_ml = matched_ml(baseline.ivh_ml, np.count_nonzero(labels == IVH), ivh_before, voxel_ml)
    ct_hu = np.where(brain, baseline.ct.data + decoded.ct_hu - reference.ct_hu, 0.0)
    shift_mm = midline_shift_mm(
        baseline.ct.data, ct_hu, baseline.blood | (labels > 0), brain, baseline.ct.spacing_mm
    )
    measured = {
        "iph_ml": float(iph_ml),
        "iph_raw_ml": float(raw_ml),
        "ivh_ml": float(ivh_ml),
        "logit_offset": offset,
        "midline_shift_mm": shift_mm,
    }
    return ct_hu.astype(np.float32), labels, measured
