"""What the headers of a series lack or show: faults, and remarks for the quality control."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hemexp import Fault
from hemexp.preprocess.dicom.geometry import Stack, find_gaps, same_heights
from hemexp.preprocess.dicom.headers import PLACES, SCALES, Series, Slice
from hemexp.preprocess.remarks import Remark
from hemexp.volumes import ImageError

RIGHT_ANGLE = 1e-3
"""Direction cosines are unit vectors at right angles within this: DICOM writes 4 digits."""

LEVEL_HU = 300
"""The air of two slices differs by less; a wrong intercept moves it by 1000 or more."""

AIR_PERCENTILE = 10
"""At this percentile a slice of a head shows the air around it."""

AGAIN = "Export the series again from the archive, whole and not anonymised by hand."


def place_faults(path: Path, series: Series) -> list[Fault]:
    """Attributes without which nobody knows where a slice lies, or that are no directions."""
    faults = []
    for name, length in zip(PLACES, (3, 6, 2), strict=True):
        lacking = [each for each in series.slices if len(each.place[name] or ()) != length]
        if lacking:
            faults.append(_lacks(path, series, name, lacking, "it, to place each slice"))
    if not faults:
        axes = np.reshape(series.slices[0].place["ImageOrientationPatient"], (2, 3))
        if np.abs(axes @ axes.T - np.eye(2)).max() > RIGHT_ANGLE:
            found = f"an ImageOrientationPatient of {np.round(axes, 4).ravel().tolist()}"
            faults.append(Fault(str(path), found, "two unit vectors at right angles", AGAIN))
    return faults


def scale_faults(path: Path, series: Series) -> list[Fault]:
    """Slices without the scale that others of the series have."""
    faults = []
    for name in SCALES:
        lacking = [each for each in series.slices if each.scale[name] is None]
        if 0 < len(lacking) < len(series.slices):
            faults.append(_lacks(path, series, name, lacking, "it in all files, or in none"))
    return faults


def _lacks(path: Path, series: Series, name: str, of: Sequence[Slice], expected: str) -> Fault:
    found = (
        f"no {name} in {len(of)} of {len(series.slices)} slices of series {series.number}, "
        f"such as {of[0].path.name}"
    )
    return Fault(str(path), found, expected, AGAIN)


def stack_of(series: Series) -> Stack:
    """The slices of a series by height; its `place_faults` must be none."""
    to_ras = np.array([-1, -1, 1])
    between_rows, between_columns = series.slices[0].place["PixelSpacing"]
    axes = np.reshape(series.slices[0].place["ImageOrientationPatient"], (2, 3)) * to_ras
    normal = np.cross(*axes)
    normal /= np.linalg.norm(normal)
    positions = [each.place["ImagePositionPatient"] for each in series.slices] * to_ras
    order = np.argsort(positions @ normal, kind="stable")
    steps = axes * [[between_columns], [between_rows]]
    return Stack(positions[order], steps, normal, order)


def height_faults(path: Path, series: Series, stack: Stack) -> list[Fault]:
    """Slices that were taken, or reconstructed, twice at one place."""
    twice = same_heights(stack.heights_mm)
    if not len(twice):
        return []
    names = [series.slices[stack.order[k]].path.name for k in (twice[0] - 1, twice[0])]
    found = (
        f"{len(twice)} slices of series {series.number} at the place of another, "
        f"such as {names[0]} and {names[1]}"
    )
    cure = "Keep one reconstruction of one time point in the folder."
    return [Fault(str(path), found, "each slice once", cure)]


def gap_remarks(series: Series, stack: Stack) -> list[Remark]:
    """Slices that are missing, and a stack that jumps sideways."""
    numbers = [series.slices[k].instance for k in stack.order]
    instances = np.array([np.nan if n is None else n for n in numbers], dtype=float)
    heights, remarks = stack.heights_mm, []
    for k, count in find_gaps(heights, instances):
        words = (
            f"{count} slice{'s' * (count > 1)} missing: a gap of {np.diff(heights)[k]:.3g} mm "
            f"between z = {stack.positions[k][2]:.4g} and {stack.positions[k + 1][2]:.4g} mm, "
            "filled between its neighbours"
        )
        remarks.append(Remark(words, doubtful=True))
    if stack.is_bent:
        remarks.append(Remark("slices that do not lie along one line", doubtful=True))
    return remarks


def scale_remarks(
    path: Path, series: Series, stack: Stack, data: NDArray[np.float32]
) -> list[Remark]:
    """What is to be said of slices whose rescale slope or intercept differ.

    Args:
        path: For the messages.
        series: Its slices in any order.
        stack: Their order in `data`.
        data: HU (x, y, slice), each slice with its own slope and intercept applied.

    Raises:
        ImageError: Air lies at another level where the intercept is another.
    """
    scales = [tuple(series.slices[k].scale.values()) for k in stack.order]
    kinds = sorted(set(scales), key=lambda kind: -scales.count(kind))
    if len(kinds) == 1:
        return []
    air = np.percentile(data.reshape(-1, data.shape[2]), AIR_PERCENTILE, axis=0)
    levels = [np.median(air[[scale == kind for scale in scales]]) for kind in kinds]
    odd = [k for k, scale in enumerate(scales) if scale != kinds[0]]
    low, high = sorted((stack.positions[odd[0]][2], stack.positions[odd[-1]][2]))
    said = " and ".join(f"{slope:g} / {intercept:g}" for slope, intercept in kinds[:3])
    found = (
        f"rescale slope and intercept that change between slices ({said}; {len(odd)} slices "
        f"between z = {low:.4g} and {high:.4g} mm differ)"
    )
    if np.ptp(levels) > LEVEL_HU:
        told = f"{found}, and air at {' and '.join(f'{level:.0f}' for level in levels[:3])} HU"
        raise ImageError(Fault(str(path), told, "air at one level in all slices", AGAIN))
    return [Remark(found, doubtful=True)]
