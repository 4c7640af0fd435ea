"""A scanner's noise: how much of its fine structure a second scan keeps, and new noise like it.

A baseline that is warped keeps its noise; a follow-up has noise of its own. Structure finer than
3 mm is partly anatomy, which stays, and partly noise, which does not: training pairs tell how much
stays, and that share is kept here, the rest drawn anew.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from hemexp.anatomy.blur import PlaneBlur
from hemexp.anatomy.boxes import within_mm
from hemexp.anatomy.looks import (
    FINE_MM,
    FineStructure,
    correlation,
    fine_structure,
    neighbour_correlation,
)
from hemexp.grid_scan import GridScan

CALM_MM = 20.0
"""From all blood: nothing but noise and the position of the head changes here."""

DEEP_MM, CSF_MM = 9.0, 6.0
"""Deeper than this below the brain's surface and further from the ventricles than this: edges of
CSF, which stay, would hide that noise does not."""

WIDE_MM = 6.0
"""SD of the Gaussian that is not renewed: what is left of the old noise below it has no fine
structure, as it would at 3 mm."""

MEDIAN_SD = 1.4826
"""SD over median size of Gaussian noise; the median does not see an edge of anatomy."""

LEAST_VOXELS = 100
LOCAL_VOXELS = 1.5
"""SD of the Gaussian in the plane over which fine structure is called large or small."""

LARGE = 2.0
"""Fine structure of more than twice the noise's variance is anatomy in part."""

BLURS_VOXELS = tuple(np.arange(0, 2.1, 0.2).tolist())
"""Candidates for the blur of a scan's noise."""

PROBE = (96, 96, 4)
"""Voxels of noise on which a candidate is judged."""


