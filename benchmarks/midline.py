"""How well midline shift and change of ventricles are measured between two phantom scans.

python benchmarks/midline.py [--patients 60]

On the demo's grid with known motion, against the phantom's truth: slope and correlation over
patients, root mean square error, and bias and SD of what is found in patients whose bleed changed
by less than 1.5 mL. Midline in mm away from the bleed against the mean shift of its plane, with
several margins round blood; ventricles in mL, by `ventricle_change_ml` and as the difference of
two volumes.
"""

import argparse
from unittest import mock

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp.anatomy import midline
from hemexp.anatomy.ventricles import (
    ventricle_change_ml,
    ventricle_mask,
    ventricle_ml,
    ventricle_region,
    ventricle_surroundings,
)
from hemexp.config import load_settings
from hemexp.phantom.centers import CENTERS, find_center
from hemexp.phantom.draw import draw_scans
from hemexp.preprocess.grid import lay_grid
from hemexp.preprocess.resample import resample_scan
from hemexp.preprocess.scans import NativeScan
from hemexp.settings import Settings
from hemexp.volumes import Volume

FIRST_NUMBER = 100
"""Of the patients: others than those on whom the limits were chosen."""

STABLE_ML = 1.5
MARGINS = {
    "midline": midline.BLOOD_MM,
    "midline, margin 3 mm": (3.0, 0.0),
    "midline, blood kept": (0.0,),
}


def draw(patient_id: str, settings: Settings) -> tuple[list[dict[str, NDArray]], NDArray, dict]:
    """Baseline and follow-up on the grid, its spacing, and the truth."""
    scans, affine, truth = draw_scans(patient_id, find_center(patient_id[0]), settings.phantom)
    grid = lay_grid(Volume(scans["baseline"].brain > 0, affine), settings.preprocess.grid)
    motions = np.eye(4), np.array(truth["baseline_to_followup"])
    seen = []
    for scan, motion in zip(scans.values(), motions, strict=True):
        ct, iph, ivh = scan.ct.astype(np.float32), scan.iph > 0, scan.ivh > 0
        native = NativeScan(*(Volume(array, affine) for array in (ct, iph, ivh)))
        seen.append(resample_scan(native, (scan.brain > 0) | iph | ivh, grid, motion))
    return seen, grid.spacing_mm, truth


def measure(seen: list[dict[str, NDArray]], spacing_mm: NDArray, side: int) -> dict[str, float]:
    """What is found between both scans; `side` is the bleed's."""
    one, other = seen
    images = one["ct"], other["ct"]
    blood = one["iph"] | one["ivh"] | other["iph"] | other["ivh"]
    found = {}
    for name, margins_mm in MARGINS.items():
        with mock.patch.object(midline, "BLOOD_MM", margins_mm):
            shift_mm = midline.midline_shift_mm(*images, blood, one["brain"], spacing_mm)
        found[name] = -side * shift_mm
    region = ventricle_region(one["brain"], spacing_mm)
    mask = ventricle_mask(one["ct"], one["iph"], one["ivh"], region, spacing_mm)
    around = ventricle_surroundings(mask, one["brain"], spacing_mm)
    found["ventricles"] = ventricle_change_ml(*images, blood, around, spacing_mm)
    before, after = (
        ventricle_ml(scan["ct"], scan["iph"], scan["ivh"], region, spacing_mm) for scan in seen
    )
    return found | {"ventricles, difference": after - before}


def judge(found: pd.Series, true: pd.Series, growth_ml: pd.Series) -> dict[str, float]:
    """One measure over patients."""
    stable = (found - true)[growth_ml.abs() < STABLE_ML]
    return {
        "slope": np.polyfit(true, found, 1)[0],
        "r": np.corrcoef(true, found)[0, 1],
        "rmse": np.sqrt(np.mean((found - true) ** 2)),
        "stable_bias": stable.mean(),
        "stable_sd": stable.std(),
        "per_ml": (found * growth_ml).sum() / (growth_ml**2).sum(),
        "true_per_ml": (true * growth_ml).sum() / (growth_ml**2).sum(),
    }


def main() -> None:
    """Prints a row a measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=60)
    count, settings = parser.parse_args().patients, load_settings({"preset": "demo"})
    rows, true = [], []
    for number in range(count):
        center = list(CENTERS)[number % len(CENTERS)]
        seen, spacing_mm, truth = draw(
            f"{center}{FIRST_NUMBER + number // len(CENTERS)}", settings
        )
        rows.append(measure(seen, spacing_mm, truth["side"]))
        changes = {
            name: truth["followup"][f"{name}_{unit}"] - truth["baseline"][f"{name}_{unit}"]
            for name, unit in (("midline_shift", "mm"), ("ventricle", "ml"))
        }
        true.append({**changes, "growth_ml": truth["growth_ml"]})
    found, known = pd.DataFrame(rows), pd.DataFrame(true)
    target = {name: "midline_shift" if "midline" in name else "ventricle" for name in found}
    table = {
        name: judge(found[name], known[of], known["growth_ml"]) for name, of in target.items()
    }
    print(pd.DataFrame(table).T.round(3).to_string())


if __name__ == "__main__":
    main()
