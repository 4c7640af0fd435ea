"""From a decoded sample to CT, labels and measurements, relative to its reference.

Raw figures are of what the network drew. The finish then takes out pieces that touch no old blood,
brings IPH and IVH to the volumes told, and makes voxels look like what their mask says.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from hemexp.anatomy.boxes import bounding_box, within_mm
from hemexp.anatomy.midline import midline_shift_mm
from hemexp.anatomy.noise import Noise
from hemexp.anatomy.reference import CSF_HU, IVH_SHARE, ReferenceScan, Told
from hemexp.anatomy.shell import BleedHu
from hemexp.grid_scan import GridScan
from hemexp.sampling.patient import Baseline
from hemexp.sampling.sample import DecodedScan
from hemexp.sampling.volume import OUTSIDE, correct_logits, iph_margin, matched_ml, matching_offset

IPH_LABEL, IVH_LABEL = 1, 2
"""Labels of the `_dseg` files."""

ISLAND_ML = 0.5
"""A piece of IPH that touches no old blood and is smaller is taken out."""

ROUNDS = 20
"""At most, of taking out islands and matching the volume, which may make new ones."""

IVH_OFFSET = 4.0
"""IVH logits are moved by no more: what the network is sure of stays."""

VENTRICLE_REACH_MM = 6.0
"""By how much the ventricles are widened for matching: inside them alone IVH came out dark."""

LARGEST_MISS_ML, LARGEST_MISS = 3.0, 0.3
"""A raw growth off by more than 3 mL and 30 % of what was told: image and request disagree."""

LARGEST_PAINTED, LEAST_PAINTED_ML = 0.5, 1.0
"""New blood of 1 mL or more, more than half of which looked otherwise: image and mask disagree."""


@dataclass(frozen=True)
class Finish:
    """How samples of one patient are finished.

    Attributes:
        baseline: The baseline.
        hu: Of its bleed and the tissue round it; None without IPH.
        ventricles: Where IVH may be matched (x, y, z); None where no IVH growth is told.
        active: Whether anything is finished at all.
        noise: Of the baseline; None leaves the baseline's own.
    """

    baseline: Baseline
    hu: BleedHu | None
    ventricles: NDArray[np.bool_] | None
    active: bool
    noise: Noise | None = None


class Related(NamedTuple):
    """A decoded sample relative to its reference, each part (x, y, z).

    Attributes:
        margin: How clearly a voxel is IPH, see `iph_margin`.
        ivh_logit: Logits of the IVH.
        change_hu: What was drawn beside the reference.
        reference: The reference.
    """

    margin: NDArray[np.float32]
    ivh_logit: NDArray[np.float32]
    change_hu: NDArray[np.float32]
    reference: ReferenceScan

    def labels(self, brain: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """The masks as they were drawn."""
        return label_voxels(self.margin > 0, self.ivh_logit, brain)


class FinishedSample(NamedTuple):
    """A sample as it is written.

    Attributes:
        ct_hu: (x, y, z), the reference's plus the decoded change.
        labels: (x, y, z) of `IPH_LABEL` and `IVH_LABEL`.
        measured: The row's measured columns.
    """

    ct_hu: NDArray[np.float32]
    labels: NDArray[np.uint8]
    measured: dict[str, float]


def ventricle_reach(scan: GridScan, room: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where IVH may be matched (x, y, z): the baseline's ventricles, widened."""
    return within_mm(room, VENTRICLE_REACH_MM, scan.ct.spacing_mm) & scan.brain


def relate(
    decoded: DecodedScan,
    decoded_reference: DecodedScan,
    reference: ReferenceScan,
    brain: NDArray[np.bool_],
) -> Related:
    """A decoded sample without what the decoder does to its reference.

    Args:
        decoded: The sample.
        decoded_reference: The decoded reference.
        reference: The reference itself.
        brain: (x, y, z); outside it nothing is blood.
    """
    iph, ivh = reference.iph > 0.5, reference.ivh > 0.5
    iph_logit = correct_logits(decoded.iph_logit, decoded_reference.iph_logit, iph)
    ivh_logit = correct_logits(decoded.ivh_logit, decoded_reference.ivh_logit, ivh)
    margin = iph_margin(iph_logit, ivh_logit, brain)
    return Related(margin, ivh_logit, decoded.ct_hu - decoded_reference.ct_hu, reference)


