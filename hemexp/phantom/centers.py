"""The centres of the phantom: scanner grid, noise, pose, and how heads move between scans."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from hemexp import Fault, HemexpError

FIELD_MM = (204.0, 236.0, 178.0)
"""Field of view along the scanner's axes: a head of any pose below, with air around it."""

HEAD_CENTER_MM = (0.0, 0.0, 12.0)
"""Centre of the field of view in head coordinates; heads rotate about it."""

MOTION_DEG, MOTION_MM = 8.0, 10.0
"""Largest rotation and shift of the head between the two scans."""


@dataclass(frozen=True)
class Center:
    """A centre's scanner and habits.

    Attributes:
        name: Letter of the centre, the first letter of its patients' ids.
        in_plane_mm: Pixel size before `spacing_factor`.
        slice_mm: Distance between slices.
        axis_signs: Direction of the array axes in RAS: (-1, 1, 1) stores the patient's left last.
        pitch_deg: Rotation of the scanner's grid about the left-right axis (an oblique affine).
        offset_mm: Where the centre of the field lies in scanner coordinates.
        noise_hu: SD of the noise.
        tilt_deg: SD of the head's tilt about each axis at baseline.
        kernel: Correlation of its noise in the plane, in pixels (`scan.draw_noise`).
        outlines: How its masks are drawn, a key of `outlines.OUTLINES`.
    """

    name: str
    in_plane_mm: float
    slice_mm: float
    axis_signs: tuple[int, int, int]
    pitch_deg: float
    offset_mm: tuple[float, float, float]
    noise_hu: float
    tilt_deg: float
    kernel: float = 0.6
    outlines: str = "exact"


CENTERS = {
    center.name: center
    for center in (
        Center("A", 0.90, 5.0, (1, 1, 1), 0.0, (0.0, 0.0, 0.0), 3.5, 2.0),
        Center("B", 0.84, 4.0, (-1, 1, 1), 0.0, (4.0, -22.0, 30.0), 4.0, 3.0),
        Center("C", 0.90, 3.0, (1, 1, 1), 14.0, (-6.0, 10.0, -15.0), 5.0, 3.0),
        Center("D", 0.80, 5.0, (-1, -1, 1), 0.0, (0.0, 15.0, 20.0), 4.5, 4.0),
    )
}


CLINICAL_CENTERS = {
    "A": replace(CENTERS["A"], outlines="smoothed"),
    "B": replace(CENTERS["B"], outlines="wide"),
    "C": replace(CENTERS["C"], outlines="thresholded"),
    "D": replace(CENTERS["D"], slice_mm=6.5, noise_hu=6.0, kernel=0.35, outlines="hasty"),
}
"""The centres of the clinical world: the test centre has its own kernel and slices."""


def find_center(name: str, centers: Mapping[str, Center] = CENTERS) -> Center:
    """Returns a centre by its letter.

    Args:
        name: The letter.
        centers: Those of the world.

    Raises:
        HemexpError: There is no such centre.
    """
    if name not in centers:
        raise HemexpError(
            Fault("phantom, center", repr(name), f"one of {', '.join(centers)}", "Correct it.")
        )
    return centers[name]


def scanner_grid(
    center: Center, spacing_factor: float
) -> tuple[tuple[int, int, int], NDArray[np.float64]]:
    """Shape and affine (voxel index to RAS mm) of a centre's scans."""
    pixel_mm = center.in_plane_mm * spacing_factor
    spacing_mm = np.array([pixel_mm, pixel_mm, center.slice_mm])
    shape = np.ceil(np.array(FIELD_MM) / spacing_mm).astype(int)
    rotation = rotation_matrix(np.array([center.pitch_deg, 0.0, 0.0]))
    affine = np.eye(4)
    affine[:3, :3] = rotation * (spacing_mm * np.array(center.axis_signs))
    affine[:3, 3] = np.array(center.offset_mm) - affine[:3, :3] @ ((shape - 1) / 2)
    return tuple(shape.tolist()), affine


def rotation_matrix(angles_deg: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation by angles about the fixed x, then y, then z axis; shape (3, 3)."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(np.radians(angles_deg)), np.sin(np.radians(angles_deg))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def draw_pose(center: Center, rng: Generator) -> NDArray[np.float64]:
    """How the head lies at baseline: 4 x 4, head coordinates to scanner coordinates (mm)."""
    angles = np.clip(rng.normal(0, center.tilt_deg, 3), -2 * center.tilt_deg, 2 * center.tilt_deg)
    shift = np.array(center.offset_mm) + rng.uniform(-4, 4, 3)
    return _about(np.array(HEAD_CENTER_MM), rotation_matrix(angles), shift)


def draw_motion(pose: NDArray[np.float64], rng: Generator) -> NDArray[np.float64]:
    """Head motion: 4 x 4, a baseline scanner point to the follow-up scanner point (RAS mm).

    A rotation of at most `MOTION_DEG` about any axis through the head and a shift of at most
    `MOTION_MM`.
    """
    axis, direction = rng.normal(size=(2, 3))
    angle = rng.uniform(-1, 1) * np.radians(MOTION_DEG)
    axis /= np.linalg.norm(axis)
    cross = np.cross(np.eye(3), -axis)
    rotation = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    shift = direction / np.linalg.norm(direction) * rng.uniform(0, MOTION_MM)
    middle = pose[:3, :3] @ HEAD_CENTER_MM + pose[:3, 3]
    return _about(middle, rotation, middle + shift)


def _about(
    middle: NDArray[np.float64], rotation: NDArray[np.float64], goal: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The rigid matrix that rotates about `middle` and carries it to `goal`."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = goal - rotation @ middle
    return matrix


def rotation_angle_deg(matrix: NDArray[np.float64]) -> float:
    """Angle of a rigid matrix's rotation."""
    return float(np.degrees(np.arccos(np.clip((np.trace(matrix[:3, :3]) - 1) / 2, -1, 1))))
