"""Masks of whole scans: where none are given, and beside given ones to be scored."""

import itertools
import json
import logging
import math
import time

import nibabel as nib
import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray

from hemexp import Fault, HemexpError
from hemexp.columns import SESSIONS
from hemexp.layout import Layout
from hemexp.provenance import sidecar_path, write_sidecars
from hemexp.segmentation.command import find_by_command
from hemexp.segmentation.folds import fold_patients
from hemexp.segmentation.infer import FoundMasks, find_masks
from hemexp.segmentation.network import BACKGROUND, IPH, IVH, TrainedSegmenter, load_segmenter
from hemexp.settings import Segmentation
from hemexp.tables import write_table
from hemexp.training import resolve_device
from hemexp.volumes import Volume, read_ras, read_volume, write_volume

log = logging.getLogger(__name__)


def turn_back(data: NDArray, affine: ArrayLike) -> NDArray:
    """An array whose axes run right, front and up, along the axes of a file again.

    Args:
        data: (x, y, z), as `read_ras` turns an image.
        affine: Of the file: voxel index to RAS mm.
    """
    upright = nib.orientations.axcodes2ornt("RAS")
    turn = nib.orientations.ornt_transform(upright, nib.io_orientation(np.asarray(affine)))
    return nib.orientations.apply_orientation(data, turn)


def row_of(patient_id: str, session: str, found: FoundMasks, network: str) -> dict:
    """The scan's row of `segmentation.tsv`; its note says what is missing or was left out.

    Args:
        patient_id: Patient of the sheet.
        session: `baseline` or `followup`.
        found: The masks; a program's entropies are NaN.
        network: Hash of the network; empty where a program of the study's own made the masks.
    """
    finder = "the network" if network else "the program"
    notes = [] if network else ["the program does not say how sure it is"]
    if found.iph_ml == 0:
        notes.append(
            f"patient {patient_id}, {session}: {finder} finds no IPH; look at the scan, and "
            "draw the mask or exclude the patient"
        )
        log.warning(notes[-1])
    volumes = {name: value for name, value in found._asdict().items() if name.endswith("_ml")}
    names = {"patient_id": patient_id, "session": session}
    method = "network" if network else "command"
    return {**names, **volumes, "method": method, "network": network, "note": "; ".join(notes)}


def check_not_given(layout: Layout, patient_id: str, session: str) -> None:
    """Refuses to write over masks that the study gave.

    Raises:
        HemexpError: The scan's masks came with the sheet.
    """
    mask = layout.native(patient_id, session).iph
    sidecar = sidecar_path(mask)
    if not (mask.exists() and sidecar.exists()):
        return
    verb = json.loads(sidecar.read_text(encoding="utf-8"))["verb"]
    if verb != "segment-scan":
        raise HemexpError(
            Fault(
                f"patient {patient_id}, {session}, {mask}",
                f"a mask that `{verb}` wrote",
                "no mask, or one of `segment-scan`",
                "Given masks are used as they are; `crossfit-masks` marks the scan beside them.",
            )
        )


def check_not_seen(segmenter: TrainedSegmenter, patient_id: str, fold: int) -> None:
    """Refuses a network that knows the patient's given masks.

    Raises:
        HemexpError: It was trained on the patient.
    """
    if patient_id in segmenter.patients:
        raise HemexpError(
            Fault(
                f"patient {patient_id}, --fold {fold}",
                "a network that was trained on this patient",
                "the one of the patient's own fold, which never saw the patient",
                "Train the fold's network again: masks were added or taken away since.",
            )
        )


def mark_scan(
    layout: Layout, segmenter: TrainedSegmenter, scan: tuple[str, str], device: torch.device
) -> tuple[Volume, dict]:
    """Labels of a stripped native scan, on its own grid, and its row of `segmentation.tsv`."""
    native = layout.native(*scan)
    ct, brain = read_ras(native.ct), read_ras(native.brain)
    found = find_masks(segmenter, ct.data, brain.data > 0, ct.voxel_ml, device)
    affine = read_volume(native.ct).affine
    return Volume(turn_back(found.labels, affine), affine), row_of(*scan, found, segmenter.hash)


