"""Real heads with a drawn bleed that grows, moved by a known rigid motion: what is lost or moved.

    python benchmarks/real_heads.py DATA [--heads ge_head A000_baseline ...] [--preset full]

DATA holds `ge_head/ge_head.tgz` (one head as tilted DICOM slices) and `realhead/*/*_ct.nii.gz`
with the masks beside them; either may be missing. The second scan of a head is made twice:

- `moved`: the same voxels under a header that is moved. The truth is exact, the slices are alike.
- `rescanned`: the moved head on other, tilted slices of 5 mm. They are interpolated once, by cubic
  splines: linear interpolation between slices of 5 mm would itself move the skull by 0.05 mm.

Both have noise of their own. An error is the distance, over the brain, between where the found and
the true motion take a point.
"""

import argparse
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pydicom
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from hemexp.config import load_settings
from hemexp.preprocess.coarse import coarsen
from hemexp.preprocess.grid import lay_grid
from hemexp.preprocess.interpolate import average, resample_blood, sigma_voxels
from hemexp.preprocess.masks import read_mask
from hemexp.preprocess.raw import RawScan, read_ct, read_raw_scan
from hemexp.preprocess.register import register
from hemexp.preprocess.scans import NativeScan
from hemexp.preprocess.skull import delineate_brain
from hemexp.settings import Preprocess
from hemexp.volumes import Volume, volume_ml, write_volume

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

CLOT_HU, NOISE_HU, AIR_HU = 62.0, 4.0, -900.0
"""Of fresh clot; SD added to both scans; below it is air, without noise."""

LOBES_MM = ((0, 0, 0), (6, 9, 3), (-4, -8, 7))
"""Centres of the bleed's lobes."""

BONE_HU, FAT_HU, TISSUE_HU = 200.0, -50.0, (20.0, 50.0)
"""Bone that closes a slice; fat and air, of which a skull above its base holds none; brain tissue
that is no CSF, clot or edge of bone."""


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
        ct, _ = read_ct(folder, settings.raw)
        nothing = ct.with_data(np.zeros(ct.data.shape, dtype=bool))
        yield Head("ge_head", 0, NativeScan(ct, nothing, nothing), folder)
    for number, path in enumerate(sorted(data.glob("realhead/*/*_ct.nii.gz")), start=1):
        name = path.name.removesuffix("_ct.nii.gz")
        if not names or name in names:
            ct, _ = read_ct(path, settings.raw)
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
    noise = rng.normal(0, NOISE_HU, brain.shape) * (scan.ct.data > AIR_HU)
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


def judge_volume(
    drawn: NativeScan,
    raw: RawScan,
    reference: Volume,
    motion: NDArray[np.float64],
    settings: Preprocess,
) -> dict[str, float]:
    """How much the IPH's volume changes when it is read, and on the grid.

    Args:
        drawn: The scan that was written.
        raw: The same as the project reads it.
        reference: Brain of the first scan, on which the grid lies.
        motion: 4 x 4 RAS mm, as found: takes a point of the first scan to this one.
        settings: Of the grid.

    Returns:
        `volume_off_ml` and `grid_change`, a share; both without sign.
    """
    grid = lay_grid(reference, settings.grid)
    iph, _ = resample_blood(raw.scan.iph, raw.scan.ivh, grid, motion)
    return {
        "volume_off_ml": abs(raw.iph_ml - volume_ml(drawn.iph)),
        "grid_change": abs(volume_ml(grid.with_data(iph)) / raw.iph_ml - 1),
    }


