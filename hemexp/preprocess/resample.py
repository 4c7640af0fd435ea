"""One scan on the grid: every transform composed, each voxel interpolated once."""

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hemexp import HemexpError
from hemexp.preprocess.coarse import crop, mask_box
from hemexp.preprocess.grid import lay_grid
from hemexp.preprocess.interpolate import resample_blood, resample_ct
from hemexp.preprocess.rows import write_row
from hemexp.preprocess.scans import Scan, name_faults, read_scan
from hemexp.preprocess.thumbnails import draw_scan, write_png
from hemexp.preprocess.transforms import read_transform
from hemexp.provenance import write_sidecars
from hemexp.settings import Grid
from hemexp.volumes import Volume, read_volume, volume_ml, write_volume

MARGIN_MM = 10.0
"""Kept round the brain before resampling; only for speed, wider than any kernel here."""


def resample_scan(
    scan: Scan, brain: NDArray[np.bool_], grid: Volume, matrix: NDArray[np.float64]
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
    patient_id: str,
    session: str,
    scan: Mapping[str, Path | str],
    outputs: Mapping[str, Path | str],
    settings: Grid,
    reference_brain: Path | str | None = None,
    transform: Path | str | None = None,
) -> None:
    """Brings one scan of a patient onto the patient's grid and measures it there.

    Args:
        patient_id: Patient of the sample sheet.
        session: `baseline` or `followup`.
        scan: Native files: `ct`, `iph`, `ivh` and `brain`.
        outputs: Files to write: `ct` (int16 HU), `iph`, `ivh`, `brain` (uint8), `picture` (PNG)
            and `volumes`, a one-row table: patient_id session iph_grid_ml ivh_grid_ml.
        settings: The grid.
        reference_brain: Native brain mask of the reference scan, on which the grid is laid;
            None when this scan is the reference.
        transform: ITK transform from baseline to follow-up points; None like `reference_brain`.

    Raises:
        HemexpError: The scan cannot be used, or its reference brain is larger than the grid.
        ValueError: Only one of `reference_brain` and `transform` was given.
    """
    if (reference_brain is None) != (transform is None):
        raise ValueError("reference_brain and transform belong together: give both or neither")
    started = time.perf_counter()
    native, brain = read_scan(patient_id, session, scan)
    matrix = np.eye(4)
    if transform is not None:
        matrix = read_transform(transform)
        matrix = matrix if session == "followup" else np.linalg.inv(matrix)
    reference = native.ct.with_data(brain)
    if reference_brain is not None:
        reference = read_volume(reference_brain)
    try:
        grid = lay_grid(reference, settings)
    except HemexpError as error:
        where = f"{reference_brain or scan['brain']}"
        raise HemexpError(*name_faults(error.faults, patient_id, where)) from error
    found = resample_scan(native, brain, grid, matrix)
    write_volume(outputs["ct"], found["ct"], grid.affine, np.int16)
    for image in ("iph", "ivh", "brain"):
        write_volume(outputs[image], found[image], grid.affine, np.uint8)
    write_png(outputs["picture"], draw_scan(grid.with_data(found["ct"]), found, ("ivh", "iph")))
    measured = {
        f"{image}_grid_ml": volume_ml(grid.with_data(found[image])) for image in ("iph", "ivh")
    }
    write_row(outputs["volumes"], {"patient_id": patient_id, "session": session, **measured})
    inputs = [*scan.values(), *(path for path in (reference_brain, transform) if path)]
    write_sidecars(
        outputs.values(),
        verb="resample-scan",
        settings=settings.as_json(),
        inputs=inputs,
        started=started,
    )
