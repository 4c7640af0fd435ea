"""What a threshold does to a fit of growth: the figures behind `hemexp/expansion/truncated.py`.

Cohorts of phantom patients without scans: their variables, and growth drawn from the phantom's own
law. The growth of expanders is fitted twice, to mean and SD as seen and by the likelihood of the
law that the threshold cuts, and held against the true law of expanders who were not seen. *Bias*:
forecast minus true mean growth. *Coverage*: chance that the true law gives to the forecast's
intervals. The phantom's law is not of the fitted family: it ends at 50 mL, and its median is a
line in the volume, not a power of it.

    python benchmarks/growth_fit.py [--cohorts 12] [--patients 480]
"""

import argparse

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import truncnorm

from hemexp.expansion.distribution import expansion_begins_ml
from hemexp.expansion.fit import fit_growth, scale
from hemexp.expansion.truncated import fit_seen
from hemexp.outcomes import is_expansion
from hemexp.phantom.model import (
    Case,
    draw_case,
    draw_growth,
    expansion_probability,
    generator,
    growth_quantile,
)

SEED, NEW_PATIENTS = 1, 2000
MIDPOINTS = (np.arange(199) + 0.5) / 199


def draw_table(cohort: int, patients: int) -> tuple[list[Case], pd.DataFrame]:
    """Patients and what a study would know of their growth."""
    names = [f"A{cohort}x{number}" for number in range(patients)]
    cases = [draw_case(SEED, name) for name in names]
    growth_ml = [draw_growth(case, generator(SEED, case.patient_id, "fit"))[0] for case in cases]
    table = pd.DataFrame(
        {"baseline_iph_ml": [case.baseline_iph_ml for case in cases], "growth_ml": growth_ml}
    )
    he = is_expansion(table["growth_ml"], table["baseline_iph_ml"])
    return cases, table.assign(he=he.astype(float))


def true_growth_ml(cases: list[Case]) -> NDArray[np.float64]:
    """Equally likely growths of each patient if they expand, shape (n, `MIDPOINTS`)."""
    p = np.array([expansion_probability(case) for case in cases])[:, None]
    levels = 1 - p + p * MIDPOINTS
    return np.stack([growth_quantile(*one) for one in zip(cases, levels, strict=True)])


def laws(table: pd.DataFrame) -> dict[str, tuple]:
    """Intercept, slope, SD of ln growth of expanders by both fits, and the volumes' scale."""
    bare, scaled = scale(table, ("ln_iph_ml",))
    expands = table["he"] == 1
    seen = fit_seen(scaled[expands, 0], np.log(table["growth_ml"][expands].to_numpy()))
    fitted = fit_growth(table)
    line = fitted["log_growth"]
    likely = (line.intercept, line.coefficients[0], fitted["log_sd"])
    return {name: (*law, bare) for name, law in (("as seen", seen[:3]), ("likelihood", likely))}


def score(law: tuple, volumes_ml: NDArray[np.float64], true_ml: NDArray[np.float64]) -> dict:
    """Bias and coverage of one fit over new expanders' equally likely growths."""
    intercept, slope, log_sd, bare = law
    mean = intercept + slope * (np.log(volumes_ml) - bare.mean[0]) / bare.sd[0]
    begin = (np.log(expansion_begins_ml(volumes_ml)) - mean) / log_sd
    told = truncnorm(begin[:, None], np.inf, mean[:, None], log_sd)
    away = np.abs(told.cdf(np.log(true_ml)) - 0.5)
    tail = ndtr(log_sd - begin) / ndtr(-begin)  # what the cut does to the mean of a log-normal
    forecast_ml = np.exp(mean + log_sd**2 / 2) * tail
    return {
        "bias_ml": forecast_ml.mean() - true_ml.mean(),
        "coverage90": np.mean(away <= 0.45),
        "coverage50": np.mean(away <= 0.25),
    }


def main() -> None:
    """Prints the mean over cohorts of each score, with its standard error, for both fits."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cohorts", type=int, default=12)
    parser.add_argument("--patients", type=int, default=480)
    args = parser.parse_args()
    cases, seen = draw_table(args.cohorts, NEW_PATIENTS)
    new = [case for case, he in zip(cases, seen["he"], strict=True) if he]
    volumes_ml, true_ml = np.array([case.baseline_iph_ml for case in new]), true_growth_ml(new)
    rows = [
        {"fit": name} | score(law, volumes_ml, true_ml)
        for cohort in range(args.cohorts)
        for name, law in laws(draw_table(cohort, args.patients)[1]).items()
    ]
    found = pd.DataFrame(rows).groupby("fit").agg(["mean", "sem"])
    print(found.round(3).to_string())


if __name__ == "__main__":
    main()
