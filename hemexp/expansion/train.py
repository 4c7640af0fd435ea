"""Verb `fit-expansion`: all models of growth, and how they do on patients they did not see."""

import time

import pandas as pd

from hemexp.expansion.compare import choose, compare_models, cross_fit, score_training
from hemexp.expansion.fit import fit_models
from hemexp.expansion.patients import patient_files, read_patients, save_tables
from hemexp.layout import Layout
from hemexp.outcomes import expansion_outcomes
from hemexp.provenance import describe, write_json
from hemexp.settings import Expansion


def run_fit_expansion(
    layout: Layout, patients: pd.DataFrame, settings: Expansion, seed: int
) -> None:
    """Verb `fit-expansion`: all models, and how they do on patients whom they did not see.

    Writes model.json, training.tsv, training_forecasts.tsv (the chosen model's cross-fitted
    quantiles) and comparison.tsv.

    Args:
        layout: Of the run; the bleeds were measured.
        patients: Training patients' rows of the sheet.
        settings: The room's settings.
        seed: Run seed; it decides the folds.
    """
    started = time.perf_counter()
    table = expansion_outcomes(read_patients(layout, patients, follow_up=True))
    models = fit_models(table, settings, seed)
    scores, forecasts = score_training(table, cross_fit(table, settings, seed))
    comparison = compare_models(scores, settings, seed)
    chosen = choose(comparison, models, settings.model)
    record = {
        "verb": "fit-expansion",
        "settings": settings.as_json(),
        "inputs": patient_files(layout, patients, follow_up=True),
        "started": started,
        "seed": seed,
    }
    ours = forecasts[forecasts["model"] == chosen].drop(columns="model")
    tables = {
        layout.growth("training"): scores,
        layout.growth("training_forecasts"): ours,
        layout.growth("comparison"): comparison,
    }
    save_tables(tables, **record)
    found = {
        "chosen": chosen,
        "models": {name: model.as_json() for name, model in models.items()},
        "cross_fitted": comparison.astype(object)
        .where(comparison.notna(), None)
        .to_dict("records"),
    }
    facts = {"patients": len(table), "expanders": int(table["he"].sum())}
    write_json(layout.growth_models, found | describe(**record, **facts))
