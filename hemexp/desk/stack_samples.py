"""Verb `stack-samples`: a patient's drawn follow-ups as one sequence for 3D Slicer or FSL."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import DTypeLike, NDArray

from hemexp import Fault, HemexpError
from hemexp.anatomy.boxes import bounding_box
from hemexp.grid_scan import read_grid_scan
from hemexp.layout import Layout, SampleFiles
from hemexp.provenance import write_sidecars
from hemexp.tables import read_table
from hemexp.volumes import (
    SAME_GRID_MM,
    ImageError,
    Volume,
    grid_distance_mm,
    read_volume,
    write_volume,
)

MARGIN_MM = 6.0
"""Left round the brain: blood and cortex at its edge stay in the picture of any viewer."""

TOLD = ("sample", "indicator", "iph_ml", "ivh_ml", "midline_shift_mm")
"""Columns of `volumes.tsv` that the sidecar repeats for every place in the sequence."""

LABELS = {"1": "IPH", "2": "IVH"}


def order_samples(volumes: pd.DataFrame) -> pd.DataFrame:
    """Samples that were kept by follow-up IPH volume, the smallest first; equal ones by number."""
    kept = volumes[volumes["kept"] == 1]
    return kept.sort_values(["iph_ml", "sample"], kind="stable", ignore_index=True)


def crop_box(brain: Volume) -> tuple[slice, ...]:
    """The box round a brain mask with `MARGIN_MM` on every side, as far as the grid reaches."""
    box = bounding_box(brain.data > 0, np.ceil(MARGIN_MM / brain.spacing_mm))
    ends = zip(box, brain.data.shape, strict=True)
    return tuple(slice(side.start, min(side.stop, size)) for side, size in ends)


def cropped_affine(affine: NDArray[np.float64], box: tuple[slice, ...]) -> NDArray[np.float64]:
    """Affine of a box of an image: its first voxel stays where it is in the patient."""
    moved = affine.copy()
    moved[:3, 3] = affine[:3] @ [*(side.start for side in box), 1]
    return moved


def read_stack(
    paths: Sequence[Path], grid: Volume, box: tuple[slice, ...], dtype: DTypeLike
) -> NDArray[np.generic]:
    """Images of one grid, cropped, as (x, y, z, n).

    Args:
        paths: NIfTI files in the order of the sequence.
        grid: An image on the grid that they have to lie on.
        box: Of `crop_box`.
        dtype: Of the result; numbers are rounded.

    Raises:
        ImageError: A file cannot be read or lies on another grid.
    """
    shape = [side.stop - side.start for side in box]
    stack = np.empty((*shape, len(paths)), dtype=dtype)
    for place, path in enumerate(paths):
        image = read_volume(path)
        if (away_mm := grid_distance_mm(image, grid)) > SAME_GRID_MM:
            raise ImageError(
                Fault(
                    str(path),
                    f"a grid that lies {away_mm:.3g} mm from the baseline's",
                    "the grid of the run",
                    "Draw the samples again: `snakemake` makes what is out of date.",
                )
            )
        stack[..., place] = np.rint(image.data[box])
    return stack


def run_stack_samples(layout: Layout, patient_id: str) -> SampleFiles:
    """Writes CT and labels of a patient's kept samples, by volume, cropped to the brain.

    Args:
        layout: Of the run, or of a folder that `predict` wrote.
        patient_id: The patient.

    Returns:
        Both files; the sidecar says which sample stands at each place, and its volumes.

    Raises:
        HemexpError: The patient has no samples.
    """
    started = time.perf_counter()
    table = layout.sample_volumes(patient_id)
    if not table.is_file():
        raise HemexpError(_no_samples(patient_id, table))
    volumes = order_samples(read_table(table))
    baseline = read_grid_scan(layout, patient_id, "baseline")
    box = crop_box(baseline.ct.with_data(baseline.brain))
    affine = cropped_affine(baseline.ct.affine, box)
    drawn = [layout.sample(patient_id, number) for number in volumes["sample"]]
    files = layout.stacked_samples(patient_id)
    for name, dtype in (("ct", np.int16), ("labels", np.uint8)):
        paths = [getattr(one, name) for one in drawn]
        stack = read_stack(paths, baseline.ct, box, dtype)
        write_volume(getattr(files, name), stack, affine, dtype)
    write_sidecars(
        files,
        verb="stack-samples",
        settings={},
        started=started,
        inputs=[
            table,
            layout.grid(patient_id, "baseline").brain,
            *(p for one in drawn for p in one),
        ],
        order="by iph_ml, the smallest first",
        places=_places(volumes),
        labels=LABELS,
        crop_voxels=[[side.start, side.stop] for side in box],
    )
    return files


def _places(volumes: pd.DataFrame) -> list[dict[str, Any]]:
    """What stands at each place of the sequence; None where it was not measured."""
    told = volumes[[*TOLD]].astype(object)
    return told.where(told.notna(), None).to_dict("records")


def _no_samples(patient_id: str, table: Path) -> Fault:
    return Fault(
        f"patient {patient_id}, {table}",
        "no such file",
        "the table of the patient's samples",
        "Check the patient_id: excluded and training patients have no samples. --results names "
        "the folder of the run.",
    )
