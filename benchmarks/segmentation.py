"""How far found masks may be trusted: against given ones, and what growth they lead to.

    python benchmarks/segmentation.py RESULTS --samples SHEET --work FOLDER [--preset demo]
                                      [--held-out] [--heads SHEET] [--steps 400] [--time full]

RESULTS is a finished run whose sheet gives masks. The network and one a fold are trained on its
training patients; all else of it is held out. They stay in FOLDER, and are taken from there the
next time. Printed, as tables:

1. Found against given masks: held-out patients a centre and split, then training patients, each
   marked by the network of a fold that never saw them. *Dice* is of scans with such blood; *bias*
   and its limits of agreement of IPH of 5 mL or more; *missed* and *false* count from 1 mL.
   With `--held-out` nothing is trained for the folds, and 2. and 3. are left out.
2. HE as found volumes tell it against HE of the given ones, of the same patients.
3. Forecasts of held-out patients by the run's model of growth: features and volume of the found
   baseline, widened by its expected error, against those of the given one. What is scored is the
   follow-up's true volume.
4. `--heads`: a sheet of raw scans of another kind, stripped here: IPH Dice as the network finds
   them, and after `--steps` more steps on the first three training rows, of all the others.
5. `--time PRESET`: seconds to strip and mark one scan of 512 x 512 x 32.
"""

import argparse
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from coherence import as_markdown
from segmentation_growth import changed_labels, forecast_scores, forecast_table

from hemexp.cohort import read_sheet
from hemexp.columns import SESSIONS
from hemexp.config import load_settings
from hemexp.layout import Layout
from hemexp.phantom.hard import DIFFICULTIES, draw_hard_head
from hemexp.preprocess.scans import NativeScan
from hemexp.preprocess.skull import delineate_brain
from hemexp.preprocess.strip import run_strip_skull
from hemexp.segmentation.folds import masked_patients
from hemexp.segmentation.infer import find_masks
from hemexp.segmentation.network import Segmenter, TrainedSegmenter, load_segmenter
from hemexp.segmentation.score import MASKS, run_score_segmentation, score_mask, summarise
from hemexp.segmentation.segment import mark_scan, run_crossfit_masks
from hemexp.segmentation.train import run_train_segmentation
from hemexp.settings import Segmentation, Settings
from hemexp.sheet import scan_files
from hemexp.tables import read_table
from hemexp.volumes import Volume, read_volume

CPU, SEED = torch.device("cpu"), 1
LEARNED_FROM = 3
"""Rows of another kind that the network is trained on."""

SHOWN = {
    "scans": "scans",
    "with_blood": "with blood",
    "dice": "Dice",
    "bias_percent": "bias %",
    "lower_percent": "from %",
    "upper_percent": "to %",
    "bleeds": "bleeds >= 1 mL",
    "missed": "missed",
    "without_blood": "without",
    "false": "false",
}


def mark(layout: Layout, segmenter: TrainedSegmenter, patients: pd.DataFrame) -> pd.DataFrame:
    """Scores of the network's masks of native scans, a row a scan and mask, as `crossfit.tsv`."""
    rows = []
    for patient_id, row in patients.iterrows():
        for session in (one for one in SESSIONS if layout.native(patient_id, one).iph.exists()):
            native = layout.native(patient_id, session)
            labels, told = mark_scan(layout, segmenter, (patient_id, session), CPU)
            for mask, kind in MASKS.items():
                given = read_volume(getattr(native, mask)).data > 0
                scores = score_mask(given, labels.data == kind, labels.voxel_ml)
                about = {"patient_id": patient_id, "center": row["center"], "session": session}
                about |= {"mask": mask, "entropy_ml": told[f"entropy_{mask}_ml"]}
                rows.append({**about, **scores, "group": f"{row['split']} {row['center']}"})
    return pd.DataFrame(rows)


def agreement(table: pd.DataFrame) -> pd.DataFrame:
    """Found against given masks, a row a group and mask."""
    groups = table.groupby(["group", "mask"], sort=False)
    rows = [summarise(group, mask, part) for (group, mask), part in groups]
    shown = pd.DataFrame(rows).rename(columns=SHOWN)
    return shown[["center", "mask", *SHOWN.values()]].rename(columns={"center": "patients"})


def train_all(
    layout: Layout, masked: list[str], settings: Segmentation, folds: Iterable[int]
) -> list[float]:
    """Trains the network and those of the folds where they are missing; CPU seconds of each."""
    seconds = []
    for fold in (None, *folds):
        if not layout.segmenter(fold).weights.exists():
            started = time.process_time()
            run_train_segmentation(layout, masked, fold, settings, SEED, "cpu")
            seconds.append(time.process_time() - started)
        if fold is not None and not layout.crossfit_fold(fold).exists():
            run_crossfit_masks(layout, masked, fold, "cpu")
    return seconds


