"""What the network says of a whole scan: probabilities, masks and how sure they are."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hemexp.anatomy.boxes import bounding_box
from hemexp.monai_parts import sliding_window_inference
from hemexp.segmentation.network import (
    BACKGROUND,
    CLASSES,
    IPH,
    IVH,
    TrainedSegmenter,
    model_input,
)
from hemexp.settings import Segmentation

WINDOWS_AT_ONCE = 4
"""Windows in memory together; as quick as more on a CPU."""


class FoundMasks(NamedTuple):
    """What the network finds in a scan.

    Attributes:
        labels: (x, y, z) uint8, `CLASSES`; 0 outside the brain.
        iph_ml: Volume of IPH.
        ivh_ml: Volume of IVH.
        entropy_iph_ml: Entropy in bits of "IPH or not", summed over the brain, times the voxel's
            volume: mL of voxels that might as well be the other.
        entropy_ivh_ml: The same of IVH.
    """

    labels: NDArray[np.uint8]
    iph_ml: float
    ivh_ml: float
    entropy_iph_ml: float
    entropy_ivh_ml: float


@torch.inference_mode()
def class_probabilities(network: nn.Module, image: Tensor, settings: Segmentation) -> Tensor:
    """Probability of each class, (3, x, y, z), of a scan whose first axis runs to the right.

    Windows of a crop's size slide over it, weighted by a Gaussian where they overlap; with
    `mirror` the mean of the scan and its mirror image.

    Args:
        network: The segmenter.
        image: (x, y, z), as `model_input` gives it, on the network's device.
        settings: The network's settings.
    """
    views = [image, image.flip(0)] if settings.mirror else [image]
    total = torch.zeros((len(CLASSES), *image.shape), device=image.device)
    for view in views:
        found = sliding_window_inference(
            view[None, None],
            (*settings.crop[:2], image.shape[2]),
            WINDOWS_AT_ONCE,
            lambda windows: network(windows).softmax(dim=1),
            overlap=(settings.overlap, settings.overlap, 0),
            mode="gaussian",
        )[0]
        total += found if view is image else found.flip(1)
    return total / len(views)


def entropy_bits(probability: NDArray) -> NDArray[np.float64]:
    """Entropy in bits of an event of some probability: 0 where it is sure, 1 at 0.5."""
    p = np.clip(probability.astype(np.float64), 1e-12, 1 - 1e-12)
    return -(p * np.log2(p) + (1 - p) * np.log2(1 - p))


def find_masks(
    segmenter: TrainedSegmenter,
    ct_hu: NDArray,
    brain: NDArray[np.bool_],
    voxel_ml: float,
    device: torch.device,
) -> FoundMasks:
    """Finds IPH and IVH in a scan whose axes run right, front and up.

    Args:
        segmenter: The trained network.
        ct_hu: (x, y, z) HU.
        brain: (x, y, z) brain mask, not empty.
        voxel_ml: Volume of a voxel.
        device: Where the network is.
    """
    box = bounding_box(brain)
    image = torch.from_numpy(model_input(ct_hu[box], brain[box])).to(device)
    found = class_probabilities(segmenter.network, image, segmenter.settings)
    probability = found.cpu().numpy()
    labels = np.zeros(brain.shape, dtype=np.uint8)
    labels[box] = np.where(brain[box], probability.argmax(axis=0), BACKGROUND)
    volumes = (float((labels == kind).sum()) * voxel_ml for kind in (IPH, IVH))
    entropies = (entropy_bits(probability[kind])[brain[box]].sum() for kind in (IPH, IVH))
    return FoundMasks(labels, *volumes, *(float(one) * voxel_ml for one in entropies))
