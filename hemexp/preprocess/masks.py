"""Haemorrhage masks as a study gives them: on the CT's grid, or on another in the same space."""

from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from hemexp import Fault
from hemexp.preprocess.interpolate import average, resample_blood
from hemexp.preprocess.remarks import Remark
from hemexp.settings import RawInput
from hemexp.volumes import SAME_GRID_MM, ImageError, Volume, grid_distance_mm, read_volume

INSIDE_SHARE = 0.95
"""Of a mask's voxels, so many must lie in the CT's field of view."""

FLAT_SLICES, FLAT_MM = 3, 10.0
"""A bleed in one slice only is nonsense when it is so much wider than the slice is thick."""

DIRECTIONS = {"L": "left-right", "P": "front-back", "I": "head-foot"}


def read_mask(path: Path) -> Volume:
    """Reads a binary mask stored as 0/1 or 0/255, as bool.

    Raises:
        ImageError: The file is unreadable or holds other values.
    """
    mask = read_volume(path)
    nonzero = mask.data[mask.data != 0]
    if not (np.all(nonzero == 1) or np.all(nonzero == 255)):
        values = ", ".join(f"{value:g}" for value in np.unique(nonzero)[:5])
        raise ImageError(
            Fault(
                str(path),
                f"a mask with the values 0 and {values}",
                "0 and 1, or 0 and 255",
                "Export one binary mask per kind of blood.",
            )
        )
    return mask.with_data(mask.data != 0)


def on_one_grid(one: Volume, other: Volume) -> bool:
    """Whether two images share their grid."""
    return grid_distance_mm(one, other) <= SAME_GRID_MM


def hu_inside(mask: Volume, ct: Volume, flip: int | None = None) -> tuple[NDArray, float]:
    """The CT at the centres of a mask's voxels, nearest neighbour.

    Args:
        mask: Mask on any grid.
        ct: CT in the same space.
        flip: Array axis of the mask to turn round first.

    Returns:
        HU of the voxels inside the CT's field of view (n,), and their share of the mask, 1 if
        it is empty.
    """
    where = np.argwhere(mask.data)
    if not len(where):
        return np.zeros(0), 1.0
    if flip is not None:
        where[:, flip] = mask.data.shape[flip] - 1 - where[:, flip]
    to_ct = np.linalg.inv(ct.affine) @ mask.affine
    index = np.rint(where @ to_ct[:3, :3].T + to_ct[:3, 3]).astype(int)
    inside = np.all((index >= 0) & (index < ct.data.shape), axis=1)
    return ct.data[tuple(index[inside].T)], float(inside.mean())


def field_faults(path: Path, mask: Volume, ct: Volume) -> list[Fault]:
    """A fault if a mask lies outside its CT's field of view."""
    if on_one_grid(mask, ct):
        return []
    share = hu_inside(mask, ct)[1]
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


def blood_faults(path: Path, iph: Volume, ct: Volume, limits: RawInput) -> list[Fault]:
    """What speaks against an IPH mask, the first thing only.

    Args:
        path: For the messages.
        iph: Mask without the voxels of IVH, on its own grid.
        ct: CT in HU.
        limits: Median HU of a bleed.
    """
    if not iph.data.any():
        return [
            Fault(
                str(path),
                "an empty mask (no voxel outside the IVH)",
                "at least one voxel of IPH",
                "Check that the right mask is named, and that IPH and IVH are not swapped.",
            )
        ]
    return _flat_faults(path, iph) or _unlike_blood_faults(path, iph, ct, limits)


def _flat_faults(path: Path, iph: Volume) -> list[Fault]:
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


def _unlike_blood_faults(path: Path, iph: Volume, ct: Volume, limits: RawInput) -> list[Fault]:
    low, high = limits.iph_hu
    median = float(np.median(hu_inside(iph, ct)[0]))
    if low <= median <= high:
        return []
    mirrored = [
        DIRECTIONS[code]
        for axis, code in enumerate(_axis_names(iph))
        for values, share in [hu_inside(iph, ct, flip=axis)]
        if share >= INSIDE_SHARE and low <= np.median(values) <= high
    ]
    found = f"a median of {median:.0f} HU inside the mask"
    cure = "Check that mask and CT belong together."
    if mirrored:
        found += f"; it looks mirrored {' or '.join(mirrored)}"
        cure = "Turn the mask round, or export it again with its header."
    return [
        Fault(
            str(path),
            found,
            f"{low:g} to {high:g} HU, as a bleed has",
            f"{cure} The limits are preprocess.raw.iph_hu.",
        )
    ]


def _axis_names(volume: Volume) -> list[str]:
    """L, P or I for each array axis, whichever way it runs."""
    return [code.translate(str.maketrans("RAS", "LPI")) for code in nib.aff2axcodes(volume.affine)]


def without(iph: Volume, ivh: Volume) -> Volume:
    """The IPH mask less the IVH; both keep their grids."""
    there = ivh.data if on_one_grid(ivh, iph) else average(ivh, iph, np.eye(4)) >= 0.5
    return iph.with_data(iph.data & ~there)


def on_ct_grid(iph: Volume, ivh: Volume, ct: Volume) -> tuple[Volume, Volume, list[Remark]]:
    """Brings the masks onto the CT's grid, each with the volume it has on its own.

    A soft mask is interpolated linearly, and as many voxels are kept as it sums to.

    Args:
        iph: Mask in the CT's space, without the voxels of `ivh`.
        ivh: Mask in the CT's space.
        ct: The CT.

    Returns:
        IPH and IVH on the CT's grid, disjoint, and what was resampled.
    """
    moved = {
        name: mask for name, mask in {"IPH": iph, "IVH": ivh}.items() if not on_one_grid(mask, ct)
    }
    if not moved:
        return iph, ivh, []
    remarks = [
        Remark(f"{name} mask resampled from {spacing_text(mask)}") for name, mask in moved.items()
    ]
    iph_data, ivh_data = resample_blood(iph, ivh, ct, np.eye(4))
    return ct.with_data(iph_data), ct.with_data(ivh_data), remarks


def spacing_text(volume: Volume) -> str:
    """`0.45x0.45x2.5 mm`."""
    return "x".join(f"{size:.3g}" for size in volume.spacing_mm) + " mm"
