"""Where new blood came in one patient, and how far from the old."""

from pathlib import Path
from typing import NamedTuple, Self

from numpy.typing import NDArray

from hemexp.anatomy.blood import blood_distance_mm, new_blood
from hemexp.columns import SESSIONS
from hemexp.grid_scan import GridScan, read_grid_scan
from hemexp.layout import Layout


class NewBlood(NamedTuple):
    """Where new blood came: each (x, y, z).

    Attributes:
        distance_mm: Of every voxel to the baseline's blood.
        expansion: Blood of the follow-up where the baseline had none.
        brain: Voxels in the brain on both scans.
    """

    distance_mm: NDArray
    expansion: NDArray
    brain: NDArray

    @classmethod
    def between(cls, baseline: GridScan, followup: GridScan) -> Self:
        """What came between two scans."""
        return cls(
            blood_distance_mm(baseline.blood, baseline.ct.spacing_mm),
            new_blood(followup.blood, baseline.blood),
            baseline.brain & followup.brain,
        )


def grid_files(layout: Layout, patient_id: str) -> list[Path]:
    """The grid products of both scans: CT, IPH, IVH and brain."""
    return [path for session in SESSIONS for path in layout.grid(patient_id, session).images]


def read_new_blood(layout: Layout, patient_id: str) -> NewBlood:
    """Reads both scans of one patient and says where new blood came."""
    return NewBlood.between(*(read_grid_scan(layout, patient_id, s) for s in SESSIONS))
