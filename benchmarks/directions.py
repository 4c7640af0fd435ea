"""Whether samples grow as variously as true follow-ups do: their directions and their unevenness.

On the coarse phantom (`coarse_phantom.py`) each expander of more than 6 mL of the held-out centre
is asked 16 times for the very growth that it had, beside 16 follow-ups of that growth that the
phantom draws again. *Shift*: centroid of the new IPH seen from the bleed's, in radii of the bleed.
*Alike*: squared resultant of the shifts' directions, without its bias for few samples: 1 when all
samples grow to one side, 0 when to any.

    python benchmarks/directions.py [--patients 20] [--steps 1000] [--out DIR]
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from coarse_phantom import SLICE_SPACING_MM, VOXEL_ML, load_cohort, redraw_iph
from coherence import as_markdown, load_benchmark_settings
from coherence_samples import CohortSampler, make_sampler
from numpy.typing import NDArray

from hemexp.latents.place import centroid_mm
from hemexp.phantom.bleed import ball_radius_mm
from hemexp.sampling.requests import Requests

DRAWS, LEAST_ML = 16, 6.0


def shifts(masks: NDArray[np.bool_], baseline: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Shifts (k, 3) of follow-ups (k, z, x, y) of a baseline (z, x, y); those that grew."""

    def centre(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        return centroid_mm(torch.from_numpy(mask), SLICE_SPACING_MM).double().numpy()

    radius_mm = ball_radius_mm(baseline.sum() * VOXEL_ML)
    new = [mask & ~baseline for mask in masks]
    return np.array([(centre(one) - centre(baseline)) / radius_mm for one in new if one.any()])


def summarise(of_patients: list[NDArray[np.float64]]) -> dict[str, float]:
    """Mean over patients of how alike their shifts (k, 3) are, and of the shifts' size."""
    alike, size = [], []
    for vectors in of_patients:
        lengths = np.linalg.norm(vectors, axis=1)
        n, resultant = len(vectors), (vectors / lengths[:, None]).mean(axis=0)
        alike.append((n * (resultant**2).sum() - 1) / (n - 1))
        size.append(lengths.mean())
    return {"alike": float(np.mean(alike)), "shift": float(np.mean(size))}


def measure(sampler: CohortSampler, patients: int) -> pd.DataFrame:
    """The table: the phantom's own follow-ups, samples as decoded, samples with volume matched."""
    cohort, found = sampler.cohort, {"the phantom": [], "samples": [], "matched": []}
    rows = cohort.rows(test=True)
    for row in rows[cohort.table["growth_ml"].to_numpy()[rows] > LEAST_ML][:patients]:
        patient, baseline = cohort.table.iloc[row], cohort.iph[row, 0].numpy() > 0
        growth_ml = np.full(DRAWS, patient["growth_ml"])
        margin, offset = sampler.margins(row, Requests(growth_ml, np.ones(DRAWS)))
        masks = {
            "the phantom": redraw_iph(patient["center"], patient["patient_id"], growth_ml),
            "samples": margin > 0,
            "matched": margin + offset[:, None, None, None] > 0,
        }
        for name, one in masks.items():
            found[name].append(shifts(one, baseline))
    return pd.DataFrame({"follow-ups": name} | summarise(one) for name, one in found.items())


def main() -> None:
    """Trains, draws, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cohort", type=int, nargs=2, default=(300, 60), help="train, test")
    parser.add_argument("--patients", type=int, default=20, help="expanders to ask")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path("results/coherence"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    settings = load_benchmark_settings({"steps": args.steps}, samples=DRAWS)
    sampler = make_sampler(args.out, load_cohort(args.out, *args.cohort), settings)
    print(as_markdown(measure(sampler, args.patients)))


if __name__ == "__main__":
    main()
