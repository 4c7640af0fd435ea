"""Training of the autoencoder: one flat loop that can be stopped and taken up anywhere."""

import logging
import time
from collections.abc import Iterable, Iterator
from functools import partial

import torch
from torch import Tensor

from hemexp.autoencoder.gradients import Networks, accumulate_gradients
from hemexp.autoencoder.losses import make_perceptual, term_weights
from hemexp.autoencoder.network import MultiHeadVae
from hemexp.autoencoder.slices import SliceSet, StoredSlices, augment, draw_indices, store_slices
from hemexp.code_hash import hash_code
from hemexp.columns import SESSIONS
from hemexp.compiling import compile_modules, keep_compiled, worth_compiling
from hemexp.layout import Layout
from hemexp.monai_parts import PatchDiscriminator
from hemexp.prefetch import feed_steps
from hemexp.processes import ALONE, Processes, launched_processes, run_steps
from hemexp.provenance import hash_file, hash_value
from hemexp.settings import Autoencoder
from hemexp.training import (
    Checkpoint,
    autocast_for,
    fusing_works,
    generator_for,
    load_checkpoint,
    make_optimiser,
    make_schedule,
    resolve_device,
    save_checkpoint,
    save_trained,
)

log = logging.getLogger(__name__)
LOG_EVERY = 10


def draw_batch(
    slices: SliceSet | StoredSlices, settings: Autoencoder, seed: int, step: int, part: int
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
    return images, torch.randn(size, generator=generator)


def make_networks(settings: Autoencoder, seed: int, device: torch.device) -> Networks:
    """The VAE and its critic with random weights, and the perceptual distance if it is asked."""
    torch.manual_seed(seed)
    vae = MultiHeadVae(settings)
    critic = PatchDiscriminator(
        spatial_dims=2, channels=32, in_channels=3, num_layers_d=3, norm="INSTANCE"
    )
    perceptual = make_perceptual(settings)
    layout = torch.channels_last if settings.channels_last else torch.contiguous_format
    for network in filter(None, (vae, critic, perceptual)):
        network.to(device, memory_format=layout)
    return Networks(vae, critic, perceptual)


def train(
    slices: SliceSet | StoredSlices,
    settings: Autoencoder,
    seed: int,
    checkpoint: Checkpoint,
    processes: Processes = ALONE,
) -> tuple[MultiHeadVae, list[dict]]:
    """Trains the autoencoder; goes on from `checkpoint` where there is one.

    Args:
        slices: Training slices.
        settings: The room's settings.
        seed: Run seed; each step's randomness depends on it and the step alone.
        checkpoint: Where to save to every `checkpoint_every` steps and on SIGTERM.
        processes: Those that train together.

    Returns:
        The network and its history: the terms of every `LOG_EVERY`-th step.
    """
    device = processes.device
    networks = make_networks(settings, seed, device)
    vae, critic, _ = networks
    autocast = autocast_for(settings.precision, device)
    fused = fusing_works(settings.fused, device)
    optimiser = make_optimiser(vae.parameters(), settings.optimiser, settings.learning_rate, fused)
    critic_optimiser = make_optimiser(
        critic.parameters(), settings.optimiser, settings.discriminator_learning_rate, fused
    )
    schedule = make_schedule(optimiser, settings.schedule, settings.steps)

    def learn(
        step: int, batches: Iterable[tuple[Tensor, Tensor]], count: int
    ) -> dict[str, Tensor]:
        weights = term_weights(settings, step)
        return accumulate_gradients(networks, weights, batches, count, autocast)

    def feed(steps: range, parts: range) -> Iterator[Iterator[tuple[Tensor, Tensor]]]:
        return feed_steps(partial(draw_batch, slices, settings, seed), steps, parts, device)

    if worth_compiling(settings.compile, settings.steps):
        parts = [vae.core.encoder, vae.core.decoder]
        compile_modules(parts, lambda: learn(0, next(feed(range(1), range(1))), 1))
    mine = processes.parts("autoencoder", settings.accumulate)
    state = {
        "vae": vae,
        "critic": critic,
        "optimiser": optimiser,
        "critic_optimiser": critic_optimiser,
        "schedule": schedule,
    }
    start, history = load_checkpoint(checkpoint, state)
    save = partial(save_checkpoint, checkpoint, state, history)
    steps = run_steps(start, settings.steps, settings.checkpoint_every, save, processes)
    for step, batches in zip(steps, feed(range(start, settings.steps), mine), strict=True):
        optimiser.zero_grad()
        critic_optimiser.zero_grad()
        terms = learn(step, batches, settings.accumulate)
        processes.add_gradients([*vae.parameters(), *critic.parameters()])
        optimiser.step()
        critic_optimiser.step()  # before the adversarial phase it finds no gradients
        schedule.step()
        if (step + 1) % LOG_EVERY == 0:
            history.append({"step": step + 1} | processes.add(terms))
    return vae, history


def run_train_autoencoder(
    layout: Layout, patient_ids: list[str], settings: Autoencoder, seed: int, device: str
) -> None:
    """Verb `train-autoencoder`: both scans of the training patients to `model.safetensors`.

    Args:
        layout: Of the run.
        patient_ids: Training patients.
        settings: The room's settings.
        seed: Run seed.
        device: `auto`, `cpu` or `cuda`.
    """
    started = time.perf_counter()
    scans = [(patient_id, session) for patient_id in patient_ids for session in SESSIONS]
    files = [path for scan in scans for path in layout.grid(*scan).images]
    data = hash_value([hash_file(path) for path in files])
    run = settings.as_json() | {"seed": seed, "data": data, "code": hash_code("autoencoder.train")}
    out = layout.network("autoencoder")
    slices = store_slices(layout, scans, out.checkpoint.parent)
    keep_compiled(layout.compiled)
    with launched_processes(resolve_device(device)) as processes:
        message = "%d slices of %d scans, %d with IPH; %s"
        log.info(message, len(slices), len(scans), len(slices.with_iph), processes.device)
        checkpoint = Checkpoint(out.checkpoint, run)
        vae, history = train(slices, settings, seed, checkpoint, processes)
        if not processes.is_main:
            return
        save_trained(
            out,
            vae,
            history,
            verb="train-autoencoder",
            settings=settings.as_json(),
            inputs=files,
            started=started,
            seed=seed,
            device=str(processes.device),
            scans=len(scans),
            slices=len(slices),
            data=data,
        )
