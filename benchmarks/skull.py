"""How well the brain is found: hard phantom heads with a known brain, and pairs of real scans.

python benchmarks/skull.py [--preset demo] [--sheet SAMPLES.TSV]
"""

import argparse
import time
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from hemexp.cohort import read_sheet
from hemexp.columns import SESSIONS
from hemexp.config import load_settings
from hemexp.phantom.centers import CENTERS
from hemexp.phantom.hard import DIFFICULTIES, draw_hard_head
from hemexp.preprocess.scans import NativeScan
from hemexp.preprocess.skull import delineate_brain
from hemexp.settings import SkullStrip
from hemexp.volumes import Volume, read_volume, volume_ml

PATIENTS = ("A01", "B03")
"""Bleeds of 25 and 9 mL, both with blood in a ventricle, under unlike craniotomies."""


def strip_phantoms(
    settings: SkullStrip,
    spacing_factors: Iterable[float] = (1.0, 1.5),
    patients: Sequence[str] = PATIENTS,
) -> pd.DataFrame:
    """Strips every hard head on every centre's grid.

    Returns:
        A row a head: case, center, spacing_factor, patient_id, dice, blood_kept (share of the
        IPH and IVH voxels), lost_ml (of blood, where masks are yet to be made), error_ml (found
        minus true brain), cpu_s.
    """
    rows = []
    for factor in spacing_factors:
        for case, difficulty in DIFFICULTIES.items():
            for center in CENTERS:
                for patient_id in patients:
                    drawn, affine = draw_hard_head(difficulty, center, factor, patient_id)
                    ct = Volume(drawn.ct.astype(np.float32), affine)
                    scan = NativeScan(ct, ct.with_data(drawn.iph > 0), ct.with_data(drawn.ivh > 0))
                    row = {"case": case, "center": center, "spacing_factor": factor}
                    row |= {"patient_id": patient_id, **judge(scan, drawn.brain > 0, settings)}
                    rows.append(row)
    return pd.DataFrame(rows)


def judge(scan: NativeScan, truth: np.ndarray, settings: SkullStrip) -> dict[str, float]:
    """Strips one head and compares the mask with the true brain (x, y, z)."""
    started = time.process_time()
    found = delineate_brain(scan, settings)
    cpu_s = time.process_time() - started
    return {
        "cpu_s": cpu_s,
        "dice": 2 * np.count_nonzero(found & truth) / (found.sum() + truth.sum()),
        "blood_kept": float(found[scan.blood].mean()),
        "lost_ml": lost_without_masks(scan, settings),
        "error_ml": (int(found.sum()) - int(truth.sum())) * scan.ct.voxel_ml,
    }


def lost_without_masks(scan: NativeScan, settings: SkullStrip) -> float:
    """Blood outside the brain that is found without masks, mL."""
    blank = scan.iph.with_data(np.zeros_like(scan.iph.data))
    found = delineate_brain(NativeScan(scan.ct, blank, blank), settings)
    return int(np.count_nonzero(scan.blood & ~found)) * scan.ct.voxel_ml


def strip_pairs(sheet: str, settings: SkullStrip) -> pd.DataFrame:
    """Strips both scans of every patient that has two.

    Args:
        sheet: A sample sheet of NIfTI files.
        settings: Which method, and its sizes.

    Returns:
        A row a patient: patient_id, baseline_ml, followup_ml (of brain), change (relative),
        blood_kept, lost_ml, cpu_s (both scans).
    """
    rows = []
    for _, patient in read_sheet(sheet).iterrows():
        if not patient["followup_ct"]:
            continue
        row = {
            "patient_id": patient["patient_id"],
            "blood_kept": 1.0,
            "lost_ml": 0.0,
            "cpu_s": 0.0,
        }
        for session in SESSIONS:
            ct, *masks = (read_volume(patient[f"{session}_{i}"]) for i in ("ct", "iph", "ivh"))
            scan = NativeScan(ct, *(mask.with_data(mask.data != 0) for mask in masks))
            started = time.process_time()
            found = delineate_brain(scan, settings)
            row["cpu_s"] += time.process_time() - started
            row["blood_kept"] = min(row["blood_kept"], float(found[scan.blood].mean()))
            row["lost_ml"] += lost_without_masks(scan, settings)
            row[f"{session}_ml"] = volume_ml(ct.with_data(found))
        row["change"] = row["followup_ml"] / row["baseline_ml"] - 1
        rows.append(row)
    return pd.DataFrame(rows)


def summarise(heads: pd.DataFrame) -> pd.DataFrame:
    """Per case and over all: mean and worst Dice, blood kept and lost at worst, error, CPU time."""
    groups = [*heads.groupby("case", sort=False), ("all", heads)]
    return pd.DataFrame(
        {
            "case": case,
            "heads": len(part),
            "dice_mean": part["dice"].mean(),
            "dice_worst": part["dice"].min(),
            "blood_kept": part["blood_kept"].min(),
            "lost_ml": part["lost_ml"].max(),
            "error_ml_worst": part["error_ml"].loc[part["error_ml"].abs().idxmax()],
            "cpu_s_mean": part["cpu_s"].mean(),
        }
        for case, part in groups
    )


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="demo", help="whose preprocess.skull_strip is used")
    parser.add_argument("--sheet", help="a sample sheet of real scans, to strip its pairs too")
    args = parser.parse_args()
    settings = load_settings({"preset": args.preset}).preprocess.skull_strip
    heads = strip_phantoms(settings)
    print(heads.round(4).to_string(index=False), end="\n\n")
    print(summarise(heads).round(4).to_string(index=False))
    if args.sheet:
        pairs = strip_pairs(args.sheet, settings)
        print("\n" + pairs.round(4).to_string(index=False))
        print(f"largest change of the brain between two scans: {pairs['change'].abs().max():.2%}")


if __name__ == "__main__":
    main()
