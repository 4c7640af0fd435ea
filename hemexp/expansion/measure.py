"""Verb `measure-bleed`: features of a bleed from its native baseline."""

import time
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from hemexp.columns import BASELINE
from hemexp.expansion.features import BleedScan, measure_bleed
from hemexp.expansion.patients import save_tables
from hemexp.layout import Layout, ScanImages
from hemexp.outcomes import read_volumes
from hemexp.volumes import read_ras


def run_measure_bleed(layout: Layout, patients: pd.DataFrame) -> None:
    """Verb `measure-bleed`: features of patients' native baselines, a table of one row each.

    Args:
        layout: Of the run; the scans were preprocessed.
        patients: Their rows of the sheet.
    """
    for patient_id, volumes in read_volumes(layout, patients, (BASELINE,)).iterrows():
        _measure_patient(layout, str(patient_id), volumes)


def _measure_patient(layout: Layout, patient_id: str, volumes: pd.Series) -> None:
    started = time.perf_counter()
    images = layout.native(patient_id, BASELINE).images
    volumes_ml = (float(volumes[f"baseline_{mask}_ml"]) for mask in ("iph", "ivh"))
    measured = measure_files(images._asdict(), *volumes_ml)
    save_tables(
        {layout.features(patient_id): pd.DataFrame([{"patient_id": patient_id, **measured}])},
        verb="measure-bleed",
        settings={},
        inputs=[*images],
        started=started,
    )


def measure_files(
    files: Mapping[str, Path | str], iph_ml: float, ivh_ml: float
) -> dict[str, float]:
    """Features of a baseline from its files by the names of `ScanImages`, see `measure_bleed`.

    Their slices may lie in any order and direction.
    """
    ct, *masks = (read_ras(files[name]) for name in ScanImages._fields)
    scan = BleedScan(ct.data, *(mask.data > 0 for mask in masks), ct.spacing_mm)
    return measure_bleed(scan, iph_ml, ivh_ml)
