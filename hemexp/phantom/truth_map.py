"""Verb `draw-truth-map`: what became of one baseline bleed, drawn again many times.

A follow-up that is drawn again is scanned with a head motion of its own and brought onto the grid
as the study brings its scans. Which voxels of a bleed's margin are blood on a grid depends on how
the slices lie: a map drawn at the grid's voxel centres is sure of them, and wrong (its voxel-level
detail made forecasts of what happened worse; docs/results/drawn_scans.md).
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp.layout import Layout
from hemexp.phantom.centers import draw_motion, draw_pose, find_center
from hemexp.phantom.model import generator
from hemexp.phantom.redraw import redraw_followups
from hemexp.phantom.world import WORLDS
from hemexp.provenance import write_atomically, write_sidecars
from hemexp.settings import Phantom
from hemexp.volumes import Volume, read_volume, write_volume

Resample = Callable[
    [Volume, Volume, Volume, NDArray[np.float64]], tuple[NDArray[np.bool_], NDArray[np.bool_]]
]
"""Brings IPH and IVH onto a grid; the matrix takes a point of the grid's space to the masks'."""


class Gridding(NamedTuple):
    """How the study brings scans onto the grid.

    Attributes:
        reference: Scan on which the grid was laid, `baseline` or `followup`.
        resample: Brings masks there.
    """

    reference: str
    resample: Resample


def grid_to_baseline(
    patient_id: str, center: str, settings: Phantom, reference: str
) -> NDArray[np.float64]:
    """4 x 4: a point of the grid's space to the baseline scanner's (RAS, mm).

    Args:
        patient_id: Who.
        center: Letter of the centre.
        settings: The phantom's settings.
        reference: Scan on which the grid was laid, `baseline` or `followup`.
    """
    if reference == "baseline":
        return np.eye(4)
    place = find_center(center, WORLDS[settings.world].centers)
    pose = draw_pose(place, generator(settings.seed, patient_id, "pose"))
    motion = draw_motion(pose, generator(settings.seed, patient_id, "motion"))
    return np.linalg.inv(motion)


def run_draw_truth_map(
    layout: Layout, patient_id: str, center: str, settings: Phantom, draws: int, gridding: Gridding
) -> list[Path]:
    """Writes a phantom patient's true expansion map, and what was drawn for it.

    Args:
        layout: Of the run; the patient's baseline must be on the grid.
        patient_id: A patient of the phantom.
        center: Letter of the centre.
        settings: The phantom's settings.
        draws: How many follow-ups to draw.
        gridding: How the study brings masks onto the grid.

    Returns:
        `sub-ID_desc-expansion_truth-probseg.nii.gz`, the probability of blood where the baseline
        had none, and `sub-ID_redraws.tsv`, one row a draw: draw, iph_growth_ml, ivh_growth_ml (on
        the grid, since the same patient's baseline there) and slice_00_ml ... (IPH a slice).
    """
    started, files = time.perf_counter(), layout.grid(patient_id, "baseline")
    baseline = [files.iph, files.ivh]
    iph0, ivh0 = (read_volume(path) for path in baseline)
    to_baseline = grid_to_baseline(patient_id, center, settings, gridding.reference)
    redraws = redraw_followups(patient_id, center, draws, settings)
    seen = (
        gridding.resample(redraw.iph, redraw.ivh, iph0, redraw.motion @ to_baseline)
        for redraw in redraws
    )
    count, table = add_up(iph0, ivh0, seen)
    products = [layout.true_map(patient_id), layout.redraws(patient_id)]
    write_volume(products[0], count / draws, iph0.affine, np.float32)
    with write_atomically(products[1]) as temporary:
        table.to_csv(temporary, sep="\t", index_label="draw", float_format="%.6g")
    write_sidecars(
        products,
        verb="draw-truth-map",
        settings=settings.as_json(),
        inputs=baseline,
        started=started,
        seed=settings.seed,
        draws=draws,
    )
    return products


def add_up(
    iph0: Volume, ivh0: Volume, redraws: Iterable[tuple[NDArray[np.bool_], NDArray[np.bool_]]]
) -> tuple[NDArray[np.float64], pd.DataFrame]:
    """In how many redraws a voxel was new blood (x, y, z), and how much each grew, a row a draw.

    Args:
        iph0: Baseline mask on the grid.
        ivh0: Baseline mask on the grid.
        redraws: Masks of IPH and IVH on the grid.
    """
    before = (iph0.data > 0) | (ivh0.data > 0)
    before_iph, before_ivh = int(iph0.data.sum()), int(ivh0.data.sum())
    count, voxels = np.zeros(before.shape), []
    for iph, ivh in redraws:
        count += (iph | ivh) & ~before
        grown = int(iph.sum()) - before_iph, int(ivh.sum()) - before_ivh
        voxels.append([*grown, *iph.sum(axis=(0, 1))])
    slices = [f"slice_{z:02d}_ml" for z in range(before.shape[2])]
    columns = ["iph_growth_ml", "ivh_growth_ml", *slices]
    return count, pd.DataFrame(np.array(voxels) * iph0.voxel_ml, columns=columns)
