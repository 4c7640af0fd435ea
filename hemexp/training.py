"""What all training loops share: device, randomness, switches, checkpoints, weights."""

import logging
import pickle
import shutil
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from hemexp import Fault, HemexpError
from hemexp.layout import NetworkFiles
from hemexp.provenance import hash_value, seed_for, write_atomically, write_sidecars

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
            Fault(
                "config, key device",
                "cuda, but no GPU is visible",
                "a visible GPU",
                "Set `device: auto` or `cpu`, or run where there is a GPU.",
            )
        )
    return torch.device(name)


def generator_for(*parts: object) -> torch.Generator:
    """A CPU generator that depends on the given parts alone.

    Every training step draws all its randomness from `generator_for(seed, step)`: no random
    state lives between steps, so a resumed run repeats the uninterrupted one.
    """
    return torch.Generator().manual_seed(seed_for(*parts))


def autocast_for(precision: Literal["fp32", "bf16"], device: torch.device) -> torch.autocast:
    """Context of a network's forward pass; bf16 where the device has it, else fp32, and said so.

    Weights, gradients and losses stay fp32. bf16 reaches as far as fp32: no gradient is scaled.
    """
    enabled = precision == "bf16" and has_bf16(device)
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


@cache  # each decoded stack asks
def has_bf16(device: torch.device) -> bool:
    """Whether a device computes in bf16; where it does not, that is said once."""
    if device.type == "cpu" or torch.cuda.is_bf16_supported(including_emulation=False):
        return True
    log.warning("precision: %s has no bf16; working in fp32", torch.cuda.get_device_name(device))
    return False


def fusing_works(asked: bool, device: torch.device) -> bool:
    """Whether the optimiser shall step all weights in one kernel; said where it cannot."""
    if asked:
        try:
            torch.optim.Adam([torch.zeros(1, device=device, requires_grad=True)], fused=True)
        except RuntimeError as error:
            log.warning("fused: not with this device or build (%s); training without", error)
            return False
    return asked


def make_optimiser(
    parameters: Iterable[nn.Parameter],
    name: Literal["adam", "adamw"],
    learning_rate: float,
    fused: bool,
) -> torch.optim.Optimizer:
    """Adam or AdamW (weight decay 0.01) with PyTorch's other defaults."""
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return kinds[name](parameters, lr=learning_rate, fused=fused or None)


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


class Checkpoint(NamedTuple):
    """Where an unfinished training is kept.

    Attributes:
        path: The file.
        run: What the training is made of: settings, seed and hashes of data and code, as JSON
            values; a checkpoint of another is refused.
    """

    path: Path
    run: dict[str, Any]


def save_checkpoint(
    checkpoint: Checkpoint, parts: dict[str, Stateful], history: list[dict], step: int
) -> None:
    """Writes all that is needed to go on after `step` steps, whole or not at all.

    That is the state of networks, averages, optimisers and schedules, the curves so far, and
    what the run is made of with its hash. No random state is in it: none lives between steps
    (`generator_for`). Nor is a gradient scaler: bf16 needs none.

    Args:
        checkpoint: Where.
        parts: What has state, by name.
        history: The training curves so far.
        step: Steps done.
    """
    path, run = checkpoint
    _sweep(path.parent)
    state = {name: part.state_dict() for name, part in parts.items()}
    saved = {"step": step, "run": run, "hash": hash_value(run), "history": history, "state": state}
    with write_atomically(path) as temporary:
        torch.save(saved, temporary)


def load_checkpoint(checkpoint: Checkpoint, parts: dict[str, Stateful]) -> tuple[int, list[dict]]:
    """Takes a training up where a checkpoint left it.

    Args:
        checkpoint: Where; there need not be one.
        parts: The same parts that were saved, by the same names.

    Returns:
        Steps already done and the history so far: 0 and [] without a checkpoint.

    Raises:
        HemexpError: The checkpoint cannot be read, or is of a training with other settings, data
            or code. A finished training removes its checkpoint: this one was broken off, and
            what to do with it is the user's to say.
    """
    path, run = checkpoint
    if not path.exists():
        return 0, []
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise HemexpError(
            Fault(
                str(path),
                f"a file that cannot be read ({str(error).splitlines()[0]})",
                "a checkpoint",
                "Delete it; training then starts anew.",
            )
        ) from error
    if saved["run"] != run:
        raise HemexpError(
            Fault(
                str(path),
                f"an unfinished training, hash {saved.get('hash')}, that differs in "
                f"{_differences(saved['run'], run)}",
                f"one of this run, hash {hash_value(run)}",
                "To train anew delete this file; to finish that training set back what differs.",
            )
        )
    for name, part in parts.items():
        part.load_state_dict(saved["state"][name])
    log.info("resuming from %s at step %d", path, saved["step"])
    return saved["step"], saved["history"]


def _differences(then: object, now: dict[str, Any]) -> str:
    if not isinstance(then, dict):  # as versions before 0.1 wrote it
        return "all"
    names = sorted(name for name in then | now if then.get(name) != now.get(name))
    return ", ".join(f"{name} ({then.get(name)}, now {now.get(name)})" for name in names)


def remove_checkpoint(path: Path) -> None:
    """Removes the checkpoint of a finished training: other settings then start without it."""
    path.unlink(missing_ok=True)
    _sweep(path.parent)


def _sweep(folder: Path) -> None:
    """Removes what a killed training had half written."""
    for left in folder.glob(".writing-*"):
        shutil.rmtree(left)


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


def save_trained(
    out: NetworkFiles,
    network: nn.Module,
    history: list[dict],
    **record: Any,  # noqa: ANN401
) -> None:
    """Writes what a finished training leaves: weights, curves and their sidecars.

    Args:
        out: Where; the sidecar of the weights is the model's record. The checkpoint there goes.
        network: With trained weights.
        history: The training curves.
        **record: As `provenance.describe` takes it; its settings have `steps`.
    """
    save_weights(out.weights, network)
    write_history(out.history, history)
    write_sidecars([out.weights, out.history], **record)
    remove_checkpoint(out.checkpoint)
    seconds = time.perf_counter() - record["started"]
    log.info("%d steps in %.0f s", record["settings"]["steps"], seconds)
