"""Where a bleed lies on the grid: its centroid, and every latent's distance from there.

Axes are z, x, y, as in a stack of latents; millimetres count from the grid's first edge.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from hemexp.autoencoder.slices import SliceSet


def centroid_mm(mask: Tensor, spacing_mm: Sequence[float]) -> Tensor:
    """Centroid (3,) of a mask (z, x, y); NaN of an empty one.

    Args:
        mask: Voxels that count, (z, x, y).
        spacing_mm: Of the voxels along z, x, y.
    """
    axes = []
    for axis, spacing in enumerate(spacing_mm):
        weight = mask.double().sum(dim=[other for other in range(3) if other != axis])
        position = (torch.arange(len(weight)) + 0.5) * spacing
        axes.append((weight * position).sum() / weight.sum())
    return torch.stack(axes).float()


def offsets_mm(
    centroid: Tensor, latents: Sequence[int], extent_mm: Sequence[float]
) -> dict[str, Tensor]:
    """Signed distances of the latents' slices, rows and columns to a centroid.

    Args:
        centroid: (3,) in mm along z, x, y.
        latents: Their number along z, x, y.
        extent_mm: What they cover along z, x, y.

    Returns:
        `offset_z_mm` (z,), `offset_x_mm` (h,) and `offset_y_mm` (w,).
    """
    return {
        f"offset_{name}_mm": (torch.arange(n) + 0.5) * extent / n - centre
        for name, n, extent, centre in zip("zxy", latents, extent_mm, centroid, strict=True)
    }


def describe_place(
    scan: SliceSet, latents: torch.Size, centroids: Tensor, followup: Tensor | None = None
) -> dict[str, Tensor]:
    """Where the baseline bleed of every copy lies, and how far the follow-up's has drifted.

    Args:
        scan: The baseline.
        latents: Shape (copies, z, c, h, w) of its latents.
        centroids: (copies, 3) of its bleed.
        followup: (copies, 3) of the follow-up's, where there is one.

    Returns:
        `offset_z_mm` (copies, z), `offset_x_mm` (copies, h), `offset_y_mm` (copies, w);
        `position_mm` (3,), the bleed's centroid seen from the brain's; `drift_mm` (copies, 3),
        follow-up centroid minus baseline centroid, NaN where either shows no IPH.
    """
    extent_mm = [n * mm for n, mm in zip(scan.ct_hu.shape, scan.spacing_mm, strict=True)]
    # A copy whose bleed was moved out of the image has no drift; it keeps the scan's own place.
    seen = torch.where(centroids.isnan(), centroids[:1], centroids)
    offsets = [offsets_mm(one, (latents[1], *latents[3:]), extent_mm) for one in seen]
    place = {name: torch.stack([one[name] for one in offsets]) for name in offsets[0]}
    place["position_mm"] = centroids[0] - centroid_mm(scan.ct_hu != 0, scan.spacing_mm)
    if followup is not None:
        place["drift_mm"] = followup - centroids
    return place
