"""Which denoiser, noise and condition give coherent, calibrated and obedient follow-ups.

On a coarse phantom (`coarse_phantom.py`), four denoisers are trained with one budget: stack and
2.5D, each told a flag or a growth. Samples of the held-out centre are drawn with noise that is
independent between slices, correlated over 25 mm, or shared, and measured against the truth. The
first two rows are the phantom's own further follow-ups: what a perfect model would reach.
The baseline is the reference of all: the network alone draws growth.
Everything is kept in `--out`: run again, it goes on where it stopped.

    python benchmarks/coherence.py [--patients 300] [--test 100] [--steps 1500] [--out DIR]
"""

import argparse
import logging
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from coarse_phantom import SHAPE, Cohort, encode_cohort, fit_autoencoder, load_cohort
from coherence_samples import (
    BASELINE,
    CohortSampler,
    Samples,
    fit_growth,
    forecast_requests,
    train_arm,
    true_samples,
)
from numpy.typing import NDArray
from torch import Tensor

from hemexp.autoencoder.network import MultiHeadVae
from hemexp.code_hash import hash_code
from hemexp.config import load_settings
from hemexp.provenance import hash_value
from hemexp.settings import Settings
from hemexp.statistics.line import Line, fit_line
from hemexp.statistics.scores import (
    Kind,
    coverage,
    crps,
    ensemble_sd,
    randomised_pit,
    spread_ratio,
)

log = logging.getLogger(__name__)

NOISES_MM = {"iid": 0.0, "AR 25 mm": 25.0, "shared": np.inf}
LARGE_REQUEST_ML = 3.0
CONDITION_DROPOUT, GUIDANCE, GUIDANCE_BELOW = 0.1, 1.4, -1.0


def slice_correlation(area_ml: NDArray[np.float64]) -> float:
    """Correlation of neighbouring slices' area deviations from the ensemble mean (n, K, z)."""
    deviation = area_ml - area_ml.mean(axis=1, keepdims=True)
    one, other = deviation[..., :-1], deviation[..., 1:]
    return float((one * other).sum() / np.sqrt((one**2).sum() * (other**2).sum()))


def summarise(
    samples: Samples, growth_ml: NDArray[np.float64], expands: NDArray[np.bool_], kind: Kind
) -> dict:
    """One row of the table.

    Args:
        samples: K samples of n patients.
        growth_ml: (n,) what happened.
        expands: (n,) who expanded.
        kind: `even` if a forecast drove the samples, else `independent`.
    """
    rng = np.random.default_rng(0)
    drawn, asked = samples.growth_ml, samples.flag == 1
    error = drawn.mean(axis=1) - growth_ml
    spread = spread_ratio([ensemble_sd(x, kind) for x in drawn], error)
    pit = [randomised_pit(y, x, rng, kind) for y, x in zip(growth_ml, drawn, strict=True)]
    row = {
        "CRPS mL": np.mean([crps(y, x, kind) for y, x in zip(growth_ml, drawn, strict=True)]),
        "c50": coverage(pit, 0.5),
        "c90": coverage(pit, 0.9),
        "spread": spread.value,
        "bias of expanders mL": error[expands].mean(),
        "lag-1": slice_correlation(samples.area_ml),
        "adjacent Dice": samples.dice[asked].mean(),
    }
    return row | obedience(samples)


def obedience(samples: Samples) -> dict[str, float]:
    """How growth followed its request, and what matching had to do; nothing for a flag."""
    asked, drawn = samples.requested_ml, samples.growth_ml
    if np.isnan(asked).any():
        return {}
    row = {"miss SD mL": (drawn - asked).std(ddof=1)}
    for name, which in {"all": asked > -np.inf, "> 3 mL": asked > LARGE_REQUEST_ML}.items():
        line = fit_line(asked[which], drawn[which]) or Line(*[np.nan] * 4)
        row |= {
            f"slope {name}": line.slope,
            f"R2 {name}": line.r2,
            f"residual SD {name} mL": line.residual_sd,
            f"miss {name} mL": (drawn - asked)[which].mean(),
        }
    if samples.offset.any():
        size = np.abs(samples.offset)
        row |= {"offset median": np.median(size), "offset p90": np.quantile(size, 0.9)}
    return row


def draw_arm(
    folder: Path,
    name: str,
    sampler: CohortSampler,
    cohort: Cohort,
    settings: Settings,
    indicator: str,
) -> tuple[Samples, Samples]:
    """Samples of all test patients, raw and matched, drawn or read again."""
    files = [folder / f"{name}-{state}.npz" for state in ("raw", "matched")]
    if not all(file.exists() for file in files):
        growth, drawn = fit_growth(cohort, settings.expansion), []
        for row in cohort.rows(test=True):
            kind = sampler.model.settings.condition
            sampling = sampler.settings.model_copy(update={"indicator": indicator})
            requests = forecast_requests(cohort, row, growth, kind, sampling)
            drawn.append(sampler.draw(row, requests))
        for file, state in zip(files, (0, 1), strict=True):
            Samples.join([one[state] for one in drawn]).save(file)
    return tuple(Samples.load(file) for file in files)


