"""Found masks of scans unlike those that the network learned from.

    python benchmarks/segmentation_inputs.py RESULTS --samples SHEET --network FOLDER [--scans 4]

Baselines of split `test` of a finished run, as they are and made worse: slices twice as thick
(10 mm of 5) and a fifth as thick (1 mm), a bone kernel, blood painted over with brain; and phantom
heads with a hole of 40 and 70 mm in the skull, stripped without masks. FOLDER is a run's results,
or `--work` of `segmentation.py`. *Bias* is that of IPH. *False*: masks of 1 mL or more where no
such blood is.
"""

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from coherence import as_markdown
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from hemexp.cohort import read_sheet
from hemexp.config import load_settings
from hemexp.layout import Layout
from hemexp.phantom.hard import DIFFICULTIES, draw_hard_head
from hemexp.preprocess.scans import NativeScan
from hemexp.preprocess.skull import delineate_brain
from hemexp.segmentation.infer import find_masks
from hemexp.segmentation.network import TrainedSegmenter, load_segmenter
from hemexp.segmentation.score import MASKS, score_mask
from hemexp.volumes import Volume, read_ras

CPU = torch.device("cpu")
HOLES = ("craniotomy 40 mm", "craniotomy 70 mm")
SHARPENING = 2.0
"""How much of what a blur of one voxel takes away a bone kernel adds again."""


class Case(NamedTuple):
    """A stripped scan with true masks; axes run right, front and up.

    Attributes:
        ct_hu: (x, y, z).
        labels: (x, y, z): 1 = IPH, 2 = IVH.
        brain: (x, y, z).
        voxel_ml: Volume of a voxel.
    """

    ct_hu: NDArray
    labels: NDArray
    brain: NDArray[np.bool_]
    voxel_ml: float


def as_it_is(case: Case) -> Case:
    """The scan."""
    return case


def thick(case: Case) -> Case:
    """Pairs of slices averaged within the brain; a voxel has the lower slice's label."""
    hu, labels, brain = (
        image[..., : image.shape[2] // 2 * 2].reshape(*image.shape[:2], -1, 2)
        for image in (case.ct_hu, case.labels, case.brain)
    )
    either = brain.any(axis=3)
    mean = (hu * brain).sum(axis=3) / np.maximum(brain.sum(axis=3), 1)
    return Case(mean, np.where(either, labels[..., 0], 0), either, 2 * case.voxel_ml)


def thin(case: Case, parts: int = 5) -> Case:
    """Every slice cut into some, HU interpolated between them within the brain."""
    smooth = {"order": 1, "grid_mode": True, "mode": "nearest"}
    hu, weight = (
        zoom(image.astype(np.float32), (1, 1, parts), **smooth)
        for image in (case.ct_hu * case.brain, case.brain)
    )
    labels, brain = (np.repeat(image, parts, axis=2) for image in (case.labels, case.brain))
    return Case(hu / np.maximum(weight, 0.1), labels, brain, case.voxel_ml / parts)


def sharp(case: Case) -> Case:
    """As a bone kernel draws it: edges and noise stand out."""
    hu = case.ct_hu.astype(np.float32)
    return case._replace(ct_hu=hu + SHARPENING * (hu - gaussian_filter(hu, (1, 1, 0))))


def bloodless(case: Case) -> Case:
    """Blood painted over with brain as noisy as it was."""
    blood, brain_hu = case.labels > 0, 33.0
    hu = case.ct_hu.astype(np.float32)
    for kind in MASKS.values():
        of_kind = case.labels == kind
        hu[of_kind] += brain_hu - hu[of_kind].mean() if of_kind.any() else 0
    return case._replace(ct_hu=hu, labels=np.where(blood, 0, case.labels))


CHANGES: dict[str, Callable[[Case], Case]] = {
    "as it is": as_it_is,
    "slices twice as thick": thick,
    "a fifth as thick": thin,
    "bone kernel": sharp,
    "no blood": bloodless,
}


def score_case(segmenter: TrainedSegmenter, name: str, case: Case) -> dict[str, object]:
    """Dice and volume error of IPH and IVH, and what was missed or invented."""
    found = find_masks(segmenter, case.ct_hu, case.brain, case.voxel_ml, CPU).labels
    row: dict[str, object] = {"case": name}
    for mask, kind in MASKS.items():
        scores = score_mask(case.labels == kind, found == kind, case.voxel_ml)
        wanted = ("dice", "given_ml", "error_ml", "missed", "false")
        row |= {f"{mask}_{column}": scores[column] for column in wanted}
    return row


def read_case(layout: Layout, patient_id: str) -> Case:
    """A stripped native baseline with its masks."""
    ct, iph, ivh, brain = map(read_ras, layout.native(patient_id, "baseline").images)
    labels = np.select([iph.data > 0, ivh.data > 0], [1, 2])
    return Case(ct.data, labels, brain.data > 0, ct.voxel_ml)


def draw_hole(name: str, factor: float) -> Case:
    """A phantom head with a hole in its skull, stripped without its masks."""
    drawn, affine = draw_hard_head(DIFFICULTIES[name], "A", factor, "A01")
    ct = Volume(drawn.ct.astype(np.float32), affine)
    blank = ct.with_data(np.zeros(ct.data.shape, dtype=bool))
    strip = load_settings({"preset": "demo"}).preprocess.skull_strip
    brain = delineate_brain(NativeScan(ct, blank, blank), strip)
    labels = np.select([drawn.iph > 0, drawn.ivh > 0], [1, 2])
    return Case(np.where(brain, ct.data, 0), labels, brain, ct.voxel_ml)


def summary(rows: Iterable[dict[str, object]]) -> pd.DataFrame:
    """Means over the scans of a case."""
    table = pd.DataFrame(rows)
    table["bias %"] = 100 * table["iph_error_ml"] / table["iph_given_ml"].where(lambda ml: ml > 0)
    grouped = table.groupby("case", sort=False)
    return pd.DataFrame(
        {
            "scans": grouped.size(),
            "IPH Dice": grouped["iph_dice"].mean(),
            "bias %": grouped["bias %"].mean(),
            "IVH Dice": grouped["ivh_dice"].mean(),
            "missed": grouped["iph_missed"].sum() + grouped["ivh_missed"].sum(),
            "false": grouped["iph_false"].sum() + grouped["ivh_false"].sum(),
        }
    ).reset_index()


def main() -> None:
    """Marks every case and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--samples", required=True)
    parser.add_argument("--network", type=Path, required=True)
    parser.add_argument("--scans", type=int, default=4)
    args = parser.parse_args()
    sheet, layout = read_sheet(args.samples), Layout(args.results)
    segmenter = load_segmenter(Layout(args.network), None, CPU)
    patients = sheet.index[sheet["split"] == "test"][: args.scans]
    rows = [
        score_case(segmenter, name, change(read_case(layout, patient_id)))
        for name, change in CHANGES.items()
        for patient_id in patients
    ]
    factor = load_settings({"preset": "demo"}).phantom.spacing_factor
    rows += [score_case(segmenter, name, draw_hole(name, factor)) for name in HOLES]
    print(as_markdown(summary(rows)))


if __name__ == "__main__":
    main()
