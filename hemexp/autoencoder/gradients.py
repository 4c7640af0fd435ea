"""Gradients of the autoencoder and its critic on micro-batches; no optimiser steps here."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hemexp.autoencoder.losses import reconstruction_terms
from hemexp.autoencoder.network import Decoded, MultiHeadVae
from hemexp.monai_parts import PatchAdversarialLoss

NO_CONTEXT = nullcontext()
_least_squares = PatchAdversarialLoss(criterion="least_squares")


def as_images(decoded: Decoded) -> Tensor:
    """Decoded slices as the discriminator sees them: (n, 3, h, w), masks as probabilities."""
    return torch.stack(
        [decoded.ct, decoded.iph_logit.sigmoid(), decoded.ivh_logit.sigmoid()], dim=1
    )


class Networks(NamedTuple):
    """The VAE, its critic, and the perceptual distance where one is used."""

    vae: MultiHeadVae
    critic: nn.Module
    perceptual: nn.Module | None = None


def loss_terms(
    vae: MultiHeadVae,
    images: Tensor,
    noise: Tensor,
    discriminator: nn.Module | None = None,
    perceptual: nn.Module | None = None,
) -> tuple[dict[str, Tensor], Decoded]:
    """All terms of the generator's loss for images (n, 3, h, w) and posterior noise.

    Networks may work in bf16; what they say is taken as fp32 before a loss reads it.
    """
    mean, sd = (part.float() for part in vae.encode(images))
    decoded = Decoded(*(part.float() for part in vae.decode(mean + sd * noise)))
    terms = reconstruction_terms(decoded, images, mean, sd)
    if perceptual is not None:
        terms["perceptual"] = perceptual(decoded.ct[:, None], images[:, :1]).float()
    if discriminator is not None:
        judged = discriminator(as_images(decoded))[-1].float()
        terms["adversarial"] = _least_squares(judged, target_is_real=True, for_discriminator=False)
    return terms, decoded


def discriminator_loss(discriminator: nn.Module, images: Tensor, decoded: Decoded) -> Tensor:
    """Least-squares GAN loss of the discriminator on real and decoded images."""
    fake = discriminator(as_images(decoded).detach())[-1].float()
    real = discriminator(images)[-1].float()
    return 0.5 * (
        _least_squares(fake, target_is_real=False, for_discriminator=True)
        + _least_squares(real, target_is_real=True, for_discriminator=True)
    )


def accumulate_gradients(
    networks: Networks,
    weights: dict[str, float],
    batches: Iterable[tuple[Tensor, Tensor]],
    count: int,
    autocast: AbstractContextManager = NO_CONTEXT,
) -> dict[str, Tensor]:
    """Adds the gradients of some of `count` micro-batches, as of one batch of all their slices.

    The critic learns too once the adversarial term has a weight. Neither optimiser steps here:
    the caller steps both once, after all micro-batches (departures.md).

    Args:
        networks: What learns, and what judges it.
        weights: Of every term of the loss, by name.
        batches: Images (n, 3, h, w) and posterior noise of each micro-batch.
        count: Micro-batches of the step, over all processes.
        autocast: Precision of the forward passes.

    Returns:
        What these micro-batches add to the mean of every term over all `count`.
    """
    vae, critic, perceptual = networks
    judge = critic if "adversarial" in weights else None
    means: dict[str, Tensor] = {}
    for images, noise in batches:
        critic.requires_grad_(False)
        with autocast:
            terms, decoded = loss_terms(
                vae, images, noise, judge, perceptual if "perceptual" in weights else None
            )
        (sum(weights[name] * term for name, term in terms.items()) / count).backward()
        if judge is not None:
            critic.requires_grad_(True)
            with autocast:
                terms["discriminator"] = discriminator_loss(critic, images, decoded)
            (terms["discriminator"] / count).backward()
        for name, term in terms.items():
            means[name] = means.get(name, 0.0) + term.detach() / count
    return means
