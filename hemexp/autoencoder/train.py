"""Training of the autoencoder: one flat loop that can be stopped and taken up anywhere."""

import logging
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import torch
from monai.losses import PatchAdversarialLoss
from monai.networks.nets import PatchDiscriminator
from torch import Tensor, nn
from tqdm import trange

from hemexp.autoencoder.losses import make_perceptual, reconstruction_terms, term_weights
from hemexp.autoencoder.network import Decoded, MultiHeadVae
from hemexp.autoencoder.slices import SliceSet, augment, draw_indices, load_slices
from hemexp.cohort import SESSIONS, patient_file
from hemexp.provenance import hash_code, hash_file, hash_value, write_sidecars
from hemexp.settings import Autoencoder
from hemexp.training import (
    generator_for,
    load_checkpoint,
    make_optimiser,
    make_schedule,
    resolve_device,
    save_checkpoint,
    save_weights,
    stop_requests,
    write_history,
)

log = logging.getLogger(__name__)
LOG_EVERY = 10

_least_squares = PatchAdversarialLoss(criterion="least_squares")


def as_images(decoded: Decoded) -> Tensor:
    """Decoded slices as the discriminator sees them: (n, 3, h, w), masks as probabilities."""
    return torch.stack(
        [decoded.ct, decoded.iph_logit.sigmoid(), decoded.ivh_logit.sigmoid()], dim=1
    )


def loss_terms(
    vae: MultiHeadVae,
    images: Tensor,
    noise: Tensor,
    discriminator: nn.Module | None = None,
    perceptual: nn.Module | None = None,
) -> tuple[dict[str, Tensor], Decoded]:
    """All terms of the generator's loss for images (n, 3, h, w) and posterior noise."""
    mean, sd = vae.encode(images)
    decoded = vae.decode(mean + sd * noise)
    terms = reconstruction_terms(decoded, images, mean, sd)
    if perceptual is not None:
        terms["perceptual"] = perceptual(decoded.ct[:, None], images[:, :1])
    if discriminator is not None:
        judged = discriminator(as_images(decoded))[-1]
        terms["adversarial"] = _least_squares(judged, target_is_real=True, for_discriminator=False)
    return terms, decoded


def discriminator_loss(discriminator: nn.Module, images: Tensor, decoded: Decoded) -> Tensor:
    """Least-squares GAN loss of the discriminator on real and decoded images."""
    fake = discriminator(as_images(decoded).detach())[-1]
    real = discriminator(images)[-1]
    return 0.5 * (
        _least_squares(fake, target_is_real=False, for_discriminator=True)
        + _least_squares(real, target_is_real=True, for_discriminator=True)
    )


