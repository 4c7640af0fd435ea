"""What is used of MONAI, imported in less time.

`import monai` loads all of MONAI and what its other parts would like to have, in a second of CPU a
job. Meanwhile these libraries look as if they were not installed, which MONAI allows for; none of
the parts below uses them.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

UNUSED = ("matplotlib", "sklearn", "skimage", "tifffile", "ignite", "huggingface_hub")
"""Libraries that MONAI would import for plots, microscopy, training loops and downloads."""


@contextmanager
def hidden(libraries: tuple[str, ...]) -> Iterator[None]:
    """Within it, libraries that are not loaded yet cannot be imported."""
    names = [name for name in libraries if name not in sys.modules]
    sys.modules.update(dict.fromkeys(names))
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


with hidden(UNUSED):
    from monai.inferers import sliding_window_inference
    from monai.losses import DiceCELoss, DiceLoss, PatchAdversarialLoss, PerceptualLoss
    from monai.networks.nets import (
        AutoencoderKL,
        DiffusionModelUNet,
        PatchDiscriminator,
        SegResNet,
    )
    from monai.transforms import (
        Compose,
        RandAffined,
        RandFlipd,
        RandGaussianNoised,
        RandGaussianSharpend,
        RandGaussianSmoothd,
        RandShiftIntensityd,
    )

__all__ = [
    "AutoencoderKL",
    "Compose",
    "DiceCELoss",
    "DiceLoss",
    "DiffusionModelUNet",
    "PatchAdversarialLoss",
    "PatchDiscriminator",
    "PerceptualLoss",
    "RandAffined",
    "RandFlipd",
    "RandGaussianNoised",
    "RandGaussianSharpend",
    "RandGaussianSmoothd",
    "RandShiftIntensityd",
    "SegResNet",
    "hidden",
    "sliding_window_inference",
]
