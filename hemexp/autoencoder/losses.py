"""The terms of the autoencoder's loss, each a number that is logged apart."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from hemexp import Fault, HemexpError
from hemexp.autoencoder.network import Decoded
from hemexp.monai_parts import DiceLoss, PerceptualLoss
from hemexp.settings import Autoencoder

_dice = DiceLoss(sigmoid=True, reduction="none")


def kl_divergence(mean: Tensor, sd: Tensor) -> Tensor:
    """KL(N(mean, sd) || N(0, 1)), averaged over all latent values."""
    return 0.5 * (mean**2 + sd**2 - 2 * torch.log(sd) - 1).mean()


def mask_loss(logit: Tensor, mask: Tensor) -> Tensor:
    """Dice loss plus binary cross-entropy of logits (n, h, w) against a 0/1 mask (n, h, w).

    Dice counts slices that hold the mask: on an empty slice it says nothing that the
    cross-entropy does not. Both are means over all n slices, so that the gradients of
    accumulated micro-batches equal those of one big batch.
    """
    dice = _dice(logit[:, None], mask[:, None]).flatten()
    holds = mask.flatten(1).any(dim=1)
    return (dice * holds).mean() + binary_cross_entropy_with_logits(logit, mask)


def reconstruction_terms(
    decoded: Decoded, images: Tensor, mean: Tensor, sd: Tensor
) -> dict[str, Tensor]:
    """Unweighted terms against the input images (n, 3, h, w)."""
    return {
        "ct": mse_loss(decoded.ct, images[:, 0]),
        "iph": mask_loss(decoded.iph_logit, images[:, 1]),
        "ivh": mask_loss(decoded.ivh_logit, images[:, 2]),
        "kl": kl_divergence(mean, sd),
    }


def term_weights(settings: Autoencoder, step: int) -> dict[str, float]:
    """Weight of every term at a step; adversarial and perceptual terms join after a warm-up."""
    late = {
        "perceptual": (settings.perceptual_weight, settings.perceptual_start),
        "adversarial": (settings.adversarial_weight, settings.adversarial_start),
    }
    weights = {name: getattr(settings, f"{name}_weight") for name in ("ct", "iph", "ivh", "kl")}
    return weights | {
        name: weight for name, (weight, start) in late.items() if weight > 0 and step >= start
    }


def make_perceptual(settings: Autoencoder) -> nn.Module | None:
    """Perceptual distance from local ResNet-50 weights; None where it has no weight.

    Raises:
        HemexpError: A weight is set but no file of backbone weights: nothing is downloaded.
    """
    if settings.perceptual_weight == 0:
        return None
    path = settings.perceptual_weights
    if path is None or not Path(path).is_file():
        raise HemexpError(
            Fault(
                "config, key autoencoder.perceptual_weights",
                str(path),
                "a local file of ResNet-50 weights (nothing is fetched at run time)",
                "Name the file, or set autoencoder.perceptual_weight to 0.",
            )
        )
    return PerceptualLoss(spatial_dims=2, network_type="resnet50", pretrained_path=path)
