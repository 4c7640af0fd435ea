"""Pairs of scans of real heads: read, a growing bleed drawn in, moved by a known rigid motion."""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from hemexp.preprocess.coarse import coarsen
from hemexp.preprocess.interpolate import average, sigma_voxels
from hemexp.preprocess.masks.files import read_mask
from hemexp.preprocess.raw import RawScan, read_ct, read_raw_scan
from hemexp.preprocess.scans import NativeScan
from hemexp.settings import Preprocess
from hemexp.volumes import Volume, write_volume

VOLUMES_ML = ((5.0, 9.0), (12.0, 25.0), (20.0, 40.0))
"""Of the drawn bleed in both scans, in turn."""

MOTIONS = (
    ((2, 1, -1), (1, 2, 2.5), 0),
    ((7, -4, 6), (6, -5, 8), 12),
    ((12, -8, 10), (15, -10, 12), -20),
)
"""Rotation vector (deg), shift of the brain (mm), tilt of the second scan's slices (deg)."""

RESCAN_MM = (0.9, 0.9, 5.0)
"""Voxel of the second scan."""

FIELD_MM = (260.0, 300.0, 230.0)
"""Field of the second scan: a head with room to move."""

CLOT_HU, NOISE_HU, AIR_HU = 62.0, 4.0, -1000.0
"""Of fresh clot; SD added to both scans where there is more than air; of air."""

LOBES_MM = ((0, 0, 0), (6, 9, 3), (-4, -8, 7))
"""Centres of the bleed's lobes."""


class Head(NamedTuple):
    """One head as the project reads it.

    Attributes:
        name: Of the file.
        number: Chooses volumes, motion and place; the same whichever heads are asked for.
        scan: Without the drawn bleed.
        dicom: Folder that it was read from, if it was DICOM.
    """

    name: str
    number: int
    scan: NativeScan
    dicom: Path | None = None


def read_heads(data: Path, work: Path, settings: Preprocess, names: list[str]) -> Iterator[Head]:
    """Reads the heads below a folder, one at a time.

    Args:
        data: Holds `ge_head/` or `realhead/` or both.
        work: Where DICOM is unpacked.
        settings: Limits of raw scans.
        names: Which to read; all when empty.
    """
    packed = data / "ge_head" / "ge_head.tgz"
    if packed.exists() and (not names or "ge_head" in names):
        with tarfile.open(packed) as archive:
            archive.extractall(work, filter="data")
        folder = next(work.rglob("*.dcm")).parent
        ct, *_ = read_ct(folder, settings.raw)
        nothing = ct.with_data(np.zeros(ct.data.shape, dtype=bool))
        yield Head("ge_head", 0, NativeScan(ct, nothing, nothing), folder)
    for number, path in enumerate(sorted(data.glob("realhead/*/*_ct.nii.gz")), start=1):
        name = path.name.removesuffix("_ct.nii.gz")
        if not names or name in names:
            ct, *_ = read_ct(path, settings.raw)
            masks = (read_mask(path.with_name(f"{name}_{i}.nii.gz")) for i in ("iph", "ivh"))
            bleeds = (mask.with_data(mask.data != 0) for mask in masks)
            yield Head(name, number, NativeScan(ct, *bleeds))


def points_mm(grid: Volume) -> NDArray[np.float32]:
    """RAS mm of every voxel, (x, y, z, 3)."""
    axes = np.float32(grid.affine[:3, :3])
    index = np.indices(grid.data.shape, dtype=np.float32, sparse=True)
    return np.stack(
        [sum(axes[i, j] * index[j] for j in range(3)) + grid.affine[i, 3] for i in range(3)], -1
    )


def choose_place(brain: Volume, blood: NDArray[np.bool_], number: int) -> NDArray[np.float64]:
    """A point deep in the brain, away from the blood that is there, RAS mm."""
    factors = np.maximum(1, np.rint(4.0 / brain.spacing_mm)).astype(int)
    calm = coarsen(brain.with_data(brain.data & ~blood), factors)
    depth_mm = ndimage.distance_transform_edt(calm.data > 0.9, sampling=calm.spacing_mm)
    deep = np.argwhere(depth_mm > 0.8 * depth_mm.max())
    place = deep[np.random.default_rng(number).integers(len(deep))]
    return (calm.affine @ [*place, 1])[:3]


