"""How well each model forecasts training patients whom it did not see, and which is best."""

from dataclasses import replace

import numpy as np
import pandas as pd

from hemexp.expansion.distribution import FORECAST_QUANTILES, GrowthDistribution
from hemexp.expansion.fit import fit_models, split_folds
from hemexp.expansion.model import GrowthModel
from hemexp.provenance import seed_for
from hemexp.settings import Expansion
from hemexp.statistics.bootstrap import Resamples, estimate, means
from hemexp.statistics.calibration import calibration_cells
from hemexp.statistics.discrimination import ONE_CLASS, auc
from hemexp.statistics.scores import brier, crps
from hemexp.tables import cells

FEW_OF_A_KIND = 15
"""With about 8 expanders the choice by CRPS is chance and costs half of the first model's skill;
with 15 it costs a tenth, and saves more where published effects mislead (method.md 5).
"""


def cross_fit(
    table: pd.DataFrame, settings: Expansion, seed: int
) -> dict[str, list[GrowthDistribution]]:
    """Every model's distribution for every training patient, from fits without that patient.

    With one patient of a kind there is nothing to fit on without them: the prevalence stands for
    the probability then, and the growth is that of all.
    """
    expands = table["he"].to_numpy() == 1
    folds = split_folds(expands, settings.folds, seed)
    if not folds:
        prevalence = float(expands.mean())
        return {
            name: [replace(given, p_expansion=prevalence) for given in model.distributions(table)]
            for name, model in fit_models(table, settings, seed).items()
        }
    found: dict[str, dict[int, GrowthDistribution]] = {}
    for fold, (fit, held_out) in enumerate(folds):
        models = fit_models(table.iloc[fit], settings, seed_for(seed, "expansion", fold))
        for name, model in models.items():
            given = model.distributions(table.iloc[held_out])
            found.setdefault(name, {}).update(zip(held_out.tolist(), given, strict=True))
    return {name: [given[row] for row in range(len(table))] for name, given in found.items()}


def score_training(
    table: pd.DataFrame, distributions: dict[str, list[GrowthDistribution]]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores and quantiles of cross-fitted forecasts.

    Args:
        table: Training patients, indexed by patient_id, with `he` and `growth_ml`.
        distributions: By model, in the table's order.

    Returns:
        Two tables. Scores: patient_id, model, p_expansion, he, crps_ml, pit. Forecasts:
        patient_id, model, draw, growth_ml: quantiles at k / 200.
    """
    scores, forecasts = [], []
    observed = zip(table.index, table["he"], table["growth_ml"], strict=True)
    patients = [(*patient, row) for row, patient in enumerate(observed)]
    for name, given in distributions.items():
        for patient_id, he, growth_ml, row in patients:
            quantiles = given[row].quantiles(FORECAST_QUANTILES)
            crps_ml = crps(growth_ml, quantiles, "quantiles")
            pit = float(np.interp(growth_ml, quantiles, FORECAST_QUANTILES, left=0, right=1))
            scores.append((patient_id, name, given[row].p_expansion, int(he), crps_ml, pit))
            forecasts += [(patient_id, name, draw, ml) for draw, ml in enumerate(quantiles)]
    columns = ["patient_id", "model", "p_expansion", "he", "crps_ml", "pit"]
    return (
        pd.DataFrame(scores, columns=columns),
        pd.DataFrame(forecasts, columns=["patient_id", "model", "draw", "growth_ml"]),
    )


def compare_models(scores: pd.DataFrame, settings: Expansion, seed: int) -> pd.DataFrame:
    """One row a model: AUC, Brier, calibration and CRPS, with patient-bootstrap intervals.

    Args:
        scores: As `score_training` gives them.
        settings: `bootstrap` resamples.
        seed: Run seed; models share the resamples.

    Returns:
        Columns model, n, events, auc, auc_low, auc_high, brier, calibration_in_the_large,
        oe_ratio and calibration_slope with their ends likewise, crps_ml, crps_low, crps_high,
        note.
    """
    rows = []
    for name, group in scores.groupby("model", sort=False):
        he, p = group["he"].to_numpy(), group["p_expansion"].to_numpy()
        patients = np.stack([p, he], axis=-1)
        # Every statistic sees the same resamples.
        area = estimate(patients, auc, resamples(settings, seed), ONE_CLASS)
        growth = estimate(group["crps_ml"], means, resamples(settings, seed))
        row = cells(
            n=len(group),
            events=int(he.sum()),
            **area.named("auc"),
            brier=brier(p, he),
            **calibration_cells(patients, lambda: resamples(settings, seed)),
            **growth.columns("crps_ml", "crps_low", "crps_high"),
        )
        rows.append({"model": name} | row)
    return pd.DataFrame(rows)


def resamples(settings: Expansion, seed: int) -> Resamples:
    """The resamples of patients that all statistics of the room share."""
    rng = np.random.default_rng(seed_for(seed, "expansion", "bootstrap"))
    return Resamples(settings.bootstrap, rng)


def choose(comparison: pd.DataFrame, models: dict[str, GrowthModel], wanted: str) -> str:
    """The model to draw from: the wanted one, or with `best` that of the lowest CRPS.

    With fewer than `FEW_OF_A_KIND` patients with expansion, or without, `best` is the first model.
    """
    if wanted != "best":
        return wanted
    if few_of_a_kind(int(comparison["events"].iloc[0]), int(comparison["n"].iloc[0])):
        return next(iter(models))
    crps = comparison.set_index("model")["crps_ml"]
    return min(models, key=lambda name: round(float(crps[name]), 9))


def few_of_a_kind(expanders: int, patients: int) -> bool:
    """Whether patients are too few to tell models apart by their forecasts."""
    return min(expanders, patients - expanders) < FEW_OF_A_KIND
