"""Peak memory of sampling, each number of samples in a process of its own.

The baseline is the reference: others are made, encoded and let go with each batch.
"""

import re
import subprocess
import sys
from itertools import product
from pathlib import Path

import pandas as pd
import torch
from generative_parts import Size, condition_of, latent_sampler, make_ours, size_of

from hemexp.sampling.sample import decode_stack

SLICES = 20


def draw_in_little_memory(samples: int, streamed: bool) -> float:
    """Peak MiB of a process that draws so many samples with tiny networks and decodes them."""
    size = size_of("small")
    vae = size.autoencoder.model_copy(
        update={"stem_factor": 4, "channels": [8], "norm_groups": 8, "feature_channels": 4}
    )
    unet = size.diffusion.model_copy(
        update={"channels": [8] * 4, "norm_groups": 8, "attention_levels": [False] * 4}
    )
    settings = size.sampling.model_copy(
        update={"evaluations": 1, "batch_slices": 4 * SLICES, "precision": "fp32"}
    )
    size = Size(vae, unet, settings, 384)
    ours = make_ours(size, SLICES, torch.device("cpu"))
    baseline = torch.randn(SLICES, *size.latent)
    condition = condition_of(size, samples, SLICES)
    stream = latent_sampler(ours, baseline, condition, settings).stream()
    for drawn in stream if streamed else [*stream]:
        # The other slices would take the same memory again.
        decode_stack(ours.autoencoder, drawn.latents[:4], 4)
    # Not ru_maxrss: that keeps the peak of the process which started this one.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


def measure_memory() -> pd.DataFrame:
    """Peak memory of sampling for growing K, batches of four stacks of 20 x 4 x 96 x 96."""
    rows = []
    for streamed, samples in product((True, False), (4, 40, 80)):
        how = "one batch at a time" if streamed else "all latents at once"
        command = [sys.executable, __file__, str(samples), how]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append({"latents": how, "K": samples, "peak_mib": float(done.stdout.split()[-1])})
    table = pd.DataFrame(rows)
    first = table.groupby("latents", sort=False)["peak_mib"].transform("first")
    return table.assign(ratio=table["peak_mib"] / first)


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(draw_in_little_memory(int(sys.argv[1]), sys.argv[2] == "one batch at a time"))
