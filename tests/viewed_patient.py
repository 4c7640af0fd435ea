"""A tiny patient to look at: a bleed on the left, a bright voxel, axes that run the other way."""

import numpy as np
import pandas as pd

from hemexp.layout import Layout
from hemexp.preprocess.transforms import write_transform
from hemexp.volumes import Volume, write_volume

PATIENT = "P1"
NATIVE = (40, 48, 12)
GRID = (26, 30, 11)
SPACING_MM, GRID_MM = (4.0, 4.0, 12.0), (6.0, 6.0, 13.0)
BLEED_MM = (-36.0, 20.0, 6.0)
"""Centre of the bleed, RAS mm: the patient's left."""

BRIGHT_MM = (42.0, -38.0, 6.0)
"""Of the bright spot, right and behind, in the slices of the bleed."""

ORDER = [3, 0, 4, 1, 2]
"""Samples from the smallest to the largest."""

RADII_MM = {3: 14, 0: 17, 4: 20, 1: 24, 2: 30}


def lattice(shape, spacing_mm, flip):
    """An empty volume about the origin; x and y run to the left and back where flipped."""
    steps = np.array(spacing_mm) * [flip, flip, 1]
    affine = np.diag([*steps, 1.0])
    affine[:3, 3] = -steps * (np.array(shape) - 1) / 2
    return Volume(np.zeros(shape), affine)


def distance_mm(volume, centre_mm, stretch=(1, 1, 1)):
    """Of every voxel to a point; a stretched axis counts less."""
    index = np.indices(volume.data.shape).reshape(3, -1)
    places = (volume.affine[:3, :3] @ index).T + volume.affine[:3, 3]
    length = np.linalg.norm((places - centre_mm) / stretch, axis=1)
    return length.reshape(volume.data.shape)


def iph_ml(radius_mm):
    """What the tables say of a sample."""
    return round(4.19 * radius_mm**3 / 1000, 3)


def draw(volume, radius_mm, skull):
    """CT, IPH, IVH and brain about the origin: 35 HU, blood 70, the spot 100, bone around."""
    head = distance_mm(volume, (0, 0, 0), (70, 84, 62))
    brain, iph = head <= 1, distance_mm(volume, BLEED_MM) <= radius_mm
    ivh = distance_mm(volume, (4, -8, 6)) <= 9
    ct = np.where(brain, 35.0, 0.0) + 35 * iph + 25 * (ivh & ~iph)
    spot = distance_mm(volume, BRIGHT_MM)
    ct[np.unravel_index(spot.argmin(), spot.shape)] = 100
    ct[(head > 1) & skull] = np.where(head[(head > 1) & skull] < 1.2, 900, -1000)
    return ct, iph, ivh & ~iph, brain


def write_scan(files, volume, radius_mm, skull):
    """A scan as preprocessing leaves it."""
    for path, data in zip(files.images, draw(volume, radius_mm, skull), strict=True):
        kind = "int16" if path == files.ct else "uint8"
        write_volume(path, data, volume.affine, kind)


def write_patient(root, followup=True, samples=True):
    """All that the viewer reads of the patient."""
    layout = Layout(root)
    native, grid = lattice(NATIVE, SPACING_MM, -1), lattice(GRID, GRID_MM, 1)
    for session in ("baseline", "followup")[: 1 + followup]:
        files = layout.native(PATIENT, session)
        write_scan(files, native, 16, skull=True)
        row = {"iph_ml": iph_ml(16), "ivh_ml": 3.0}
        pd.DataFrame([row]).to_csv(files.volumes, sep="\t", index=False)
    write_scan(layout.grid(PATIENT, "baseline"), grid, 16, skull=False)
    write_transform(layout.pair(PATIENT).transform, np.eye(4), np.zeros(3))
    if samples:
        write_samples(layout, grid)
    return layout


def write_samples(layout, grid):
    """Five drawn follow-ups, not in the order of their volumes, and their map."""
    share = np.zeros(GRID)
    for k, radius_mm in RADII_MM.items():
        ct, iph, ivh, _ = draw(grid, radius_mm, skull=False)
        files = layout.sample(PATIENT, k)
        write_volume(files.ct, ct, grid.affine, "int16")
        write_volume(files.labels, iph + 2 * ivh, grid.affine, "uint8")
        share += iph & (distance_mm(grid, BLEED_MM) > 16)
    write_volume(layout.sample_map(PATIENT, "expansion"), share / 5, grid.affine, "float32")
    rows = [
        {"sample": k, "kept": 1, "iph_ml": iph_ml(mm), "ivh_ml": 3.0, "midline_shift_mm": 0.1 * k}
        for k, mm in sorted(RADII_MM.items())
    ]
    pd.DataFrame(rows).to_csv(layout.sample_volumes(PATIENT), sep="\t", index=False)
