"""Rigid registration against known motion: point error over the brain, and CPU time against ANTs.

Phantom heads are drawn twice: on the scanners of two unlike centres, turned and moved by a known
motion of up to 15 degrees and 20 mm, with a bleed that grew. ANTs (`pip install antspyx`) is no
dependency of hemexp; where it is missing, hemexp's own figures are printed alone. Then pairs of
two patients are registered, which must be told from pairs of one.

    python benchmarks/registration.py [--pairs 14] [--spacing-factor 1] [--preset full]

CPU time is that of the whole call: reduction of the images, all levels, and for ANTs the warped
images it always makes. Ratios hold for one run on one machine; seconds do not travel.
"""

import argparse
import importlib.util
import os
import time
from typing import NamedTuple

# Read by ITK when it is loaded; both sides run on one thread.
os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hemexp.config import load_settings
from hemexp.phantom.bleed import draw_direction, draw_shape
from hemexp.phantom.centers import HEAD_CENTER_MM, draw_pose, find_center, scanner_grid
from hemexp.phantom.head import draw_head
from hemexp.phantom.model import OEDEMA_MM, draw_case, generator
from hemexp.phantom.scan import take_scan
from hemexp.phantom.tissue import Session
from hemexp.preprocess.fit import HU_RANGE
from hemexp.preprocess.register import RigidFit, beyond_limits, register
from hemexp.preprocess.scans import NativeScan
from hemexp.preprocess.skull import delineate_brain
from hemexp.preprocess.transforms import LPS
from hemexp.settings import Preprocess
from hemexp.volumes import ImageError, Volume

SEED = 7

CASES = {
    "15 deg about x": ("AB", (15, 0, 0), (0, 0, 0)),
    "-15 deg about x": ("BC", (-15, 0, 0), (0, 0, 0)),
    "15 deg about y": ("AC", (0, 15, 0), (0, 0, 0)),
    "-15 deg about y": ("DB", (0, -15, 0), (0, 0, 0)),
    "15 deg about z": ("CD", (0, 0, 15), (0, 0, 0)),
    "-15 deg about z": ("BA", (0, 0, -15), (0, 0, 0)),
    "20 mm along x": ("AD", (0, 0, 0), (20, 0, 0)),
    "20 mm along y": ("CA", (0, 0, 0), (0, -20, 0)),
    "20 mm up": ("AB", (0, 0, 0), (0, 0, 20)),
    "20 mm down": ("DC", (0, 0, 0), (0, 0, -20)),
    "15 deg x, 20 mm up": ("AC", (15, 0, 0), (0, 0, 20)),
    "15 deg y, 20 mm right": ("DA", (0, -15, 0), (20, 0, 0)),
    "15 deg z, 20 mm back": ("CB", (0, 0, 15), (0, -20, 0)),
    "15 deg oblique, 20 mm oblique": ("BA", (8.7, -8.7, 8.7), (11.5, 11.5, -11.5)),
}
"""Centre of the fixed and the moving scan, rotation vector (deg), shift (mm)."""

GROWTH_ML = (6.0, 15.0, 30.0)
"""How much the bleeds grow, in turn."""


class Pair(NamedTuple):
    """Two scans of one head, and what is known of them.

    Attributes:
        name: What the motion is.
        fixed: The baseline.
        fixed_brain: Its brain mask, as the skull strip finds it.
        moving: The follow-up.
        moving_brain: Its brain mask.
        truth: 4 x 4, RAS mm: takes a fixed point to the moving point.
        points_mm: True brain voxels of the fixed scan, RAS mm, (n, 3).
    """

    name: str
    fixed: NativeScan
    fixed_brain: NDArray[np.bool_]
    moving: NativeScan
    moving_brain: NDArray[np.bool_]
    truth: NDArray[np.float64]
    points_mm: NDArray[np.float64]


