"""The network that finds IPH and IVH, and its file: rebuilt from its own settings."""

import json
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import pad, pixel_shuffle, pixel_unshuffle

from hemexp import Fault, HemexpError
from hemexp.layout import Layout
from hemexp.monai_parts import SegResNet
from hemexp.provenance import hash_file
from hemexp.settings import Segmentation
from hemexp.training import load_weights

CLASSES = BACKGROUND, IPH, IVH = (0, 1, 2)
"""Labels of the network, as in `_dseg` files."""

HU_WINDOW = (-20.0, 120.0)
"""What the network sees: fat of sulci's edges to calcified blood; clots lie at 40-90 HU."""

HU_UNIT = 20.0
"""HU per unit of the network's input: blood and brain then lie some 1.5 apart."""

BRAIN_HU, CONTRAST_HU = 33.0, 10.0
"""What the network subtracts and divides by: grey and white matter's mean, and what fresh IPH lies
above IVH mixed with CSF. The outside stays far below all tissue: an edge must not look like blood.
"""


def model_input(ct_hu: NDArray, brain: NDArray) -> NDArray[np.float32]:
    """The network's input (x, y, z): 0 outside the brain and at the window's lower end."""
    low, high = HU_WINDOW
    return np.where(brain, (np.clip(ct_hu, low, high) - low) / HU_UNIT, 0).astype(np.float32)


def centre(images: Tensor) -> Tensor:
    """The network's input round 0: brain near 0, a clot at 2 to 4, all outside below -5."""
    return (HU_UNIT * images + HU_WINDOW[0] - BRAIN_HU) / CONTRAST_HU


class Segmenter(nn.Module):
    """A 2D `SegResNet` that judges every slice together with its neighbours.

    With `stem_factor` above 1 it works on blocks of voxels, folded into channels; a single
    convolution beside it sees the voxels themselves, for sharp edges.
    """

    def __init__(self, settings: Segmentation) -> None:
        """Builds the network with random weights."""
        super().__init__()
        self.context, self.stem_factor = settings.context_slices, settings.stem_factor
        slices, voxels = 2 * self.context + 1, self.stem_factor**2
        self.core = SegResNet(
            spatial_dims=2,
            init_filters=settings.width,
            in_channels=slices * voxels,
            out_channels=len(CLASSES) * voxels,
            blocks_down=settings.blocks,
            blocks_up=[1] * (len(settings.blocks) - 1),
        )
        self.edges = nn.Conv2d(slices, len(CLASSES), kernel_size=3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, 3, x, y, z) of images (n, 1, x, y, z); beyond the ends the last slice."""
        n, _, x, y, z = images.shape
        padded = pad(centre(images), (self.context, self.context, 0, 0, 0, 0), mode="replicate")
        # (n, x, y, z, slices): a slice and its neighbours as channels of one 2D image.
        stacked = padded[:, 0].unfold(3, 2 * self.context + 1, 1)
        flat = stacked.permute(0, 3, 4, 1, 2).reshape(n * z, -1, x, y)
        coarse = self.core(pixel_unshuffle(flat, self.stem_factor))
        logits = pixel_shuffle(coarse, self.stem_factor) + self.edges(flat)
        return logits.reshape(n, z, len(CLASSES), x, y).permute(0, 2, 3, 4, 1)


class TrainedSegmenter(NamedTuple):
    """A network as its training left it.

    Attributes:
        network: With its weights, in evaluation.
        settings: It was trained with, and is used with.
        patients: It was trained on; none where it was handed on, which names nobody.
        hash: Of its weights.
    """

    network: Segmenter
    settings: Segmentation
    patients: frozenset[str]
    hash: str


def load_segmenter(layout: Layout, fold: int | None, device: torch.device) -> TrainedSegmenter:
    """Rebuilds the network of `model.json`, of a fold or of all, with its weights."""
    files = layout.segmenter(fold)
    record = json.loads(files.model.read_text(encoding="utf-8"))
    settings = Segmentation.model_validate(record["settings"])
    network = load_weights(files.weights, Segmenter(settings)).to(device)
    patients = frozenset(record.get("patients", ()))
    return TrainedSegmenter(network, settings, patients, hash_file(files.weights))


SHAPE = ("stem_factor", "width", "blocks", "context_slices")
"""Settings on which the weights depend."""


def check_start(start: TrainedSegmenter, settings: Segmentation, left_out: Iterable[str]) -> None:
    """Refuses to start a training from a network of another shape, or that knows the fold.

    Args:
        start: The network.
        settings: Of the training.
        left_out: Patients whom the training must not see.

    Raises:
        HemexpError: It cannot be started from.
    """
    theirs, ours = ({name: getattr(one, name) for name in SHAPE} for one in (start[1], settings))
    if theirs != ours:
        raise HemexpError(
            Fault(
                "config, key segmentation.start_from",
                f"a network with {_listed(theirs)}",
                f"one with {_listed(ours)}",
                "Give the section segmentation the network's values, or start from none.",
            )
        )
    if seen := sorted(start.patients.intersection(left_out)):
        raise HemexpError(
            Fault(
                "config, key segmentation.start_from",
                f"a network that was trained on {', '.join(seen)}",
                "one that never saw the patients whom this fold leaves out",
                "Name models of other patients: those of an earlier run of this study know them.",
            )
        )


def _listed(values: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
