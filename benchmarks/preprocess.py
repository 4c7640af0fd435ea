"""Whether preprocessing reaches what it promises: one table of targets and figures.

python benchmarks/preprocess.py [--preset full] [--sheet SAMPLES.TSV] [--quick]

All times are CPU seconds of one thread in this one process, given as ratios. The comparison with
ANTs needs `pip install antspyx`; `--sheet` names a sample sheet of real scans.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import registration
import skull

from hemexp.cohort import read_sheet
from hemexp.columns import SESSIONS
from hemexp.config import load_settings
from hemexp.layout import Layout
from hemexp.phantom.centers import CENTERS
from hemexp.phantom.draw import run_draw_patient
from hemexp.preprocess.register import run_register_followup
from hemexp.preprocess.resample import run_resample_scan
from hemexp.preprocess.rows import read_row
from hemexp.preprocess.strip import run_strip_skull
from hemexp.settings import Preprocess, Settings
from hemexp.volumes import read_volume

PATIENTS = 4
LARGE_ML = 5.0
"""Bleeds from this size on must keep their volume within 1 %."""

Row = tuple[str, str, str, str]


def row(what: str, target: str, found: str, holds: bool) -> Row:
    """One line of the table."""
    return what, target, found, "yes" if holds else "NO"


def cpu_s(step: Callable[[], None]) -> float:
    """CPU seconds of a call."""
    started = time.process_time()
    step()
    return time.process_time() - started


def bring_pair(raw: dict[str, dict[str, str]], folder: Path, room: Preprocess) -> dict[str, float]:
    """Both scans of a patient through all verbs of the room, as the workflow runs them.

    Returns:
        CPU seconds of `register` and of `whole`; `native_error`, the largest difference between a
        measured native volume and the mask's own sum, mL; `grid_error`, the largest relative
        change of a bleed of 5 mL or more on the grid.
    """
    layout, spent = Layout(folder), {"whole": 0.0}
    for s in SESSIONS:
        given = (layout, "P", s, raw[s], room.skull_strip, room.raw)
        spent["whole"] += cpu_s(partial(run_strip_skull, *given))
    pair = (layout, "P", room.registration, room.reference)
    spent["register"] = cpu_s(partial(run_register_followup, *pair))
    for s in SESSIONS:
        given = (layout, "P", s, room.grid, room.reference)
        spent["whole"] += cpu_s(partial(run_resample_scan, *given))
    spent["whole"] += spent["register"]
    return spent | _volume_errors(raw, layout)


def _volume_errors(raw: dict[str, dict[str, str]], layout: Layout) -> dict[str, float]:
    native_error, grid_error = 0.0, 0.0
    for s in SESSIONS:
        ivh = read_volume(raw[s]["ivh"])
        iph = read_volume(raw[s]["iph"])
        own = {"ivh": ivh.data > 0, "iph": (iph.data > 0) & ~(ivh.data > 0)}
        measured, gridded = (
            read_row(files("P", s).volumes, "P") for files in (layout.native, layout.grid)
        )
        for name, mask in own.items():
            true_ml = np.count_nonzero(mask) * iph.voxel_ml
            native_error = max(native_error, abs(measured[f"{name}_ml"] - true_ml))
            if true_ml >= LARGE_ML:
                error = abs(gridded[f"{name}_grid_ml"] / true_ml - 1)
                grid_error = max(grid_error, error)
    return {"native_error": native_error, "grid_error": grid_error}


def phantom_pairs(settings: Settings, folder: Path) -> list[dict[str, dict[str, str]]]:
    """Raw files of a few phantom patients of every centre, at the scanner's own resolution."""
    phantom = settings.phantom.model_copy(update={"spacing_factor": 1.0})
    pairs = []
    for number in range(PATIENTS):
        center = list(CENTERS)[number % len(CENTERS)]
        patient = f"{center}{90 + number}"
        layout = Layout(folder)
        run_draw_patient(layout, patient, center, phantom)
        pairs.append({s: layout.raw(patient, s)._asdict() for s in SESSIONS})
    return pairs


