"""Zones of a baseline on the grid of its latents: where a difference is wide, and where narrow."""

import torch
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d, max_pool3d

REACH_CELLS = (4, 2, 1, 0)
"""A cell at most this far from blood, along every axis, is in zone 2, 3, 4 or 5: the last fits."""

ZONES = 2 + len(REACH_CELLS)


def find_zones(images: Tensor, cells: tuple[int, int]) -> Tensor:
    """Zones of a baseline (z, h, w), uint8.

    Args:
        images: (z, 3, x, y) skull-stripped CT and masks, as the autoencoder sees them.
        cells: (h, w) of its latents.

    Returns:
        0 outside the brain, 1 far from blood, then by `REACH_CELLS` up to 5 where blood is.
    """
    brain, blood = (
        adaptive_max_pool2d((part > 0).float(), cells)
        for part in (images[:, 0], images[:, 1:].amax(dim=1))
    )
    zones = torch.ones_like(blood)
    for zone, reach in enumerate(REACH_CELLS, start=2):
        near = max_pool3d(blood[None], 2 * reach + 1, stride=1, padding=reach)[0]
        zones = torch.where(near > 0, float(zone), zones)
    return (zones * brain).to(torch.uint8)
