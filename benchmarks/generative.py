"""What training and sampling cost, against the published way, side by side in one run.

python benchmarks/generative.py [--section decoder training patient memory] [--device cpu]
python benchmarks/generative.py --section device --device cuda [--budget 300]

On a CPU the seconds are those of the processor, on one thread: other work on the machine hardly
changes them. Networks have random weights: cost does not depend on them. The baseline is the
reference of both ways, and samples are not finished: shell, warp and IVH cost more.
"""

import argparse
from dataclasses import replace
from itertools import product

import pandas as pd
import torch
from budget import Budget
from generative_device import measure_device
from generative_memory import measure_memory
from generative_parts import (
    SCHEDULE,
    Size,
    condition_of,
    draw_and_decode,
    make_ours,
    seconds,
    size_of,
)
from generative_published import (
    CONTEXT,
    PUBLISHED_BATCH,
    PUBLISHED_STEPS,
    Published,
    exact_gaussian,
    published_spread,
)
from generative_training import measure_training
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from hemexp.autoencoder.network import MultiHeadVae
from hemexp.latents.encode import encode_images
from hemexp.sampling.models import Models
from hemexp.sampling.sample import decode_stack
from hemexp.sampling.samplers import dpm_solver, lambda_grid
from hemexp.training import autocast_for

SLICES, SAMPLES = 20, 20
PRECISIONS = ("fp32", "bf16")
SDS = (0.1, 0.3, 0.6, 30.0, 300.0)
"""Spread is tested for textures (below 1) and for growth: a stack's norm reaches hundreds."""


def measure_decoder(size: Size, device: torch.device) -> pd.DataFrame:
    """FLOPs and seconds of decoding one slice, by `autoencoder.feature_channels`."""
    rows = []
    for features in (256, 64, 8):
        settings = size.autoencoder.model_copy(update={"feature_channels": features})
        vae = MultiHeadVae(settings).to(device).eval().requires_grad_(False)
        latents = torch.randn(1, *size.latent, device=device)
        with FlopCounterMode(display=False) as counter:
            vae.decode(latents)
        rows.append(
            {
                "feature_channels": features,
                "gflop": counter.get_total_flops() / 1e9,
                "s_per_slice": seconds(lambda v=vae, x=latents: v.decode(x), device),
                "million_parameters": sum(p.numel() for p in vae.parameters()) / 1e6,
            }
        )
    table = pd.DataFrame(rows)
    table["gflop_ratio"] = table["gflop"] / table["gflop"].iloc[0]
    return table.assign(s_ratio=table["s_per_slice"] / table["s_per_slice"].iloc[0])


def draw_ours(
    ours: Models, size: Size, images: Tensor, samples: int, evaluations: int, precision: str
) -> None:
    """The way of hemexp from images (z, 3, x, y) to decoded samples, one by one."""
    update = {"evaluations": evaluations, "precision": precision}
    settings = size.sampling.model_copy(update=update)
    latents = encode_images(ours.autoencoder, images, settings.batch_slices)
    draw_and_decode(ours, latents, condition_of(size, samples, len(images)), settings)


def published_costs(size: Size, device: torch.device) -> dict[str, float]:
    """Seconds of one batch of two slices in each part of the published way."""
    way = Published(size, device)
    images = torch.rand(PUBLISHED_BATCH, CONTEXT, 3, size.side, size.side)
    noisy = torch.randn(PUBLISHED_BATCH, *size.latent, device=device)
    context = noisy.repeat(1, CONTEXT, 1, 1)
    with torch.inference_mode():
        return {
            "encode": seconds(lambda: way.encode(images), device),
            "evaluate": seconds(lambda: way.evaluate(noisy, context, 500), device),
            "decode": seconds(lambda: way.decode(noisy), device),
        }


def our_costs(size: Size, slices: int, device: torch.device, precision: str) -> dict[str, float]:
    """Seconds a slice in each part of hemexp's way, by `sampling.precision`."""
    ours = make_ours(size, slices, device)
    images = torch.rand(2, 3, size.side, size.side)
    latents = torch.randn(1, slices, *size.latent, device=device)
    context = latents.repeat(1, 1, CONTEXT, 1, 1)
    condition = condition_of(size, 1, slices).to(device)
    autocast = autocast_for(precision, device)

    def evaluate() -> None:
        with autocast:
            ours.denoiser.denoise(latents, 0.0, context, condition)

    def decode() -> None:
        decode_stack(ours.autoencoder, latents[0, :2], 2, autocast)

    with torch.inference_mode():
        return {
            "encode": seconds(lambda: encode_images(ours.autoencoder, images, 2), device) / 2,
            "evaluate": seconds(evaluate, device) / slices,
            "decode": seconds(decode, device) / 2,
        }