def draw_bleed(
    scan: NativeScan,
    brain: NDArray[np.bool_],
    place_mm: NDArray[np.float64],
    to_head: NDArray[np.float64],
    bleed_ml: float,
    rng: np.random.Generator,
) -> NativeScan:
    """The scan with one more IPH, of as many voxels as its volume asks for, and with noise.

    Args:
        scan: Without the bleed.
        brain: Where blood may lie (x, y, z).
        place_mm: Of the bleed in the head of the first scan, RAS.
        to_head: 4 x 4 RAS mm, takes a point of this scan to the head of the first one.
        bleed_ml: Volume.
        rng: Of the noise.
    """
    where = points_mm(Volume(scan.ct.data, to_head @ scan.ct.affine)) - np.float32(place_mm)
    lobes = (np.sum((where - np.float32(lobe)) ** 2, axis=-1) for lobe in LOBES_MM)
    away = np.where(brain & ~scan.blood, np.minimum.reduce(list(lobes)), np.inf)
    count = round(bleed_ml / scan.ct.voxel_ml)
    bleed = np.zeros(brain.shape, dtype=bool)
    bleed.flat[np.argpartition(away, count, axis=None)[:count]] = True
    noise = rng.normal(0, NOISE_HU, brain.shape) * (scan.ct.data > AIR_HU + 100)
    hu = np.rint(np.maximum(np.where(bleed, CLOT_HU, scan.ct.data) + noise, -1024))
    return NativeScan(
        scan.ct.with_data(hu.astype(np.float32)),
        scan.iph.with_data(scan.iph.data | bleed),
        scan.ivh,
    )


def make_motion(number: int, centre_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """4 x 4 RAS mm: the motion of a number, about the brain's centre."""
    turn_deg, shift_mm, _ = MOTIONS[number % len(MOTIONS)]
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(turn_deg, degrees=True).as_matrix()
    matrix[:3, 3] = centre_mm + shift_mm - matrix[:3, :3] @ centre_mm
    return matrix


def move(scan: NativeScan, motion: NDArray[np.float64]) -> NativeScan:
    """The same voxels, elsewhere."""
    images = (scan.ct, scan.iph, scan.ivh)
    return NativeScan(*(Volume(image.data, motion @ image.affine) for image in images))


def rescan(
    scan: NativeScan, motion: NDArray[np.float64], tilt_deg: float, centre_mm: NDArray[np.float64]
) -> NativeScan:
    """The moved head on tilted, thick slices, blurred to their voxel and interpolated once."""
    shape = np.ceil(np.divide(FIELD_MM, RESCAN_MM)).astype(int)
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("x", tilt_deg, degrees=True).as_matrix() * RESCAN_MM
    affine[:3, 3] = (motion @ [*centre_mm, 1])[:3] - affine[:3, :3] @ ((shape - 1) / 2)
    grid, back = Volume(np.zeros(shape, dtype=bool), affine), np.linalg.inv(motion)
    index = np.linalg.inv(scan.ct.affine) @ back @ affine
    sharp = scan.ct.data - np.float32(AIR_HU)
    blurred = ndimage.gaussian_filter(sharp, sigma_voxels(index[:3, :3]), truncate=3)
    hu = ndimage.affine_transform(
        blurred, index[:3, :3], index[:3, 3], tuple(shape), order=3, mode="grid-constant"
    )
    masks = (average(mask, grid, back) >= 0.5 for mask in (scan.iph, scan.ivh))
    return NativeScan(grid.with_data(hu + np.float32(AIR_HU)), *map(grid.with_data, masks))


def read_back(scan: NativeScan, work: Path, settings: Preprocess) -> RawScan:
    """Writes a scan as a hospital would and reads it through all checks of the project."""
    files = [work / f"{image}.nii" for image in ("ct", "iph", "ivh")]
    for path, image in zip(files, (scan.ct, scan.iph, scan.ivh), strict=True):
        write_volume(path, image.data, image.affine, np.int16 if path.stem == "ct" else np.uint8)
    return read_raw_scan("HEAD", "baseline", *files, settings.raw)
