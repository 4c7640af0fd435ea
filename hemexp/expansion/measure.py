"""Verb `measure-bleed`: features of a bleed from its native baseline."""

import time
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from hemexp import Fault, HemexpError
from hemexp.expansion.features import measure_bleed
from hemexp.expansion.patients import FEATURES, write_tables
from hemexp.outcomes import read_volumes
from hemexp.provenance import patient_file
from hemexp.volumes import read_ras, read_volume

IMAGES = {"ct": "ct.nii.gz"} | {m: f"desc-{m}_mask.nii.gz" for m in ("iph", "ivh", "brain")}
"""Endings of a scan's images as `preprocess` writes them, after `ses-{session}_space-{space}_`."""


def run_measure_bleed(samples: pd.DataFrame, preprocess: Path, out: Path) -> None:
    """Verb `measure-bleed`: features of patients' native baselines.

    Args:
        samples: Their rows of the sheet.
        preprocess: Folder with native and grid scans and native volumes.
        out: `results/expansion`; writes `sub-ID/sub-ID_features.tsv`, one row.

    Raises:
        HemexpError: A bleed is too small for the grid, so that no model can see it.
    """
    for patient_id, volumes in read_volumes(preprocess, samples, ("baseline",)).iterrows():
        _measure_patient(str(patient_id), volumes, preprocess, out)


def _measure_patient(patient_id: str, volumes: pd.Series, preprocess: Path, out: Path) -> None:
    started = time.perf_counter()
    start = "ses-baseline_space-"
    on_grid = patient_file(preprocess, patient_id, f"{start}grid_{IMAGES['iph']}")
    if not read_volume(on_grid).data.any():
        raise HemexpError(
            Fault(
                f"patient {patient_id}, {on_grid}",
                "no voxel of IPH on the grid",
                "a bleed that fills at least one voxel",
                "Take a finer preprocess.grid, or leave the patient out of the sheet.",
            )
        )
    files = {
        name: patient_file(preprocess, patient_id, f"{start}native_{ending}")
        for name, ending in IMAGES.items()
    }
    measured = measure_files(
        files, float(volumes["baseline_iph_ml"]), float(volumes["baseline_ivh_ml"])
    )
    table = pd.DataFrame([{"patient_id": patient_id, **measured}])
    write_tables(
        {patient_file(out, patient_id, FEATURES): table},
        verb="measure-bleed",
        settings={},
        inputs=[*files.values(), on_grid],
        started=started,
    )


def measure_files(
    files: Mapping[str, Path | str], iph_ml: float, ivh_ml: float
) -> dict[str, float]:
    """Features of a baseline from its files by the names of `IMAGES`, see `measure_bleed`.

    Their slices may lie in any order and direction.
    """
    upright = {name: read_ras(files[name]) for name in IMAGES}
    ct = upright.pop("ct")
    masks = {name: mask.data > 0 for name, mask in upright.items()}
    return measure_bleed(ct.data, **masks, spacing_mm=ct.spacing_mm, iph_ml=iph_ml, ivh_ml=ivh_ml)
