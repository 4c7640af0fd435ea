"""The axial slices of a scan: along which axis they lie, and how much of the brain each holds."""

import numpy as np
from nibabel.orientations import io_orientation
from numpy.typing import NDArray

from hemexp.volumes import Volume, volume_ml

END_MM = 7.5
"""How far from its lowest and highest point the brain's width is judged. Nearer, one slice of 5 mm
decides; further, whole brains are wide too (at 10 mm up to a third of their widest slice)."""


def head_axis(affine: NDArray[np.float64]) -> tuple[int, float]:
    """The array axis through the axial slices, and 1 if it runs to the top of the head or -1."""
    orientation = io_orientation(affine)
    through = int(np.flatnonzero(orientation[:, 0] == 2)[0])
    return through, float(orientation[through, 1])


def slice_areas(mask: Volume) -> NDArray[np.float64]:
    """Area of a mask in every axial slice, cm2, from the lowest slice of the image up."""
    through, direction = head_axis(mask.affine)
    others = tuple({0, 1, 2} - {through})
    areas = np.count_nonzero(mask.data, axis=others) * mask.voxel_ml * 10.0
    return areas[:: int(direction)] / mask.spacing_mm[through]


def end_shares(brain: Volume) -> tuple[float, float]:
    """How wide a brain is near its lowest and its highest point, as part of its widest slice.

    A whole brain is small at both ends, whether or not the scan goes on there; one that the scan
    cuts off is not (method.md, CT traps).

    Args:
        brain: Brain mask (x, y, z).

    Returns:
        Below and above, 0 to 1; NaN for an empty mask.
    """
    areas = np.trim_zeros(slice_areas(brain))
    if not areas.size:
        return float("nan"), float("nan")
    thick_mm = brain.spacing_mm[head_axis(brain.affine)[0]]
    depths_mm = thick_mm * (np.arange(areas.size) + 0.5)
    below, above = (np.interp(END_MM, depths_mm, side) for side in (areas, areas[::-1]))
    return float(below / areas.max()), float(above / areas.max())


def compactness(brain: Volume) -> float:
    """Volume over its widest slice to the power 1.5: 0.75 for a ball, 0.38 for half of one.

    Args:
        brain: Brain mask (x, y, z).

    Returns:
        The ratio, whatever the size of the head; NaN for an empty mask.
    """
    widest_cm2 = float(slice_areas(brain).max())
    return volume_ml(brain) / widest_cm2**1.5 if widest_cm2 else float("nan")
