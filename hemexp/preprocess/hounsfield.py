"""Whether a CT is in Hounsfield units: mended where that is certain, or refused.

Air is at -1000 HU and the brain between 20 and 45. What scanners and converters get wrong shows in
these two places of the histogram (method.md, CT traps).
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hemexp import Fault
from hemexp.preprocess.remarks import Remark
from hemexp.settings import RawInput
from hemexp.volumes import ImageError, Volume

PADDING_HU = -1024
"""Scanners pad with -1024, -2000 or -3024; nothing in a body lies below air."""

LOWEST_HU = -4100
"""No padding lies below (-3024 with the intercept applied twice)."""

HIGHEST_HU = 3071
"""Of the histogram; 12 bits end here, only metal goes beyond."""

INTERCEPT_HU = -1024
"""What scanners subtract from the stored values: without it air is near 24, brain near 1056."""

AIR_HU, AIR_TOLERANCE_HU = -1000, 100
TISSUE_HU = (-20, 100)
"""Brain, CSF, muscle and clot."""

SMALLEST_SHARE = 0.01
"""A head CT holds more air and more soft tissue than this part of its voxels."""

NOTED_SHARE = 0.01
"""Padding is named in the quality control from this part of the voxels on."""

HISTOGRAM_VOXELS = 2_000_000
"""Of a larger scan, every second, third, ... voxel is counted."""

SLICE_CM2 = 10.0
"""Soft tissue of a slice that shows a head."""

EXPECTED = "Hounsfield units (air near -1000, brain 20 to 45, bone above 300)"


def mend_hu(path: Path, ct: Volume) -> tuple[Volume, list[Remark]]:
    """Brings a CT to Hounsfield units where it is certain what is wrong with it.

    Args:
        path: For the messages.
        ct: Values as the file gives them.

    Returns:
        The CT in HU, not below -1024, and what was mended.

    Raises:
        ImageError: The values are not HU, or not certainly so.
    """
    data, remarks = ct.data, []
    low, high = float(data.min()), float(data.max())
    if low >= 0 and high <= 255:
        raise ImageError(
            Fault(
                str(path),
                f"grey values from {low:g} to {high:g}, not HU",
                EXPECTED,
                "This is a windowed picture: convert the original DICOM series.",
            )
        )
    if high > np.iinfo(np.int16).max:
        data = _unwrap(path, data)
        remarks.append(Remark("values above 32767 wrapped back to negative HU"))
    counts = count_hu(data)
    if lacks_intercept(counts):
        data = data + np.float32(INTERCEPT_HU)
        counts = count_hu(data)
        remarks.append(Remark(f"missing intercept of {INTERCEPT_HU} applied"))
    if faults := histogram_faults(path, counts):
        raise ImageError(*faults)
    padding = np.count_nonzero(data < PADDING_HU) / data.size
    if padding > NOTED_SHARE:
        words = f"padding below {PADDING_HU} HU raised to it ({padding:.0%} of the voxels)"
        remarks.append(Remark(words))
    return ct.with_data(np.maximum(data, np.float32(PADDING_HU))), remarks


def count_hu(data: NDArray) -> NDArray[np.int_]:
    """How often each whole value occurs: -1024 (and below) first, 3071 (and above) last."""
    step = 1 + data.size // HISTOGRAM_VOXELS
    values = np.clip(data.ravel(order="K")[::step], PADDING_HU, HIGHEST_HU)
    return np.bincount(
        np.rint(values).astype(int) - PADDING_HU, minlength=HIGHEST_HU - PADDING_HU + 1
    )


def lacks_intercept(counts: NDArray[np.int_]) -> bool:
    """Whether all values are 1024 too high for certain: air and tissue must both say so.

    Air must peak near 24 and tissue where the brain would be, with little between the two and
    next to nothing where air belongs.

    Args:
        counts: What `count_hu` gives.
    """
    air, tissue = _peak(counts, -500, 500), _peak(counts, 900, 1200)
    enough = SMALLEST_SHARE * counts.sum()
    brain = _sum(counts, 1024, 1104)
    return bool(
        abs(air - (AIR_HU - INTERCEPT_HU)) <= 60
        and 15 <= tissue + INTERCEPT_HU <= 50
        and _sum(counts, PADDING_HU + 1, -500) < enough
        and brain > enough
        and brain > _sum(counts, 200, 800)
    )


def _sum(counts: NDArray[np.int_], low: int, high: int) -> int:
    return int(counts[low - PADDING_HU : high - PADDING_HU].sum())


def _peak(counts: NDArray[np.int_], low: int, high: int) -> int:
    """The most frequent value in [low, high), of counts smoothed over 11 HU."""
    smooth = ndimage.uniform_filter1d(counts.astype(float), 11, mode="constant")
    return low + int(smooth[low - PADDING_HU : high - PADDING_HU].argmax())


def _unwrap(path: Path, data: NDArray) -> NDArray:
    wrapped = data > np.iinfo(np.int16).max
    signed = np.where(wrapped, data - np.float32(65536), data)
    if signed[wrapped].min() < LOWEST_HU or data.max() > np.iinfo(np.uint16).max:
        raise ImageError(
            Fault(
                str(path),
                f"values up to {data.max():g}",
                EXPECTED,
                "If negative HU wrapped round in unsigned numbers, convert the scan as signed; "
                "otherwise convert the original DICOM series again.",
            )
        )
    return signed


def histogram_faults(path: Path, counts: NDArray[np.int_]) -> list[Fault]:
    """What speaks against Hounsfield units, the first thing only."""
    voxels = counts.sum()
    darkest = PADDING_HU + int(np.searchsorted(np.cumsum(counts), SMALLEST_SHARE * voxels))
    air = _peak(counts, PADDING_HU, -500)
    tissue = _sum(counts, *TISSUE_HU) / voxels
    if darkest > -500:
        found = f"air (the darkest 1 %) at {darkest} HU"
    elif abs(air - AIR_HU) > AIR_TOLERANCE_HU:
        found = f"air at {air} HU"
    elif tissue < SMALLEST_SHARE:
        found = f"{tissue:.1%} of the voxels between {TISSUE_HU[0]} and {TISSUE_HU[1]} HU"
    else:
        return []
    return [
        Fault(
            str(path),
            found,
            EXPECTED,
            "Check that this is a CT, with its rescale slope and intercept applied once and the "
            "whole head in it, neither clipped to a window nor skull-stripped.",
        )
    ]


def coverage_faults(path: Path, ct: Volume, through: int, limits: RawInput) -> list[Fault]:
    """Faults of a stack that holds too little of a head.

    Args:
        path: For the messages.
        ct: CT in HU (x, y, z).
        through: The array axis along which the slices lie.
        limits: How much of the head is needed.
    """
    others = tuple({0, 1, 2} - {through})
    soft = (ct.data > TISSUE_HU[0]) & (ct.data < TISSUE_HU[1])
    voxel_cm2 = ct.voxel_ml * 10.0 / ct.spacing_mm[through]
    shown = np.count_nonzero(soft, axis=others) * voxel_cm2 >= SLICE_CM2
    height_mm = np.count_nonzero(shown) * ct.spacing_mm[through]
    if height_mm < limits.head_mm:
        found = f"a head over {height_mm:.0f} mm ({np.count_nonzero(shown)} slices)"
        expected = f"at least {limits.head_mm:g} mm of it"
    elif not shown.mean() > 0.5:
        found = f"no head in {np.count_nonzero(~shown)} of {len(shown)} slices"
        expected = "a head in most slices"
    else:
        return []
    return [Fault(str(path), found, expected, "Export the whole head series as one volume.")]
