"""`torch.compile` where it pays: said, timed, and kept for the next job of the run."""

import logging
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import torch
from torch import nn

log = logging.getLogger(__name__)

LEAST_STEPS = 500
"""Steps of a training that is worth compiling for. Of a `full` denoiser on one H200 compilation
took some 75 s, and a step without it 1.15 s: at a gain of .15 s a step it is paid after 500."""

LEAST_PASSES = 1000
"""Passes of a stack that a denoiser is compiled for. An estimate, not measured: a pass of `full`
takes .08 s on an H200. At half of that a minute of compilation is paid after 1500 passes, and a
quarter of a minute, with what an earlier job has kept, after 400."""

CACHE = "TORCHINDUCTOR_CACHE_DIR"
"""The variable by which PyTorch's compiler is told where to keep what it has made."""


def keep_compiled(folder: Path) -> None:
    """Has all that is compiled from now on kept in a folder, and taken from there.

    A job that was broken off does not pay again, nor the next job of a kind. A folder that the
    user has named by `TORCHINDUCTOR_CACHE_DIR` stays.
    """
    os.environ.setdefault(CACHE, str(folder.absolute()))


def worth_compiling(asked: bool, steps: int) -> bool:
    """Whether a training shall compile; said where it is asked and too short to gain.

    A training's whole length counts, not what is left of it: one that was broken off goes on in
    the arithmetic that it began with.

    Args:
        asked: The setting `compile`.
        steps: Of the whole training.
    """
    if asked and steps < LEAST_STEPS:
        message = "compile: not for %d steps; it gains time from %d on"
        log.info(message, steps, LEAST_STEPS)
        return False
    return asked


def compile_modules(modules: Iterable[nn.Module], trial: Callable[[], object]) -> None:
    """Compiles modules in place, by which their weights keep their names; if not, it is said.

    Shapes are taken as fixed: a micro-batch has the same ones at every step.

    Args:
        modules: What to compile.
        trial: A forward and backward pass, since compilation happens at the first call. If it
            fails, nothing is compiled in this process.
    """
    started, names = time.perf_counter(), []
    for module in modules:
        module.compile(dynamic=False)
        names.append(type(module).__name__)
    try:
        trial()
    except (RuntimeError, ImportError, OSError) as error:
        torch.compiler.set_stance("force_eager")
        why = " ".join(str(error).split("\n")[:2])
        log.warning("compile: torch.compile does not work here (%s); training without", why)
        return
    seconds, kept = time.perf_counter() - started, os.environ.get(CACHE, "no folder of the run")
    log.info("compile: %s in %.1f s; kept in %s", ", ".join(names), seconds, kept)


def compile_sampling(
    network: nn.Module, asked: bool | Literal["auto"], passes: int, device: torch.device
) -> None:
    """Compiles a denoiser that is to draw samples, where asked or worth it.

    Batches may differ in size. What cannot be compiled stays as it is, and PyTorch says so.

    Args:
        network: The denoiser.
        asked: The setting `sampling.compile`; with `auto` a GPU compiles for `LEAST_PASSES`.
        passes: Of stacks through the network, of the whole job.
        device: Where it works.
    """
    if asked == "auto":
        asked = device.type == "cuda" and passes >= LEAST_PASSES
    if asked:
        torch._dynamo.config.suppress_errors = True
        network.compile()
        log.info("compile: %s for %d passes of a stack", type(network).__name__, passes)
