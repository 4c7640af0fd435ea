"""What both training loops share: device, randomness, optimiser, checkpoints, weights."""

import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, Protocol

import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from hemexp import Fault, HemexpError
from hemexp.provenance import seed_for, write_atomically

log = logging.getLogger(__name__)


class Stateful(Protocol):
    """Anything whose state a checkpoint keeps: a network, an optimiser, a schedule."""

    def state_dict(self) -> dict[str, Any]:
        """Gives the state."""

    def load_state_dict(self, state: dict[str, Any]) -> object:
        """Takes the state back."""


def resolve_device(name: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """The device to work on; `auto` takes a GPU where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise HemexpError(
            Fault("config, key device", "cuda, but no GPU is visible", "a visible GPU",
                  "Set `device: auto` or `cpu`, or run where there is a GPU.")
        )  # fmt: skip
    return torch.device(name)


def generator_for(*parts: object) -> torch.Generator:
    """A CPU generator that depends on the given parts alone.

    Every training step draws all its randomness from `generator_for(seed, step)`: no random
    state lives between steps, so a resumed run repeats the uninterrupted one.
    """
    return torch.Generator().manual_seed(seed_for(*parts))


def make_optimiser(
    parameters: Iterable[nn.Parameter], name: Literal["adam", "adamw"], learning_rate: float
) -> torch.optim.Optimizer:
    """Adam or AdamW (weight decay 0.01) with PyTorch's other defaults."""
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return kinds[name](parameters, lr=learning_rate)


def make_schedule(
    optimiser: torch.optim.Optimizer, name: Literal["one_cycle", "cosine", "constant"], steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """Learning-rate schedule over a whole training; the optimiser's rate is the highest."""
    highest = optimiser.param_groups[0]["lr"]
    if name == "one_cycle":
        return torch.optim.lr_scheduler.OneCycleLR(optimiser, highest, total_steps=steps)
    if name == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=steps)
    return torch.optim.lr_scheduler.ConstantLR(optimiser, factor=1.0)


@contextlib.contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Turns SIGTERM (a cluster's preemption) into a question a loop can ask between steps."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = signal.signal(signal.SIGTERM, lambda *_: asked.set())
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGTERM, before)


def save_checkpoint(
    path: Path, step: int, parts: dict[str, Stateful], run_hash: str, history: list[dict]
) -> None:
    """Writes all that is needed to go on after `step` steps, whole or not at all."""
    state = {name: part.state_dict() for name, part in parts.items()}
    with write_atomically(path) as temporary:
        torch.save({"step": step, "run": run_hash, "history": history, "state": state}, temporary)


def load_checkpoint(path: Path, parts: dict[str, Stateful], run_hash: str) -> tuple[int, list]:
    """Takes a training up where a checkpoint left it.

    Args:
        path: The checkpoint; it need not exist.
        parts: The same parts that were saved, by the same names.
        run_hash: Hash of everything that shapes the training.

    Returns:
        Steps already done and the history so far: 0 and [] without a checkpoint, or when the
        checkpoint belongs to other settings, data or code, which is said in the log.
    """
    if not path.exists():
        return 0, []
    saved = torch.load(path, map_location="cpu", weights_only=True)
    if saved["run"] != run_hash:
        log.warning(
            "%s belongs to a training with other settings, data or code (%s, now %s): it is not "
            "used, training starts anew", path, saved["run"], run_hash,
        )  # fmt: skip
        return 0, []
    for name, part in parts.items():
        part.load_state_dict(saved["state"][name])
    log.info("resuming from %s at step %d", path, saved["step"])
    return saved["step"], saved["history"]


def save_weights(path: Path, network: nn.Module) -> None:
    """Writes a network's weights as safetensors, whole or not at all."""
    weights = {
        name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()
    }
    with write_atomically(path) as temporary:
        save_file(weights, temporary)


def load_weights(path: Path, network: nn.Module) -> nn.Module:
    """Fills a network with stored weights, strictly, and sets it to evaluation."""
    network.load_state_dict(load_file(path), strict=True)
    return network.eval().requires_grad_(False)


def write_history(path: Path, history: list[dict]) -> None:
    """Writes the training curves: one row per logged step, one column per loss term."""
    with write_atomically(path) as temporary:
        pd.DataFrame(history).to_csv(temporary, sep="\t", index=False, float_format="%.6g")
