"""Whether the phantom's true expansion maps are true: does their detail foretell what happens?

    python benchmarks/true_maps.py --results results --samples SHEET

Of a finished run with phantom patients. A true probability, averaged over voxels near each other
and equally far from the bleed, forecasts worse, and its mean squared error against what happened
grows by the mean square of what the averaging took away. *Observed* growth of the Brier score in
the band round the bleed, x 1000, with its standard error between patients, beside that *expected*
of a true map. Less observed than expected means that the map is sure of details that are not so.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from coherence import as_markdown
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from hemexp.anatomy.blood import bleed_band
from hemexp.cohort import read_sheet
from hemexp.evaluation.patient.distance_climatology import EDGES_MM
from hemexp.evaluation.patient.new_blood import read_new_blood
from hemexp.layout import Layout
from hemexp.volumes import read_volume

WIDTHS_MM = (3.0, 8.0, 40.0)
BAND_MM = 10.0


def average_nearby(
    image: NDArray, distance_mm: NDArray, brain: NDArray, spacing_mm: NDArray, width_mm: float
) -> NDArray[np.float64]:
    """A map averaged over voxels equally far from the blood, with a Gaussian of this SD."""
    averaged, place = np.zeros(image.shape), np.digitize(distance_mm, EDGES_MM)
    outside = brain & (distance_mm > 0)
    for ring in np.unique(place[bleed_band(distance_mm, BAND_MM) & brain]):
        inside = (outside & (place == ring)).astype(float)
        total, weight = (
            gaussian_filter(one, width_mm / spacing_mm, truncate=3)
            for one in (image * inside, inside)
        )
        averaged += np.divide(total, weight, out=np.zeros(image.shape), where=inside > 0)
    return averaged


def compare(results: Path, patient_id: str) -> list[tuple[float, float]]:
    """What one patient's map loses by averaging, observed and expected, for each width."""
    layout = Layout(results)
    true_map = read_volume(layout.true_map(patient_id))
    q = true_map.data.astype(float)
    distance_mm, happened, brain = read_new_blood(layout, patient_id)
    band = bleed_band(distance_mm, BAND_MM) & brain

    def brier(p: NDArray) -> float:
        return float(((p - happened)[band] ** 2).mean())

    found = []
    for width_mm in WIDTHS_MM:
        p = average_nearby(q, distance_mm, brain, true_map.spacing_mm, width_mm)
        found.append((brier(p) - brier(q), float(((p - q)[band] ** 2).mean())))
    return found


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--samples", type=Path, default=Path("config/samples.tsv"))
    args = parser.parse_args()
    sheet = read_sheet(args.samples)
    scored = sheet.index[sheet["split"] == "test"]
    found = 1000 * np.array([compare(args.results, patient_id) for patient_id in scored])
    error = found[:, :, 0].std(axis=0, ddof=1) / np.sqrt(len(found))
    print(f"{len(found)} patients")
    print(
        as_markdown(
            pd.DataFrame(
                {
                    "averaged over, mm": [f"{width:g}" for width in WIDTHS_MM],
                    "observed": found[:, :, 0].mean(axis=0),
                    "standard error": error,
                    "expected": found[:, :, 1].mean(axis=0),
                }
            )
        )
    )


if __name__ == "__main__":
    main()
