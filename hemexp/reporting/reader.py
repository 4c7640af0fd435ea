"""Reads the results that tables and figures are made from, and remembers the files."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from numpy.typing import NDArray

from hemexp.grid_scan import GridScan, read_grid_scan
from hemexp.layout import Layout
from hemexp.tables import read_table
from hemexp.volumes import read_volume


@dataclass(frozen=True)
class Reader:
    """Reads results of the other rooms.

    Attributes:
        layout: Of the run.
        seen: The files read so far.
    """

    layout: Layout
    seen: list[Path] = field(default_factory=list)

    def table(self, path: Path) -> pd.DataFrame:
        """A table as it stands."""
        self.seen.append(path)
        return read_table(path)

    def tables(self, files: dict[str, Path]) -> pd.DataFrame:
        """Tables of several patients below one another, with the column `patient_id`."""
        parts = [self.table(path).assign(patient_id=name) for name, path in files.items()]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def outcomes(self) -> pd.DataFrame:
        """All patients' outcomes, indexed by patient."""
        return self.table(self.layout.outcomes).set_index("patient_id")

    def patients(self) -> pd.DataFrame:
        """`patients.csv`: all patients of the sheet, indexed by patient."""
        return self.table(self.layout.patients).set_index("patient_id")

    def image(self, path: Path) -> NDArray:
        """Voxels of an image on the common grid, (x, y, z)."""
        self.seen.append(path)
        return read_volume(path).data

    def scan(self, patient_id: str, session: str) -> GridScan:
        """A scan on the common grid."""
        self.seen.extend(self.layout.grid(patient_id, session).images)
        return read_grid_scan(self.layout, patient_id, session)

    def forecast_volumes(self, patients: Iterable[str]) -> dict[str, Path]:
        """Those of the patients who are forecast, with the volumes of their samples.

        They have a pooled map; patients of `val` have samples too, but only to weigh that map.
        """
        files = {name: self.layout.sample_volumes(name) for name in patients}
        return {
            name: path
            for name, path in files.items()
            if path.is_file() and self.layout.pooled_map(name).is_file()
        }
