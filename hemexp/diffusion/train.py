"""Training of the denoiser: one flat loop that can be stopped and taken up anywhere."""

import logging
import time
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.flop_counter import FlopCounterMode

from hemexp.anatomy.blood import shell_mm
from hemexp.code_hash import hash_code
from hemexp.compiling import compile_modules, keep_compiled, worth_compiling
from hemexp.diffusion.condition import REQUEST_SIZE
from hemexp.diffusion.dataset import Stacks, load_stacks
from hemexp.diffusion.drift import DriftModel, fit_drift
from hemexp.diffusion.network import Denoiser, context_stride
from hemexp.diffusion.objective import Batch, accumulate_gradients, diffusion_loss, draw_batch
from hemexp.diffusion.schedule import Schedule, check_start, choose_lambda_min
from hemexp.layout import Layout
from hemexp.outcomes import expansion_outcomes, read_volumes
from hemexp.prefetch import each_tensor, feed_steps
from hemexp.processes import ALONE, Processes, launched_processes, run_steps
from hemexp.provenance import hash_file, hash_value
from hemexp.settings import Diffusion
from hemexp.training import (
    Checkpoint,
    autocast_for,
    fusing_works,
    load_checkpoint,
    make_optimiser,
    make_schedule,
    resolve_device,
    save_checkpoint,
    save_trained,
)

log = logging.getLogger(__name__)
LOG_EVERY = 10


def make_noise_schedule(settings: Diffusion, stacks: Stacks) -> Schedule:
    """The noise schedule, its range chosen from or checked against the training expanders."""
    norms, lambda_min = stacks.expander_norms(), settings.lambda_min
    if lambda_min is None:
        lambda_min = choose_lambda_min(norms)
    if settings.schedule == "cosine":
        check_start(lambda_min, norms)
    return Schedule(settings.schedule, settings.logsnr_shift, lambda_min, settings.lambda_max)


def learn_drift(table: pd.DataFrame, stacks: Stacks) -> DriftModel:
    """Where bleeds grow to, from the training expanders as they were scanned."""
    expands = stacks.expands.numpy()
    grew = table[expands]
    return fit_drift(
        stacks.position_mm.double().numpy()[expands],
        stacks.condition.drift_mm[:, 0].double().numpy()[expands],
        shell_mm(grew["growth_ml"], grew["baseline_iph_ml"]),
    )


def make_network(stacks: Stacks, settings: Diffusion, seed: int, device: torch.device) -> Denoiser:
    """A denoiser with random weights for stacks like these."""
    torch.manual_seed(seed)
    layout = torch.channels_last if settings.channels_last else torch.contiguous_format
    _, _, z, c, _, _ = stacks.latents.shape
    told = stacks.condition.request.shape[-1]
    network = Denoiser(
        settings,
        c,
        z,
        reference=stacks.latents.has_reference,
        ivh=told > REQUEST_SIZE[settings.condition],
    )
    return network.to(device, memory_format=layout)


def count_flop(stacks: Stacks, schedule: Schedule, settings: Diffusion) -> int:
    """FLOP of a micro-batch, forwards and backwards, counted on shapes without computing."""
    with torch.device("meta"):
        network = make_network(stacks, settings, 0, torch.device("meta"))
    drawn = draw_batch(stacks, schedule, settings, 0, 0, 0)
    batch = each_tensor(lambda part: part.to("meta"), drawn)
    stride = context_stride(settings.context_mm, stacks.slice_spacing_mm)
    with FlopCounterMode(display=False) as counter:
        diffusion_loss(network, batch, schedule, settings, stride).backward()
    return counter.get_total_flops()


