"""Verb `fit-expansion`: all models of growth, and how they do on patients they did not see."""

import time
from pathlib import Path

import pandas as pd

from hemexp.expansion.compare import choose, compare_models, cross_fit, score_training
from hemexp.expansion.fit import fit_models
from hemexp.expansion.patients import patient_files, read_patients, write_tables
from hemexp.outcomes import expansion_outcomes
from hemexp.provenance import describe, write_json
from hemexp.settings import Expansion


def run_fit_expansion(
    samples: pd.DataFrame, preprocess: Path, expansion: Path, settings: Expansion, seed: int
) -> None:
    """Verb `fit-expansion`: all models, and how they do on patients whom they did not see.

    Args:
        samples: Rows of the training patients.
        preprocess: Folder with the native volumes.
        expansion: `results/expansion`, with the patients' features; writes model.json,
            training.tsv, training_forecasts.tsv (the chosen model's cross-fitted quantiles) and
            comparison.tsv.
        settings: The room's settings.
        seed: Run seed; it decides the folds.
    """
    started = time.perf_counter()
    table = expansion_outcomes(read_patients(samples, preprocess, expansion, follow_up=True))
    models = fit_models(table, settings, seed)
    scores, forecasts = score_training(table, cross_fit(table, settings, seed))
    comparison = compare_models(scores, settings, seed)
    chosen = choose(comparison, models, settings.model)
    record = {
        "verb": "fit-expansion",
        "settings": settings.as_json(),
        "inputs": patient_files(samples, preprocess, expansion, follow_up=True),
        "started": started,
        "seed": seed,
    }
    tables = {
        expansion / "training.tsv": scores,
        expansion / "training_forecasts.tsv": forecasts[forecasts["model"] == chosen].drop(
            columns="model"
        ),
        expansion / "comparison.tsv": comparison,
    }
    write_tables(tables, **record)
    write_json(
        expansion / "model.json",
        {
            "chosen": chosen,
            "models": {name: model.as_json() for name, model in models.items()},
            "cross_fitted": comparison.astype(object)
            .where(comparison.notna(), None)
            .to_dict("records"),
            **describe(**record, patients=len(table), expanders=int(table["he"].sum())),
        },
    )
