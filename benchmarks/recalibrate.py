"""What recalibration gains a new centre: the figures behind `hemexp/release/recalibration.py`.

Phantom patients without scans. A four-variable model is fitted on one cohort; a new centre is
like that cohort, or its odds of expansion are doubled and its growth is 1.5 times as large. The
model is recalibrated on n of its patients and scored on others of it; n = 0 is the model as
released. Printed: means over cohorts; `gain` is the CRPS won, in mL, with its standard
error over cohorts, `worse` the share of cohorts in which CRPS was lost.

    python benchmarks/recalibrate.py [--cohorts 20] [--new 300]
"""

import argparse

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from hemexp.config import load_settings
from hemexp.evaluation.cohort.conformal import INTERVAL_LEVELS, conformal_levels, nominal
from hemexp.expansion.fit import fit_model
from hemexp.expansion.model import ExpansionModel
from hemexp.outcomes import is_expansion
from hemexp.phantom.model import draw_case, expansion_probability, generator, growth_quantile
from hemexp.release.recalibration import cross_fit, recalibrate
from hemexp.release.recalibration_table import inside, score
from hemexp.statistics.calibration import levels, slopes

SEED, TRAINING, LOCAL = 1, 480, (30, 60, 120)
PLAIN = np.array([nominal(level) for level in INTERVAL_LEVELS])
CENTERS = {"as the training cohort": (1.0, 1.0), "odds x 2, growth x 1.5": (2.0, 1.5)}


def draw_center(name: str, patients: int, odds: float, growth: float) -> pd.DataFrame:
    """Patients of a centre as `read_patients` gives them, image features left out.

    Args:
        name: Decides who they are.
        patients: How many.
        odds: Factor of everybody's odds of expansion.
        growth: Factor of everybody's growth.
    """
    cases = [draw_case(SEED, f"{name}x{number}") for number in range(patients)]
    table = pd.DataFrame([vars(case) for case in cases]).set_index("patient_id")
    rng = generator(SEED, name, "growth")
    p = np.array([expansion_probability(case) for case in cases])
    # Who expands is drawn with the new odds, by how much from the phantom's law.
    expands, share = rng.random(patients) < expit(logit(p) + np.log(odds)), rng.random(patients)
    level = np.where(expands, 1 - p + p * share, (1 - p) * share)
    table["growth_ml"] = [
        growth * float(growth_quantile(case, at)) for case, at in zip(cases, level, strict=True)
    ]
    he = is_expansion(table["growth_ml"], table["baseline_iph_ml"])
    return table.assign(he=he.astype(float))


def release(name: str) -> ExpansionModel:
    """A four-variable model of growth, fitted on `TRAINING` patients."""
    settings = load_settings({"preset": "demo"}).expansion
    return fit_model("four_variable", draw_center(name, TRAINING, 1.0, 1.0), settings, SEED)


def measure(scores: pd.DataFrame, limits: np.ndarray) -> dict[str, float]:
    """The numbers of one model on one set of new patients."""
    pairs = scores[["p_expansion", "he"]].to_numpy()[None]
    shares = inside(scores["pit"], limits).mean(axis=0)
    return {
        "crps_ml": scores["crps_ml"].mean(),
        "in_the_large": levels(pairs)[0],
        "slope": slopes(pairs)[0],
        **{f"coverage{round(100 * at)}": s for at, s in zip(INTERVAL_LEVELS, shares, strict=True)},
    }


def trial(released: ExpansionModel, local: pd.DataFrame, new: pd.DataFrame) -> dict[str, float]:
    """The recalibrated model on new patients of the centre."""
    after = score(new, recalibrate(released, local).distributions(new))
    pit = score(local, cross_fit(released, local, SEED))["pit"]
    conformal = inside(after["pit"], np.array(conformal_levels(pit))).mean(axis=0)
    return measure(after, PLAIN) | {
        f"coverage{round(100 * at)}_conformal": share
        for at, share in zip(INTERVAL_LEVELS, conformal, strict=True)
    }


def trials(cohort: int, new_patients: int) -> list[dict]:
    """All rows of one cohort: a released model, and both centres."""
    released, rows = release(f"released{cohort}"), []
    for center, change in CENTERS.items():
        new = draw_center(f"new{cohort}", new_patients, *change)
        local = draw_center(f"local{cohort}", max(LOCAL), *change)
        before = measure(score(new, released.distributions(new)), PLAIN)
        rows.append({"center": center, "n": 0, "gain": 0.0} | before)
        for n in LOCAL:
            after = trial(released, local.iloc[:n], new)
            gain = before["crps_ml"] - after["crps_ml"]
            rows.append({"center": center, "n": n, "gain": gain} | after)
    return rows


def main() -> None:
    """Prints one row for each centre and number of local patients, 0 for the released model."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cohorts", type=int, default=20)
    parser.add_argument("--new", type=int, default=300)
    args = parser.parse_args()
    rows = [row for cohort in range(args.cohorts) for row in trials(cohort, args.new)]
    table = pd.DataFrame(rows)
    table["worse"] = (table["gain"] < 0).astype(float)
    groups = table.groupby(["center", "n"], sort=False)
    print(groups.mean().assign(gain_se=groups["gain"].sem()).round(3).to_string())


if __name__ == "__main__":
    main()
