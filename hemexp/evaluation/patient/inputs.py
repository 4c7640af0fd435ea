"""One patient's scans, samples and maps on the common grid, as the scores need them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hemexp import Fault, HemexpError
from hemexp.anatomy.ventricles import ventricle_ml, ventricle_region
from hemexp.evaluation.patient.images import bleed_band, blood_distance_mm, new_blood
from hemexp.layout import Layout
from hemexp.provenance import patient_file
from hemexp.statistics.scores import Score
from hemexp.volumes import Volume, read_volume


class Member(NamedTuple):
    """One follow-up, drawn or copied: CT numbers and two boolean masks, each (x, y, z)."""

    ct_hu: NDArray
    iph: NDArray
    ivh: NDArray


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
        expansion: Its blood where the baseline had none.
        brain: Voxels in the brain on both scans; scores look nowhere else.
        band: Part of `brain` within `band_mm` of the baseline's blood and outside it.
        shift_mm: Midline shift since the baseline, with the reason when it has none.
        distance_mm: Of every voxel to the baseline's blood.
        ventricles: Where ventricles are looked for.
        spacing_mm: Voxel size along x, y, z.
    """

    followup: Member
    expansion: NDArray
    brain: NDArray
    band: NDArray
    shift_mm: Score
    distance_mm: NDArray
    ventricles: NDArray
    spacing_mm: NDArray

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel of the grid."""
        return float(np.prod(self.spacing_mm)) / 1000

    def ventricle_ml(self, member: Member) -> float:
        """Volume of one follow-up's ventricles."""
        return ventricle_ml(member.ct_hu, member.iph, member.ivh, self.ventricles, self.spacing_mm)


def scan_files(preprocess: Path, patient_id: str, session: str) -> list[Path]:
    """The grid products of one scan: CT, IPH, IVH and brain."""
    return [*Layout(preprocess.parent).grid(patient_id, session).images]


def read_scan(preprocess: Path, patient_id: str, session: str) -> tuple[Member, NDArray, Volume]:
    """One grid scan, its boolean brain mask, and the CT with its geometry."""
    ct, iph, ivh, brain = (
        read_volume(path) for path in scan_files(preprocess, patient_id, session)
    )
    return Member(ct.data, iph.data > 0.5, ivh.data > 0.5), brain.data > 0.5, ct


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


def read_new_blood(preprocess: Path, patient_id: str) -> NewBlood:
    """Reads both scans of one patient and says where new blood came."""
    baseline, brain, grid = read_scan(preprocess, patient_id, "baseline")
    followup, followup_brain, _ = read_scan(preprocess, patient_id, "followup")
    blood = baseline.iph | baseline.ivh
    return NewBlood(
        blood_distance_mm(blood, grid.spacing_mm),
        new_blood(followup.iph | followup.ivh, blood),
        brain & followup_brain,
    )


def read_truth(
    preprocess: Path,
    patient_id: str,
    baseline: Member,
    brain: NDArray,
    grid: Volume,
    band_mm: float,
) -> Truth:
    """The true follow-up of one patient, with everything derived from it and the baseline."""
    followup, followup_brain, _ = read_scan(preprocess, patient_id, "followup")
    both = brain & followup_brain
    if not both.any():
        raise HemexpError(
            Fault(
                f"patient {patient_id}, {preprocess}",
                "no voxel in the brain on both scans",
                "two scans that overlap",
                "Look at the registration figure of this patient.",
            )
        )
    blood = baseline.iph | baseline.ivh
    distance_mm = blood_distance_mm(blood, grid.spacing_mm)
    return Truth(
        followup,
        new_blood(followup.iph | followup.ivh, blood),
        both,
        bleed_band(distance_mm, band_mm) & both,
        _true_shift(baseline, followup, brain, grid),
        distance_mm,
        ventricle_region(brain, grid.spacing_mm),
        grid.spacing_mm,
    )


def _true_shift(baseline: Member, followup: Member, brain: NDArray, grid: Volume) -> Score:
    # Imported here: only this step of the room needs the measurement of the room on its left.
    from hemexp.anatomy.midline import midline_shift_mm

    blood = baseline.iph | baseline.ivh | followup.iph | followup.ivh
    shift_mm = midline_shift_mm(baseline.ct_hu, followup.ct_hu, blood, brain, grid.spacing_mm)
    if not np.isfinite(shift_mm):
        return Score(None, "no shift could be measured on the true follow-up")
    return Score(float(shift_mm))


def read_samples(samples: Path, patient_id: str, numbers: Iterable[int]) -> Iterator[Member]:
    """Reads the drawn follow-ups one after the other: 50 at once would fill the memory."""
    for k in numbers:
        ct = read_volume(patient_file(samples, patient_id, f"sample-{k}_ct.nii.gz"))
        labels = read_volume(patient_file(samples, patient_id, f"sample-{k}_dseg.nii.gz"))
        yield Member(ct.data, labels.data == 1, labels.data == 2)


def read_maps(samples: Path, patient_id: str) -> Maps:
    """Reads the three probability maps."""
    names = (f"desc-{name}_probseg.nii.gz" for name in Maps._fields)
    return Maps(*(read_volume(patient_file(samples, patient_id, name)).data for name in names))
