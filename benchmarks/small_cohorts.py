"""What published effects are worth to few training patients, where they hold and where not.

Cohorts of phantom patients without scans: their variables, features as an image would show them
with noise, and growth from the phantom's law. Its effects of onset, anticoagulant and antiplatelet
are multiplied by `--effects`: 1 as they are (their directions come from the source of the
published effects), .5 half, -1 reversed. *Skill fraction*: (climatology - forecast) / (climatology
- true distribution) of mean CRPS over new patients' true distributions, 0 for climatology, 1 at
best. `chosen`: what `expansion.model: best` takes. `lowest CRPS`: the model of lowest cross-fitted
CRPS, however few the patients. `without`: the same among models that know no published effect.
*gain*: CRPS of `without` minus that of `chosen`, mL.

    python benchmarks/small_cohorts.py [--cohorts 10] [--sizes 26 100 480] [--effects 1 .5 -1]
    python benchmarks/small_cohorts.py --learners  # after pip install quantile-forest engression
"""

import argparse
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp.config import load_settings
from hemexp.expansion.compare import choose, cross_fit, score_training
from hemexp.expansion.distribution import FORECAST_QUANTILES
from hemexp.expansion.fit import PUBLISHED, fit_models
from hemexp.expansion.predictors import FOUR, IMAGE, predictors
from hemexp.outcomes import is_expansion
from hemexp.phantom.model import MODEL, Parameters, draw_case, generator, growth_quantile
from hemexp.settings import Expansion

SEED, NEW_PATIENTS = 1, 300
CLINICAL = ("onset_to_ct_h", "anticoagulant", "antiplatelet", "age", "gcs", "sbp")
PULLED = ("onset", "anticoagulant", "antiplatelet")
NOISE = ("sphericity", "hu_mean", "hu_sd", "hu_skew", "ventricle_mm", "baseline_ivh_ml")
"""Features that tell nothing of expansion here."""

CHOSEN, LOWEST, WITHOUT = "chosen", "lowest CRPS", "without"


def draw_table(cohort: str, patients: int, law: Parameters) -> pd.DataFrame:
    """Patients as the models of growth see them, and their true quantiles of growth."""
    rows = []
    for number in range(patients):
        case = draw_case(SEED, f"{cohort}x{number}")
        rng = generator(SEED, case.patient_id, "small cohorts")
        growths = growth_quantile(case, np.append(rng.random(), FORECAST_QUANTILES), law)
        spots = max(case.pockets + rng.normal(0, 0.7), 0.0)
        row = {name: getattr(case, name) for name in (*CLINICAL, "baseline_iph_ml")}
        row |= {"dark_spots": spots, "dark_hu": spots**2, "dark_share": spots**2}
        row |= {"irregularity": case.irregularity + rng.normal(0, 0.2)}
        row |= {name: abs(rng.normal()) for name in NOISE}
        rows.append(row | {"growth_ml": growths[0], "true_ml": growths[1:]})
    table = pd.DataFrame(rows, index=[f"{cohort}x{number}" for number in range(patients)])
    he = is_expansion(table["growth_ml"], table["baseline_iph_ml"])
    return table.rename_axis("patient_id").assign(he=he.astype(float))


def expected_crps(forecast_ml: NDArray[np.float64], true_ml: NDArray[np.float64]) -> float:
    """Mean over patients of the CRPS of quantiles (n, q), expected over true quantiles (n, t)."""
    away = [
        np.abs(np.subtract.outer(*pair)).mean() for pair in zip(forecast_ml, true_ml, strict=True)
    ]
    apart = [np.abs(np.subtract.outer(one, one)).mean() for one in forecast_ml]
    return float(np.mean(away) - np.mean(apart) / 2)


def references(train: pd.DataFrame, new: pd.DataFrame) -> tuple[float, float]:
    """Expected CRPS of climatology and of the true distribution."""
    true_ml = np.stack(new["true_ml"])
    climate_ml = np.quantile(train["growth_ml"], FORECAST_QUANTILES)
    cut_ml = np.maximum(climate_ml, -new["baseline_iph_ml"].to_numpy()[:, None])
    return expected_crps(cut_ml, true_ml), expected_crps(true_ml, true_ml)


