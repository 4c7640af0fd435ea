"""Expansion-probability maps against the phantom's true maps, and what makes them better.

On the coarse phantom (`coarse_phantom.py`) a stack denoiser with matched growth is trained for
each number of moved copies; the map of K samples of every test patient is held against 100
follow-ups that the phantom draws again, in a band of 10 mm round the bleed. *Corrected*: what the
decoder gets wrong on the baseline is no new blood. Skill is over the climatology by distance.

    python benchmarks/maps.py [--moved 0 8] [--steps 1000] [--samples 20]
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from coarse_phantom import SLICE_SPACING_MM, Cohort, load_cohort, redraw_iph, true_growths_ml
from coherence import as_markdown, load_benchmark_settings
from coherence_samples import CohortSampler, fit_growth, forecast_requests, make_sampler
from numpy.typing import NDArray

from hemexp.anatomy.blood import blood_distance_mm
from hemexp.evaluation.cohort.maps import reliability_slopes
from hemexp.evaluation.patient.distance_climatology import (
    EDGES_MM,
    count_by_distance,
    map_by_distance,
)
from hemexp.evaluation.patient.map_sums import SUMS, map_sums
from hemexp.settings import Settings

BAND_MM, REDRAWS = 10.0, 100


def climatology(cohort: Cohort) -> NDArray[np.float64]:
    """Probability of new blood by distance from the old, over training patients."""
    counts = np.zeros((len(EDGES_MM), 2))
    for row in cohort.rows(test=False):
        before, after = (cohort.iph[row] | cohort.ivh[row]).numpy() > 0
        brain = cohort.brain[row].numpy() > 0
        counts += count_by_distance(
            blood_distance_mm(before, SLICE_SPACING_MM), after & ~before, brain
        )
    return counts[:, 1] / counts[:, 0].clip(1)


def true_map(cohort: Cohort, row: int) -> NDArray[np.float64]:
    """Probability of new IPH over follow-ups that the phantom draws again."""
    patient = cohort.table.iloc[row]
    growth_ml = true_growths_ml(patient["patient_id"], REDRAWS, None)
    again = redraw_iph(patient["center"], patient["patient_id"], growth_ml)
    return (again & (cohort.iph[row, 0].numpy() == 0)).mean(axis=0)


def score(sampler: CohortSampler, settings: Settings, p_by_bin: NDArray) -> dict[str, float]:
    """Brier score, skill over the climatology and slope of truth on forecast."""
    cohort, growth = sampler.cohort, fit_growth(sampler.cohort, settings.expansion)
    predicted = settings.sampling.model_copy(update={"indicator": "predicted"})
    samples, sums = predicted.samples, {"ours": [], "climatology": []}
    for row in cohort.rows(test=True):
        requests = forecast_requests(cohort, row, growth, "growth", predicted)
        margin, offset = sampler.margins(row, requests)
        iph = cohort.iph[row, 0].numpy() > 0
        forecast = ((margin + offset[:, None, None, None] > 0) & ~iph).mean(axis=0)
        distance_mm = blood_distance_mm(iph, SLICE_SPACING_MM)
        band = (distance_mm > 0) & (distance_mm <= BAND_MM) & (cohort.brain[row].numpy() > 0)
        maps = {"ours": forecast, "climatology": map_by_distance(distance_mm, p_by_bin)}
        truth = true_map(cohort, row)
        for name, one in maps.items():
            bins = map_sums(one, truth, band, 1 / (2 * samples))
            sums[name].append(pd.DataFrame(bins)[list(SUMS)].sum().to_numpy())
    ours, yardstick = (np.array(part) for part in sums.values())
    brier = [
        float(((s[:, 3] - 2 * s[:, 4] + s[:, 5]) / s[:, 0]).mean()) for s in (ours, yardstick)
    ]
    return {
        "brier x 1000": 1000 * brier[0],
        "climatology x 1000": 1000 * brier[1],
        "skill": 1 - brier[0] / brier[1],
        "slope": float(reliability_slopes(ours[None])[0]),
    }


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--moved", type=int, nargs="+", default=[0, 8], help="moved copies")
    parser.add_argument("--cohort", type=int, nargs=2, default=(300, 60), help="train, test")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=20, help="K")
    parser.add_argument("--out", type=Path, default=Path("results/coherence"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    cohort, rows = load_cohort(args.out, *args.cohort), []
    p_by_bin = climatology(cohort)
    for moved in args.moved:
        base = load_benchmark_settings({"steps": args.steps}, samples=args.samples)
        latents = base.latents.model_copy(update={"moved": moved})
        settings = base.model_copy(update={"latents": latents})
        for correct in (False, True):
            sampler = make_sampler(args.out, cohort, settings, correct)
            told = {"moved copies": str(moved), "corrected": "yes" if correct else "no"}
            rows.append(told | score(sampler, settings, p_by_bin))
            print(as_markdown(pd.DataFrame(rows[-1:])), flush=True)
    print(as_markdown(pd.DataFrame(rows)))


if __name__ == "__main__":
    main()
