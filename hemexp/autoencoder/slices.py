"""Training slices of the autoencoder: loaded once, drawn and augmented by step."""

import logging
import math
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from hemexp.autoencoder.network import HU_WINDOW, model_input
from hemexp.grid_scan import GridScan, read_grid_scan
from hemexp.layout import Layout

log = logging.getLogger(__name__)

ROTATION_DEG, SHIFT_PIXELS, SCALING = 5.0, 1.0, 0.05
"""Largest random rotation, shift and scaling of a slice (published: method.md 3)."""


@dataclass(frozen=True)
class SliceSet:
    """Axial slices of many scans.

    Attributes:
        ct_hu: (n, x, y) int16.
        iph: (n, x, y) uint8.
        ivh: (n, x, y) uint8.
        spacing_mm: Of the voxels along z, x and y.
    """

    ct_hu: Tensor
    iph: Tensor
    ivh: Tensor
    spacing_mm: tuple[float, float, float]

    def __len__(self) -> int:
        """Number of slices."""
        return len(self.ct_hu)

    def images(self, index: Tensor | slice = slice(None)) -> Tensor:
        """Network input (k, 3, x, y) of the chosen slices."""
        return model_input(self.ct_hu[index], self.iph[index], self.ivh[index])

    @cached_property
    def with_iph(self) -> Tensor:
        """Indices of the slices that show IPH."""
        return self.iph.flatten(1).any(dim=1).nonzero().flatten()

    @cached_property
    def with_ivh(self) -> Tensor:
        """Indices of the slices that show IVH."""
        return self.ivh.flatten(1).any(dim=1).nonzero().flatten()

    @cached_property
    def with_brain(self) -> Tensor:
        """Indices of the slices that show any brain."""
        return (self.ct_hu != 0).flatten(1).any(dim=1).nonzero().flatten()


def slices_of(scan: GridScan) -> SliceSet:
    """Axial slices of a scan on the grid, lowest first."""

    def stack(data: NDArray, dtype: type) -> Tensor:
        slices = np.moveaxis(data, 2, 0)
        return torch.from_numpy(np.ascontiguousarray(slices).astype(dtype))

    x, y, z = map(float, scan.ct.spacing_mm)
    iph, ivh = stack(scan.iph, np.uint8), stack(scan.ivh, np.uint8)
    return SliceSet(stack(scan.ct.data, np.int16), iph, ivh, (z, x, y))


@dataclass(frozen=True)
class StoredSlices:
    """Axial slices of many scans in a file of their own, each read when it is asked for.

    Memory does not grow with the cohort. Only what the network sees is kept: two bytes a voxel.

    Attributes:
        file: Slice after slice, as `record` says; it has no name and goes with the process.
        shape: Of a slice.
        with_iph: Indices of the slices that show IPH.
        with_ivh: Indices of the slices that show IVH.
        with_brain: Indices of the slices that show any brain.
        count: Number of slices.
    """

    file: IO[bytes]
    shape: tuple[int, int]
    with_iph: Tensor
    with_ivh: Tensor
    with_brain: Tensor
    count: int

    def __len__(self) -> int:
        """Number of slices."""
        return self.count

    def images(self, index: Tensor) -> Tensor:
        """Network input (k, 3, x, y) of the chosen slices."""
        kind = record(self.shape)
        read = b"".join(
            os.pread(self.file.fileno(), kind.itemsize, i * kind.itemsize) for i in index.tolist()
        )
        slices = np.frombuffer(bytearray(read), kind)
        ct_hu, blood = (torch.from_numpy(slices[name].copy()) for name in ("ct_hu", "blood"))
        return model_input(ct_hu, blood & 1, blood >> 1)


def record(shape: tuple[int, int]) -> np.dtype:
    """A stored slice: CT cut to the model's window, which uint8 holds, and IPH + 2 IVH."""
    return np.dtype([("ct_hu", np.uint8, shape), ("blood", np.uint8, shape)])


