"""Whether haemorrhage masks lie on the blood of their CT: refused, doubted or passed."""

from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hemexp import Fault
from hemexp.preprocess.coarse import mask_box
from hemexp.preprocess.masks.grids import on_one_grid
from hemexp.preprocess.remarks import Remark
from hemexp.settings import RawInput, ShareLimits
from hemexp.volumes import Volume, volume_ml

INSIDE_SHARE = 0.95
"""Of a mask's voxels, so many must lie in the CT's field of view."""

SMOOTH_MM = 2.0
"""SD of the Gaussian within a mask. Noise of SD 10 HU leaves 98 % of a right IPH mask's voxels in
the band of blood without it, 100 % with it; what surrounds the mask is not mixed in."""

FLAT_SLICES, FLAT_MM = 3, 10.0
"""A bleed in one slice only is nonsense when it is so much wider than the slice is thick."""

STRAY_SHARE = 0.05
"""So much of a mask outside the brain is told; less is a slip of the brush."""

NOTED_OVERLAP = 0.01
"""An overlap of the masks is named in the quality control from this part of the IPH on."""

DIRECTIONS = {"L": "left-right", "P": "front-back", "I": "head-foot"}


class BloodLimits(NamedTuple):
    """What one kind of mask must look like.

    Attributes:
        name: `IPH` or `IVH`.
        hu: Lowest and highest HU of its blood.
        share: How much of the mask must have them.
        keys: Of the config, for the messages.
    """

    name: str
    hu: tuple[float, float]
    share: ShareLimits
    keys: str


def blood_limits(kind: str, limits: RawInput) -> BloodLimits:
    """The limits of an `iph` or `ivh` mask."""
    keys = f"preprocess.raw.{kind}_hu and {kind}_share"
    if kind == "iph":
        return BloodLimits("IPH", limits.iph_hu, limits.iph_share, keys)
    return BloodLimits("IVH", limits.ivh_hu, limits.ivh_share, keys)


def hu_inside(
    mask: Volume, ct: Volume, flip: int | None = None
) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """The CT at the centres of a mask's voxels, nearest neighbour.

    Args:
        mask: Mask on any grid.
        ct: CT in the same space.
        flip: Array axis of the mask to turn round first.

    Returns:
        HU of the mask's voxels in array order (n,), 0 outside the CT's field of view; and
        whether each lies inside it (n,).
    """
    where = np.argwhere(mask.data)
    if flip is not None:
        where[:, flip] = mask.data.shape[flip] - 1 - where[:, flip]
    to_ct = np.linalg.inv(ct.affine) @ mask.affine
    index = np.rint(where @ to_ct[:3, :3].T + to_ct[:3, 3]).astype(int)
    inside = np.all((index >= 0) & (index < ct.data.shape), axis=1)
    hu = np.zeros(len(where))
    hu[inside] = ct.data[tuple(index[inside].T)]
    return hu, inside


def calm_hu(
    mask: Volume, hu: NDArray[np.floating], inside: NDArray[np.bool_]
) -> NDArray[np.floating]:
    """HU of a mask's voxels without their noise: smoothed over the mask alone.

    Args:
        mask: As `hu_inside` took it.
        hu: Of its voxels in array order (n,).
        inside: Which of them count (n,).

    Returns:
        Smoothed HU of the voxels that count (m,).
    """
    box = mask_box(mask.data, 0, mask.spacing_mm)
    within = np.asarray(mask.data[box], dtype=bool)
    weight, total = np.zeros((2, *within.shape))
    weight[within], total[within] = inside, hu * inside
    weight, total = (
        ndimage.gaussian_filter(part, SMOOTH_MM / mask.spacing_mm, mode="constant", truncate=3)
        for part in (weight, total)
    )
    return total[within][inside] / weight[within][inside]


def blood_share(hu: NDArray[np.floating], band_hu: tuple[float, float]) -> float:
    """Part of the voxels that are as bright as blood; 0 if there is none."""
    low, high = band_hu
    return float(np.mean((hu >= low) & (hu <= high))) if len(hu) else 0.0


def field_faults(path: Path, mask: Volume, ct: Volume) -> list[Fault]:
    """A fault if a mask lies outside its CT's field of view."""
    if on_one_grid(mask, ct) or not mask.data.any():
        return []
    share = float(hu_inside(mask, ct)[1].mean())
    if share >= INSIDE_SHARE:
        return []
    return [
        Fault(
            str(path),
            f"{1 - share:.0%} of the mask outside its CT",
            "a mask in the CT's space",
            "Draw or export the mask on this very CT; the headers of the two disagree.",
        )
    ]


