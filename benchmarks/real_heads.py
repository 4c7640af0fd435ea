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
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydicom
from numpy.typing import NDArray
from real_head_scans import (
    MOTIONS,
    VOLUMES_ML,
    Head,
    choose_place,
    draw_bleed,
    make_motion,
    move,
    points_mm,
    read_back,
    read_heads,
    rescan,
)
from scipy import ndimage

from hemexp.config import load_settings
from hemexp.preprocess.grid import lay_grid
from hemexp.preprocess.interpolate import average, resample_blood
from hemexp.preprocess.raw import RawScan
from hemexp.preprocess.register import register
from hemexp.preprocess.scans import NativeScan
from hemexp.preprocess.skull import delineate_brain
from hemexp.settings import Preprocess
from hemexp.volumes import Volume, volume_ml

BONE_HU, FAT_HU, TISSUE_HU = 200.0, -50.0, (20.0, 50.0)
"""Bone that closes a slice; fat and air, of which a skull above its base holds none; brain tissue
that is no CSF, clot or edge of bone."""


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
    worst_mm = slice_shifts_mm(head.dicom, head.scan.ct).max() if head.dicom else np.nan
    row["tilt_off_mm"] = worst_mm
    return row


def judge_heads(
    data: Path, names: list[str], preset: str = "full"
) -> Iterator[dict[str, str | float]]:
    """One row a head, as it is done; see `judge_head`."""
    settings = load_settings({"preset": preset}).preprocess
    with tempfile.TemporaryDirectory() as folder:
        for head in read_heads(data, Path(folder), settings, names):
            yield judge_head(head, Path(folder), settings)


def main() -> None:
    """Prints the table, a row at a time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--heads", nargs="*", default=[])
    parser.add_argument("--preset", default="full")
    args = parser.parse_args()
    for number, row in enumerate(judge_heads(args.data, args.heads, args.preset)):
        if number == 0:
            print(f"{'head':16s}", *(key for key in row if key != "head"), sep="  ")
        cells = (f"{value:{len(key)}.4f}" for key, value in row.items() if key != "head")
        print(f"{row['head']:16s}", *cells, sep="  ", flush=True)


if __name__ == "__main__":
    main()
