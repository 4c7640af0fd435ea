"""The phantom's further follow-ups of a patient's baseline, as `draw-truth-map` leaves them."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp.provenance import patient_file
from hemexp.tables import read_table


def true_files(folder: Path, patient_id: str) -> tuple[Path, Path] | tuple[None, None]:
    """The true expansion map and the table of redraws; None for real patients.

    Args:
        folder: `results/evaluation`.
        patient_id: Who.
    """
    true_map = patient_file(folder, patient_id, "desc-expansion_truth-probseg.nii.gz")
    redraws = patient_file(folder, patient_id, "redraws.tsv")
    return (true_map, redraws) if true_map.exists() else (None, None)


def read_slices(redraws: Path) -> NDArray[np.float64]:
    """IPH a slice of every redraw, (draws, z)."""
    return read_table(redraws).filter(regex=r"^slice_\d+_ml$").to_numpy(dtype=np.float64)


def read_redraws(folder: Path, ids: list[str]) -> pd.DataFrame:
    """Growth of every redraw of the patients that have some.

    Returns:
        Columns patient_id, iph_growth_ml, ivh_growth_ml.
    """
    columns = ["patient_id", "iph_growth_ml", "ivh_growth_ml"]
    files = {name: true_files(folder, name)[1] for name in ids}
    tables = [read_table(path).assign(patient_id=name) for name, path in files.items() if path]
    if not tables:
        return pd.DataFrame(columns=columns)
    return pd.concat(tables, ignore_index=True)[columns]
