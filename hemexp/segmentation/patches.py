"""Training crops: scans loaded once, crops drawn and disturbed by step."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hemexp.anatomy.boxes import bounding_box
from hemexp.layout import Layout
from hemexp.monai_parts import (
    Compose,
    RandAffined,
    RandFlipd,
    RandGaussianNoised,
    RandGaussianSharpend,
    RandGaussianSmoothd,
    RandShiftIntensityd,
)
from hemexp.provenance import seed_for
from hemexp.segmentation.network import CLASSES, HU_UNIT, HU_WINDOW, IPH, IVH, model_input
from hemexp.settings import Segmentation
from hemexp.volumes import read_ras

ROTATION_DEG, SCALING = 10.0, 0.15
"""Largest turn in the slice's plane and change of size: what heads and voxel sizes of scanners
vary by (0.4-0.55 mm)."""

SHIFT_HU, NOISE_HU = 5.0, 10.0
"""Largest shift of all HU (scanners' calibration) and SD of added noise (thin or low-dose)."""

SMOOTH_VOXELS = (0.3, 1.0)
"""SD of the blur of a softer kernel, voxels."""

SHARPENING = (0.5, 2.0)
"""How much of what a blur of one voxel takes away is added again: a harder kernel."""

NO_BLUR = (1e-3, 1e-3)
"""SD of blurs along z, voxels: none, and not 0, by which MONAI would divide."""


class LabelledScan(NamedTuple):
    """A scan of a patient with masks, its brain's box alone; axes run right, front and up.

    Attributes:
        image: (x, y, z) uint8, whole HU above the window's lower end; 0 outside the brain.
        labels: (x, y, z) uint8, `CLASSES`.
        shown: Those that it shows.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    shown: frozenset[int]


def label_scan(
    ct_hu: NDArray, iph: NDArray, ivh: NDArray, brain: NDArray, crop: tuple[int, int, int]
) -> LabelledScan:
    """The brain's box of a scan, as large as a crop at least."""
    box = bounding_box(brain)
    image = np.rint(HU_UNIT * model_input(ct_hu[box], brain[box])).astype(np.uint8)
    labels = np.select([iph[box] > 0, ivh[box] > 0], [IPH, IVH]).astype(np.uint8)
    missing = [max(0, wanted - side) for wanted, side in zip(crop, image.shape, strict=True)]
    ends = [(gap // 2, gap - gap // 2) for gap in missing]
    shown = frozenset(np.unique(labels).tolist())
    return LabelledScan(np.pad(image, ends), np.pad(labels, ends), shown)


def load_scans(
    layout: Layout, scans: Iterable[tuple[str, str]], crop: tuple[int, int, int]
) -> list[LabelledScan]:
    """Reads many (patient_id, session) native scans with their masks."""
    loaded = []
    for scan in scans:
        ct, iph, ivh, brain = (read_ras(path).data for path in layout.native(*scan).images)
        loaded.append(label_scan(ct, iph, ivh, brain > 0, crop))
    return loaded


def draw_scan(
    scans: list[LabelledScan], kind: int, generator: np.random.Generator
) -> LabelledScan:
    """Draws one of the scans that show a class; of all where none does."""
    showing = [scan for scan in scans if kind in scan.shown] or scans
    return showing[generator.integers(len(showing))]


def cut_crop(
    scan: LabelledScan, kind: int, crop: tuple[int, int, int], generator: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Cuts image and labels round a random voxel of a class; of any where the scan shows none."""
    voxels = np.flatnonzero((scan.labels == kind) & (scan.image > 0))
    voxels = voxels if len(voxels) else np.flatnonzero(scan.image)
    centre = np.unravel_index(voxels[generator.integers(len(voxels))], scan.image.shape)
    starts = [
        min(max(0, int(middle) - side // 2), whole - side)
        for middle, side, whole in zip(centre, crop, scan.image.shape, strict=True)
    ]
    box = tuple(slice(start, start + side) for start, side in zip(starts, crop, strict=True))
    return scan.image[box], scan.labels[box]


def draw_kinds(n: int, blood_share: float, generator: np.random.Generator) -> NDArray[np.int64]:
    """Which class each crop is cut round: blood with this probability, half of it IVH."""
    blood = blood_share / 2
    return generator.choice(CLASSES, size=n, p=[1 - 2 * blood, blood, blood])


def make_disturbances(probability: float) -> Compose:
    """Flips, turns, HU shift, noise and kernels, on `image`, `labels` and `brain` (1, x, y, z)."""
    every = ("image", "labels", "brain")
    soft = {"sigma_x": SMOOTH_VOXELS, "sigma_y": SMOOTH_VOXELS, "sigma_z": NO_BLUR}
    hard = {"sigma1_x": (1.0, 1.0), "sigma1_y": (1.0, 1.0), "sigma1_z": NO_BLUR}
    return Compose(
        [
            RandFlipd(every, prob=0.5, spatial_axis=0),
            RandAffined(
                every,
                prob=probability,
                rotate_range=(0, 0, math.radians(ROTATION_DEG)),
                scale_range=(SCALING, SCALING, 0),
                mode=("bilinear", "nearest", "nearest"),
                padding_mode="zeros",
            ),
            RandShiftIntensityd("image", offsets=SHIFT_HU / HU_UNIT, prob=probability),
            RandGaussianNoised("image", std=NOISE_HU / HU_UNIT, prob=probability),
            RandGaussianSmoothd("image", **soft, prob=probability / 2),
            RandGaussianSharpend(
                "image", **hard, sigma2_z=NO_BLUR[0], alpha=SHARPENING, prob=probability / 2
            ),
        ]
    )


def disturb(
    image: NDArray[np.uint8], labels: NDArray[np.uint8], disturbances: Compose
) -> tuple[Tensor, Tensor]:
    """The network's input and the true labels of a crop, (1, x, y, z) each, disturbed at random.

    As in a scan that is stripped, all outside the brain is 0, and HU stay in the window.
    """
    given = {"image": image / HU_UNIT, "labels": labels, "brain": image > 0}
    tensors = {name: torch.from_numpy(part[None]).float() for name, part in given.items()}
    moved = disturbances(tensors)
    ct, truth, brain = (moved[name].as_tensor() for name in given)
    return ct.clamp(0, (HU_WINDOW[1] - HU_WINDOW[0]) / HU_UNIT) * brain, truth * brain


def draw_batch(
    scans: list[LabelledScan], settings: Segmentation, *parts: object
) -> tuple[Tensor, Tensor]:
    """Crops of one micro-batch, a function of the given parts (seed, step, part) alone.

    Args:
        scans: Training scans.
        settings: The room's settings.
        *parts: What the randomness depends on.

    Returns:
        Input and labels, (n, 1, x, y, z) each.
    """
    seed = seed_for("segmentation", *parts)
    generator = np.random.default_rng(seed)
    disturbances = make_disturbances(settings.augment_prob)
    disturbances.set_random_state(seed % 2**32)
    drawn = []
    for kind in draw_kinds(settings.batch_crops, settings.blood_share, generator):
        crop = cut_crop(draw_scan(scans, kind, generator), kind, settings.crop, generator)
        drawn.append(disturb(*crop, disturbances))
    images, labels = zip(*drawn, strict=True)
    return torch.stack(images), torch.stack(labels)
