"""DICOM series whose truth is known: the head, or a ramp whose values are places in mm."""

import numpy as np
from tiny_head import SHAPE, head, series_places, write_series

FIRST = np.array([-88.0, -97.0, -70.0])
EVEN = np.arange(SHAPE[2]) * 7.0
UNEVEN = np.r_[np.arange(12) * 5.0, 55 + np.arange(1, 13) * 7.0]
RAMP_STEP_MM = 0.02


def draw(folder, heights=EVEN, tilt_deg=0.0, **facts):
    """Writes the head as a series; returns HU and places (RAS mm) as DICOM orders them."""
    positions = FIRST + np.outer(heights, (0, 0, 1))
    where = series_places((*SHAPE[:2], len(positions)), positions, tilt_deg)
    hu = np.rint(head(where)[0])
    write_series(folder, hu, positions, **(tilt_facts(tilt_deg) | facts))
    return hu, where


def tilt_facts(tilt_deg):
    """How a series says its gantry's tilt; nothing where there is none."""
    turn = np.deg2rad(tilt_deg)
    axes = [1, 0, 0, 0, float(np.cos(turn)), float(np.sin(turn))]
    return {"GantryDetectorTilt": tilt_deg, "ImageOrientationPatient": axes} if tilt_deg else {}


def draw_ramp(folder, direction, positions, tilt_deg=0.0, **facts):
    """Writes a series whose values are mm along a direction (RAS); returns the places."""
    where = series_places((*SHAPE[:2], len(positions)), positions, tilt_deg)
    scale = {"RescaleSlope": RAMP_STEP_MM, "RescaleIntercept": -300}
    write_series(folder, where @ direction, positions, **(tilt_facts(tilt_deg) | scale | facts))
    return where


def misplaced_mm(volume, direction, where):
    """Largest distance between where an image shows a ramp of `draw_ramp` and where it is.

    Of the voxels a row and a column inside the slices: interpolation does a ramp no harm.
    """
    index = np.moveaxis(np.indices(volume.data.shape), 0, -1)
    places = index @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    column, row = where[1, 0, 0] - where[0, 0, 0], where[0, 1, 0] - where[0, 0, 0]
    normal = np.cross(column, row) / np.linalg.norm(np.cross(column, row))
    heights = where[0, 0] @ normal
    order = np.argsort(heights)
    height = places @ normal
    firsts = [np.interp(height, heights[order], where[0, 0, order, axis]) for axis in range(3)]
    away = places - np.stack(firsts, axis=-1)
    inside = (height >= heights.min() - 1e-6) & (height <= heights.max() + 1e-6)
    for axis, count in ((column, where.shape[0]), (row, where.shape[1])):
        steps = away @ axis / (axis @ axis)
        inside &= (steps >= 1) & (steps <= count - 2)
    assert np.count_nonzero(inside) > 0.8 * where[..., 0].size
    return float(np.abs(volume.data - places @ direction)[inside].max())