def draw_batch(
    slices: SliceSet, settings: Autoencoder, seed: int, step: int, part: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Images and posterior noise of one micro-batch, a function of seed, step and part alone."""
    generator = generator_for(seed, "autoencoder", step, part)
    index = draw_indices(slices, settings.batch_slices, settings.blood_share, generator)
    images = augment(slices.images(index), settings.augment_prob, generator)
    n, _, height, width = images.shape
    size = (
        n,
        settings.latent_channels,
        height // settings.downsampling,
        width // settings.downsampling,
    )
    return images.to(device), torch.randn(size, generator=generator).to(device)


def accumulate_gradients(
    vae: MultiHeadVae,
    critic: nn.Module,
    perceptual: nn.Module | None,
    weights: dict[str, float],
    batches: Iterable[tuple[Tensor, Tensor]],
    count: int,
) -> dict[str, float]:
    """Adds the gradients of `count` micro-batches, as of one batch of all their slices.

    The critic learns too once the adversarial term has a weight. Neither optimiser steps here:
    the caller steps both once, after all micro-batches (docs/method.md 3).

    Returns:
        The mean of every term over the micro-batches.
    """
    judge = critic if "adversarial" in weights else None
    means: dict[str, float] = defaultdict(float)
    for images, noise in batches:
        critic.requires_grad_(False)
        terms, decoded = loss_terms(
            vae, images, noise, judge, perceptual if "perceptual" in weights else None
        )
        (sum(weights[name] * term for name, term in terms.items()) / count).backward()
        if judge is not None:
            critic.requires_grad_(True)
            terms["discriminator"] = discriminator_loss(critic, images, decoded)
            (terms["discriminator"] / count).backward()
        for name, term in terms.items():
            means[name] += term.item() / count
    return dict(means)


def train(
    slices: SliceSet,
    settings: Autoencoder,
    seed: int,
    device: torch.device,
    checkpoint: Path,
    run_hash: str,
) -> tuple[MultiHeadVae, list[dict]]:
    """Trains the autoencoder; goes on from `checkpoint` if it belongs to this run.

    Args:
        slices: Training slices.
        settings: The room's settings.
        seed: Run seed; each step's randomness depends on it and the step alone.
        device: Where to train.
        checkpoint: File to save to every `checkpoint_every` steps and on SIGTERM.
        run_hash: Hash of settings, data and code; another run's checkpoint is not used.

    Returns:
        The network and its history: the terms of every `LOG_EVERY`-th step.
    """
    torch.manual_seed(seed)
    vae = MultiHeadVae(settings).to(device)
    critic = PatchDiscriminator(
        spatial_dims=2, channels=32, in_channels=3, num_layers_d=3, norm="INSTANCE"
    ).to(device)
    perceptual = make_perceptual(settings)
    optimiser = make_optimiser(vae.parameters(), settings.optimiser, settings.learning_rate)
    critic_optimiser = make_optimiser(
        critic.parameters(), settings.optimiser, settings.discriminator_learning_rate
    )
    schedule = make_schedule(optimiser, settings.schedule, settings.steps)
    parts = {"vae": vae, "critic": critic, "optimiser": optimiser,
             "critic_optimiser": critic_optimiser, "schedule": schedule}  # fmt: skip
    start, history = load_checkpoint(checkpoint, parts, run_hash)
    with stop_requests() as stop_asked:
        for step in trange(start, settings.steps, desc="autoencoder", disable=None):
            optimiser.zero_grad()
            critic_optimiser.zero_grad()
            weights = term_weights(settings, step)
            batches = (
                draw_batch(slices, settings, seed, step, part, device)
                for part in range(settings.accumulate)
            )
            terms = accumulate_gradients(
                vae, critic, perceptual, weights, batches, settings.accumulate
            )
            optimiser.step()
            if "adversarial" in weights:
                critic_optimiser.step()
            schedule.step()
            done = step + 1
            if done % LOG_EVERY == 0:
                history.append({"step": done} | terms)
            stop = stop_asked()
            if stop or done % settings.checkpoint_every == 0:
                save_checkpoint(checkpoint, done, parts, run_hash, history)
                log.info("step %d of %d: %s", done, settings.steps, terms)
            if stop:
                raise SystemExit(f"stopped on request after step {done}; a rerun goes on there")
    return vae, history


def run_train_autoencoder(
    patient_ids: list[str],
    preprocess: Path,
    out: Path,
    settings: Autoencoder,
    seed: int,
    device: str,
) -> None:
    """Verb `train-autoencoder`: both scans of the training patients to `model.safetensors`.

    Args:
        patient_ids: Training patients.
        preprocess: Folder of the grid scans.
        out: Folder for `model.safetensors`, `model.json`, `history.tsv` and `last.ckpt`.
        settings: The room's settings.
        seed: Run seed.
        device: `auto`, `cpu` or `cuda`.
    """
    started = time.perf_counter()
    where = resolve_device(device)
    scans = [(patient_id, session) for patient_id in patient_ids for session in SESSIONS]
    files = [
        patient_file(preprocess, patient_id, f"ses-{session}_space-grid_{kind}.nii.gz")
        for patient_id, session in scans
        for kind in ("ct", "desc-iph_mask", "desc-ivh_mask")
    ]
    data = hash_value([hash_file(path) for path in files])
    run_hash = hash_value([settings.as_json(), seed, data, hash_code("autoencoder")])
    slices = load_slices(preprocess, scans)
    log.info("%d slices of %d scans, %d with IPH; %s", len(slices), len(scans),
             len(slices.with_iph), where)  # fmt: skip
    vae, history = train(slices, settings, seed, where, out / "last.ckpt", run_hash)
    save_weights(out / "model.safetensors", vae)
    write_history(out / "history.tsv", history)
    write_sidecars(
        [out / "model.safetensors", out / "history.tsv"],
        verb="train-autoencoder", settings=settings.as_json(), inputs=[], started=started,
        seed=seed, device=str(where), scans=len(scans), slices=len(slices), data=data,
    )  # fmt: skip
    log.info("%d steps in %.0f s", settings.steps, time.perf_counter() - started)
