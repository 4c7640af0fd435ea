"""Training of the segmentation: one flat loop that can be stopped and taken up anywhere."""

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from hemexp.code_hash import hash_code
from hemexp.columns import SESSIONS
from hemexp.compiling import compile_modules, keep_compiled, worth_compiling
from hemexp.layout import Layout
from hemexp.monai_parts import DiceCELoss
from hemexp.prefetch import feed_steps
from hemexp.processes import ALONE, Processes, launched_processes, run_steps
from hemexp.provenance import hash_file, hash_value
from hemexp.segmentation.folds import check_enough, training_patients
from hemexp.segmentation.network import Segmenter, check_start, load_segmenter
from hemexp.segmentation.patches import LabelledScan, draw_batch, load_scans
from hemexp.settings import Segmentation
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


def accumulate_gradients(
    network: nn.Module,
    loss: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    count: int,
    autocast: AbstractContextManager,
) -> dict[str, Tensor]:
    """Adds the gradients of micro-batches of a step that has `count` of them.

    Returns:
        Their share of the step's mean loss.
    """
    total = torch.zeros(())
    for images, labels in batches:
        with autocast:
            logits = network(images)
        value = loss(logits.float(), labels) / count
        value.backward()
        total = total + value.detach()
    return {"loss": total}


def make_loss(settings: Segmentation) -> nn.Module:
    """Dice of IPH and IVH plus cross-entropy, both weighted by class.

    Dice is of a whole batch: a crop without blood says nothing, and its own would be 0 or 1.
    """
    return DiceCELoss(
        include_background=False,
        to_onehot_y=True,
        softmax=True,
        batch=True,
        weight=torch.tensor([1.0, settings.iph_weight, settings.ivh_weight]),
    )


def train(
    scans: list[LabelledScan],
    settings: Segmentation,
    seed: int,
    checkpoint: Checkpoint,
    processes: Processes = ALONE,
    start: Segmenter | None = None,
) -> tuple[nn.Module, list[dict]]:
    """Trains a network; goes on from `checkpoint` where there is one.

    Args:
        scans: Training scans.
        settings: The room's settings.
        seed: Run seed; each step's randomness depends on it and the step alone.
        checkpoint: Where to save to every `checkpoint_every` steps and on SIGTERM.
        processes: Those that train together.
        start: A network to start from; None: from chance.

    Returns:
        The network with averaged (EMA) weights, and its history: the loss of every `LOG_EVERY`-th
        step.
    """
    device = processes.device
    torch.manual_seed(seed)
    network = Segmenter(settings).to(device)
    if start is not None:
        network.load_state_dict(start.state_dict())
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(settings.ema_decay))
    loss = make_loss(settings).to(device)
    autocast = autocast_for(settings.precision, device)
    weights = list(network.parameters())
    fused = fusing_works(settings.fused, device)
    optimiser = make_optimiser(weights, settings.optimiser, settings.learning_rate, fused)
    rate = make_schedule(optimiser, settings.schedule, settings.steps)

    def learn(batches: Iterable[tuple[Tensor, Tensor]], count: int) -> dict[str, Tensor]:
        return accumulate_gradients(network, loss, batches, count, autocast)

    def feed(steps: range, parts: range) -> Iterator[Iterator[tuple[Tensor, Tensor]]]:
        return feed_steps(partial(draw_batch, scans, settings, seed), steps, parts, device)

    if worth_compiling(settings.compile, settings.steps):
        compile_modules([network.core], lambda: learn(next(feed(range(1), range(1))), 1))
    mine = processes.parts("segmentation", settings.accumulate)
    state = {"network": network, "average": average, "optimiser": optimiser, "rate": rate}
    start, history = load_checkpoint(checkpoint, state)
    save = partial(save_checkpoint, checkpoint, state, history)
    steps = run_steps(start, settings.steps, settings.checkpoint_every, save, processes)
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


def run_train_segmentation(
    layout: Layout,
    masked: list[str],
    fold: int | None,
    settings: Segmentation,
    seed: int,
    device: str,
    start_from: Layout | None = None,
) -> None:
    """Verb `train-segmentation`: native scans with given masks to `model.safetensors`.

    Args:
        layout: Of the run.
        masked: Training patients with given masks of both scans.
        fold: The part of them that the network must not see; None: it sees all.
        settings: The room's settings.
        seed: Run seed.
        device: `auto`, `cpu` or `cuda`.
        start_from: Where the network lies that the training starts from; None: from chance.

    Raises:
        HemexpError: Too few patients have masks, or the training cannot start from that network.
    """
    started = time.perf_counter()
    check_enough(masked, settings)
    patients = training_patients(masked, fold, settings.folds)
    start = None if start_from is None else load_segmenter(start_from, None, torch.device("cpu"))
    if start:
        check_start(start, settings, set(masked).difference(patients))
    scans = [(patient_id, session) for patient_id in patients for session in SESSIONS]
    files = [path for scan in scans for path in layout.native(*scan).images]
    data = hash_value([hash_file(path) for path in files])
    run = settings.as_json() | {
        "seed": seed,
        "data": data,
        "code": hash_code("segmentation.train"),
        "start": start.hash if start else None,
    }
    out = layout.segmenter(fold)
    keep_compiled(layout.compiled)
    with launched_processes(resolve_device(device)) as processes:
        message = "%d scans of %d patients, fold %s; %s"
        log.info(message, len(scans), len(patients), fold, processes.device)
        checkpoint = Checkpoint(out.checkpoint, run)
        loaded = load_scans(layout, scans, settings.crop)
        network, history = train(
            loaded, settings, seed, checkpoint, processes, start.network if start else None
        )
        if not processes.is_main:
            return
        save_trained(
            out,
            network,
            history,
            verb="train-segmentation",
            settings=settings.as_json(),
            inputs=files,
            started=started,
            seed=seed,
            device=str(processes.device),
            fold=fold,
            patients=patients,
            data=data,
            started_from=run["start"],
        )
