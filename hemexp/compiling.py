"""`torch.compile` where it pays: said, timed, and kept for the next job of the run."""

import logging
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import nn

log = logging.getLogger(__name__)

LEAST_STEPS = 500
"""Steps of a training that is worth compiling for. Of a `full` denoiser on one H200 compilation
took some 75 s, and a step without it 1.15 s: at a gain of .15 s a step it is paid after 500."""

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