def tabular_scores(
    train: pd.DataFrame, new: pd.DataFrame, settings: Expansion
) -> tuple[dict[str, float], dict[str, str]]:
    """Expected CRPS of every model and of both choices, and what was chosen."""
    models, true_ml = fit_models(train, settings, SEED), np.stack(new["true_ml"])
    found = {
        name: expected_crps(
            np.stack([one.quantiles(FORECAST_QUANTILES) for one in model.distributions(new)]),
            true_ml,
        )
        for name, model in models.items()
    }
    scores, _ = score_training(train, cross_fit(train, settings, SEED))
    crps_ml = scores.groupby("model")["crps_ml"].mean()
    seen = crps_ml.reset_index().assign(n=len(train), events=int(train["he"].sum()))
    chosen = {
        CHOSEN: choose(seen, models, "best"),
        LOWEST: str(crps_ml.idxmin()),
        WITHOUT: min((name for name in models if not name.endswith(PUBLISHED)), key=crps_ml.get),
    }
    return found | {kind: found[name] for kind, name in chosen.items()}, chosen


def learner_scores(
    train: pd.DataFrame, new: pd.DataFrame, _: Expansion
) -> tuple[dict[str, float], dict[str, str]]:
    """Expected CRPS of learners that know no form of the growth."""
    import torch
    from engression import engression
    from quantile_forest import RandomForestQuantileRegressor

    true_ml, growth_ml = np.stack(new["true_ml"]), train["growth_ml"].to_numpy()
    found = {}
    for kind, names in (("four", FOUR), ("image", FOUR + IMAGE)):
        x, x_new = (predictors(table, names) for table in (train, new))
        forest = RandomForestQuantileRegressor(
            n_estimators=300, min_samples_leaf=5, max_features=0.5, random_state=0
        )
        quantiles_ml = forest.fit(x, growth_ml).predict(x_new, [*FORECAST_QUANTILES])
        found[f"quantile forest, {kind}"] = expected_crps(quantiles_ml, true_ml)
        torch.manual_seed(0)
        net = engression(
            *(torch.tensor(part, dtype=torch.float32) for part in (x, growth_ml[:, None])),
            num_epochs=1000,
            lr=0.01,  # at its own 1e-4 it has not learned yet
            verbose=False,
        )
        drawn = net.sample(torch.tensor(x_new, dtype=torch.float32), sample_size=199)
        found[f"engression, {kind}"] = expected_crps(drawn.numpy().reshape(len(new), -1), true_ml)
    return found, {}


def main() -> None:
    """Prints mean skill fractions with their standard errors over cohorts, and what was chosen."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cohorts", type=int, default=10)
    parser.add_argument("--sizes", type=int, nargs="+", default=[26, 100, 480])
    parser.add_argument("--effects", type=float, nargs="+", default=[1.0, 0.5, -1.0])
    parser.add_argument("--learners", action="store_true")
    options = parser.parse_args()
    settings = load_settings({"preset": "demo"}).expansion
    score, rows, picks = learner_scores if options.learners else tabular_scores, [], []
    for effect in options.effects:
        law = replace(MODEL, **{name: effect * getattr(MODEL, name) for name in PULLED})
        new = draw_table("D", NEW_PATIENTS, law)
        for cohort in range(options.cohorts):
            everyone = draw_table(f"A{cohort}", max(options.sizes), law)
            for size in options.sizes:
                train = everyone[:size]
                climate, best = references(train, new)
                found, chosen = score(train, new, settings)
                row = {name: (climate - one) / (climate - best) for name, one in found.items()}
                if chosen:
                    row["gain"] = found[WITHOUT] - found[CHOSEN]
                    picks.append({"effect": effect, "size": size, "model": chosen[LOWEST]})
                rows.append({"effect": effect, "size": size} | row)
                print(rows[-1], flush=True)
    table = pd.DataFrame(rows).groupby(["effect", "size"], sort=False).agg(["mean", "sem"])
    print(table.T.unstack().round(3).to_string())
    if picks:
        print(pd.DataFrame(picks).value_counts(sort=False).unstack(fill_value=0).to_string())


if __name__ == "__main__":
    main()
