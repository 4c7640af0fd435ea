"""How far forecasts of growth are from the best possible ones in the clinical world, unscanned.

Patients of the phantom's clinical world: variables as the sheet would show them, some unknown,
signs of the image read with noise, growth measured with the error of two readings. Nobody who was
evacuated or died is in it. Models are fitted on centres A to C and held against the true law of
patients of the same centres and of D, which lies outside them. *Skill*: 1 is the true law's CRPS,
0 climatology's (the growth of all training patients). *Coverage*: chance that the true law gives
to the forecast's intervals.

    python benchmarks/clinical_growth.py [--patients 480] [--new 600] [--seed 5]
"""

import argparse

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray

from hemexp.columns import CENTER_ONSET, EARLIEST_H
from hemexp.config import load_settings
from hemexp.expansion.fit import fit_models, split_folds
from hemexp.expansion.fit_timed import TIMED_MODELS, fit_timed
from hemexp.expansion.model import GrowthModel
from hemexp.outcomes import is_expansion
from hemexp.phantom.clinical_cases import ClinicalCase, at_interval, draw_clinical_case
from hemexp.phantom.clinical_law import clinical_growth, draw_course, known_cells
from hemexp.phantom.model import COURSE, GrowthLaw, generator
from hemexp.release.recalibration import recalibrate
from hemexp.settings import Expansion

LEVELS = (np.arange(199) + 0.5) / 199
OUTCOMES = (np.arange(99) + 0.5) / 99
HOURS = (6.0, 24.0, 48.0)
LOCAL = 50
HALF_H = 4.0
INTERACTIONS = ("early_anticoagulant", "volume_spots")
"""Anticoagulant x ln(hours before `HALF_H`), ln(volume / mL) x dark spots."""


def main() -> None:
    """Prints one table a question."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=480)
    parser.add_argument("--new", type=int, default=600)
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args()
    settings, seed = load_settings({"preset": "validation"}).expansion, arguments.seed
    table, _ = draw_patients(arguments.patients, "ABC", seed, "train")
    models = fit_models(table, settings, seed) | fit_interactions(table, settings, seed)
    climatology_ml = np.quantile(table["growth_ml"], LEVELS)
    for title, centers in (("centres A to C", "ABC"), ("centre D", "D")):
        new, cases = draw_patients(arguments.new, centers, seed, "new")
        show(title, compare(models, new, cases, climatology_ml))
    best = models["timed_image_clinical"]
    show("centre D by hours between the scans", by_hours(models, new, cases))
    show("unknown onset, centre D", without_onset(best, new, cases))
    local, _ = draw_patients(LOCAL, "D", seed, "local")
    stages = {"released": best, f"recalibrated with {LOCAL}": recalibrate(best, local)}
    show("centre D before and after recalibration", compare(stages, new, cases, climatology_ml))


def fit_interactions(
    table: pd.DataFrame, settings: Expansion, seed: int
) -> dict[str, GrowthModel]:
    """The best model with the two products that the clinical world's own law holds."""
    names = (*TIMED_MODELS["timed_image_clinical"], *INTERACTIONS)
    folds = split_folds(table["he"].to_numpy() == 1, settings.folds, seed)
    name = "timed_image_clinical and interactions"
    model = fit_timed(name, names, table, settings.penalty, settings.image_penalties, folds)
    return {name: model}


def show(title: str, table: pd.DataFrame) -> None:
    """Prints a table with its title."""
    print(f"\n{title}\n{table.to_string(float_format=lambda value: f'{value:.3f}')}", flush=True)


