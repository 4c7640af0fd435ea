"""One scan on the grid: every transform composed, each voxel interpolated once."""

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hemexp import Fault, HemexpError
from hemexp.columns import BASELINE
from hemexp.layout import Layout
from hemexp.made_masks import GIVEN, mask_source
from hemexp.preprocess.coarse import crop, mask_box
from hemexp.preprocess.grid import lay_grid
from hemexp.preprocess.interpolate import resample_blood, resample_ct
from hemexp.preprocess.rows import write_row
from hemexp.preprocess.scans import NativeScan, name_faults, read_native_scan, write_images
from hemexp.preprocess.thumbnails import draw_scan, write_png
from hemexp.preprocess.transforms import read_transform
from hemexp.provenance import write_sidecars
from hemexp.settings import Grid
from hemexp.volumes import Volume, read_volume, volume_ml

MARGIN_MM = 10.0
"""Kept round the brain before resampling; only for speed, wider than any kernel here."""


def resample_scan(
    scan: NativeScan, brain: NDArray[np.bool_], grid: Volume, matrix: NDArray[np.float64]
) -> dict[str, NDArray]:
    """Brings a scan onto the grid, skull-stripped.

    Args:
        scan: Native scan.
        brain: Its native brain mask (x, y, z).
        grid: Shape and affine of the grid.
        matrix: 4 x 4 RAS mm, takes a point of the grid's space to the scan's space.

    Returns:
        On the grid: `ct` in HU (float32, 0 outside the brain) and the masks `iph`, `ivh` and
        `brain` (bool, disjoint IPH and IVH, both inside the brain).
    """
    box = mask_box(brain, MARGIN_MM, scan.ct.spacing_mm)
    ct, iph, ivh, inside = (
        crop(volume, box) for volume in (scan.ct, scan.iph, scan.ivh, scan.ct.with_data(brain))
    )
    iph_grid, ivh_grid = resample_blood(iph, ivh, grid, matrix)
    hu, share = resample_ct(ct, inside, grid, matrix)
    brain_grid = (share >= 0.5) | iph_grid | ivh_grid
    ct_grid = np.where(brain_grid, hu, 0)
    return {"ct": ct_grid, "iph": iph_grid, "ivh": ivh_grid, "brain": brain_grid}


def run_resample_scan(
    layout: Layout, patient_id: str, session: str, settings: Grid, reference: str
) -> None:
    """Brings one scan of a patient onto the patient's grid and measures it there.

    `volumes` is a one-row table: patient_id session iph_grid_ml ivh_grid_ml.

    Args:
        layout: Of the run.
        patient_id: Patient of the sample sheet.
        session: `baseline` or `followup`.
        settings: The grid.
        reference: Session on whose brain the grid is laid: this one, or the other one of a
            registered pair.

    Raises:
        HemexpError: The scan cannot be used, its reference brain is larger than the grid, or the
            baseline's bleed is so small that no model would see it.
    """
    started, files = time.perf_counter(), layout.grid(patient_id, session)
    inputs = [*layout.native(patient_id, session).images]
    native, brain = read_native_scan(layout, patient_id, session)
    matrix, reference_brain = np.eye(4), native.ct.with_data(brain)
    if reference != session:
        pair = layout.native(patient_id, reference).brain, layout.pair(patient_id).transform
        inputs += pair
        reference_brain, to_followup = read_volume(pair[0]), read_transform(pair[1])
        matrix = to_followup if session == "followup" else np.linalg.inv(to_followup)
    try:
        grid = lay_grid(reference_brain, settings)
    except HemexpError as error:
        where = f"{layout.native(patient_id, reference).brain}"
        raise HemexpError(*name_faults(error.faults, patient_id, where)) from error
    found = resample_scan(native, brain, grid, matrix)
    if session == BASELINE and not found["iph"].any():
        raise HemexpError(_no_bleed(patient_id, files.iph))
    write_images(files, found, grid.affine)
    blood = ("ivh", "iph")
    dashed = () if mask_source(layout, patient_id, session) == GIVEN else blood
    write_png(files.picture, draw_scan(grid.with_data(found["ct"]), found, blood, dashed))
    measured = {
        f"{image}_grid_ml": volume_ml(grid.with_data(found[image])) for image in ("iph", "ivh")
    }
    write_row(files.volumes, {"patient_id": patient_id, "session": session, **measured})
    write_sidecars(
        files, verb="resample-scan", settings=settings.as_json(), inputs=inputs, started=started
    )


def _no_bleed(patient_id: str, path: Path) -> Fault:
    return Fault(
        f"patient {patient_id}, {path}",
        "no voxel of IPH on the grid",
        "a bleed that fills at least one voxel",
        "Take a finer preprocess.grid, or leave the patient out of the sheet.",
    )