def missing_ml(raw: NDArray[np.uint8], told: Told, baseline: Baseline) -> tuple[float, float]:
    """IPH and IVH growth told but not drawn, of raw labels; NaN where none was told."""
    iph_ml, ivh_ml = _volumes_ml(raw, baseline)
    return (
        told.growth_ml - (iph_ml - baseline.iph_ml),
        told.ivh_growth_ml - (ivh_ml - baseline.ivh_ml),
    )


def finish_sample(
    related: Related, raw: NDArray[np.uint8], told: Told, finish: Finish, rng: Generator
) -> FinishedSample:
    """CT, labels and measurements of one decoded sample.

    Args:
        related: The sample.
        raw: (x, y, z) labels as the network drew them, before its reference was relevelled.
        told: What was asked for; NaN leaves a volume as it was decoded.
        finish: How it is finished.
        rng: Decides its noise.
    """
    scan, reference = finish.baseline.scan, related.reference
    brain, before = scan.brain, reference.before > 0.5
    labels, offsets = raw, (0.0, 0.0)
    if finish.active:
        labels, offsets = _match(related, told, finish)
    change_hu = related.change_hu
    if finish.active and finish.noise:
        change_hu = finish.noise.quieten(change_hu)
    ct_hu = np.where(brain, reference.ct_hu + change_hu, 0.0)
    painted = 0.0
    if finish.active and finish.hu:
        painted = _paint(ct_hu, labels, (before, reference.ivh > 0.5), finish.hu)
    if finish.active and finish.noise:
        ct_hu = finish.noise.renew(ct_hu, rng)
    raw_ml, final_ml = (_volumes_ml(one, finish.baseline) for one in (raw, labels))
    shift_mm = midline_shift_mm(
        scan.ct.data, ct_hu, scan.blood | (labels > 0), brain, scan.ct.spacing_mm
    )
    new_ml = np.count_nonzero((labels == IPH_LABEL) & ~before) * scan.ct.voxel_ml
    dim = painted > LARGEST_PAINTED and new_ml >= LEAST_PAINTED_ML
    measured = {
        "iph_ml": final_ml[0],
        "iph_raw_ml": raw_ml[0],
        "ivh_ml": final_ml[1],
        "ivh_raw_ml": raw_ml[1],
        "logit_offset": offsets[0],
        "ivh_logit_offset": offsets[1],
        "painted_share": painted,
        "midline_shift_mm": shift_mm,
        "disagrees": int(dim or _misses(raw_ml[0] - finish.baseline.iph_ml, told.growth_ml)),
    }
    return FinishedSample(ct_hu.astype(np.float32, copy=False), labels, measured)


def _misses(growth_ml: float, told_ml: float) -> bool:
    """Whether a raw growth is far from what was told; never where nothing was."""
    return abs(growth_ml - told_ml) > max(LARGEST_MISS_ML, LARGEST_MISS * abs(told_ml))


