"""What a bleed measures if its outline were drawn a voxel further out, or further in."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_erosion, generate_binary_structure

from hemexp.anatomy.boxes import bounding_box
from hemexp.columns import SESSIONS
from hemexp.layout import Layout
from hemexp.volumes import Volume, read_volume, volume_ml

STEPS = {"larger": 1, "smaller": -1}
"""Voxels by which every outline moves, by name of the change."""


def slice_axis(affine: NDArray) -> int:
    """The axis of an image that runs most nearly from feet to head."""
    return int(np.abs(affine[2, :3] / np.linalg.norm(affine[:3, :3], axis=0)).argmax())


def resize_mask(mask: NDArray[np.bool_], axis: int, voxels: int) -> NDArray[np.bool_]:
    """Moves the outline of a mask within its slices, where a reader draws it.

    Args:
        mask: Boolean (x, y, z).
        axis: Along which slices follow each other; nothing moves along it.
        voxels: How far, to the four neighbours of a voxel; below 0 inwards.
    """
    if not mask.any() or not voxels:
        return mask
    plane = np.expand_dims(generate_binary_structure(2, 1), axis)
    move = binary_dilation if voxels > 0 else binary_erosion
    box = bounding_box(mask, abs(voxels))
    moved = np.zeros_like(mask)
    moved[box] = move(mask[box], plane, iterations=abs(voxels))
    return moved


def resized_ml(iph: Volume, ivh: NDArray[np.bool_]) -> dict[str, float]:
    """IPH volume in mL under every change of `STEPS`; what is IVH stays IVH.

    Args:
        iph: Mask in native space.
        ivh: IVH on the same voxels.
    """
    mask, axis = iph.data > 0, slice_axis(iph.affine)
    return {
        name: volume_ml(iph.with_data(resize_mask(mask, axis, voxels) & ~ivh))
        for name, voxels in STEPS.items()
    }


def native_masks(layout: Layout, patient_id: str) -> list[Path]:
    """IPH and IVH masks of a patient's two scans, in the order of the sessions."""
    files = [layout.native(patient_id, session) for session in SESSIONS]
    return [path for scan in files for path in (scan.iph, scan.ivh)]


def read_resized(layout: Layout, patient_id: str) -> dict[str, dict[str, float]]:
    """Native IPH volumes of a patient's two scans, in mL, by change and session."""
    found: dict[str, dict[str, float]] = {name: {} for name in STEPS}
    masks = [read_volume(path) for path in native_masks(layout, patient_id)]
    for session, iph, ivh in zip(SESSIONS, masks[::2], masks[1::2], strict=True):
        for name, ml in resized_ml(iph, ivh.data > 0).items():
            found[name][session] = ml
    return found
