"""The phantom's further follow-ups of a patient's baseline, as `draw-truth-map` leaves them."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp.layout import Layout
from hemexp.tables import read_table


def has_true_map(layout: Layout, patient_id: str) -> bool:
    """Whether the phantom drew a patient again; real patients were not."""
    return layout.true_map(patient_id).exists()


def read_slices(redraws: Path) -> NDArray[np.float64]:
    """IPH a slice of every redraw, (draws, z)."""
    return read_table(redraws).filter(regex=r"^slice_\d+_ml$").to_numpy(dtype=np.float64)


def read_redraws(layout: Layout, ids: list[str]) -> pd.DataFrame:
    """Growth of every redraw of the patients that have some.

    Returns:
        Columns patient_id, iph_growth_ml, ivh_growth_ml.
    """
    columns = ["patient_id", "iph_growth_ml", "ivh_growth_ml"]
    tables = [
        read_table(layout.redraws(name)).assign(patient_id=name)
        for name in ids
        if has_true_map(layout, name)
    ]
    if not tables:
        return pd.DataFrame(columns=columns)
    return pd.concat(tables, ignore_index=True)[columns]
