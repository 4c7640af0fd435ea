r"""How raw (unmatched) growth follows its request, by training length, loss weight, guidance.

Stack denoisers with the growth condition on the coarse phantom. Each test patient is asked for
growths drawn from the expanding and from the stable part of its predictive distribution. Rows are
kept in `--out`: run again, only new ones are computed.

    python benchmarks/obedience.py --steps 500 1000 --bleed-weight 0 3 --guidance 1 1.4 \
        [--set expander_share=0.8]
"""

import argparse
import dataclasses
import json
import time
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from coarse_phantom import Cohort, encode_cohort, fit_autoencoder, load_cohort
from coherence import as_markdown, load_benchmark_settings
from coherence_samples import CohortSampler, Samples, fit_growth, train_arm
from torch import Tensor

from hemexp.expansion.model import patient_distribution
from hemexp.provenance import hash_value
from hemexp.sampling.requests import Requests
from hemexp.settings import Settings
from hemexp.statistics.line import Line, fit_line

LARGE_REQUEST_ML = 3.0
ASKED = 4
"""Requests a patient: three to expand, the rest to stay."""


def keep_training(
    cohort: Cohort, encoded: dict[str, Tensor], train: int
) -> tuple[Cohort, dict[str, Tensor]]:
    """The cohort with only its first training patients."""
    rows = np.concatenate([cohort.rows(test=False)[:train], cohort.rows(test=True)])
    tensors = {name: getattr(cohort, name)[rows] for name in ("ct_hu", "iph", "ivh", "brain")}
    table = cohort.table.iloc[rows].reset_index(drop=True)
    return dataclasses.replace(cohort, table=table, **tensors), {
        name: part[rows] for name, part in encoded.items()
    }


def draw_fixed_requests(
    sampler: CohortSampler, settings: Settings, patients: int
) -> tuple[Samples, Samples]:
    """Raw and matched samples of requests at fixed quantiles of the predictive distribution."""
    growth = fit_growth(sampler.cohort, settings.expansion)
    drawn, rng = [], np.random.default_rng(0)
    for row in sampler.cohort.rows(test=True)[:patients]:
        distribution = patient_distribution(growth, sampler.cohort.table.iloc[row])
        u, v = np.r_[np.zeros(ASKED - 1), 1.0], rng.uniform(0.05, 0.95, ASKED)
        drawn.append(sampler.draw(row, Requests(distribution.quantile(u, v), 1 - u)))
    return tuple(Samples.join([one[state] for one in drawn]) for state in (0, 1))


def score(raw: Samples, matched: Samples) -> dict:
    """Obedience of raw growth, and what matching then had to do."""
    asked, got = raw.requested_ml, raw.growth_ml
    large = asked > LARGE_REQUEST_ML
    line = fit_line(asked[large], got[large]) or Line(*[np.nan] * 4)
    miss = got - asked
    return {
        "slope": line.slope,
        "intercept mL": line.intercept,
        "R2": line.r2,
        "residual SD mL": line.residual_sd,
        "gain": got[large].sum() / asked[large].sum(),
        "rest: bias mL": miss[~large].mean(),
        "rest: SD mL": miss[~large].std(ddof=1),
        "matched miss SD mL": (matched.growth_ml - asked).std(ddof=1),
        "offset median": np.median(np.abs(matched.offset)),
        "offset p90": np.quantile(np.abs(matched.offset), 0.9),
        "adjacent Dice": raw.dice[large].mean(),
    }


def one_row(
    folder: Path, cohort: Cohort, encoded: dict[str, Tensor], settings: Settings, patients: int
) -> dict:
    """Trains one denoiser, asks it, and keeps the answer."""
    train = len(cohort.rows(test=False))
    asked = settings.sampling
    guided = [asked.guidance, asked.clinical_guidance, asked.guidance_below]
    key = hash_value([settings.diffusion.as_json(), train, patients, guided])
    file = folder / f"obedience-{key}.json"
    if file.exists():
        return json.loads(file.read_text(encoding="utf-8"))
    started = time.process_time()
    model = train_arm(folder, cohort, encoded, settings.diffusion)
    seconds = time.process_time() - started
    vae = fit_autoencoder(folder, cohort, settings.autoencoder)
    sampler = CohortSampler(cohort, encoded, vae, model, settings.sampling)
    row = score(*draw_fixed_requests(sampler, settings, patients)) | {"CPU s": seconds}
    file.write_text(json.dumps(row), encoding="utf-8")
    return row


def main() -> None:
    """Prints the table of all combinations; every row is kept as a file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cohort", type=int, nargs=2, default=(300, 60), help="train, test")
    parser.add_argument("--patients", type=int, default=300, help="training patients used")
    parser.add_argument("--asked", type=int, default=60, help="test patients asked")
    parser.add_argument("--steps", type=int, nargs="+", default=[1500])
    parser.add_argument("--bleed-weight", type=float, nargs="+", default=[0.0])
    parser.add_argument("--autoencoder-steps", type=int, default=1000)
    parser.add_argument("--guidance", type=float, nargs="+", default=[1.0])
    parser.add_argument("--guidance-below", type=float, default=None, help="half log-SNR")
    parser.add_argument("--set", nargs="*", default=[], help="key=value of `diffusion`")
    parser.add_argument("--out", type=Path, default=Path("results/coherence"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    base = load_benchmark_settings({}, args.autoencoder_steps)
    cohort = load_cohort(args.out, *args.cohort)
    vae = fit_autoencoder(args.out, cohort, base.autoencoder)
    encoded = encode_cohort(args.out, cohort, vae, base)
    cohort, encoded = keep_training(cohort, encoded, args.patients)
    changes = {k: json.loads(v) for k, v in (one.split("=") for one in args.set)}
    rows = []
    for steps, weight, guidance in product(args.steps, args.bleed_weight, args.guidance):
        diffusion = {"steps": steps, "bleed_weight": weight} | changes
        settings = load_benchmark_settings(diffusion, args.autoencoder_steps, samples=ASKED)
        update = {"guidance": guidance, "guidance_below": args.guidance_below}
        sampling = settings.sampling.model_copy(update=update)
        settings = settings.model_copy(update={"sampling": sampling})
        changed = {
            "patients": str(args.patients),
            "steps": str(steps),
            "bleed weight": str(weight),
            "guidance": str(guidance),
            "below": str(args.guidance_below),
            "changes": " ".join(args.set),
        }
        rows.append(changed | one_row(args.out, cohort, encoded, settings, args.asked))
        print(as_markdown(pd.DataFrame(rows[-1:])), flush=True)
    print(as_markdown(pd.DataFrame(rows)))


if __name__ == "__main__":
    main()