def sheet_pairs(sheet: str) -> list[dict[str, dict[str, str]]]:
    """Raw files of every patient of a sheet who has two scans."""
    return [
        {s: {i: patient[f"{s}_{i}"] for i in ("ct", "iph", "ivh")} for s in SESSIONS}
        for _, patient in read_sheet(sheet).iterrows()
        if patient["followup_ct"]
    ]


def skull_rows(settings: Settings, sheet: str | None, quick: bool) -> list[Row]:
    """Brain masks on hard phantom heads, and on real pairs."""
    room = settings.preprocess.skull_strip
    heads = skull.strip_phantoms(room, (1.5,) if quick else (1.0, 1.5))
    print(skull.summarise(heads).round(4).to_string(index=False), end="\n\n")
    mean, worst, kept = heads["dice"].mean(), heads["dice"].min(), heads["blood_kept"].min()
    rows = [
        row(
            f"brain mask Dice, {len(heads)} hard heads, mean",
            ">= 0.97",
            f"{mean:.4f}",
            mean >= 0.97,
        ),
        row("the same, worst", ">= 0.95", f"{worst:.4f}", worst >= 0.95),
        row("blood inside the mask", "100 %", f"{kept:.2%}", kept == 1),
    ]
    if sheet:
        pairs = skull.strip_pairs(sheet, room)
        change = pairs["change"].abs().max()
        text = f"{change:.2%} of {len(pairs)}"
        rows.append(row("real pairs, brain volume changes by", "<= 10 %", text, change <= 0.1))
    return rows


def registration_rows(preset: str, quick: bool) -> list[Row]:
    """Point errors on pairs with a known motion, and the time ANTs takes for them."""
    found = pd.DataFrame(registration.registration_rows(4 if quick else 14, 1.0, preset))
    print(found.round(3).to_string(index=False), end="\n\n")
    mean, worst = found["mean_mm"].max(), found["worst_mm"].max()
    rows = [
        row(
            f"registration, {len(found)} pairs, largest mean error",
            "<= 0.1 mm",
            f"{mean:.3f} mm",
            mean <= 0.1,
        ),
        row("the same, worst point", "<= 0.3 mm", f"{worst:.3f} mm", worst <= 0.3),
    ]
    if "ants_ratio" in found:
        ratio = found["ants_cpu_s"].sum() / found["cpu_s"].sum()
        text = f"{ratio:.1f} x (its worst point {found['ants_worst_mm'].max():.2f} mm)"
        rows.append(row("CPU time of ANTs Rigid over ours", ">= 4 x", text, ratio >= 4))
    return rows


def pair_rows(settings: Settings, sheet: str | None) -> list[Row]:
    """Volumes, and the time of a whole pair over its registration's own."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        kinds = {"phantom": phantom_pairs(settings, Path(folder) / "raw")}
        if sheet:
            kinds["real"] = sheet_pairs(sheet)
        for kind, pairs in kinds.items():
            found = pd.DataFrame(
                bring_pair(pair, Path(folder) / f"{kind}{n}", settings.preprocess)
                for n, pair in enumerate(pairs)
            )
            native, grid = found["native_error"].max(), found["grid_error"].max()
            ratio = found["whole"].sum() / found["register"].sum()
            name = f"{len(found)} {kind} pairs"
            rows += [
                row(
                    f"{name}: native volume off by",
                    "<= 5e-5 mL",
                    f"{native:.1e} mL",
                    native <= 5e-5,
                ),
                row(f"{name}: grid volume off by", "<= 1 %", f"{grid:.2%}", grid <= 0.01),
                row(
                    f"{name}: whole pair over registration", "<= 3 x", f"{ratio:.2f} x", ratio <= 3
                ),
            ]
    return rows


def main() -> None:
    """Measures all and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="full")
    parser.add_argument("--sheet", help="a sample sheet of real scans")
    parser.add_argument("--quick", action="store_true", help="fewer heads and pairs")
    args = parser.parse_args()
    settings = load_settings({"preset": args.preset})
    rows = [
        *skull_rows(settings, args.sheet, args.quick),
        *registration_rows(args.preset, args.quick),
        *pair_rows(settings, args.sheet),
    ]
    print(pd.DataFrame(rows, columns=["what", "target", "found", "holds"]).to_string(index=False))


if __name__ == "__main__":
    main()