def draw_pair(
    name: str, number: int, settings: Preprocess, spacing_factor: float, patient_id: str = ""
) -> Pair:
    """Draws both scans of one head.

    Args:
        name: Key of `CASES`.
        number: Chooses the growth, and the patient where none is named.
        settings: Of the skull strip.
        spacing_factor: Multiplies the in-plane voxel size of both scanners.
        patient_id: Whose head to draw.
    """
    letters, turn_deg, shift_mm = CASES[name]
    patient_id = patient_id or f"R{number:02d}"
    growth_ml = GROWTH_ML[number % len(GROWTH_ML)]
    case = draw_case(SEED, patient_id)
    head, bleed = draw_head(SEED, patient_id, case.age), draw_shape(SEED, case)
    centers = [find_center(letter) for letter in letters]
    grids = [scanner_grid(center, spacing_factor) for center in centers]
    rng = generator(SEED, patient_id, "pair", name)
    pose = draw_pose(centers[0], rng)
    middle = pose[:3, :3] @ HEAD_CENTER_MM + pose[:3, 3]
    goal = middle + np.subtract(centers[1].offset_mm, centers[0].offset_mm) + shift_mm
    truth = np.eye(4)
    truth[:3, :3] = Rotation.from_rotvec(turn_deg, degrees=True).as_matrix()
    truth[:3, 3] = goal - truth[:3, :3] @ middle
    first = Session(pose, case.baseline_iph_ml, OEDEMA_MM[0])
    one = take_scan(head, bleed, first, grids[0], centers[0].noise_hu, rng)
    later = Session(
        truth @ pose,
        case.baseline_iph_ml + growth_ml,
        OEDEMA_MM[2],
        one.extent,
        draw_direction(bleed, rng),
    )
    other = take_scan(head, bleed, later, grids[1], centers[1].noise_hu, rng)
    scans, brains = [], []
    for drawn, (_, affine) in zip((one, other), grids, strict=True):
        ct = Volume(drawn.ct.astype(np.float32), affine)
        scans.append(NativeScan(ct, ct.with_data(drawn.iph > 0), ct.with_data(drawn.ivh > 0)))
        brains.append(_find_brain(scans[-1], drawn.brain > 0, settings))
    points_mm = np.argwhere(one.brain) @ grids[0][1][:3, :3].T + grids[0][1][:3, 3]
    return Pair(name, scans[0], brains[0], scans[1], brains[1], truth, points_mm)


def _find_brain(
    scan: NativeScan, drawn: NDArray[np.bool_], settings: Preprocess
) -> NDArray[np.bool_]:
    try:
        return delineate_brain(scan, settings.skull_strip)
    except ImageError as error:
        print(f"skull strip failed, the drawn brain is used: {error}")
        return drawn


def point_errors_mm(matrix: NDArray[np.float64], pair: Pair) -> NDArray[np.float64]:
    """How far each brain point lands from where it should, (n,)."""
    apart = (matrix - pair.truth)[:3]
    return np.linalg.norm(pair.points_mm @ apart[:, :3].T + apart[:, 3], axis=1)


def align(pair: Pair, settings: Preprocess) -> RigidFit:
    """What hemexp finds."""
    return register(
        pair.fixed, pair.fixed_brain, pair.moving, pair.moving_brain, settings.registration
    )


def align_with_ants(pair: Pair) -> NDArray[np.float64]:
    """The matrix that ANTs finds: `Rigid` as it ships, on the same clipped HU, fixed seed."""
    import ants  # the rest runs without

    images = []
    for scan in (pair.fixed, pair.moving):
        affine = LPS @ scan.ct.affine
        images.append(
            ants.from_numpy(
                np.clip(scan.ct.data, *HU_RANGE),
                origin=affine[:3, 3].tolist(),
                spacing=scan.ct.spacing_mm.tolist(),
                direction=affine[:3, :3] / scan.ct.spacing_mm,
            )
        )
    found = ants.registration(*images, type_of_transform="Rigid", random_seed=1)
    transform = ants.read_transform(found["fwdtransforms"][0])
    origin = np.array(transform.apply_to_point((0.0, 0.0, 0.0)))
    axes = [np.array(transform.apply_to_point(tuple(axis))) - origin for axis in np.eye(3)]
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = np.array(axes).T, origin
    return LPS @ matrix @ LPS


