"""The true expansion map: what became of one baseline bleed, drawn again many times.

Everything is evaluated at the voxel centres of the patient's grid, where forecasts are scored;
no mask is resampled.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp.phantom.bleed import draw_shape, redraw_direction
from hemexp.phantom.centers import draw_motion, draw_pose, find_center
from hemexp.phantom.head import cavity_mm, draw_head
from hemexp.phantom.model import draw_case, draw_growth, generator
from hemexp.phantom.scan import Blood, deform, fill_mask, locate_voxels, place_blood
from hemexp.provenance import patient_file, write_atomically, write_sidecars
from hemexp.settings import Phantom
from hemexp.volumes import Volume, read_volume, write_volume


def draw_on_grid(
    patient_id: str, center: str, grid: Volume, n: int, settings: Phantom, reference: str
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Draws the baseline bleed and n follow-ups of it on a grid, without head motion.

    Args:
        patient_id: Who.
        center: Letter of the centre.
        grid: Shape and affine, in the space of the reference scan.
        n: How many; draw k does not depend on n (it is draw k of `draw.draw_followups`).
        settings: The phantom's settings.
        reference: Scan on which the grid was laid, `baseline` or `followup`.

    Yields:
        IPH and IVH mask (x, y, z), n + 1 times: the baseline first.
    """
    seed, shape = settings.seed, grid.data.shape
    case = draw_case(seed, patient_id)
    head, bleed = draw_head(seed, patient_id, case.age), draw_shape(seed, case)
    pose = draw_pose(find_center(center), generator(seed, patient_id, "pose"))
    if reference == "followup":
        pose = draw_motion(pose, generator(seed, patient_id, "motion")) @ pose
    index, points = locate_voxels(shape, grid.affine, pose)
    cavity = cavity_mm(head, points)
    index, points, cavity = index[cavity < 0], points[:, cavity < 0], cavity[cavity < 0]

    def masks(blood: Blood) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        iph, ivh = (fill_mask(shape, index[found]) for found in (blood.iph, blood.ivh))
        return iph > 0, ivh > 0

    first_ml = case.baseline_iph_ml
    tissue = deform(head, bleed, points, cavity, first_ml)
    before = place_blood(bleed, tissue, first_ml, grid.voxel_ml)
    yield masks(before)
    for k in range(n):
        rng = generator(seed, patient_id, "redraw", k)
        later_ml = first_ml + float(draw_growth(case, rng)[0])
        direction = redraw_direction(bleed, rng)
        tissue = deform(head, bleed, points, cavity, later_ml)
        yield masks(place_blood(bleed, tissue, later_ml, grid.voxel_ml, before.extent, direction))


def run_draw_truth_map(
    patient_id: str,
    center: str,
    baseline: tuple[Path, Path],
    out: Path,
    settings: Phantom,
    draws: int,
    reference: str,
) -> list[Path]:
    """Writes a phantom patient's true expansion map, and what was drawn for it.

    Args:
        patient_id: A patient of the phantom.
        center: Letter of the centre.
        baseline: The patient's baseline masks of IPH and IVH on the grid.
        out: `results/evaluation`, which alone may see the truth.
        settings: The phantom's settings.
        draws: How many follow-ups to draw.
        reference: Scan on which the grid was laid.

    Returns:
        `sub-ID_desc-expansion_truth-probseg.nii.gz`, the probability of blood where the baseline
        had none, and `sub-ID_redraws.tsv`, one row a draw: draw, iph_growth_ml, ivh_growth_ml (on
        the grid, since the same patient's baseline there) and slice_00_ml ... (IPH a slice).
    """
    started = time.perf_counter()
    masks = [read_volume(path) for path in baseline]
    grid = masks[0]
    drawn = draw_on_grid(patient_id, center, grid, draws, settings, reference)
    iph0, ivh0 = next(drawn)
    # Masks drawn at voxel centres and resampled ones differ by single voxels of the margin,
    # which are no expansion.
    blood = (masks[0].data > 0) | (masks[1].data > 0) | iph0 | ivh0
    count, voxels = np.zeros(grid.data.shape), []
    for iph, ivh in drawn:
        count += (iph | ivh) & ~blood
        grown = (int(iph.sum()) - int(iph0.sum()), int(ivh.sum()) - int(ivh0.sum()))
        voxels.append([*grown, *iph.sum(axis=(0, 1))])
    slices = [f"slice_{z:02d}_ml" for z in range(grid.data.shape[2])]
    table = pd.DataFrame(
        np.array(voxels) * grid.voxel_ml, columns=["iph_growth_ml", "ivh_growth_ml", *slices]
    )
    products = [
        patient_file(out, patient_id, name)
        for name in ("desc-expansion_truth-probseg.nii.gz", "redraws.tsv")
    ]
    write_volume(products[0], count / draws, grid.affine, np.float32)
    with write_atomically(products[1]) as temporary:
        table.to_csv(temporary, sep="\t", index_label="draw", float_format="%.6g")
    write_sidecars(products, verb="draw-truth-map", settings=settings.as_json(), inputs=baseline,
                   started=started, seed=settings.seed, draws=draws)  # fmt: skip
    return products
