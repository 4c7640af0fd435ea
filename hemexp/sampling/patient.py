"""One patient as known at the baseline: all that follow-ups are drawn from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from safetensors.torch import load_file
from torch import Tensor

from hemexp.columns import BASELINE, INTERVAL
from hemexp.expansion.patients import read_patients
from hemexp.grid_scan import GridScan, read_grid_scan
from hemexp.layout import Layout


@dataclass(frozen=True)
class Baseline:
    """A baseline on the grid, with its native volumes.

    Attributes:
        scan: CT and masks on the grid.
        iph_ml: Native IPH volume.
        ivh_ml: Native IVH volume.
    """

    scan: GridScan
    iph_ml: float
    ivh_ml: float


@dataclass(frozen=True)
class PatientAtBaseline:
    """What is known of one patient before any follow-up is drawn.

    Attributes:
        row: Row of the sheet joined with native volumes and features of the bleed.
        baseline: The baseline scan.
        encoded: What `encode-patients` caches of it: latents, and where the bleed lies.
        files: What all this was read from, where it is kept.
    """

    row: pd.Series
    baseline: Baseline
    encoded: Mapping[str, Tensor]
    files: tuple[Path, ...] = ()

    @property
    def patient_id(self) -> str:
        """The patient."""
        return self.row["patient_id"]

    @property
    def true_growth_ml(self) -> float:
        """IPH growth that happened; NaN where it is unknown or nobody may look."""
        return float(self.row["followup_iph_ml"] - self.row["baseline_iph_ml"])

    @property
    def true_ivh_growth_ml(self) -> float:
        """IVH growth that happened, likewise."""
        return float(self.row["followup_ivh_ml"] - self.row["baseline_ivh_ml"])


def at_baseline(
    row: pd.Series, scan: GridScan, encoded: Mapping[str, Tensor], files: tuple[Path, ...] = ()
) -> PatientAtBaseline:
    """Puts one patient together; the row has its native volumes."""
    volumes = (float(row[f"baseline_{blood}_ml"]) for blood in ("iph", "ivh"))
    return PatientAtBaseline(row, Baseline(scan, *volumes), encoded, files)


def read_at_baseline(
    layout: Layout, sheet: pd.DataFrame, at_h: float | None = None, *, follow_up: bool = False
) -> PatientAtBaseline:
    """Reads what earlier steps left of one patient.

    Args:
        layout: Of the run.
        sheet: The patient's row, as a table.
        at_h: Hours after the baseline for which follow-ups are drawn; None: the sheet's.
        follow_up: Whether to look at what happened: only an oracle may.
    """
    asked = sheet if at_h is None else sheet.assign(**{INTERVAL: at_h})
    row = read_patients(layout, asked, follow_up=follow_up).iloc[0]
    patient_id = row["patient_id"]
    latents = layout.latents(patient_id)
    files = (
        latents,
        layout.features(patient_id),
        layout.native(patient_id, BASELINE).volumes,
        *layout.grid(patient_id, BASELINE).images,
    )
    return at_baseline(
        row, read_grid_scan(layout, patient_id, BASELINE), load_file(latents), files
    )
