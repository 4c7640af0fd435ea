"""One patient's scans, samples and maps on the common grid, as the scores need them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp import Fault, HemexpError
from hemexp.anatomy.blood import bleed_band
from hemexp.anatomy.midline import midline_shift_mm
from hemexp.anatomy.prepared import prepare
from hemexp.anatomy.reference import DRIFT_COLUMNS, HALF, Told, make_reference
from hemexp.anatomy.reference_model import load_reference
from hemexp.anatomy.ventricles import Ventricles
from hemexp.evaluation.patient.new_blood import NewBlood
from hemexp.grid_scan import GridScan, read_grid_scan
from hemexp.layout import MAPS, Layout
from hemexp.settings import Evaluation
from hemexp.statistics.scores import Score
from hemexp.volumes import read_volume


class Followup(NamedTuple):
    """One follow-up, true, drawn or copied: CT numbers and two boolean masks, each (x, y, z)."""

    ct_hu: NDArray
    iph: NDArray
    ivh: NDArray

    @classmethod
    def of_scan(cls, scan: GridScan) -> Self:
        """A scan as a follow-up."""
        return cls(scan.ct.data, scan.iph, scan.ivh)

    @property
    def blood(self) -> NDArray[np.bool_]:
        """IPH or IVH."""
        return self.iph | self.ivh


class Maps(NamedTuple):
    """Probability of IPH, of IVH, and of blood where the baseline had none, each (x, y, z)."""

    iph: NDArray
    ivh: NDArray
    expansion: NDArray


@dataclass(frozen=True)
class Truth:
    """What a forecast is judged by.

    Attributes:
        followup: The true follow-up on the grid.
        baseline_blood: Blood that was there before.
        expansion: Blood of the follow-up where the baseline had none.
        brain: Voxels in the brain on both scans; scores look nowhere else.
        band: Part of `brain` within `band_mm` of the baseline's blood and outside it.
        shift_mm: Midline shift since the baseline, with the reason when it has none.
        distance_mm: Of every voxel to the baseline's blood.
        ventricle_ml: Volume of the follow-up's ventricles.
        ventricles: Those of the baseline, and how they change.
        spacing_mm: Voxel size along x, y, z.
        surface_mm: How far surfaces may lie apart and still count as one.
    """

    followup: Followup
    baseline_blood: NDArray
    expansion: NDArray
    brain: NDArray
    band: NDArray
    shift_mm: Score
    distance_mm: NDArray
    ventricle_ml: float
    ventricles: Ventricles
    spacing_mm: NDArray
    surface_mm: float

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel of the grid."""
        return float(np.prod(self.spacing_mm)) / 1000


def read_truth(layout: Layout, patient_id: str, baseline: GridScan, settings: Evaluation) -> Truth:
    """The true follow-up of one patient, with everything derived from it and the baseline.

    Raises:
        HemexpError: The two brains have no voxel in common.
    """
    followup = read_grid_scan(layout, patient_id, "followup")
    new = NewBlood.between(baseline, followup)
    if not new.brain.any():
        raise HemexpError(
            Fault(
                f"patient {patient_id}, {layout.grid(patient_id, 'followup').brain.parent}",
                "no voxel in the brain on both scans",
                "two scans that overlap",
                "Look at the registration figure of this patient.",
            )
        )
    ventricles = Ventricles(baseline)
    change_ml = ventricles.change_ml(followup.ct.data, followup.blood)
    return Truth(
        followup=Followup.of_scan(followup),
        baseline_blood=baseline.blood,
        expansion=new.expansion,
        brain=new.brain,
        band=bleed_band(new.distance_mm, settings.band_mm) & new.brain,
        shift_mm=shift_since(baseline, Followup.of_scan(followup)),
        distance_mm=new.distance_mm,
        ventricle_ml=max(ventricles.baseline_ml + change_ml, 0.0),
        ventricles=ventricles,
        spacing_mm=baseline.ct.spacing_mm,
        surface_mm=settings.surface_mm,
    )


def shift_since(baseline: GridScan, followup: Followup) -> Score:
    """Midline shift that a follow-up's image shows, mm, positive to the patient's right."""
    blood, spacing_mm = baseline.blood | followup.blood, baseline.ct.spacing_mm
    images = (baseline.ct.data, followup.ct_hu)
    return known_shift(midline_shift_mm(*images, blood, baseline.brain, spacing_mm))


def known_shift(shift_mm: float) -> Score:
    """A midline shift, or the reason why there is none where it is not finite."""
    return (
        Score(float(shift_mm))
        if np.isfinite(shift_mm)
        else Score(None, "no midline shift could be measured")
    )


def read_followups(layout: Layout, patient_id: str, numbers: Iterable[int]) -> Iterator[Followup]:
    """Reads the drawn follow-ups one after the other: 50 at once would fill the memory."""
    for k in numbers:
        ct, labels = (read_volume(path) for path in layout.sample(patient_id, k))
        yield Followup(ct.data, labels.data == 1, labels.data == 2)


def read_shell_followups(
    layout: Layout, patient_id: str, baseline: GridScan, volumes: pd.DataFrame
) -> Iterator[Followup] | None:
    """What the drawn follow-ups of a patient would be without a network, in their order.

    Args:
        layout: Of the run.
        patient_id: A patient with samples.
        baseline: On the grid.
        volumes: `volumes.tsv`: what each sample was told.

    Returns:
        None where samples were drawn relative to no such reference.
    """
    model = load_reference(layout.scale)
    if model.kind.is_baseline:
        return None
    frame = baseline.frame
    prepared = prepare(baseline.cut(frame), model.kind, model.sink_per_mm2)
    columns = ["target_growth_ml", *DRIFT_COLUMNS, "push_ml", "target_ivh_growth_ml"]

    def made() -> Iterator[Followup]:
        for growth_ml, *drift_mm, push_ml, ivh_growth_ml in volumes[columns].to_numpy(float):
            told = Told(growth_ml, np.array(drift_mm), push_ml, ivh_growth_ml)
            scan = make_reference(prepared, told).spread(frame)
            yield Followup(scan.ct_hu, scan.iph >= HALF, scan.ivh >= HALF)

    return made()


def read_maps(layout: Layout, patient_id: str) -> Maps:
    """Reads the three probability maps."""
    return Maps(*(read_volume(layout.sample_map(patient_id, name)).data for name in MAPS))
