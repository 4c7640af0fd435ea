"""What the scores of follow-ups are computed from: one beside the true one, and all together."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hemexp.anatomy.surfaces import Gaps, surface_gaps
from hemexp.evaluation.patient.amounts import Amount
from hemexp.evaluation.patient.images import psnr_db, similarity_map
from hemexp.evaluation.patient.inputs import Followup, Maps, Truth
from hemexp.evaluation.patient.map_sums import EMPTY_REGION
from hemexp.evaluation.patient.masks import (
    dice,
    energy_distance,
    hd95_mm,
    map_brier,
    presence_brier,
    surface_dice,
)
from hemexp.statistics.scores import Score


@dataclass(frozen=True)
class ImageMatch:
    """An image beside the true one; regions are `brain` and `band` of the truth.

    Attributes:
        ct_hu: CT numbers (x, y, z).
        truth: What happened.
    """

    ct_hu: NDArray
    truth: Truth

    @cached_property
    def _similarity(self) -> NDArray:
        return similarity_map(self.ct_hu, self.truth.followup.ct_hu, self.truth.brain)

    def psnr_db(self, region: str) -> Score:
        """Peak signal-to-noise ratio in a region."""
        voxels = getattr(self.truth, region)
        if not voxels.any():
            return Score(None, EMPTY_REGION)
        return psnr_db(self.ct_hu, self.truth.followup.ct_hu, voxels)

    def ssim(self, region: str) -> Score:
        """Structural similarity in a region."""
        voxels = getattr(self.truth, region)
        if not voxels.any():
            return Score(None, EMPTY_REGION)
        return Score(float(self._similarity[voxels].mean()))


@dataclass(frozen=True)
class Match:
    """One follow-up beside the true one; masks are `iph` and `ivh`.

    Attributes:
        followup: Drawn, or copied from the baseline.
        truth: What happened.
    """

    followup: Followup
    truth: Truth

    @cached_property
    def image(self) -> ImageMatch:
        """Its image beside the true one."""
        return ImageMatch(self.followup.ct_hu, self.truth)

    @cached_property
    def _gaps(self) -> dict[str, Gaps | None]:
        spacing_mm = self.truth.spacing_mm
        return {name: surface_gaps(*self._masks(name), spacing_mm) for name in ("iph", "ivh")}

    def _masks(self, name: str) -> tuple[NDArray, NDArray]:
        return getattr(self.followup, name), getattr(self.truth.followup, name)

    def _truth_empty(self, name: str) -> bool:
        return not getattr(self.truth.followup, name).any()

    def dice(self, mask: str) -> Score:
        """Overlap of a mask with the true one."""
        return dice(*self._masks(mask))

    def hd95_mm(self, mask: str) -> Score:
        """Distance of its surface from the true one, 95 % Hausdorff."""
        return hd95_mm(self._gaps[mask], self._truth_empty(mask))

    def surface_dice(self, mask: str) -> Score:
        """Share of both surfaces within the tolerance of the other."""
        return surface_dice(self._gaps[mask], self._truth_empty(mask), self.truth.surface_mm)


@dataclass(frozen=True)
class Ensemble:
    """All follow-ups of one patient, when each has been looked at once.

    Attributes:
        mean_image: Their mean image beside the true one.
        voxels: Flat indices of `iph`, `ivh` and `expansion` (blood where the baseline had none)
            of every follow-up.
        maps: Their probability maps.
        slices_ml: IPH a slice, (followups, z).
        ventricle: Volume of the ventricles, mL.
        midline: Midline shift, mm.
        truth: What happened.
    """

    mean_image: ImageMatch
    voxels: dict[str, Sequence[NDArray[np.intp]]]
    maps: Maps
    slices_ml: NDArray[np.float64]
    ventricle: Amount
    midline: Amount
    truth: Truth

    @cached_property
    def _energy(self) -> dict[str, dict[str, float]]:
        true = {"iph": self.truth.followup.iph, "expansion": self.truth.expansion}
        return {
            name: energy_distance(self.voxels[name], np.flatnonzero(mask))
            for name, mask in true.items()
        }

    def energy(self, mask: str, term: str) -> Score:
        """A term of the generalised energy distance of a set of masks from the true one."""
        return Score(self._energy[mask][term])

    def map_dice(self, mask: str) -> Score:
        """Dice of a map cut above one half."""
        return dice(getattr(self.maps, mask) > 0.5, getattr(self.truth.followup, mask))

    def presence_brier(self, mask: str) -> Score:
        """Brier score of the share of follow-ups that have any of this blood."""
        truly = bool(getattr(self.truth.followup, mask).any())
        return presence_brier([len(found) > 0 for found in self.voxels[mask]], truly)

    def map_brier(self, region: str) -> Score:
        """Brier score of the expansion map in a region, `brain` or `band`."""
        voxels = getattr(self.truth, region)
        return map_brier(self.maps.expansion, self.truth.expansion, voxels)