def draw_patients(
    count: int, centers: str, seed: int, tag: str
) -> tuple[pd.DataFrame, list[ClinicalCase]]:
    """Patients with a follow-up of an untouched bleed, evenly from the centres."""
    rows, cases, number = [], [], 0
    while len(rows) < count:
        center = centers[number % len(centers)]
        case = draw_clinical_case(seed, f"{center}{tag}{number}", center)
        course = draw_course(case, generator(seed, case.patient_id, COURSE))
        number += 1
        if not (course.evacuated or course.died):
            rows.append(read_patient(case, course.growth_ml, seed))
            cases.append(case)
    table = pd.DataFrame(rows).set_index("patient_id")
    early = np.log(HALF_H / table["onset_to_ct_h"].clip(lower=EARLIEST_H))
    volume_ml = table["baseline_iph_ml"]
    products = (table["anticoagulant"] * early, np.log(volume_ml) * table["dark_spots"])
    table = table.assign(
        **dict(zip(INTERACTIONS, products, strict=True)),
        **{CENTER_ONSET: table.groupby("center")["onset_to_ct_h"].transform("median")},
    )
    he = is_expansion(table["growth_ml"], table["baseline_iph_ml"])
    return table.assign(he=he.astype(float)), cases


def read_patient(case: ClinicalCase, growth_ml: float, seed: int) -> dict[str, object]:
    """What a study would know: the sheet's cells, signs of the image, measured growth."""
    rng = generator(seed, case.patient_id, "reading")
    cells = known_cells(seed, case)
    told = ("onset_to_ct_h", "anticoagulant", "antiplatelet", "age", "gcs", "sbp")
    return {
        "patient_id": case.patient_id,
        "center": case.patient_id[0],
        **{name: float(cells[name] or "nan") for name in told},
        "followup_interval_h": case.followup_interval_h,
        "baseline_iph_ml": case.baseline_iph_ml,
        "baseline_ivh_ml": 0.0,
        "growth_ml": growth_ml + rng.normal(0, 0.1 + 0.02 * case.baseline_iph_ml**0.8),
        **image_signs(case, rng),
    }


def image_signs(case: ClinicalCase, rng: Generator) -> dict[str, float]:
    """Stand-ins for the features of `expansion`, each a noisy view of what the scan shows."""
    noise = dict(zip(("a", "b", "c", "d", "e", "f", "g"), rng.normal(size=7), strict=True))
    pockets = case.pockets * case.pocket_scale
    return {
        "sphericity": -case.irregularity + 0.3 * noise["a"],
        "irregularity": case.irregularity + 0.3 * noise["b"],
        "hu_mean": -case.unevenness + 0.5 * noise["c"],
        "hu_sd": case.unevenness + 0.3 * noise["d"],
        "hu_skew": float(rng.normal()),
        "dark_share": max(0.0, 0.02 * (pockets + noise["e"])),
        "dark_hu": max(0.0, 2 * pockets + noise["f"]),
        "dark_spots": max(0.0, case.pockets + 0.7 * noise["g"]),
        "ventricle_mm": abs(float(rng.normal(8, 4))),
    }


def crps_ml(law: GrowthLaw, forecast_ml: NDArray[np.float64]) -> float:
    """CRPS of a forecast's quantiles (199,), expected under the true law."""
    outcome_ml = law.quantile(OUTCOMES)[:, None]
    away = forecast_ml - outcome_ml
    return float(np.mean(2 * ((outcome_ml < forecast_ml) - LEVELS) * away))


def coverage(law: GrowthLaw, forecast_ml: NDArray[np.float64], level: float) -> float:
    """Chance that the true law gives to the forecast's central interval."""
    ends = np.interp([0.5 - level / 2, 0.5 + level / 2], LEVELS, forecast_ml)
    return float(np.diff(law.below(ends))[0])