def measure(pair: Pair, settings: Preprocess, with_ants: bool) -> dict[str, str | float]:
    """One row: errors in mm, CPU seconds, and how many times longer ANTs takes."""
    start = time.process_time()
    found = align(pair, settings)
    seconds = time.process_time() - start
    errors = point_errors_mm(found.matrix, pair)
    row = {
        "pair": pair.name,
        "mean_mm": errors.mean(),
        "worst_mm": errors.max(),
        "cpu_s": seconds,
        "correlation": found.correlation,
        "overlap": found.overlap,
    }
    if with_ants:
        start = time.process_time()
        matrix = align_with_ants(pair)
        ants_seconds = time.process_time() - start
        errors = point_errors_mm(matrix, pair)
        row |= {"ants_mean_mm": errors.mean(), "ants_worst_mm": errors.max()}
        row |= {"ants_cpu_s": ants_seconds, "ants_ratio": ants_seconds / seconds}
    return row


def registration_rows(
    pairs: int = len(CASES), spacing_factor: float = 1.0, preset: str = "full"
) -> list[dict[str, str | float]]:
    """One row a pair of scans with a known motion; see `measure`."""
    settings = load_settings({"preset": preset}).preprocess
    with_ants = importlib.util.find_spec("ants") is not None
    if with_ants:
        import ants  # noqa: F401 - loaded before the clock runs
    return [
        measure(draw_pair(name, number, settings, spacing_factor), settings, with_ants)
        for number, name in enumerate(list(CASES)[:pairs])
    ]


def stranger_rows(
    pairs: int = len(CASES), spacing_factor: float = 1.0, preset: str = "full"
) -> list[dict[str, str | float]]:
    """One row a pair whose follow-up is another patient's.

    Phantom heads differ by at most 7 % along each axis, less than people do: the nearest of them
    are alike within a millimetre, which no look at the skull can tell.
    """
    settings = load_settings({"preset": preset}).preprocess
    rows = []
    for number, name in enumerate(list(CASES)[:pairs]):
        one, other = (
            draw_pair(name, number, settings, spacing_factor, patient_id)
            for patient_id in (f"R{number:02d}", f"S{number:02d}")
        )
        found = align(one._replace(moving=other.moving, moving_brain=other.moving_brain), settings)
        refused = "yes" if beyond_limits(found, settings.registration) else "no"
        rows.append(
            {
                "pair": name,
                "correlation": found.correlation,
                "overlap": found.overlap,
                "rotation_deg": found.rotation_deg,
                "refused": refused,
            }
        )
    return rows


def main() -> None:
    """Prints both tables and their summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=len(CASES))
    parser.add_argument("--spacing-factor", type=float, default=1.0)
    parser.add_argument("--preset", default="full")
    arguments = vars(parser.parse_args())
    same = pd.DataFrame(registration_rows(**arguments))
    print(same.to_string(index=False, float_format="%.3f"))
    print(
        f"mean of means {same['mean_mm'].mean():.3f} mm (target 0.1), worst point "
        f"{same['worst_mm'].max():.3f} mm (target 0.3)"
    )
    if "ants_ratio" in same:
        ratio = same["ants_cpu_s"].sum() / same["cpu_s"].sum()
        print(
            f"ANTs: mean {same['ants_mean_mm'].mean():.3f} mm, worst "
            f"{same['ants_worst_mm'].max():.3f} mm, {ratio:.1f} x the CPU time (least ratio "
            f"{same['ants_ratio'].min():.1f}, target 4)"
        )
    else:
        print("ANTs is not here (pip install antspyx): no comparison")
    strangers = pd.DataFrame(stranger_rows(**arguments))
    print(strangers.to_string(index=False, float_format="%.3f"))
    print(
        f"correlation of one patient's scans at least {same['correlation'].min():.3f}, of two "
        f"patients' at most {strangers['correlation'].max():.3f}, median "
        f"{strangers['correlation'].median():.3f}"
    )


if __name__ == "__main__":
    main()
