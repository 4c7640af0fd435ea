"""What is encoded of a patient: both scans, and the reference of a training pair."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from hemexp.anatomy.prepared import prepare
from hemexp.anatomy.push_fit import PushModel
from hemexp.anatomy.reference import ReferenceScan, Told, make_reference
from hemexp.autoencoder.network import model_input
from hemexp.autoencoder.slices import SliceSet, slices_of
from hemexp.columns import SESSIONS
from hemexp.grid_scan import GridScan, read_grid_scan
from hemexp.latents.place import centroid_mm
from hemexp.layout import Layout
from hemexp.outcomes import read_volumes
from hemexp.settings import Reference


@dataclass(frozen=True)
class PatientImages:
    """What is encoded of one patient.

    Attributes:
        scans: By session: `baseline` and, where there is one, `followup`.
        reference: Images (z, 3, x, y) of what the follow-up is drawn relative to; None where that
            is the baseline, or where nothing is learned of the patient.
        files: They were read from.
    """

    scans: dict[str, SliceSet]
    reference: Tensor | None
    files: list[Path]


def reference_images(reference: ReferenceScan) -> Tensor:
    """Network input (z, 3, x, y) of a reference."""
    parts = (np.moveaxis(part, 2, 0) for part in reference[:3])
    return model_input(*(torch.from_numpy(np.ascontiguousarray(part)) for part in parts))


def true_reference(
    scans: Mapping[str, GridScan], volumes: pd.Series, kind: Reference, push: PushModel | None
) -> ReferenceScan:
    """The reference of a training pair, told what truly happened.

    Args:
        scans: Both by session, on the grid.
        volumes: Native volumes, such as `baseline_iph_ml`.
        kind: Which parts the reference has.
        push: How growth pushes tissue; None where nothing is warped.
    """
    growth_ml, ivh_growth_ml = (
        float(volumes[f"followup_{blood}_ml"] - volumes[f"baseline_{blood}_ml"])
        for blood in ("iph", "ivh")
    )
    push_ml = push.push_ml(growth_ml, float(volumes["baseline_iph_ml"])) if push else 0.0
    zxy_mm = scans["baseline"].ct.spacing_mm[[2, 0, 1]]
    before, after = (
        centroid_mm(torch.from_numpy(np.moveaxis(scans[s].iph, 2, 0)), zxy_mm) for s in SESSIONS
    )
    told = Told(growth_ml, (after - before).numpy(), push_ml, ivh_growth_ml)
    frame = scans["baseline"].frame
    prepared = prepare(scans["baseline"].cut(frame), kind, push.sink_per_mm2 if push else 0.0)
    return make_reference(prepared, told).spread(frame)


def read_patient(
    layout: Layout, row: pd.DataFrame, kind: Reference | None, push: PushModel | None
) -> PatientImages:
    """Reads a patient's scans, and makes the reference of a training pair.

    Args:
        layout: Of the run.
        row: The patient's row of the sheet, as a table.
        kind: Which parts the reference has; None where none is encoded.
        push: How growth pushes tissue; None where nothing is warped.
    """
    patient_id, split = row.index[0], row["split"].iloc[0]
    sessions = SESSIONS[:1] if split == "predict" else SESSIONS
    read = {session: read_grid_scan(layout, patient_id, session) for session in sessions}
    reference = None
    if split == "train" and kind is not None:
        volumes = read_volumes(layout, row).iloc[0]
        reference = reference_images(true_reference(read, volumes, kind, push))
    files = [path for s in sessions for path in layout.grid(patient_id, s).images]
    return PatientImages({s: slices_of(scan) for s, scan in read.items()}, reference, files)
