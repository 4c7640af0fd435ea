"""Masks and their grids: IPH without IVH, and masks of another grid brought onto the CT's."""

import numpy as np
from numpy.typing import NDArray

from hemexp.preprocess.interpolate import average, resample_blood
from hemexp.preprocess.remarks import Remark
from hemexp.volumes import SAME_GRID_MM, Volume, grid_distance_mm


def on_one_grid(one: Volume, other: Volume) -> bool:
    """Whether two images share their grid."""
    return grid_distance_mm(one, other) <= SAME_GRID_MM


def without(iph: Volume, ivh: Volume) -> Volume:
    """The IPH mask less the IVH; both keep their grids."""
    there = ivh.data if on_one_grid(ivh, iph) else average(ivh, iph, np.eye(4)) >= 0.5
    return iph.with_data(iph.data & ~there)


def on_ct_grid(iph: Volume, ivh: Volume, ct: Volume) -> tuple[Volume, Volume, list[Remark]]:
    """Brings the masks onto the CT's grid, each with the volume it has on its own.

    Where the voxels of the two grids coincide (a mask cropped to its blood, or stored with its
    axes in another order) they are copied. Else a soft mask is interpolated linearly, and as many
    voxels are kept as it sums to.

    Args:
        iph: Mask in the CT's space, without the voxels of `ivh`.
        ivh: Mask in the CT's space.
        ct: The CT.

    Returns:
        IPH and IVH on the CT's grid, disjoint, and what was resampled.
    """
    iph, ivh = (copy_voxels(mask, ct) for mask in (iph, ivh))
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


def copy_voxels(mask: Volume, ct: Volume) -> Volume:
    """The mask on the CT's grid where its voxels coincide with the CT's; else as it is."""
    if on_one_grid(mask, ct):
        return mask
    to_ct = np.linalg.inv(ct.affine) @ mask.affine
    where = np.argwhere(mask.data)
    exact = where @ to_ct[:3, :3].T + to_ct[:3, 3]
    index = np.rint(exact).astype(int)
    apart_mm = np.abs(exact - index).max(initial=0) * ct.spacing_mm.max()
    one_to_one = np.array_equal(np.abs(np.rint(to_ct[:3, :3])).sum(0), [1, 1, 1])
    same_size = np.allclose(np.abs(np.linalg.det(to_ct[:3, :3])), 1, atol=1e-3)
    inside = np.all((index >= 0) & (index < ct.data.shape))
    if not (one_to_one and same_size and inside and apart_mm <= SAME_GRID_MM):
        return mask
    data: NDArray[np.bool_] = np.zeros(ct.data.shape, dtype=bool)
    data[tuple(index.T)] = True
    return ct.with_data(data)


def spacing_text(volume: Volume) -> str:
    """`0.45x0.45x2.5 mm`."""
    return "x".join(f"{size:.3g}" for size in volume.spacing_mm) + " mm"
