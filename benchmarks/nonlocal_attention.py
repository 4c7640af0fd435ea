"""What `autoencoder.nonlocal_attention` costs: parameters, peak memory and seconds of one slice.

The network of the preset `paper` on one 384 x 384 slice: encoded, and one step's gradients of the
whole network. *Matrix*: attention by the matrix of all pairs of latents, MONAI's own default.
Every row is of a process of its own. Weights are random: cost does not depend on them.

    python benchmarks/nonlocal_attention.py
"""

import re
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import pandas as pd
import torch
from coherence import as_markdown
from monai.networks.blocks import SABlock

from hemexp.autoencoder.network import MultiHeadVae
from hemexp.config import load_settings

ATTENTION = ("none", "matrix", "as hemexp computes it")
WORK = ("encoding", "training")


def make_vae(attention: str) -> MultiHeadVae:
    """The network of `paper` with attention of the kind asked for."""
    settings = load_settings({"preset": "paper"}).autoencoder
    vae = MultiHeadVae(
        settings.model_copy(update={"nonlocal_attention": attention != ATTENTION[0]})
    )
    for module in vae.modules():
        if isinstance(module, SABlock):
            module.use_flash_attention = attention != "matrix"
    return vae


def measure(attention: str, work: str) -> tuple[int, float, float]:
    """Number of parameters, peak MiB above those of the loaded network, and CPU seconds."""
    vae, images = make_vae(attention), torch.rand(1, 3, 384, 384)
    before_mib, started = peak_mib(), time.process_time()
    if work == "encoding":
        with torch.inference_mode():
            vae.encode(images)
    else:
        sum(part.square().mean() for part in vae.decode(vae.encode(images)[0])).backward()
    seconds = time.process_time() - started
    return sum(p.numel() for p in vae.parameters()), peak_mib() - before_mib, seconds


def peak_mib() -> float:
    """Of this process. Not ru_maxrss: that keeps the peak of the process which started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


def main() -> None:
    """Prints the table."""
    rows = []
    for work, attention in product(WORK, ATTENTION):
        command = [sys.executable, __file__, attention, work]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        parameters, mib, seconds = done.stdout.split()[-3:]
        rows.append(
            {
                "work": work,
                "attention": attention,
                "parameters": f"{int(parameters) / 1e6:.2f} M",
                "peak MiB": f"{float(mib):.0f}",
                "CPU s": f"{float(seconds):.1f}",
            }
        )
    print(as_markdown(pd.DataFrame(rows)))


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1:]:
        print(*measure(*sys.argv[1:]))
    else:
        main()