def train(
    stacks: Stacks,
    schedule: Schedule,
    settings: Diffusion,
    seed: int,
    checkpoint: Checkpoint,
    processes: Processes = ALONE,
) -> tuple[nn.Module, list[dict]]:
    """Trains the denoiser; goes on from `checkpoint` where there is one.

    Args:
        stacks: Training patients.
        schedule: Noise schedule.
        settings: The room's settings.
        seed: Run seed; each step's randomness depends on it and the step alone.
        checkpoint: Where to save to every `checkpoint_every` steps and on SIGTERM.
        processes: Those that train together.

    Returns:
        The network with averaged (EMA) weights, and its history.
    """
    device = processes.device
    network = make_network(stacks, settings, seed, device)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(settings.ema_decay))
    autocast = autocast_for(settings.precision, device)
    fused = fusing_works(settings.fused, device)
    weights = list(network.parameters())
    optimiser = make_optimiser(weights, settings.optimiser, settings.learning_rate, fused)
    rate = make_schedule(optimiser, settings.schedule_lr, settings.steps)
    stride = context_stride(settings.context_mm, stacks.slice_spacing_mm)

    def loss_of(batch: Batch) -> Tensor:
        return diffusion_loss(network, batch, schedule, settings, stride)

    def learn(batches: Iterable[Batch], count: int) -> dict[str, Tensor]:
        return accumulate_gradients(loss_of, batches, count, autocast)

    def feed(steps: range, parts: range) -> Iterator[Iterator[Batch]]:
        return feed_steps(
            partial(draw_batch, stacks, schedule, settings, seed), steps, parts, device
        )

    if worth_compiling(settings.compile, settings.steps):
        compile_modules([network], lambda: learn(next(feed(range(1), range(1))), 1))
    mine = processes.parts("diffusion", settings.accumulate)
    state = {"network": network, "average": average, "optimiser": optimiser, "rate": rate}
    start, history = load_checkpoint(checkpoint, state)
    save = partial(save_checkpoint, checkpoint, state, history)
    flop = settings.accumulate * count_flop(stacks, schedule, settings)
    every = settings.checkpoint_every
    steps = run_steps(start, settings.steps, every, save, processes, flop)
    for step, batches in zip(steps, feed(range(start, settings.steps), mine), strict=True):
        optimiser.zero_grad()
        terms = learn(batches, settings.accumulate)
        processes.add_gradients(weights)
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        rate.step()
        average.update_parameters(network)
        if (step + 1) % LOG_EVERY == 0:
            history.append({"step": step + 1} | processes.add(terms))
    return average.module, history


def run_train_diffusion(
    layout: Layout, sheet: pd.DataFrame, settings: Diffusion, seed: int, device: str
) -> None:
    """Verb `train-diffusion`: cached latents of the training patients to `model.safetensors`.

    Args:
        layout: Of the run.
        sheet: Rows of the training patients.
        settings: The room's settings.
        seed: Run seed.
        device: `auto`, `cpu` or `cuda`.
    """
    started = time.perf_counter()
    table = sheet.join(expansion_outcomes(read_volumes(layout, sheet)))
    stacks = load_stacks(table, layout, settings.condition, settings.target)
    schedule = make_noise_schedule(settings, stacks)
    inputs = [layout.scale, *map(layout.latents, table.index)]
    given = [stacks.condition.clinical.nan_to_num(-1), stacks.condition.request, stacks.expands]
    data = hash_value([*map(hash_file, inputs), *(values.tolist() for values in given)])
    run = settings.as_json() | {"seed": seed, "data": data, "code": hash_code("diffusion.train")}
    out = layout.network("diffusion")
    keep_compiled(layout.compiled)
    with launched_processes(resolve_device(device)) as processes:
        expanders = int(stacks.expands.sum())
        message = "%d patients, %d expanders; %s; %s"
        log.info(message, len(table), expanders, schedule, processes.device)
        checkpoint = Checkpoint(out.checkpoint, run)
        network, history = train(stacks, schedule, settings, seed, checkpoint, processes)
        if not processes.is_main:
            return
        save_trained(
            out,
            network,
            history,
            verb="train-diffusion",
            settings=settings.as_json(),
            inputs=inputs,
            started=started,
            seed=seed,
            device=str(processes.device),
            **describe_model(table, stacks, schedule, settings),
        )


def describe_model(
    table: pd.DataFrame, stacks: Stacks, schedule: Schedule, settings: Diffusion
) -> dict[str, Any]:
    """What sampling needs to know of a denoiser beside its settings and weights."""
    n_slices, latent_channels = stacks.latents.shape[2:4]
    return {
        "schedule": schedule.as_json(),
        "context_stride": context_stride(settings.context_mm, stacks.slice_spacing_mm),
        "n_slices": n_slices,
        "latent_channels": latent_channels,
        "patients": len(table),
        "drift": learn_drift(table, stacks).as_json(),
    }
