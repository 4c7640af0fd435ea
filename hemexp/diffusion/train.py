"""Training of the denoiser: one flat loop that can be stopped and taken up anywhere."""

import logging
import time
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import trange

from hemexp.cohort import expansion_outcomes, patient_file, read_volumes
from hemexp.diffusion.condition import Condition
from hemexp.diffusion.dataset import Stacks, draw_patients, load_stacks
from hemexp.diffusion.network import Denoiser, context_stack, context_step
from hemexp.diffusion.schedule import (
    Schedule,
    alpha_sigma,
    check_start,
    choose_lambda_min,
    min_snr_weight,
    to_v,
)
from hemexp.latents.scale import load_scale
from hemexp.provenance import (
    describe,
    hash_code,
    hash_file,
    hash_value,
    write_json,
    write_sidecars,
)
from hemexp.settings import Diffusion
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


class Batch(NamedTuple):
    """One micro-batch of n stacks.

    Attributes:
        clean: (n, z, c, h, w) normalised differences.
        noise: Same shape, N(0, 1).
        lam: (n, 1, 1, 1, 1) half log-SNR.
        baseline: (n, z, c, h, w) normalised baseline latents.
        condition: Of the n stacks, with some parts hidden.
    """

    clean: Tensor
    noise: Tensor
    lam: Tensor
    baseline: Tensor
    condition: Condition


def draw_batch(
    stacks: Stacks, schedule: Schedule, settings: Diffusion, seed: int, step: int, part: int
) -> Batch:
    """Draws a micro-batch, a function of seed, step and part alone.

    Noise levels are stratified over the batch; clinical variables and drive are hidden
    independently, so that guidance exists for each.
    """
    generator = generator_for(seed, "diffusion", step, part)
    n = settings.batch_stacks
    patients = draw_patients(stacks.expands, n, settings.expander_share, generator)
    chance = torch.rand((4, n), generator=generator)
    flip = (chance[0] < settings.flip_prob).long()
    clean = stacks.delta[patients, flip]
    stratum = (torch.randperm(n, generator=generator) + chance[1]) / n
    condition = stacks.condition[patients].without(
        clinical=chance[2] < settings.clinical_dropout,
        drive=chance[3] < settings.condition_dropout,
    )
    noise = torch.randn(clean.shape, generator=generator)
    lam = schedule.lam(stratum).float().reshape(n, 1, 1, 1, 1)
    return Batch(clean, noise, lam, stacks.baseline[patients, flip], condition)


def diffusion_loss(
    network: nn.Module,
    batch: Batch,
    schedule: Schedule,
    settings: Diffusion,
    context_slices_step: int,
) -> Tensor:
    """Weighted mean squared error of v over a micro-batch."""
    alpha, sigma = alpha_sigma(batch.lam)
    noisy = alpha * batch.clean + sigma * batch.noise
    context = context_stack(batch.baseline, settings.context_slices, context_slices_step)
    time = schedule.time(batch.lam.flatten())
    v = network(noisy, time, context, batch.condition)
    weight = min_snr_weight(batch.lam, settings.min_snr_gamma)
    if settings.bleed_weight:
        # The difference is sparse: where it is large is where the bleed changed.
        weight = weight * (
            1 + settings.bleed_weight * batch.clean.square().mean(2, keepdim=True).clamp(max=1)
        )
    return (weight * (v - to_v(batch.clean, batch.noise, batch.lam)) ** 2).mean()


def make_noise_schedule(settings: Diffusion, stacks: Stacks) -> Schedule:
    """The noise schedule, its range chosen from or checked against the training expanders."""
    deltas = stacks.delta[stacks.expands, 0]
    lambda_min = settings.lambda_min
    if lambda_min is None:
        lambda_min = choose_lambda_min(deltas)
    if settings.schedule == "cosine":
        check_start(lambda_min, deltas)
    return Schedule(settings.schedule, settings.logsnr_shift, lambda_min, settings.lambda_max)


