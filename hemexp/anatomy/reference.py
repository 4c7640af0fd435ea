"""The reference: what a baseline becomes by what is told of a follow-up, without any network.

Told are the IPH growth with the drift of its centroid, the push on the tissue and the IVH growth.
The baseline is warped by the push field, its bleed grows or shrinks as a shell, its ventricles
fill; both volumes are met exactly where there is room. The denoiser draws the follow-up's latents
relative to the reference's (method.md 6).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hemexp.anatomy.boxes import Frame
from hemexp.anatomy.prepared import Prepared
from hemexp.anatomy.push import back_map
from hemexp.anatomy.shell import BleedHu, Candidates, fill, grow_shell

IVH_SHARE = 0.85
"""HU of blood in CSF over that of the bleed, where the baseline shows none: 54 of 64 HU."""

LEAST_IVH_ML = 0.5
"""Of a baseline's IVH, from which its own HU are taken."""

DRIFT_COLUMNS = ("drift_z_mm", "drift_x_mm", "drift_y_mm")
"""Of `volumes.tsv`: the drift that a sample was told."""

HALF = 0.5
"""A voxel of which half is blood counts as blood."""

CSF_HU = 8.0
"""What is left in a ventricle that blood has drained from."""


class Told(NamedTuple):
    """What is told of one follow-up.

    Attributes:
        growth_ml: IPH growth.
        drift_mm: (3,) of its centroid along z, x, y, as in the latents; NaN: unknown.
        push_ml: Push on the tissue, in mL of growth at the field's unit.
        ivh_growth_ml: IVH growth.
    """

    growth_ml: float
    drift_mm: NDArray
    push_ml: float = 0.0
    ivh_growth_ml: float = 0.0


class ReferenceScan(NamedTuple):
    """A reference: CT in HU and the shares of two masks, each (x, y, z) float32.

    `before` is where the baseline's IPH lies after the warp: its shares (x, y, z). `seen` is what
    the warp left at the brain's voxels, for another reference of the same push.
    """

    ct_hu: NDArray[np.float32]
    iph: NDArray[np.float32]
    ivh: NDArray[np.float32]
    before: NDArray[np.float32]
    seen: "Seen | None" = None

    def spread(self, frame: Frame) -> "ReferenceScan":
        """The reference on the whole grid of which it shows what lies within the frame."""
        return ReferenceScan(*map(frame.spread, self[:4]))


class Seen(NamedTuple):
    """What lies at the brain's n voxels after the warp; names as in `Prepared`, each (n,)."""

    ct_hu: NDArray[np.float32]
    level_mm: NDArray[np.float32]
    ivh_level_mm: NDArray[np.float32]
    iph: NDArray[np.float32]
    ivh: NDArray[np.float32]
    free: NDArray[np.float32]
    room: NDArray[np.float32]


def limit_push(prepared: Prepared, told: Told) -> Told:
    """What is told with the push that the brain can take: the warp stays one-to-one."""
    if prepared.field is None:
        return told
    largest_ml = prepared.field.largest_push_ml
    return told._replace(push_ml=float(np.clip(told.push_ml, -largest_ml, largest_ml)))


def make_reference(prepared: Prepared, told: Told, seen: Seen | None = None) -> ReferenceScan:
    """The reference of one follow-up.

    Args:
        prepared: The baseline.
        told: Of the follow-up; a growth that is NaN leaves the bleed as it is.
        seen: Of a reference with the same push, if there is one: nothing is warped again.
    """
    seen = seen or _read(prepared, told.push_ml)
    ct_hu, before, ivh_before = seen.ct_hu, seen.iph, seen.ivh
    iph, ivh = before, ivh_before
    if prepared.hu is not None and prepared.kind.shell != "none":
        iph = _grow_bleed(prepared, seen, told)
        ct_hu = paint(ct_hu, iph - before, prepared.hu)
    if prepared.hu is not None and prepared.kind.ivh:
        ivh = _fill_ventricles(prepared, seen, iph, told.ivh_growth_ml)
        ct_hu = paint(ct_hu, ivh - ivh_before * (iph < 1), _ivh_hu(prepared))
    parts = (_spread(prepared, part) for part in (ct_hu, iph, ivh, before))
    return ReferenceScan(*parts, seen)


