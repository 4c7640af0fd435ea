"""How far training and sampling use a device: parts, each a process of its own with a time limit.

Trained is the network of `paper` on one stack, drawn with that of `full`; the baseline is the
reference. Use is FLOP over seconds over the device's measured bf16 rate.
"""

import json
import subprocess
import sys
from dataclasses import replace

import torch
from budget import Budget
from full_size_flop import matrix_rate, stack_flop
from generative_parts import (
    Size,
    condition_of,
    draw_and_decode,
    make_ours,
    seconds,
    size_of,
    stopwatch,
)
from generative_published import CONTEXT
from generative_training import backward
from torch import Tensor

from hemexp.diffusion.network import Denoiser

LIMIT_S, COMPILED_S = 60, 120
"""When a part is stopped; compiling a `full` denoiser alone took 75 s on an H200."""
PARTS = {
    "matrix product": 15,
    "training bf16": 25,
    "sampling bf16": 25,
    "training bf16 compiled": COMPILED_S,
    "training fp32": 25,
    "sampling fp32": 40,
    "training fp32 compiled": COMPILED_S,
}
"""Seconds that a part is thought to take, its start included; with less left it is not begun."""
SLICES, STACKS = {"cuda": 36, "cpu": 2}, {"cuda": 8, "cpu": 1}
"""Of a stack, and stacks that are drawn at a time."""


def train_seconds(size: Size, device: torch.device, *, bf16: bool, compiled: bool) -> float:
    """Seconds of a training step of one stack: gradients and optimiser."""
    z = SLICES[device.type]
    network = Denoiser(size.diffusion, size.latent[0], z).to(device)
    optimiser = torch.optim.Adam(network.parameters(), 1e-4, fused=device.type == "cuda")
    clean = torch.randn(1, z, *size.latent, device=device)
    context = clean.repeat(1, 1, CONTEXT, 1, 1)
    if compiled:
        network.compile()

    def step() -> None:
        optimiser.zero_grad()
        backward(network, size, clean, context, bf16)
        optimiser.step()

    return seconds(step, device)


def sampling_seconds(size: Size, device: torch.device, precision: str) -> float:
    """Wall seconds to draw and decode one sample, of a batch."""
    z, samples = SLICES[device.type], STACKS[device.type]
    update = {"precision": precision, "batch_slices": z * samples}
    size = replace(size, sampling=size.sampling.model_copy(update=update))
    ours, baseline = make_ours(size, z, device), torch.randn(z, *size.latent)
    condition, clock = condition_of(size, samples, z), stopwatch(device)

    def draw(baseline: Tensor = baseline) -> None:
        draw_and_decode(ours, baseline, condition, size.sampling)

    draw()
    started = clock()
    draw()
    return (clock() - started) / samples


def measure_part(part: str, name: str, device: torch.device) -> dict[str, float | str]:
    """The row of one part: seconds of its unit, and TFLOP of it."""
    kind, precision, *more = part.split()
    if kind == "matrix":
        return {"unit": "second", "seconds": 1.0, "tflop": matrix_rate(device) / 1e12}
    z = SLICES[device.type]
    if kind == "training":
        size = size_of(name, "paper")
        spent = train_seconds(size, device, bf16=precision == "bf16", compiled=bool(more))
        work = stack_flop(size, z, reference=False, ivh=False)["learn"]
        return {"unit": f"step of {z} slices", "seconds": spent, "tflop": work / 1e12}
    size = size_of(name, "full")
    spent = sampling_seconds(size, device, precision)
    work = size.sampling.evaluations * stack_flop(size, z, reference=False, ivh=False)["evaluate"]
    return {"unit": f"sample of {z} slices", "seconds": spent, "tflop": work / 1e12}


def run_part(part: str, name: str, device: str, limit_s: float) -> dict[str, float | str] | None:
    """Measures a part in a process of its own; None where the time did not suffice.

    Raises:
        subprocess.CalledProcessError: It failed; what it said stands on stderr.
    """
    command = [sys.executable, __file__, part, name, device]
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, check=True, timeout=limit_s
        )
    except subprocess.TimeoutExpired:
        return None
    return json.loads(done.stdout.splitlines()[-1])


def measure_device(name: str, device: str, budget: Budget) -> None:
    """Prints a row for each part as it is measured, and in the end what is missing.

    Args:
        name: Size, as `size_of` takes it.
        device: `cpu` or `cuda`.
        budget: What all parts may take.
    """
    if device == "cuda":
        print(torch.cuda.get_device_name())
    print(
        "| part | unit | seconds | TFLOP/s | of the bf16 rate |\n| --- | --- | --- | --- | --- |"
    )
    rate = None
    for part, estimate_s in PARTS.items():
        # Compiling for a CPU takes minutes and is no part of what is asked there.
        if (device == "cpu" and "compiled" in part) or not budget.allows(part, estimate_s):
            continue
        limit_s = min(COMPILED_S if "compiled" in part else LIMIT_S, budget.left)
        row = run_part(part, name, device, limit_s)
        if row is None:
            budget.missing.append(f"{part}: not finished in {limit_s:.0f} s")
            continue
        speed = row["tflop"] / row["seconds"]
        rate = rate or (speed if part == "matrix product" else None)
        use = f"{speed / rate:.3f}" if rate else ""
        cells = [part, row["unit"], f"{row['seconds']:.3g}", f"{speed:.3g}", use]
        print(f"| {' | '.join(cells)} |", flush=True)
    print(budget.report())


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(measure_part(sys.argv[1], sys.argv[2], torch.device(sys.argv[3]))))