def store_slices(layout: Layout, scans: Iterable[tuple[str, str]], folder: Path) -> StoredSlices:
    """Reads many (patient_id, session) scans and keeps their slices in a file without a name.

    Args:
        layout: Of the run.
        scans: At least one.
        folder: Where there is room: two bytes a voxel of the grid.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - read as long as it is drawn from
    pools: dict[str, list[Tensor]] = {"with_iph": [], "with_ivh": [], "with_brain": []}
    count = 0
    for scan in scans:
        one = slices_of(read_grid_scan(layout, *scan))
        shape = tuple(one.ct_hu.shape[1:])
        stored = np.empty(len(one), record(shape))
        stored["ct_hu"] = one.ct_hu.clamp(*map(int, HU_WINDOW)).numpy()
        stored["blood"] = (one.iph + 2 * one.ivh).numpy()
        file.write(stored.tobytes())
        for name, parts in pools.items():
            parts.append(count + getattr(one, name))
        count += len(one)
    file.flush()
    return StoredSlices(file, shape, *(torch.cat(parts) for parts in pools.values()), count)


def draw_indices(
    slices: SliceSet | StoredSlices, n: int, blood_share: float, generator: torch.Generator
) -> Tensor:
    """Draws slice indices: a share shows blood, half of it IVH; the rest shows any brain.

    Without a slice of a kind its part is drawn from all that show brain.
    """
    ivh = round(n * blood_share / 2)
    iph = round(n * blood_share) - ivh
    pools = [(slices.with_ivh, ivh), (slices.with_iph, iph), (slices.with_brain, n - ivh - iph)]
    pools = [(pool if len(pool) else slices.with_brain, count) for pool, count in pools]
    return torch.cat(
        [pool[torch.randint(len(pool), (count,), generator=generator)] for pool, count in pools]
    )


def augment(images: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Flips left-right (p 0.5) and, with `probability`, moves each image slightly.

    Args:
        images: (n, 3, x, y).
        probability: Chance of the small rotation, shift and scaling.
        generator: Source of all randomness.

    Returns:
        (n, 3, x, y); masks are interpolated as soft masks and cut at 0.5.
    """
    n, _, width, _ = images.shape
    draw = torch.rand((n, 6), generator=generator).to(images.device)
    active = (draw[:, 0] < probability).float()
    angle = (2 * draw[:, 1] - 1) * math.radians(ROTATION_DEG) * active
    scale = 1 + (2 * draw[:, 2] - 1) * SCALING * active
    shift = (2 * draw[:, 3:5] - 1) * (SHIFT_PIXELS / width) * active[:, None]
    return move(images, angle, shift, torch.where(draw[:, 5] < 0.5, -1.0, 1.0), scale)


def move(
    images: Tensor, angle: Tensor, shift: Tensor, mirror: Tensor, scale: Tensor | float = 1.0
) -> Tensor:
    """Turns, shifts, mirrors and scales images in their plane.

    Args:
        images: (n, 3, x, y).
        angle: (n,) radians.
        shift: (n, 2) shares of the image's width.
        mirror: (n,) -1 to mirror left-right, else 1.
        scale: (n,) or one number.

    Returns:
        (n, 3, x, y); masks are interpolated as soft masks and cut at 0.5.
    """
    shift = 2 * shift  # an image is 2 wide for `affine_grid`
    # grid_sample's second grid axis runs along the tensor's x axis (array rows).
    rows = [
        torch.stack([scale * angle.cos(), -scale * angle.sin() * mirror, shift[:, 0]], dim=1),
        torch.stack([scale * angle.sin(), scale * angle.cos() * mirror, shift[:, 1]], dim=1),
    ]
    grid = affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
    moved = grid_sample(images, grid, align_corners=False)
    return torch.cat([moved[:, :1], (moved[:, 1:] > 0.5).float()], dim=1)
