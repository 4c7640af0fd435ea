"""Writes the samples of one patient and their maps, and clears away those of an earlier run."""

import logging
from collections import deque
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hemexp.anatomy.boxes import Frame
from hemexp.layout import MAPS, Layout, SampleFiles
from hemexp.provenance import sidecar_path
from hemexp.sampling.finish import IPH_LABEL, IVH_LABEL, FinishedSample
from hemexp.sampling.patient import PatientAtBaseline
from hemexp.sampling.workers import Workers
from hemexp.volumes import write_volume

log = logging.getLogger(__name__)


def write_samples(
    layout: Layout,
    patient: PatientAtBaseline,
    finished: Iterable[FinishedSample],
    frame: Frame,
    workers: Workers,
    kept: int,
) -> tuple[list[dict[str, float]], list[Path]]:
    """Writes the first samples as they come, then the maps of all.

    Args:
        layout: Where to write.
        patient: The patient.
        finished: The samples in their order.
        frame: What their images show of the grid.
        workers: They write, two samples each at most at a time.
        kept: How many are written.

    Returns:
        Measurements of all, and the files written.
    """
    affine, blood = patient.baseline.scan.ct.affine, frame.cut(patient.baseline.scan.blood)
    counts = {name: np.zeros(blood.shape, np.int32) for name in MAPS}
    rows, products, writing = [], [], deque()
    for k, sample in enumerate(finished):
        rows.append(sample.measured)
        if k < kept:
            products += (files := layout.sample(patient.patient_id, k))
            writing.append(workers.start(_write_sample, files, sample, frame, affine))
        if len(writing) > 2 * workers.count:
            writing.popleft().result()
        counts["iph"] += sample.labels == IPH_LABEL
        counts["ivh"] += sample.labels == IVH_LABEL
        counts["expansion"] += (sample.labels > 0) & ~blood
    for written in writing:
        written.result()
    for name, count in counts.items():
        products.append(layout.sample_map(patient.patient_id, name))
        write_volume(products[-1], frame.spread(count / len(rows)), affine, np.float32)
    return rows, products


def _write_sample(
    files: SampleFiles, sample: FinishedSample, frame: Frame, affine: NDArray[np.float64]
) -> None:
    ct_hu = np.rint(sample.ct_hu).astype(np.int16)
    write_volume(files.ct, frame.spread(ct_hu), affine, np.int16)
    write_volume(files.labels, frame.spread(sample.labels), affine, np.uint8)


def remove_surplus(layout: Layout, patient_id: str, count: int) -> None:
    """Removes samples, with their sidecars, that an earlier run left behind that kept more.

    Snakemake deletes only what a rule still declares; a sample that no table and no map counts
    would be taken for one of this run.

    Args:
        layout: Of the run.
        patient_id: The patient.
        count: How many are kept; that sample and all above go.
    """
    kept = {path for k in range(count) for path in layout.sample(patient_id, k)}
    found = {path for kind in layout.sample(patient_id, "*") for path in layout.find(kind)}
    surplus = found - kept
    surplus |= {sidecar for sidecar in map(sidecar_path, surplus) if sidecar.exists()}
    for path in surplus:
        path.unlink()
    if surplus:
        message = "%s: removed %d files of an earlier run that kept more than %d samples"
        log.info(message, patient_id, len(surplus), count)