def judge_strip(scan: NativeScan, brain: NDArray[np.bool_]) -> dict[str, float]:
    """What the mask loses of the blood and of the brain, and what it holds outside the skull.

    The reference needs no mask: above the base, what bone encloses in a slice is the brain's. A
    slice counts as above the base when that holds no fat and no air (no orbit, no sinus).

    Returns:
        `blood_lost`, `brain_lost` and `outside`, shares; `judged_ml`, the brain in those slices.
    """
    through = int(np.argmax(np.abs(scan.ct.affine[2, :3] / scan.ct.spacing_mm)))
    hu, mask, blood = (np.moveaxis(i, through, 2) for i in (scan.ct.data, brain, scan.blood))
    inside, counted = np.zeros(hu.shape, dtype=bool), np.zeros(hu.shape[2], dtype=bool)
    for z in range(hu.shape[2]):
        bone = ndimage.binary_closing(hu[..., z] > BONE_HU, iterations=3)
        inside[..., z] = ndimage.binary_opening(
            ndimage.binary_fill_holes(bone) & ~bone, iterations=3
        )
        ml = inside[..., z].sum() * scan.ct.voxel_ml / scan.ct.spacing_mm[through]
        strange = np.mean(hu[..., z][inside[..., z]] < FAT_HU) if ml else 1.0
        counted[z] = ml > 3 and strange < 0.001  # 3 mL a mm of slice: 30 cm2
    tissue = inside & (hu > TISSUE_HU[0]) & (hu < TISSUE_HU[1]) & counted
    head = ndimage.binary_dilation(inside, ndimage.generate_binary_structure(2, 1)[..., None], 5)
    return {
        "blood_lost": float(np.mean(~mask[blood])),
        "brain_lost": float(np.mean(~mask[tissue])),
        "outside": float((mask & ~head & counted).sum() / (mask & counted).sum()),
        "judged_ml": float(tissue.sum()) * scan.ct.voxel_ml,
    }


def slice_shifts_mm(folder: Path, ct: Volume) -> NDArray[np.float64]:
    """How far the image that was read lies from each DICOM slice, within the slice.

    The slice's own header says where each pixel is, tilt and distances included. The image is
    taken there, and the shift is the one that explains the difference best (Lucas and Kanade).

    Args:
        folder: Of the DICOM slices.
        ct: What the project made of them.
    """
    to_index, shifts = np.linalg.inv(ct.affine), []
    for path in sorted(folder.glob("*.dcm")):
        plane = pydicom.dcmread(path)
        right, down = np.reshape(plane.ImageOrientationPatient, (2, 3)).astype(float)
        step_mm = np.array(plane.PixelSpacing, dtype=float)
        row, column = (
            np.indices((plane.Rows, plane.Columns))[..., None] * step_mm[:, None, None, None]
        )
        lps = np.array(plane.ImagePositionPatient, dtype=float) + column * right + row * down
        index = (lps * (-1, -1, 1)) @ to_index[:3, :3].T + to_index[:3, 3]
        read = ndimage.map_coordinates(ct.data, np.moveaxis(index, -1, 0), order=1, mode="nearest")
        said = plane.pixel_array * float(plane.RescaleSlope) + float(plane.RescaleIntercept)
        read, said = (np.clip(hu, -200, 1200) for hu in (read, said))
        slopes = np.gradient((read + said) / 2, *step_mm)
        change = np.stack([slope.ravel() for slope in slopes], 1)
        shifts.append(np.linalg.lstsq(change, (read - said).ravel(), rcond=None)[0])
    return np.linalg.norm(shifts, axis=1)


class First(NamedTuple):
    """The first scan of a head, as read.

    Attributes:
        brain: As placed: of the head before the bleed was drawn.
        place_mm: Of the drawn bleed, RAS.
        scan: With the bleed.
        found: Its brain mask, as the skull strip finds it.
    """

    brain: Volume
    place_mm: NDArray[np.float64]
    scan: NativeScan
    found: Volume


