"""Work of each stage in FLOP, counted without computing, and the card's measured rate.

python benchmarks/full_size_flop.py CONFIG DEVICE     # for full_size.py; prints JSON
"""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
import yaml
from generative_parts import Size, condition_of, seconds
from torch._subclasses import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from hemexp.autoencoder.network import MultiHeadVae
from hemexp.config import load_settings
from hemexp.diffusion.condition import IVH_SIZE, REQUEST_SIZE
from hemexp.diffusion.network import Denoiser, show_stack
from hemexp.settings import Settings

MATRIX = {"cuda": 8192, "cpu": 512}
"""Side of the square matrices whose product gives a device's rate."""


def flop_of(call: Callable[[], object]) -> int:
    """Floating-point operations of a call: matrix products and convolutions."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def matrix_rate(device: torch.device) -> float:
    """Measured bf16 FLOP per second of a square matrix product."""
    n = MATRIX[device.type]
    a = torch.randn(n, n, device=device, dtype=torch.bfloat16)
    return 2 * n**3 / seconds(lambda: a @ a, device)


def slice_flop(size: Size) -> dict[str, int]:
    """Of one slice: encoding, decoding, and a training step of the autoencoder."""
    with FakeTensorMode():
        vae = MultiHeadVae(size.autoencoder)
        image = torch.zeros(1, 3, size.side, size.side)
        latents = torch.zeros(1, *size.latent)

        def learn() -> None:
            mean, sd = vae.encode(image)
            sum(part.sum() for part in vae.decode(mean + sd)).backward()

        return {
            "encode": flop_of(lambda: vae.encode(image)),
            "decode": flop_of(lambda: vae.decode(latents)),
            "learn": flop_of(learn),
        }


def stack_flop(size: Size, slices: int, *, reference: bool, ivh: bool) -> dict[str, int]:
    """Of one stack: an evaluation of the denoiser, and a training step."""
    settings = size.diffusion
    with FakeTensorMode():
        network = Denoiser(settings, size.latent[0], slices, reference=reference, ivh=ivh)
        noisy, time = torch.zeros(1, slices, *size.latent), torch.zeros(1)
        shown = show_stack(noisy, noisy if reference else None, settings.context_slices, 1)
        told = REQUEST_SIZE[settings.condition] + IVH_SIZE * ivh
        condition = replace(condition_of(size, 1, slices), request=torch.ones(1, told))

        def evaluate() -> torch.Tensor:
            return network(noisy, time, shown, condition)

        return {
            "evaluate": flop_of(evaluate),
            "learn": flop_of(lambda: evaluate().sum().backward()),
        }


def stage_flop(settings: Settings) -> dict[str, int]:
    """FLOP of one unit of each verb that uses the card: a step, a training patient, a sample.

    Sampling without guidance; samples that are relevelled or drawn again cost more. A sample and
    its reference are decoded, the reference is encoded.
    """
    side, _, slices = settings.preprocess.grid.shape
    kind, moved = settings.latents.reference, settings.latents.moved
    relative = not kind.is_baseline
    size = Size(settings.autoencoder, settings.diffusion, settings.sampling, side)
    one = slice_flop(size)
    stack = stack_flop(size, slices, reference=relative, ivh=kind.ivh)
    vae, denoiser = settings.autoencoder, settings.diffusion
    scans = 2 + relative
    return {
        "train-autoencoder": vae.batch_slices * vae.accumulate * one["learn"],
        "encode-patients": slices * (scans * (2 + moved) * one["encode"] + 2 * one["decode"]),
        "train-diffusion": denoiser.batch_stacks * denoiser.accumulate * stack["learn"],
        "sample-followups": settings.sampling.evaluations * stack["evaluate"]
        + slices * (relative * (one["encode"] + one["decode"]) + one["decode"]),
    }


def main() -> None:
    """Prints the device's name, its rate and the FLOP of a unit of each verb."""
    config, device = sys.argv[1], torch.device(sys.argv[2])
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU, one thread"
    settings = load_settings(yaml.safe_load(Path(config).read_text(encoding="utf-8")))
    facts = {"device": name, "rate": matrix_rate(device), "flop": stage_flop(settings)}
    print(json.dumps(facts))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
