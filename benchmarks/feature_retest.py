"""How much of each image feature is the bleed's, and how much the outline's: test and retest.

The baseline of every patient of a finished run is measured again under other outlines of the IPH,
as `phantom.outlines` draws them and one voxel smaller. *ICC*: part of a feature's variance that
lies between patients (one-way, single reading; Shrout and Fleiss 1979, Psychol Bull 86:420).
*Moved*: mean change from the outline as given, in SDs between patients.

    python benchmarks/feature_retest.py --results results [--patients 40]
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion

from hemexp.columns import BASELINE
from hemexp.expansion.features import BleedScan, measure_bleed
from hemexp.expansion.predictors import IMAGE, predictors
from hemexp.layout import Layout
from hemexp.phantom.outlines import IN_PLANE, OUTLINES
from hemexp.volumes import read_ras

LEAST_ICC = 0.8
SHEET = ("age", "gcs", "sbp")
"""Predictors of `IMAGE` that the sheet tells."""


def main() -> None:
    """Prints a row a feature."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--patients", type=int, default=40)
    arguments = parser.parse_args()
    layout = Layout(arguments.results)
    folders = sorted((arguments.results / "preprocess").glob("sub-*"))[: arguments.patients]
    tables = [read_again(layout, folder.name.removeprefix("sub-")) for folder in folders]
    names = tuple(name for name in IMAGE if name not in SHEET)
    readings = np.stack([predictors(table, names) for table in tables])
    print(f"{len(readings)} patients, {readings.shape[1]} outlines each")
    table = pd.DataFrame(
        {"icc": icc(readings), **moved(readings, tables[0].index[1:])}, index=list(names)
    )
    print(table.to_string(float_format=lambda value: f"{value:.2f}"))
    print("below", LEAST_ICC, *table.index[table["icc"] < LEAST_ICC])


def read_again(layout: Layout, patient_id: str) -> pd.DataFrame:
    """Features of one baseline, a row an outline, the given one first."""
    ct, iph, ivh, brain = (read_ras(path) for path in layout.native(patient_id, BASELINE).images)
    masks = {name: draw(iph.data, ct.data) for name, draw in OUTLINES.items() if name != "hasty"}
    masks["narrow"] = binary_erosion(iph.data > 0, IN_PLANE).astype(np.uint8)
    rows = {}
    for name, mask in masks.items():
        kept = (mask > 0) & ~(ivh.data > 0) if (mask > 0).any() else iph.data > 0
        volumes_ml = (float(part.sum()) * ct.voxel_ml for part in (kept, ivh.data > 0))
        scan = BleedScan(ct.data, kept, ivh.data > 0, brain.data > 0, ct.spacing_mm)
        rows[name] = measure_bleed(scan, *volumes_ml)
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.rename(columns={"iph_ml": "baseline_iph_ml", "ivh_ml": "baseline_ivh_ml"})


def icc(readings: NDArray[np.float64]) -> NDArray[np.float64]:
    """ICC(1,1) of each feature; readings (patients, outlines, features)."""
    n, k = readings.shape[:2]
    means = readings.mean(axis=1)
    between = k * means.var(axis=0, ddof=1)
    within = ((readings - means[:, None]) ** 2).sum(axis=(0, 1)) / (n * (k - 1))
    return (between - within) / (between + (k - 1) * within)


def moved(readings: NDArray[np.float64], names: pd.Index) -> dict[str, NDArray[np.float64]]:
    """Mean change from the first outline by outline, in SDs between patients."""
    sd = readings[:, 0].std(axis=0, ddof=1)
    change = (readings[:, 1:] - readings[:, :1]).mean(axis=0) / sd
    return dict(zip(names, change, strict=True))


if __name__ == "__main__":
    main()
