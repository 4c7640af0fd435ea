"""Verb `segment-scan`: masks of one scan by a network that did not see its patient."""

import json
import logging
import time

import nibabel as nib
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from hemexp import Fault, HemexpError
from hemexp.layout import Layout
from hemexp.provenance import sidecar_path, write_sidecars
from hemexp.segmentation.infer import FoundMasks, find_masks
from hemexp.segmentation.network import IPH, IVH, TrainedSegmenter, load_segmenter
from hemexp.tables import write_table
from hemexp.training import resolve_device
from hemexp.volumes import read_ras, read_volume, write_volume

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
    """The scan's row of `segmentation.tsv`; its note, where no IPH is found, says so."""
    note = ""
    if found.iph_ml == 0:
        note = (
            f"patient {patient_id}, {session}: the network finds no IPH; look at the scan, and "
            "draw the mask or exclude the patient"
        )
        log.warning(note)
    volumes = {name: value for name, value in found._asdict().items() if name.endswith("_ml")}
    names = {"patient_id": patient_id, "session": session}
    return {**names, **volumes, "network": network, "note": note}


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
                "Given masks are used as they are; `--fold` marks the scan beside them.",
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
                "Name that fold; `hemexp.segmentation.folds` says which it is.",
            )
        )


def run_segment_scan(
    layout: Layout,
    patient_id: str,
    session: str,
    device: str,
    fold: int | None = None,
    models: Layout | None = None,
) -> None:
    """Verb `segment-scan`: a stripped native scan to its IPH and IVH masks and a one-row table.

    Without a fold the masks lie where given ones would, and the table says how sure they are:
    patient_id session iph_ml ivh_ml entropy_iph_ml entropy_ivh_ml network note. With a fold the
    labels lie beside the given masks, to be scored against them.

    Args:
        layout: Of the run.
        patient_id: Patient of the sheet.
        session: `baseline` or `followup`.
        device: `auto`, `cpu` or `cuda`.
        fold: Whose network is used: the patient must be of it; None: the one that saw all.
        models: Where the network lies, if not in `layout`.

    Raises:
        HemexpError: The scan has given masks and no fold is named, or the fold's network was
            trained on the patient.
    """
    started, where = time.perf_counter(), resolve_device(device)
    native = layout.native(patient_id, session)
    if fold is None:
        check_not_given(layout, patient_id, session)
    segmenter = load_segmenter(models or layout, fold, where)
    if fold is not None:
        check_not_seen(segmenter, patient_id, fold)
    ct, brain = read_ras(native.ct), read_ras(native.brain)
    found = find_masks(segmenter, ct.data, brain.data > 0, ct.voxel_ml, where)
    affine = read_volume(native.ct).affine
    labels = turn_back(found.labels, affine)
    if fold is None:
        images = {native.iph: labels == IPH, native.ivh: labels == IVH}
        table = layout.segmentation(patient_id, session)
    else:
        crossfit = layout.crossfit_scan(patient_id, session)
        images, table = {crossfit.labels: labels}, crossfit.table
    for path, data in images.items():
        write_volume(path, data, affine, np.uint8)
    write_table(table, pd.DataFrame([row_of(patient_id, session, found, segmenter.hash)]))
    write_sidecars(
        [*images, table],
        verb="segment-scan",
        settings=segmenter.settings.as_json(),
        inputs=[native.ct, native.brain, (models or layout).segmenter(fold).weights],
        started=started,
        device=str(where),
        fold=fold,
    )