def arms(
    folder: Path, cohort: Cohort, encoded: dict[str, Tensor], vae: MultiHeadVae, settings: Settings
) -> Iterator[tuple[dict[str, str], Samples]]:
    """Trains, draws, and gives name and samples of every cell."""
    for condition, denoiser in product(("growth", "flag"), ("stack", "2.5d")):
        update = {"denoiser": denoiser, "condition": condition}
        diffusion = settings.diffusion.model_copy(update=update)
        started = time.process_time()
        model = train_arm(folder, cohort, encoded, diffusion)
        log.info("%s: trained, %.0f s CPU", update, time.process_time() - started)
        for noise, indicator in cells(denoiser, condition):
            sampling = settings.sampling.model_copy(update={"noise_length_mm": NOISES_MM[noise]})
            sampler = CohortSampler(cohort, encoded, vae, model, sampling)
            started = time.process_time()
            parts = [diffusion.as_json(), sampling.model_dump(), len(cohort.table)]
            parts += [indicator, hash_code("sampling.draw")]
            name = f"samples-{hash_value([*map(str, parts)])}"
            raw, matched = draw_arm(folder, name, sampler, cohort, settings, indicator)
            cell = {"denoiser": denoiser, "noise": noise}
            log.info("%s: drawn, %.0f s CPU", cell, time.process_time() - started)
            if condition == "flag":
                yield cell | {"condition": f"flag {indicator}"}, raw
            else:
                yield cell | {"condition": "growth raw"}, raw
                yield cell | {"condition": "growth matched"}, matched


def cells(denoiser: str, condition: str) -> list[tuple[str, str]]:
    """Noise and indicator of an arm's cells.

    Correlated noise is for the flag alone (with a growth it would draw the volume twice, and the
    settings refuse it), and for the 2.5D network alone.
    """
    noises = list(NOISES_MM) if (denoiser, condition) == ("2.5d", "flag") else ["iid"]
    indicators = ("oracle", "predicted") if condition == "flag" else ("predicted",)
    return list(product(noises, indicators))


def requests(samples: Samples) -> Samples:
    """The requests themselves, as if every sample had met its own; they have no shape."""
    asked = samples.requested_ml
    return Samples(
        asked * np.nan,
        samples.flag,
        asked,
        0 * asked,
        np.nan * samples.area_ml,
        np.nan * samples.dice,
    )


def make_table(folder: Path, settings: Settings, train: int, test: int) -> pd.DataFrame:
    """The whole table, one row a cell."""
    cohort = load_cohort(folder, train, test)
    vae = fit_autoencoder(folder, cohort, settings.autoencoder)
    encoded = encode_cohort(folder, cohort, vae, settings)
    outcome = cohort.table.iloc[cohort.rows(test=True)]
    truth = outcome["growth_ml"].to_numpy(), outcome["he"].to_numpy() == 1
    rows = []
    for indicator in ("oracle", "predicted"):
        redrawn = true_samples(cohort, settings.sampling.samples, indicator)
        cell = {"denoiser": "the phantom", "noise": "", "condition": f"truth {indicator}"}
        rows.append(cell | summarise(redrawn, *truth, "independent"))
    for cell, samples in arms(folder, cohort, encoded, vae, settings):
        known = cell["condition"] == "flag oracle"  # then nothing spreads the samples evenly
        rows.append(cell | summarise(samples, *truth, "independent" if known else "even"))
        log.info("%s", rows[-1])
        if cell["condition"] == "growth matched" and cell["denoiser"] == "stack":
            cell = {"denoiser": "the requests", "noise": "", "condition": "growth"}
            rows.append(cell | summarise(requests(samples), *truth, "even"))
    return pd.DataFrame(rows)


def as_markdown(table: pd.DataFrame) -> str:
    """A table of short numbers; an empty cell has no meaning for its row."""
    cells = [list(map(str, table.columns)), ["---"] * len(table.columns)]
    for row in table.itertuples(index=False):
        cells.append([v if isinstance(v, str) else "" if pd.isna(v) else f"{v:.2f}" for v in row])
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)


def load_benchmark_settings(
    diffusion: dict, autoencoder_steps: int = 1000, samples: int = 20, evaluations: int = 11
) -> Settings:
    """The preset `validation` at this size, but with the baseline as the reference.

    The network then makes the volume itself, which needs guidance and a learned null.
    """
    return load_settings(
        {
            "preset": "validation",
            "autoencoder": {"steps": autoencoder_steps},
            "latents": {"reference": BASELINE.as_json()},
            "diffusion": {"condition_dropout": CONDITION_DROPOUT} | diffusion,
            "sampling": {
                "samples": samples,
                "evaluations": evaluations,
                "guidance": GUIDANCE,
                "guidance_below": GUIDANCE_BELOW,
                "batch_slices": samples * SHAPE[2],
            },
        }
    )


def main() -> None:
    """Trains, draws, and prints the table; writes it as `coherence.tsv`."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--patients", type=int, default=300, help="training patients")
    parser.add_argument("--test", type=int, default=100, help="patients of the held-out centre")
    parser.add_argument("--steps", type=int, default=1500, help="training steps of each denoiser")
    parser.add_argument("--autoencoder-steps", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=20, help="K")
    parser.add_argument("--evaluations", type=int, default=11)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("results/coherence"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    settings = load_benchmark_settings(
        {"steps": args.steps}, args.autoencoder_steps, args.samples, args.evaluations
    )
    table = make_table(args.out, settings, args.patients, args.test)
    table.to_csv(args.out / "coherence.tsv", sep="\t", index=False, float_format="%.4f")
    print(as_markdown(table))


if __name__ == "__main__":
    main()
