"""How well ventricles are found on phantom scans whose ventricles are known.

python benchmarks/ventricles.py [--patients 20]

The limits of `hemexp.anatomy.ventricles` beside others, on native scans and on the demo's grid,
with the scanner's noise and kernel and with other ones. Dice is without blood.
"""

import argparse
from typing import NamedTuple
from unittest import mock

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from hemexp.anatomy import ventricles
from hemexp.config import load_settings
from hemexp.phantom.bleed import draw_shape
from hemexp.phantom.centers import CENTERS, find_center
from hemexp.phantom.draw import draw_scans
from hemexp.phantom.head import draw_head
from hemexp.phantom.model import draw_case
from hemexp.phantom.tissue import Session, fill_head
from hemexp.preprocess.grid import lay_grid
from hemexp.preprocess.interpolate import soft_mask
from hemexp.preprocess.resample import resample_scan
from hemexp.preprocess.scans import NativeScan
from hemexp.settings import Settings
from hemexp.volumes import Volume

NAMES = ("CSF_HU", "DEEP_MM", "LOWEST_PART", "SMOOTHING_MM", "LEAST_ML")
LIMITS = {
    "kept": tuple(getattr(ventricles, name) for name in NAMES),
    "not smoothed": (18, 20, 1 / 3, 0.0, 0.3),
    "15 HU, 15 mm, all heights": (15, 15, 0.0, 0.0, 0.3),
    "18 HU, 25 mm, specks too": (18, 25, 1 / 3, 0.0, 0.0),
}
KERNELS = ("as it is", "4 HU more noise", "soft kernel", "sharp kernel")


class Seen(NamedTuple):
    """A scan in one space, and its true ventricles there."""

    ct_hu: NDArray
    iph: NDArray
    ivh: NDArray
    brain: NDArray
    truth: NDArray
    spacing_mm: NDArray


def draw(patient_id: str, settings: Settings) -> dict[str, list[Seen]]:
    """Baseline and follow-up of a patient, native and on the grid."""
    phantom = settings.phantom
    scans, affine, truth = draw_scans(patient_id, find_center(patient_id[0]), phantom)
    case = draw_case(phantom.seed, patient_id)
    anatomy = draw_head(phantom.seed, patient_id, case.age), draw_shape(phantom.seed, case)
    motion, pose = (np.array(truth[n]) for n in ("baseline_to_followup", "head_to_baseline"))
    grid = lay_grid(Volume(scans["baseline"].brain > 0, affine), settings.preprocess.grid)
    found: dict[str, list[Seen]] = {"native": [], "grid": []}
    for session, scan in scans.items():
        to_scan = motion if session == "followup" else np.eye(4)
        asked = Session(to_scan @ pose, truth[session]["model_iph_ml"])
        filled = fill_head(*anatomy, asked, (scan.ct.shape, affine))
        inside = Volume(filled.mask(scan.ct.shape, filled.tissue.ventricle < 0) > 0, affine)
        ct, iph, ivh, brain = (getattr(scan, n) for n in ("ct", "iph", "ivh", "brain"))
        arrays = ct.astype(np.float32), iph > 0, ivh > 0, (brain | iph | ivh) > 0
        found["native"].append(Seen(*arrays, inside.data, inside.spacing_mm))
        native = NativeScan(*(Volume(array, affine) for array in arrays[:3]))
        on_grid = resample_scan(native, arrays[3], grid, to_scan).values()
        there = soft_mask(inside, grid, to_scan) >= 0.5
        found["grid"].append(Seen(*on_grid, there, grid.spacing_mm))
    return found


def kernels(ct_hu: NDArray, seed: int) -> list[NDArray]:
    """The scan of `KERNELS`."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=ct_hu.shape), 0.6)
    soft = ndimage.gaussian_filter(ct_hu, (0.8, 0.8, 0))
    return [ct_hu, ct_hu + 4 * noise / noise.std(), soft, ct_hu + 0.7 * (ct_hu - soft)]


def judge(seen: Seen, ct_hu: NDArray) -> dict[str, float]:
    """One scan's ventricles against the true ones; volumes in mL, distance to the bleed in mm."""
    scan = (ct_hu, seen.iph, seen.ivh)
    region = ventricles.ventricle_region(seen.brain, seen.spacing_mm)
    mask = ventricles.ventricle_mask(*scan, region, seen.spacing_mm)
    one, other = (part & ~seen.ivh & ~seen.iph for part in (mask, seen.truth))
    away = [
        ndimage.distance_transform_edt(~(part | seen.ivh), sampling=seen.spacing_mm)[seen.iph]
        for part in (mask, seen.truth)
    ]
    dice = 2 * np.sum(one & other) / (one.sum() + other.sum())
    ml = (int(mask.sum()) - int(seen.truth.sum())) * np.prod(seen.spacing_mm) / 1000
    return {"dice": dice, "ml": ml, "mm": abs(away[0].min() - away[1].min())}


def main() -> None:
    """Prints Dice, errors of volume and its change (root mean square) and of the distance."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=20)
    count, settings = parser.parse_args().patients, load_settings({"preset": "demo"})
    rows = []
    for number in range(count):
        patient_id = f"{list(CENTERS)[number % len(CENTERS)]}{40 + number // len(CENTERS)}"
        for space, pair in draw(patient_id, settings).items():
            for limits, values in LIMITS.items():
                with mock.patch.multiple(ventricles, **dict(zip(NAMES, values, strict=True))):
                    every = [[judge(s, ct) for ct in kernels(s.ct_hu, number)] for s in pair]
                for kernel, before, after in zip(KERNELS, *every, strict=True):
                    names = {"space": space, "limits": limits, "kernel": kernel}
                    rows.append({**names, **before, "change_ml": after["ml"] - before["ml"]})
    table = pd.DataFrame(rows).groupby(["space", "limits", "kernel"], sort=False)
    squares = table[["ml", "change_ml", "mm"]].agg(lambda errors: np.sqrt(np.mean(errors**2)))
    squares.insert(0, "dice", table["dice"].mean())
    print(squares.assign(worst_mm=table["mm"].max()).round(2).to_string())


if __name__ == "__main__":
    main()