def strip_heads(layout: Layout, sheet: pd.DataFrame, settings: Settings) -> None:
    """Strips the raw scans of a sheet, with their masks."""
    preprocess = settings.preprocess
    for patient_id, row in sheet.iterrows():
        for session in SESSIONS:
            if row[f"{session}_ct"] and not layout.native(patient_id, session).volumes.exists():
                raw = scan_files(row, session)
                strip, limits = preprocess.skull_strip, preprocess.raw
                run_strip_skull(layout, patient_id, session, raw, strip, limits)


def fine_tune(
    layout: Layout, start: Layout, sheet: pd.DataFrame, settings: Segmentation, steps: int
) -> pd.DataFrame:
    """Scores of all rows but those learned from, before and after."""
    learned = list(sheet.index[sheet["split"] == "train"][:LEARNED_FROM])
    others, few = sheet.drop(index=learned), {"least_masked": 2, "folds": 2, "steps": steps}
    before = mark(layout, load_segmenter(start, None, CPU), others).assign(group="as it is")
    if not layout.segmenter().weights.exists():
        short = settings.model_copy(update=few)
        run_train_segmentation(layout, learned, None, short, SEED, "cpu", start)
    after = mark(layout, load_segmenter(layout, None, CPU), others)
    return pd.concat([before, after.assign(group=f"after {steps} steps")])


def time_scan(settings: Settings, shape: tuple[int, int, int] = (512, 512, 32)) -> pd.DataFrame:
    """Seconds to strip and mark one phantom head, its grid padded with air to a shape."""
    drawn, affine = draw_hard_head(DIFFICULTIES["easy"], "A", 0.45 / 0.9, "A01")
    ends = [(0, max(0, side - n)) for side, n in zip(shape, drawn.ct.shape, strict=True)]
    hu = np.pad(drawn.ct.astype(np.float32), ends, constant_values=-1000)
    hu = hu[: shape[0], : shape[1], : shape[2]]
    ct, none = Volume(hu, affine), Volume(np.zeros(hu.shape, bool), affine)
    rows, torch_network = [], Segmenter(settings.segmentation).eval()
    segmenter = TrainedSegmenter(torch_network, settings.segmentation, frozenset(), "")

    def clock(step: str, work: Callable[[], object]) -> object:
        wall, cpu = time.perf_counter(), time.process_time()
        made = work()
        used = time.process_time() - cpu
        rows.append({"step": step, "wall s": time.perf_counter() - wall, "CPU s": used})
        return made

    strip = settings.preprocess.skull_strip
    brain = clock("strip", lambda: delineate_brain(NativeScan(ct, none, none), strip))
    clock("find masks", lambda: find_masks(segmenter, ct.data, brain, ct.voxel_ml, CPU))
    return pd.DataFrame(rows)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--samples", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--preset", default="demo")
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--heads")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--time")
    return parser.parse_args()


def main() -> None:
    """Trains what is missing, and prints the tables."""
    args, show = parse(), lambda table: print(as_markdown(table), flush=True)
    settings = load_settings({"preset": args.preset})
    layout, models = Layout(args.results), Layout(args.work)
    args.work.mkdir(parents=True, exist_ok=True)
    scans = args.work / "preprocess"
    if not scans.exists():
        scans.symlink_to((args.results / "preprocess").resolve())
    sheet = read_sheet(args.samples)
    training = sheet[sheet["split"] == "train"]
    masked = masked_patients(training)
    folds = range(0 if args.held_out else settings.segmentation.folds)
    seconds = train_all(models, masked, settings.segmentation, folds)
    print("training, CPU s:", *(f"{one:.0f}" for one in seconds))
    others = sheet[sheet["split"].isin(["val", "test"])]
    held = mark(models, load_segmenter(models, None, CPU), others)
    if args.held_out:
        show(agreement(held))
    else:
        run_score_segmentation(models, training.loc[masked, "center"], len(folds))
        table = pd.concat([held, read_table(models.crossfit).assign(group="train, cross-fitted")])
        show(agreement(table))
        show(pd.DataFrame([changed_labels(table, models)]))
        show(forecast_table(forecast_scores(layout, models, sheet, held)))
    if args.heads:
        heads, strange = read_sheet(args.heads), Layout(args.work / "heads")
        strip_heads(strange, heads, settings)
        show(agreement(fine_tune(strange, models, heads, settings.segmentation, args.steps)))
    if args.time:
        show(time_scan(load_settings({"preset": args.time})))


if __name__ == "__main__":
    main()