def train(
    stacks: Stacks,
    schedule: Schedule,
    settings: Diffusion,
    step_of_context: int,
    seed: int,
    device: torch.device,
    checkpoint: Path,
    run_hash: str,
) -> tuple[nn.Module, list[dict]]:
    """Trains the denoiser; goes on from `checkpoint` if it belongs to this run.

    Args:
        stacks: Training patients.
        schedule: Noise schedule.
        settings: The room's settings.
        step_of_context: Slices between context neighbours.
        seed: Run seed; each step's randomness depends on it and the step alone.
        device: Where to train.
        checkpoint: File to save to every `checkpoint_every` steps and on SIGTERM.
        run_hash: Hash of settings, data and code; another run's checkpoint is not used.

    Returns:
        The network with averaged (EMA) weights, and its history.
    """
    torch.manual_seed(seed)
    _, _, z, c, _, _ = stacks.delta.shape
    network = Denoiser(settings, c, z).to(device)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(settings.ema_decay))
    optimiser = make_optimiser(network.parameters(), settings.optimiser, settings.learning_rate)
    rate = make_schedule(optimiser, settings.schedule_lr, settings.steps)
    parts = {"network": network, "average": average, "optimiser": optimiser, "rate": rate}
    start, history = load_checkpoint(checkpoint, parts, run_hash)
    with stop_requests() as stop_asked:
        for step in trange(start, settings.steps, desc="diffusion", disable=None):
            optimiser.zero_grad()
            total = 0.0
            for part in range(settings.accumulate):
                batch = draw_batch(stacks, schedule, settings, seed, step, part)
                batch = batch._replace(**{k: v.to(device) for k, v in batch._asdict().items()})
                loss = diffusion_loss(network, batch, schedule, settings, step_of_context)
                (loss / settings.accumulate).backward()
                total += loss.item() / settings.accumulate
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            rate.step()
            average.update_parameters(network)
            done = step + 1
            if done % LOG_EVERY == 0:
                history.append({"step": done, "loss": total})
            stop = stop_asked()
            if stop or done % settings.checkpoint_every == 0:
                save_checkpoint(checkpoint, done, parts, run_hash, history)
                log.info("step %d of %d: loss %.4f", done, settings.steps, total)
            if stop:
                raise SystemExit(f"stopped on request after step {done}; a rerun goes on there")
    return average.module, history


def run_train_diffusion(
    samples: pd.DataFrame,
    preprocess: Path,
    latents: Path,
    scale: Path,
    out: Path,
    settings: Diffusion,
    seed: int,
    device: str,
) -> None:
    """Verb `train-diffusion`: cached latents of the training patients to `model.safetensors`.

    Args:
        samples: Rows of the training patients.
        preprocess: Folder with the native volumes.
        latents: Folder of the latents.
        scale: `scale.json`.
        out: Folder for `model.safetensors`, `model.json`, `history.tsv` and `last.ckpt`.
        settings: The room's settings.
        seed: Run seed.
        device: `auto`, `cpu` or `cuda`.
    """
    started = time.perf_counter()
    where = resolve_device(device)
    table = samples.join(expansion_outcomes(read_volumes(preprocess, samples)))
    stacks = load_stacks(table, latents, load_scale(scale), settings.condition)
    schedule = make_noise_schedule(settings, stacks)
    offsets_mm = stacks.condition.bleed_offset_mm[0]
    steps = context_step(settings.context_mm, float(offsets_mm[1] - offsets_mm[0]))
    inputs = [scale, *(patient_file(latents, p, "latents.safetensors") for p in table.index)]
    data = [hash_file(path) for path in inputs] + [
        stacks.condition.clinical.nan_to_num(-1).tolist()
    ]
    run_hash = hash_value([settings.as_json(), seed, data, hash_code("diffusion")])
    log.info("%d patients, %d expanders; %s; %s", len(table), int(stacks.expands.sum()),
             schedule, where)  # fmt: skip
    network, history = train(
        stacks, schedule, settings, steps, seed, where, out / "last.ckpt", run_hash
    )
    save_weights(out / "model.safetensors", network)
    write_history(out / "history.tsv", history)
    record = {
        "verb": "train-diffusion", "settings": settings.as_json(), "inputs": inputs,
        "started": started, "seed": seed, "device": str(where),
    }  # fmt: skip
    write_sidecars([out / "history.tsv"], **record)
    n_slices, latent_channels = stacks.delta.shape[2:4]
    facts = {"schedule": schedule.as_json(), "context_step": steps, "n_slices": n_slices,
             "latent_channels": latent_channels, "patients": len(table)}  # fmt: skip
    write_json(out / "model.json", describe(**record, **facts))
    log.info("%d steps in %.0f s", settings.steps, time.perf_counter() - started)
