"""Images on another grid: means over its voxels, and masks that keep their volume."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hemexp.preprocess.coarse import coarsen, crop
from hemexp.volumes import Volume

TRUNCATE_SD = 3
"""A Gaussian ends after so many SDs, rounded to whole voxels."""

LEAST_SIGMA = 0.5 / TRUNCATE_SD
"""Below it, in voxels, that is its own voxel alone, and nothing is blurred."""


def resample_blood(
    iph: Volume, ivh: Volume, grid: Volume, matrix: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """IPH and IVH on the grid, disjoint, each with the volume it has in its own space.

    A soft mask sums to the right volume, but cut at 0.5 it shrinks wherever it is thin or
    curved: on a 3 x 3 x 6 mm grid by 2-4 % for bleeds of 5-10 mL and by a fifth for IVH. So as
    many voxels are kept as the soft mask sums to, the fullest first: a cut a little below 0.5.

    Args:
        iph: Native mask.
        ivh: Native mask.
        grid: Shape and affine of the grid.
        matrix: 4 x 4 RAS mm, takes a point of the grid's space to the masks' space.
    """
    soft_iph, soft_ivh = soft_mask(iph, grid, matrix), soft_mask(ivh, grid, matrix)
    ivh_grid = _fullest(soft_ivh, soft_ivh.sum())
    return _fullest(np.where(ivh_grid, 0, soft_iph), soft_iph.sum()), ivh_grid


def soft_mask(mask: Volume, grid: Volume, matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """Share of each grid voxel that a mask fills; it sums to the mask's volume within 0.5 %.

    Interpolated at voxel centres alone, thin blood between 6 mm slices sums to up to 3 % too much
    or too little. So the mask is averaged over voxels half as wide, eight to a voxel of the grid.

    Args:
        mask: What to average.
        grid: Shape and affine of the grid.
        matrix: 4 x 4 RAS mm, takes a point of the grid's space to the mask's space.
    """
    soft = np.zeros(grid.data.shape, dtype=np.float32)
    box = reach(mask, grid, matrix)
    part = crop(grid, box)
    if part.data.size == 0:
        return soft
    fine = part.affine @ np.diag([0.5, 0.5, 0.5, 1.0])
    fine[:3, 3] = (part.affine @ [-0.25, -0.25, -0.25, 1.0])[:3]
    halves = Volume(np.zeros([2 * n for n in part.data.shape], dtype=bool), fine)
    soft[box] = coarsen(halves.with_data(average(mask, halves, matrix)), np.array([2, 2, 2])).data
    return soft


def reach(mask: Volume, grid: Volume, matrix: NDArray[np.float64]) -> tuple[slice, slice, slice]:
    """The part of a grid that a mask can touch: the rest is 0 and would cost the most.

    Args:
        mask: In its own space.
        grid: Shape and affine of the grid.
        matrix: 4 x 4 RAS mm, takes a point of the grid's space to the mask's space.

    Returns:
        A box of the grid, two voxels wider than the mask; empty where they do not meet.
    """
    where = np.argwhere(mask.data)
    if not len(where):
        return slice(0, 0), slice(0, 0), slice(0, 0)
    corners = np.array(np.meshgrid(*zip(where.min(0), where.max(0), strict=True), [1]))
    to_grid = np.linalg.inv(matrix @ grid.affine) @ mask.affine
    index = (to_grid @ corners.reshape(4, -1))[:3]
    low = np.clip(np.floor(index.min(1)).astype(int) - 2, 0, grid.data.shape)
    high = np.clip(np.ceil(index.max(1)).astype(int) + 3, low, grid.data.shape)
    return slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])


@dataclass(frozen=True)
class InsideBrain:
    """Brings CTs onto a grid: mean HU of the brain alone, so that no bone beside it spills in.

    Attributes:
        brain: Brain mask, 0 and 1, on the CTs' voxels.
        near: The part of the grid that it can touch.
        part: That part of the grid: shape and affine.
        matrix: 4 x 4 RAS mm, takes a point of the grid's space to the CTs' space.
        share: (x, y, z) of the grid: which share of each voxel is brain.
    """

    brain: Volume
    near: tuple[slice, slice, slice]
    part: Volume
    matrix: NDArray[np.float64]
    share: NDArray[np.float32]

    @classmethod
    def of(cls, brain: Volume, grid: Volume, matrix: NDArray[np.float64]) -> Self:
        """What is the same for all CTs of one brain mask; arguments as for `resample_ct`."""
        share, near = np.zeros(grid.data.shape, dtype=np.float32), reach(brain, grid, matrix)
        inside, part = brain.with_data(brain.data.astype(np.float32)), crop(grid, near)
        share[near] = average(inside, part, matrix)
        return cls(inside, near, part, matrix, share)

    def resample(self, ct: Volume) -> NDArray[np.float32]:
        """HU (x, y, z) of a CT on the grid, 0 where no brain is near."""
        hu, share = np.zeros_like(self.share), self.share[self.near]
        total = average(ct.with_data(ct.data * self.brain.data), self.part, self.matrix)
        np.divide(total, share, out=hu[self.near], where=share > 1e-3)
        return hu


def resample_ct(
    ct: Volume, brain: Volume, grid: Volume, matrix: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """One CT on the grid.

    Args:
        ct: Native CT.
        brain: Native brain mask.
        grid: Shape and affine of the grid.
        matrix: 4 x 4 RAS mm, takes a point of the grid's space to the CT's space.

    Returns:
        HU (x, y, z) on the grid, 0 where no brain is near; and the share of each voxel that is
        brain.
    """
    inside = InsideBrain.of(brain, grid, matrix)
    return inside.resample(ct), inside.share


def average(image: Volume, grid: Volume, matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """Mean of an image over each voxel of a grid; 0 outside the image.

    Where the grid is the coarser one, the image is blurred to the grid's voxel first; then it is
    interpolated linearly at the grid's voxel centres, once.

    Args:
        image: What to average.
        grid: Shape and affine of the grid.
        matrix: 4 x 4 RAS mm, takes a point of the grid's space to the image's space.
    """
    index = np.linalg.inv(image.affine) @ matrix @ grid.affine
    data = np.asarray(image.data, dtype=np.float32)
    sigma = sigma_voxels(index[:3, :3])
    if np.any(sigma >= LEAST_SIGMA):
        data = ndimage.gaussian_filter(data, sigma, mode="constant", truncate=TRUNCATE_SD)
    return ndimage.affine_transform(
        data, index[:3, :3], index[:3, 3], grid.data.shape, order=1, mode="grid-constant"
    )


def sigma_voxels(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussian sigma along each image axis that makes an image voxel as wide as a grid voxel.

    A box of side h has variance h^2 / 12, and the variances of a grid voxel's three sides add up
    along an image axis; what the image voxel itself averages is taken off.

    Args:
        steps: 3 x 3; image voxels along image axis i per grid voxel along grid axis j.

    Returns:
        Three sigmas in image voxels; 0 where the grid is not coarser.
    """
    return np.sqrt(np.maximum(0, np.sum(steps**2, axis=1) - 1) / 12)


def _fullest(soft: NDArray[np.floating], count: float) -> NDArray[np.bool_]:
    """The voxels with the highest values above 0, `count` of them; equal ones in array order."""
    filled = np.flatnonzero(soft > 0)
    order = np.argsort(-soft.ravel()[filled], kind="stable")[: round(float(count))]
    kept = np.zeros(soft.shape, dtype=bool)
    kept.flat[filled[order]] = True
    return kept