def judge_second(
    scan: NativeScan,
    first: First,
    motion: NDArray[np.float64],
    number: int,
    work: Path,
    settings: Preprocess,
) -> dict[str, float]:
    """What becomes of the second scan.

    Returns:
        `mean_mm`, `worst_mm` and `cpu_s` of the registration, `blood_lost` of the skull strip,
        `brain_change` (relative to the first scan's mask) and what `judge_volume` returns.
    """
    to_head, rng = np.linalg.inv(motion), np.random.default_rng([number, 2])
    bleed_ml = VOLUMES_ML[number % len(VOLUMES_ML)][1]
    inside = average(first.brain, scan.ct, to_head) >= 0.5
    drawn = draw_bleed(scan, inside, first.place_mm, to_head, bleed_ml, rng)
    raw = read_back(drawn, work, settings)
    brain = delineate_brain(raw.scan, settings.skull_strip)
    started = time.process_time()
    fit = register(first.scan, first.found.data, raw.scan, brain, settings.registration)
    cpu_s = time.process_time() - started
    apart = (fit.matrix - motion)[:3]
    points = points_mm(first.found)[first.found.data]
    errors_mm = np.linalg.norm(points @ apart[:, :3].T + apart[:, 3], axis=1)
    return {
        "mean_mm": errors_mm.mean(),
        "worst_mm": errors_mm.max(),
        "cpu_s": cpu_s,
        "blood_lost": float(np.mean(~brain[raw.scan.blood])),
        "brain_change": volume_ml(drawn.ct.with_data(brain)) / volume_ml(first.found) - 1,
        **judge_volume(drawn, raw, first.found, fit.matrix, settings),
    }


def judge_head(head: Head, work: Path, settings: Preprocess) -> dict[str, str | float]:
    """One row: what becomes of a head's two scans, the second made in both ways.

    Losses and changes of volume are the worst of the three scans; `brain_change` is that of the
    rescanned one, `cpu_s` of its registration.
    """
    strip, number, stand = settings.skull_strip, head.number, np.eye(4)
    brain = head.scan.ct.with_data(delineate_brain(head.scan, strip))
    centre_mm = points_mm(brain)[brain.data].mean(0, dtype=np.float64)
    place_mm = choose_place(brain, head.scan.blood, number)
    motion, tilt_deg = make_motion(number, centre_mm), MOTIONS[number % len(MOTIONS)][2]
    bleed_ml, rng = VOLUMES_ML[number % len(VOLUMES_ML)][0], np.random.default_rng([number, 1])
    drawn = draw_bleed(head.scan, brain.data, place_mm, stand, bleed_ml, rng)
    raw = read_back(drawn, work, settings)
    found = drawn.ct.with_data(delineate_brain(raw.scan, strip))
    first = First(brain, place_mm, raw.scan, found)
    own = judge_strip(raw.scan, found.data) | judge_volume(drawn, raw, found, stand, settings)
    seconds = {
        "moved": move(head.scan, motion),
        "rescanned": rescan(head.scan, motion, tilt_deg, centre_mm),
    }
    judged = {
        name: judge_second(scan, first, motion, number, work, settings)
        for name, scan in seconds.items()
    }
    row = {"head": head.name, "slice_mm": drawn.ct.spacing_mm.max(), **own}
    for key in ("blood_lost", "volume_off_ml", "grid_change"):
        row[key] = max(part[key] for part in (own, *judged.values()))
    row |= {key: judged["rescanned"][key] for key in ("brain_change", "cpu_s")}
    for name, part in judged.items():
        row |= {f"{name}_{key}": part[key] for key in ("mean_mm", "worst_mm")}
    if head.dicom:
        row["tilt_off_mm"] = slice_shifts_mm(head.dicom, head.scan.ct).max()
    return row


def judge_heads(data: Path, names: list[str], preset: str = "full") -> pd.DataFrame:
    """One row a head; see `judge_head`."""
    settings = load_settings({"preset": preset}).preprocess
    with tempfile.TemporaryDirectory() as folder:
        heads = read_heads(data, Path(folder), settings, names)
        return pd.DataFrame([judge_head(head, Path(folder), settings) for head in heads])


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--heads", nargs="*", default=[])
    parser.add_argument("--preset", default="full")
    args = parser.parse_args()
    print(judge_heads(args.data, args.heads, args.preset).round(4).to_string(index=False))


if __name__ == "__main__":
    main()