def calm_tissue(
    brain: NDArray, blood: NDArray, ventricles: NDArray, spacing_mm: ArrayLike
) -> NDArray[np.bool_]:
    """Deep tissue far from blood and CSF (x, y, z), where nothing but noise changes.

    Args:
        brain: Boolean mask.
        blood: IPH or IVH of all scans that are looked at.
        ventricles: Boolean mask.
        spacing_mm: Voxel size along x, y, z.
    """
    spacing = np.asarray(spacing_mm, dtype=float)
    depth = ndimage.distance_transform_edt(np.pad(brain, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
    calm = (depth > DEEP_MM) & ~within_mm(blood, CALM_MM, spacing)
    return calm & ~within_mm(ventricles, CSF_MM, spacing)


def kept_texture(one: GridScan, other: GridScan, ventricles: NDArray) -> float:
    """Correlation of two scans' fine structure in calm tissue; NaN where there is too little.

    Args:
        one: The baseline.
        other: Another scan on the same grid.
        ventricles: Of the baseline.
    """
    brain, spacing_mm = one.brain & other.brain, one.ct.spacing_mm
    calm = calm_tissue(brain, one.blood | other.blood, ventricles, spacing_mm)
    if np.count_nonzero(calm) < LEAST_VOXELS:
        return float("nan")
    fine = (fine_structure(scan.ct.data, brain, spacing_mm)[calm] for scan in (one, other))
    return correlation(*fine)


@dataclass(frozen=True)
class Noise:
    """The noise of one baseline.

    Attributes:
        brain: Where there is any (x, y, z).
        calm: Of it the tissue in which nothing but noise changes.
        spacing_mm: Voxel size along x, y, z.
        sd_hu: SD of the fine structure in calm tissue.
        wide_sd_hu: SD of what is finer than `WIDE_MM` there.
        blur_voxels: SD in the plane of the Gaussian that makes such noise from independent voxels.
        kept: Share of the noise that is kept, so that the fine structure of the two scans
            correlates as in training pairs.
    """

    brain: NDArray[np.bool_]
    calm: NDArray[np.bool_]
    spacing_mm: NDArray[np.float64]
    sd_hu: float
    wide_sd_hu: float
    blur_voxels: float
    kept: float

    @classmethod
    def of(cls, scan: GridScan, ventricles: NDArray, kept: float) -> Self | None:
        """Measures a baseline; None where it shows too little calm tissue.

        Args:
            scan: The baseline.
            ventricles: Its ventricles.
            kept: Of training pairs, from `kept_texture`.
        """
        calm = calm_tissue(scan.brain, scan.blood, ventricles, scan.ct.spacing_mm)
        if np.count_nonzero(calm) < LEAST_VOXELS:
            return None
        image = scan.ct.data, scan.brain, scan.ct.spacing_mm
        fine, wide = fine_structure(*image), fine_structure(*image, WIDE_MM)
        sds_hu = (_sd(part[calm]) for part in (fine, wide))
        blur = find_blur(neighbour_correlation(fine, calm), scan.ct.spacing_mm)
        found = cls(scan.brain, calm, scan.ct.spacing_mm, *sds_hu, blur, 0.0)
        # Anatomy stays, and so does a little of the old noise: less need be kept beside them.
        renewed = found.renew(scan.ct.data, default_rng(0))
        stays = correlation(fine[calm], fine_structure(renewed, *image[1:])[calm])
        return replace(found, kept=float(np.clip((kept - stays) / (1 - stays), 0, 1)))

    def quieten(self, change_hu: NDArray) -> NDArray[np.float32]:
        """A drawn change without what is no larger than in calm tissue, where nothing happened.

        There it is noise that the decoder has blurred: beside the baseline's own it would show as
        blotches, and sway the midline. Larger changes stay (Wiener's gain, over some voxels).

        Args:
            change_hu: Decoded sample minus decoded reference (x, y, z).

        Returns:
            The change within the brain, 0 elsewhere.
        """
        change = np.where(self.brain, change_hu, 0).astype(np.float32, copy=False)
        return change * (1 - self._noise_share(change, _sd(change[self.calm])))

    def renew(self, ct_hu: NDArray, rng: Generator) -> NDArray[np.float32]:
        """The image with new noise; where fine structure is large, it is no noise and stays.

        Args:
            ct_hu: (x, y, z); outside the brain nothing changes.
            rng: Decides the noise.
        """
        fine = self._wide(ct_hu)
        lost = (1 - self.kept) * self._noise_share(fine, self.wide_sd_hu)
        new = self._draw(rng) * np.sqrt(1 - (1 - lost) ** 2)
        return (ct_hu - lost * fine + new).astype(np.float32, copy=False)

    def _noise_share(self, fine: NDArray[np.float32], sd_hu: float) -> NDArray[np.float32]:
        """How much of a structure can be noise of that SD (x, y, z): 1 where it is no larger."""
        usual = LARGE * sd_hu**2 * self._inside
        return np.minimum(usual / np.maximum(self._local(fine**2), 1e-6), 1)

    @cached_property
    def _local(self) -> PlaneBlur:
        """Averages values over some voxels in the plane."""
        return PlaneBlur(self.brain.shape, LOCAL_VOXELS)

    @cached_property
    def _inside(self) -> NDArray[np.float32]:
        """The brain's share of the voxels over which squares are averaged."""
        return self._local(self.brain)

    @cached_property
    def _fine(self) -> FineStructure:
        return FineStructure(self.brain, self.spacing_mm)

    @cached_property
    def _wide(self) -> FineStructure:
        return FineStructure(self.brain, self.spacing_mm, WIDE_MM)

    @cached_property
    def _spectrum(self) -> PlaneBlur:
        """Makes noise of this scan's spectrum from independent voxels."""
        return PlaneBlur(self.brain.shape, self.blur_voxels, mode="reflect")

    @cached_property
    def _gain(self) -> np.float32:
        """HU of noise a unit of `_unscaled`, of one draw: thousands of voxels hardly differ."""
        fine = self._fine(self._unscaled(default_rng(0)))
        return np.float32(self.sd_hu / fine[self.brain].std())

    def _unscaled(self, rng: Generator) -> NDArray[np.float32]:
        return self._spectrum(rng.standard_normal(self.brain.shape, dtype=np.float32))

    def _draw(self, rng: Generator) -> NDArray[np.float32]:
        return self._gain * self._wide(self._unscaled(rng))


def _sd(values: NDArray) -> float:
    return MEDIAN_SD * float(np.median(np.abs(values)))


def find_blur(lag: float, spacing_mm: ArrayLike) -> float:
    """The candidate whose noise has this correlation between neighbours.

    Args:
        lag: From `neighbour_correlation`; NaN counts as 0.
        spacing_mm: Voxel size along x, y, z.
    """
    everywhere = np.ones(PROBE, dtype=bool)
    white = default_rng(0).standard_normal(PROBE, dtype=np.float32)
    coarse = PlaneBlur(PROBE, FINE_MM / np.asarray(spacing_mm, dtype=float)[:2], mode="reflect")
    lags = []
    for blur in BLURS_VOXELS:
        drawn = PlaneBlur(PROBE, blur, mode="reflect")(white)
        lags.append(neighbour_correlation(drawn - coarse(drawn), everywhere))
    return BLURS_VOXELS[int(np.argmin(np.abs(np.array(lags) - np.nan_to_num(lag))))]