def spreads(evaluations: int | None) -> dict[str, float]:
    """SD ratio on exact Gaussians; `None`: the published sampler."""
    noise = torch.randn(50_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noise = (noise - noise.mean()) / noise.std()
    if evaluations is None:
        return {f"sd_{sd:g}": published_spread(sd, noise) for sd in SDS}
    lambdas = lambda_grid(SCHEDULE, "logsnr", evaluations)
    return {
        f"sd_{sd:g}": dpm_solver(exact_gaussian(sd), noise, lambdas).std().item() / sd
        for sd in SDS
    }


def price(costs: dict[str, float], slices: int, samples: int, evaluations: int | None) -> float:
    """Seconds of one patient: number of calls times the cost of each; `None`: the published."""
    images = slices * samples
    if evaluations is None:
        batch = costs["encode"] + PUBLISHED_STEPS * costs["evaluate"] + costs["decode"]
        return images / PUBLISHED_BATCH * batch
    return (
        slices * costs["encode"]
        + images * evaluations * costs["evaluate"]
        + (images + slices) * costs["decode"]
    )


def compare_patient(size: Size, slices: int, device: torch.device) -> pd.DataFrame:
    """One patient, 20 slices, 20 samples: both ways, with the spread each keeps."""
    theirs = published_costs(size, device)
    costs = {name: our_costs(size, slices, device, name) for name in PRECISIONS}
    print("published, s per batch of 2:", {k: round(v, 3) for k, v in theirs.items()})
    for name, cost in costs.items():
        print(f"hemexp {name}, s per slice:", {k: round(v, 3) for k, v in cost.items()})
    base = price(theirs, SLICES, SAMPLES, None)
    rows = [
        {"way": "published DDIM fp32", "evaluations": PUBLISHED_STEPS, "seconds": base}
        | spreads(None)
    ]
    for name, evaluations in product(PRECISIONS, (20, 14, 11, 10)):
        cost = price(costs[name], SLICES, SAMPLES, evaluations)
        rows.append(
            {"way": f"hemexp DPM++ {name}", "evaluations": evaluations, "seconds": cost}
            | spreads(evaluations)
        )
    table = pd.DataFrame(rows)
    table.insert(3, "times_faster", base / table["seconds"])
    errors = table[[f"sd_{sd:g}" for sd in SDS]].sub(1).abs()
    return table.assign(worst_below_1=errors.iloc[:, :3].max(axis=1), worst=errors.max(axis=1))


def check_prices(device: torch.device, slices: int = 4, samples: int = 4) -> pd.DataFrame:
    """Small networks, a whole run of each way, against calls times cost."""
    size, rows = size_of("small"), []
    size = replace(size, sampling=size.sampling.model_copy(update={"batch_slices": slices}))
    way = Published(size, device)
    images = torch.rand(PUBLISHED_BATCH, CONTEXT, 3, size.side, size.side)
    batches = slices * samples // PUBLISHED_BATCH

    def theirs() -> None:
        for _ in range(batches):
            way.draw(images)

    ours = make_ours(size, slices, device)
    stack = torch.rand(slices, 3, size.side, size.side)
    ways = {"published": (theirs, published_costs(size, device), None)}
    for name, evaluations in (("fp32", 20), ("fp32", 11), ("bf16", 11)):
        ways[f"hemexp {name} {evaluations}"] = (
            lambda n=evaluations, p=name: draw_ours(ours, size, stack, samples, n, p),
            our_costs(size, slices, device, name),
            evaluations,
        )
    for name, (call, costs, evaluations) in ways.items():
        row = {
            "way": name,
            "in_full_s": seconds(call, device),
            "calls_x_cost_s": price(costs, slices, samples, evaluations),
        }
        rows.append(row)
    table = pd.DataFrame(rows)
    full, priced = (table[name].iloc[0] / table[name] for name in ("in_full_s", "calls_x_cost_s"))
    return table.assign(times_faster_in_full=full, times_faster_priced=priced)


def show(title: str, table: pd.DataFrame) -> None:
    """Prints one table under its title."""
    print(f"\n{title}\n{table.round(4).to_string(index=False)}", flush=True)


def main() -> None:
    """Prints the tables of the sections asked for."""
    sections = ("decoder", "training", "patient", "memory", "device")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--section", nargs="+", choices=sections, default=sections[:4])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--size", choices=("published", "small"), default="published")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--budget", type=float, help="seconds that section `device` may take")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device, size = torch.device(args.device), size_of(args.size)
    if "decoder" in args.section:
        show("decoder, one slice", measure_decoder(size, device))
    if "training" in args.section:
        show("one training step of the 2.5D network", measure_training(args.size, device))
    if "patient" in args.section:
        slices = SLICES if device.type == "cuda" else 4
        show(
            f"one patient, {SLICES} slices, {SAMPLES} samples (calls x cost)",
            compare_patient(size, slices, device),
        )
        show(
            "small networks, 4 slices, 4 samples: in full against calls x cost",
            check_prices(device),
        )
    if "memory" in args.section:
        show("peak memory of sampling", measure_memory())
    if "device" in args.section:
        measure_device(args.size, args.device, Budget(args.budget))


if __name__ == "__main__":
    main()