def mark_by_command(
    layout: Layout, scan: tuple[str, str], settings: Segmentation
) -> tuple[Volume, dict]:
    """The same by a program of the study's own; what it finds outside the brain is left out."""
    native, (patient_id, session) = layout.native(*scan), scan
    ct, brain = read_volume(native.ct), read_volume(native.brain).data > 0
    where = f"patient {patient_id}, {session}"
    labels = find_by_command(ct, brain, settings, where)
    outside_ml = float((labels[~brain] > 0).sum()) * ct.voxel_ml
    labels[~brain] = BACKGROUND
    volumes = (float((labels == kind).sum()) * ct.voxel_ml for kind in (IPH, IVH))
    row = row_of(*scan, FoundMasks(labels, *volumes, math.nan, math.nan), network="")
    if outside_ml:
        words = f"{outside_ml:.2f} mL outside the brain mask left out"
        log.warning("%s: %s", where, words)
        row["note"] += f"; {words}"
    return ct.with_data(labels), row


def run_segment_scan(
    layout: Layout,
    patient_id: str,
    session: str,
    settings: Segmentation,
    device: str,
    models: Layout | None = None,
) -> None:
    """Verb `segment-scan`: a stripped native scan to its IPH and IVH masks and a one-row table.

    The masks lie where given ones would, and the table says how sure they are: patient_id session
    iph_ml ivh_ml entropy_iph_ml entropy_ivh_ml method network note.

    Args:
        layout: Of the run.
        patient_id: Patient of the sheet.
        session: `baseline` or `followup`.
        settings: Whether the network or a program of the study's own finds them.
        device: `auto`, `cpu` or `cuda`.
        models: Where the network lies, if not in `layout`.

    Raises:
        HemexpError: The scan has given masks, or the program of method `command` fails.
    """
    started, scan = time.perf_counter(), (patient_id, session)
    check_not_given(layout, *scan)
    native, table = layout.native(*scan), layout.segmentation(*scan)
    inputs, where = [native.ct, native.brain], "cpu"
    if settings.method == "command":
        labels, row = mark_by_command(layout, scan, settings)
    else:
        models, used = models or layout, resolve_device(device)
        segmenter = load_segmenter(models, None, used)
        labels, row = mark_scan(layout, segmenter, scan, used)
        settings, where = segmenter.settings, str(used)
        inputs.append(models.segmenter().weights)
    for path, kind in {native.iph: IPH, native.ivh: IVH}.items():
        write_volume(path, labels.data == kind, labels.affine, np.uint8)
    write_table(table, pd.DataFrame([row]))
    write_sidecars(
        [native.iph, native.ivh, table],
        verb="segment-scan",
        settings=settings.as_json(),
        inputs=inputs,
        started=started,
        device=where,
    )


def run_crossfit_masks(layout: Layout, masked: list[str], fold: int, device: str) -> None:
    """Verb `crossfit-masks`: marks a fold's scans by the network that did not see its patients.

    Labels and a table of the fold, to be scored against the given masks.

    Args:
        layout: Of the run.
        masked: Training patients with given masks.
        fold: Whose patients are marked.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        HemexpError: The fold's network was trained on one of them.
    """
    started, where = time.perf_counter(), resolve_device(device)
    segmenter = load_segmenter(layout, fold, where)
    patients = fold_patients(masked, fold, segmenter.settings.folds)
    for patient_id in patients:
        check_not_seen(segmenter, patient_id, fold)
    rows, files, inputs = [], [], [layout.segmenter(fold).weights]
    for scan in itertools.product(patients, SESSIONS):
        labels, row = mark_scan(layout, segmenter, scan, where)
        write_volume(layout.crossfit_scan(*scan), labels.data, labels.affine, np.uint8)
        rows.append(row)
        files.append(layout.crossfit_scan(*scan))
        inputs += [layout.native(*scan).ct, layout.native(*scan).brain]
    write_table(layout.crossfit_fold(fold), pd.DataFrame(rows))
    write_sidecars(
        [*files, layout.crossfit_fold(fold)],
        verb="crossfit-masks",
        settings=segmenter.settings.as_json(),
        inputs=inputs,
        started=started,
        device=str(where),
        fold=fold,
    )