def label_voxels(
    iph: NDArray[np.bool_], ivh_logit: NDArray[np.float32], brain: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Labels (x, y, z): 1 where `iph` holds, else 2 where the brain has a positive IVH logit."""
    ivh = (ivh_logit > 0) & brain & ~iph
    return np.uint8(IPH_LABEL) * iph + np.uint8(IVH_LABEL) * ivh


def _volumes_ml(labels: NDArray[np.uint8], baseline: Baseline) -> tuple[float, float]:
    """IPH and IVH volume: the native baseline's and the change on the grid."""
    scan = baseline.scan

    def volume_ml(label: int, native_ml: float, mask: NDArray) -> float:
        voxels = np.count_nonzero(labels == label), np.count_nonzero(mask)
        return float(matched_ml(native_ml, *voxels, scan.ct.voxel_ml))

    return (
        volume_ml(IPH_LABEL, baseline.iph_ml, scan.iph),
        volume_ml(IVH_LABEL, baseline.ivh_ml, scan.ivh & ~scan.iph),
    )


def _match(
    related: Related, told: Told, finish: Finish
) -> tuple[NDArray[np.uint8], tuple[float, float]]:
    """Labels of the volumes told, without islands, and what was added to the logits of each."""
    scan, offset, margin = finish.baseline.scan, 0.0, related.margin.copy()
    ivh_logit, reference = related.ivh_logit, related.reference
    before = reference.before > 0.5
    target = np.nan
    if np.isfinite(told.growth_ml):
        target = np.count_nonzero(scan.iph) + told.growth_ml / scan.ct.voxel_ml
    for _ in range(ROUNDS):
        offset = 0.0 if np.isnan(target) else matching_offset(margin, target)
        found = islands(margin + offset > 0, before, scan.ct.voxel_ml)
        if not found.any():
            break
        margin[found] = OUTSIDE
    iph = margin + offset > 0
    ivh_offset = 0.0
    if finish.ventricles is not None and np.isfinite(told.ivh_growth_ml):
        where = (finish.ventricles | (reference.ivh > 0)) & ~iph
        wanted = np.count_nonzero(scan.ivh & ~scan.iph) + told.ivh_growth_ml / scan.ct.voxel_ml
        ivh_logit = np.where(where, ivh_logit, OUTSIDE)
        ivh_offset = float(np.clip(matching_offset(ivh_logit, wanted), -IVH_OFFSET, IVH_OFFSET))
    return label_voxels(iph, ivh_logit + ivh_offset, scan.brain), (offset, ivh_offset)


def islands(
    iph: NDArray[np.bool_], before: NDArray[np.bool_], voxel_ml: float
) -> NDArray[np.bool_]:
    """Pieces of a mask (x, y, z) that touch no old blood and hold less than half a millilitre."""
    found = np.zeros_like(iph)
    if iph.any():
        box = bounding_box(iph)
        pieces, count = ndimage.label(iph[box])
        sizes_ml = np.bincount(pieces.ravel(), minlength=count + 1) * voxel_ml
        old = np.bincount(pieces[before[box]], minlength=count + 1) > 0
        small = (sizes_ml < ISLAND_ML) & ~old
        small[0] = False  # no piece at all
        found[box] = small[pieces]
    return found


def _paint(
    image: NDArray[np.float32],
    labels: NDArray[np.uint8],
    before: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    hu: BleedHu,
) -> float:
    """Makes changed voxels of an image look like what the mask says.

    New IPH darker than half way between blood and tissue gets the drawn bleed's mean, and so does
    new IVH between blood and CSF; what is blood no longer and still looks like it, the tissue's.

    Returns:
        The share of new IPH that looked otherwise.
    """
    concerned = (labels > 0) | before[0]
    if not concerned.any():
        return 0.0
    box = bounding_box(concerned)
    ct_hu, labels, before = image[box], labels[box], [mask[box] for mask in before]
    iph, ivh = labels == IPH_LABEL, labels == IVH_LABEL
    new, gone = iph & ~before[0], before[0] & ~iph & ~ivh
    clear = iph & (ct_hu >= hu.middle)
    blood_hu = float(ct_hu[clear].mean()) if clear.any() else hu.blood
    dim = new & (ct_hu < hu.middle)
    bright = ivh & (ct_hu >= (hu.blood + CSF_HU) / 2)
    pale = ivh & ~bright & ~before[1]
    painted = np.where(dim, blood_hu, ct_hu)
    ivh_hu = float(ct_hu[bright].mean()) if bright.any() else IVH_SHARE * hu.blood
    painted = np.where(pale, ivh_hu, painted)
    image[box] = np.where(gone & (ct_hu > hu.middle), hu.tissue, painted)
    return np.count_nonzero(dim) / max(np.count_nonzero(new), 1)