def paint(ct_hu: NDArray, change: NDArray, hu: BleedHu) -> NDArray:
    """CT numbers that show blood where a mask's share rose, and tissue where it fell.

    Args:
        ct_hu: Of some voxels.
        change: Of the mask's share at each, -1 to 1.
        hu: What blood and tissue look like; what is brighter or darker still stays.
    """
    risen = np.clip(change, 0, 1) * (np.maximum(ct_hu, hu.blood) - ct_hu)
    fallen = np.clip(-change, 0, 1) * (np.minimum(ct_hu, hu.tissue) - ct_hu)
    return ct_hu + risen + fallen


def _read(prepared: Prepared, push_ml: float) -> Seen:
    """What lies at the brain's voxels when the push has moved the tissue."""
    volumes = (
        prepared.level_mm,
        prepared.ivh_level_mm,
        prepared.iph,
        prepared.ivh,
        prepared.free,
        prepared.room,
    )
    where = tuple(prepared.where)
    if prepared.field is None or push_ml == 0:
        ct_hu = np.asarray(prepared.scan.ct.data, np.float32)[where]
        return Seen(ct_hu, *(volume[where] for volume in volumes))
    back = back_map(prepared.field, push_ml)
    at, spacing_mm = back.coordinates, np.asarray(prepared.scan.ct.spacing_mm)
    moved_mm = abs(back.push_ml) * prepared.field.largest_mm
    near = prepared.away_mm <= moved_mm + np.linalg.norm(spacing_mm)
    near_at = at[:, near]

    def read(volume: NDArray[np.float32]) -> NDArray[np.float32]:
        # Elsewhere no blood is or can be: every mask reads 0 there, and no level counts.
        seen = np.zeros(len(near), np.float32)
        seen[near] = ndimage.map_coordinates(volume, near_at, np.float32, order=1, mode="mirror")
        return seen

    return Seen(prepared.source.read(at), *map(read, volumes))


def _grow_bleed(prepared: Prepared, seen: Seen, told: Told) -> NDArray[np.float32]:
    """Shares (n,) of the IPH at the brain's voxels."""
    scan = prepared.scan
    may = (seen.free > 0.5) | (seen.level_mm < 0)
    before = float(np.count_nonzero(scan.iph))
    voxels = before + np.nan_to_num(told.growth_ml) / scan.ct.voxel_ml
    spacing_mm = np.asarray(scan.ct.spacing_mm, np.float32)
    position_mm = (prepared.where[:, may] * spacing_mm[:, None]).T
    center_mm = np.argwhere(scan.iph).mean(axis=0) * spacing_mm
    candidates = Candidates(seen.level_mm[may], position_mm, center_mm)
    z, x, y = np.asarray(told.drift_mm, dtype=float)
    drift_mm = np.array([x, y, z]) if prepared.kind.shell == "tilted" else np.full(3, np.nan)
    shares = np.zeros(len(may), np.float32)
    shares[may] = grow_shell(candidates, voxels, before, drift_mm)
    return shares


def _fill_ventricles(
    prepared: Prepared, seen: Seen, iph: NDArray, growth_ml: float
) -> NDArray[np.float32]:
    """Shares (n,) of the IVH at the brain's voxels: what lies nearest to blood fills first."""
    may = ((seen.room > 0.5) | (seen.ivh > 0.5)) & (iph == 0)
    voxels = np.count_nonzero(prepared.ivh) + np.nan_to_num(growth_ml) / prepared.scan.ct.voxel_ml
    shares = np.zeros(len(may), np.float32)
    shares[may] = fill(seen.ivh_level_mm[may], voxels)
    return shares


def _ivh_hu(prepared: Prepared) -> BleedHu:
    """HU of blood in the ventricles and of CSF."""
    scan = prepared.scan
    ivh = prepared.ivh > 0
    if np.count_nonzero(ivh) * scan.ct.voxel_ml >= LEAST_IVH_ML:
        return BleedHu(float(scan.ct.data[ivh].mean()), CSF_HU)
    return BleedHu(IVH_SHARE * prepared.hu.blood, CSF_HU)


def _spread(prepared: Prepared, values: NDArray) -> NDArray[np.float32]:
    """Values (n,) at the brain's voxels as an image (x, y, z), 0 elsewhere."""
    image = np.zeros(prepared.scan.brain.shape, np.float32)
    image[tuple(prepared.where)] = values
    return image