def shape_faults(path: Path, iph: Volume) -> list[Fault]:
    """What the shape of an IPH mask, without the voxels of IVH, has against it."""
    if not iph.data.any():
        return [
            Fault(
                str(path),
                "an empty mask (no voxel outside the IVH)",
                "at least one voxel of IPH",
                "Check that the right mask is named, and that IPH and IVH are not swapped.",
            )
        ]
    voxels = np.ptp(np.argwhere(iph.data), axis=0) + 1
    for axis, thickness_mm in enumerate(iph.spacing_mm):
        narrow_mm = float(np.delete(voxels * iph.spacing_mm, axis).min())
        if voxels[axis] == 1 and narrow_mm >= max(FLAT_MM, FLAT_SLICES * thickness_mm):
            return [
                Fault(
                    str(path),
                    f"all of the mask in one slice, {narrow_mm:.0f} mm wide there",
                    f"a bleed that wide in more than one slice of {thickness_mm:.3g} mm",
                    "Draw the bleed in every slice that shows it.",
                )
            ]
    return []


def judge_blood(
    path: Path, mask: Volume, ct: Volume, limits: BloodLimits
) -> tuple[list[Fault], list[Remark]]:
    """Whether a mask lies on blood, by the part of its voxels that are as bright.

    Args:
        path: For the messages.
        mask: On its own grid; an empty one passes.
        ct: CT in HU.
        limits: Of this kind of mask.

    Returns:
        A fault below the lower limit, a doubtful remark below the upper one; else nothing.
    """
    if not mask.data.any():
        return [], []
    hu = calm_hu(mask, *hu_inside(mask, ct))
    share, (low, high) = blood_share(hu, limits.hu), limits.hu
    if share >= limits.share.warn:
        return [], []
    ways = " or ".join(_mirrored(mask, ct, limits))
    mirrored = f"; it looks mirrored {ways}" if ways else ""
    if share >= limits.share.refuse:
        why = mirrored or "; it may lie beside its blood, or reach beyond it"
        words = f"only {share:.0%} of the {limits.name} mask at {low:g} to {high:g} HU{why}"
        return [], [Remark(words, doubtful=True)]
    turn = "Turn the mask round, or export it again with its header."
    whether = (
        f"Check that mask and CT belong together, and that a mask of {volume_ml(mask):.2g} mL "
        "does not lie half beside its blood (HU are smoothed within it)."
    )
    return [
        Fault(
            str(path),
            f"a median of {np.median(hu):.0f} HU inside the mask, {100 * share:.3g}% of it as "
            f"bright as blood{mirrored}",
            f"{low:g} to {high:g} HU in {limits.share.refuse:.0%} of it or more",
            f"{turn if ways else whether} The limits are {limits.keys}.",
        )
    ], []


def _mirrored(mask: Volume, ct: Volume, limits: BloodLimits) -> list[str]:
    """Directions in which the mask turned round would lie on blood."""
    found = []
    for axis, code in enumerate(nib.aff2axcodes(mask.affine)):
        hu, inside = hu_inside(mask, ct, flip=axis)
        if inside.mean() < INSIDE_SHARE:
            continue
        if blood_share(calm_hu(mask, hu, inside), limits.hu) >= limits.share.warn:
            found.append(DIRECTIONS[code.translate(str.maketrans("RAS", "LPI"))])
    return found


def overlap_remarks(whole: Volume, left: Volume, limits: RawInput) -> list[Remark]:
    """What the IVH mask takes of the IPH mask, doubtful where it is much.

    Args:
        whole: IPH mask as given.
        left: The same without the voxels of IVH.
        limits: How much is no matter of doubt.
    """
    whole_ml = volume_ml(whole)
    taken_ml = whole_ml - volume_ml(left)
    if taken_ml < NOTED_OVERLAP * whole_ml or not taken_ml:
        return []
    share = taken_ml / whole_ml
    words = f"IVH mask takes {taken_ml:.1f} mL ({share:.0%}) of the IPH mask"
    return [Remark(words, doubtful=share > limits.ivh_over_iph)]


def stray_remarks(
    iph: NDArray[np.bool_],
    ivh: NDArray[np.bool_],
    brain: NDArray[np.bool_],
    spacing_mm: NDArray[np.float64],
) -> list[Remark]:
    """What of the masks lies outside the brain: pieces of blood that touch no brain tissue.

    Args:
        iph: IPH mask (x, y, z).
        ivh: IVH mask (x, y, z).
        brain: Brain mask with all blood in it (x, y, z).
        spacing_mm: Voxel size.
    """
    blood = iph | ivh
    box = mask_box(blood, float(spacing_mm.max()), spacing_mm)
    pieces, _ = ndimage.label(blood[box])
    beside = ndimage.binary_dilation((brain & ~blood)[box])
    stray = blood[box] & ~np.isin(pieces, np.unique(pieces[beside]))
    remarks = []
    for name, mask in {"IPH": iph[box], "IVH": ivh[box]}.items():
        share = np.count_nonzero(mask & stray) / max(1, np.count_nonzero(mask))
        if share >= STRAY_SHARE:
            remarks.append(Remark(f"{share:.0%} of the {name} mask outside the brain", True))
    return remarks