def compare(
    models: dict[str, GrowthModel],
    table: pd.DataFrame,
    cases: list[ClinicalCase],
    climatology_ml: NDArray[np.float64],
) -> pd.DataFrame:
    """Skill and coverage of each model on patients whom none has seen."""
    laws = [clinical_growth(case) for case in cases]
    worst = np.array([crps_ml(law, climatology_ml) for law in laws])
    best = np.array([crps_ml(law, law.quantile(LEVELS)) for law in laws])
    blank = [np.nan] * 4
    rows = {"climatology": (worst.mean(), 0.0, *blank), "true law": (best.mean(), 1.0, *blank)}
    for name, model in models.items():
        forecasts = [given.quantiles(LEVELS) for given in model.distributions(table)]
        pairs = list(zip(laws, forecasts, strict=True))
        score = np.array([crps_ml(*pair) for pair in pairs])
        ends = skill_interval(score, worst, best)
        covered = [np.mean([coverage(*pair, level) for pair in pairs]) for level in (0.5, 0.9)]
        skill = (worst - score).mean() / (worst - best).mean()
        rows[name] = (score.mean(), skill, *ends, *covered)
    columns = ["crps_ml", "skill", "skill_low", "skill_high", "coverage50", "coverage90"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def skill_interval(
    score: NDArray[np.float64], worst: NDArray[np.float64], best: NDArray[np.float64]
) -> tuple[float, float]:
    """95 % interval of the skill over resamples of patients."""
    rows = np.random.default_rng(0).integers(len(score), size=(1000, len(score)))
    skill = (worst - score)[rows].mean(axis=1) / (worst - best)[rows].mean(axis=1)
    low, high = np.quantile(skill, [0.025, 0.975])
    return float(low), float(high)


def by_hours(
    models: dict[str, GrowthModel], table: pd.DataFrame, cases: list[ClinicalCase]
) -> pd.DataFrame:
    """CRPS and coverage had the follow-up been made at other hours."""
    rows = {}
    for hours in HOURS:
        laws = [clinical_growth(at_interval(case, hours)) for case in cases]
        asked = table.assign(followup_interval_h=hours)
        best = np.mean([crps_ml(law, law.quantile(LEVELS)) for law in laws])
        rows["true law", hours] = (best, np.nan, np.nan)
        for name in ("image_clinical", "timed_image_clinical"):
            given = [one.quantiles(LEVELS) for one in models[name].distributions(asked)]
            pairs = list(zip(laws, given, strict=True))
            covered = [np.mean([coverage(*pair, at) for pair in pairs]) for at in (0.5, 0.9)]
            rows[name, hours] = (np.mean([crps_ml(*pair) for pair in pairs]), *covered)
    return pd.DataFrame.from_dict(
        rows, orient="index", columns=["crps_ml", "coverage50", "coverage90"]
    )


def without_onset(
    model: GrowthModel, table: pd.DataFrame, cases: list[ClinicalCase]
) -> pd.DataFrame:
    """Patients of unknown onset: with their other values, and with the volume alone."""
    unknown = table["onset_to_ct_h"].isna().to_numpy()
    rows = table[unknown]
    laws = [
        clinical_growth(case)
        for case, is_unknown in zip(cases, unknown, strict=True)
        if is_unknown
    ]
    kept = {"baseline_iph_ml", "baseline_ivh_ml", "followup_interval_h", CENTER_ONSET}
    bare = rows.copy()
    bare[[name for name in rows.columns if name not in kept]] = np.nan
    scores = {}
    for name, asked in (("other values kept", rows), ("volume alone", bare)):
        given = [one.quantiles(LEVELS) for one in model.distributions(asked)]
        scores[name] = np.array([crps_ml(*pair) for pair in zip(laws, given, strict=True)])
    difference = scores["other values kept"] - scores["volume alone"]
    draws = np.random.default_rng(0).integers(len(difference), size=(1000, len(difference)))
    low, high = np.quantile(difference[draws].mean(axis=1), [0.025, 0.975])
    rows = {name: (len(one), one.mean(), np.nan, np.nan) for name, one in scores.items()}
    rows["difference"] = (len(difference), difference.mean(), low, high)
    return pd.DataFrame.from_dict(rows, orient="index", columns=["n", "crps_ml", "low", "high"])


if __name__ == "__main__":
    main()
