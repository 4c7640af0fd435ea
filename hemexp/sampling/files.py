"""Writes the samples of one patient and their maps, and clears away those of an earlier run."""

import logging
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hemexp.provenance import patient_file
from hemexp.sampling.finish import IPH, IVH, Baseline, finish_sample
from hemexp.sampling.sample import Decoded
from hemexp.volumes import write_volume

log = logging.getLogger(__name__)


def write_samples(
    folder: Path,
    patient_id: str,
    followups: Iterable[Decoded],
    reference: Decoded,
    baseline: Baseline,
    growth_ml: NDArray[np.float64],
    match: bool,
) -> tuple[list[dict[str, float]], list[Path]]:
    """Finishes and writes each sample, then the maps; gives measurements and files written."""
    affine = baseline.ct.affine
    counts = {name: np.zeros(baseline.brain.shape) for name in ("iph", "ivh", "expansion")}
    rows, products = [], []
    for k, decoded in enumerate(followups):
        ct_hu, labels, measured = finish_sample(decoded, reference, baseline, growth_ml[k], match)
        rows.append(measured)
        for name, dtype, content in (("ct", np.int16, ct_hu), ("dseg", np.uint8, labels)):
            products.append(patient_file(folder, patient_id, f"sample-{k}_{name}.nii.gz"))
            write_volume(products[-1], content, affine, dtype)
        counts["iph"] += labels == IPH
        counts["ivh"] += labels == IVH
        counts["expansion"] += (labels > 0) & ~baseline.blood
    for name, count in counts.items():
        products.append(patient_file(folder, patient_id, f"desc-{name}_probseg.nii.gz"))
        write_volume(products[-1], count / len(rows), affine, np.float32)
    return rows, products


def remove_surplus(folder: Path, patient_id: str, samples: int) -> None:
    """Removes samples, with their sidecars, that an earlier run with a larger K left behind.

    Snakemake deletes only what a rule still declares; a sample that no table and no map counts
    would be taken for one of this run.

    Args:
        folder: Folder of all patients' samples.
        patient_id: The patient.
        samples: K; sample K and all above go.
    """
    name = re.compile(rf"sub-{patient_id}_sample-(\d+)_(?:ct|dseg)\.(?:nii\.gz|json)")
    found = [(path, name.fullmatch(path.name)) for path in folder.glob(f"sub-{patient_id}/*")]
    surplus = [path for path, matched in found if matched and int(matched[1]) >= samples]
    for path in surplus:
        path.unlink()
    if surplus:
        told = "%s: removed %d files of an earlier run that drew more than %d samples"
        log.info(told, patient_id, len(surplus), samples)
