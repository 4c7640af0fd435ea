"""Verb `predict-expansion`: p(expansion) of all patients, growth of those not trained on."""

import time
from pathlib import Path

import pandas as pd

from hemexp.expansion.compare import FORECAST_QUANTILES
from hemexp.expansion.model import load_models, outside_probability, patient_distribution
from hemexp.expansion.patients import patient_files, read_patients, write_tables


def run_predict_expansion(samples: pd.DataFrame, preprocess: Path, expansion: Path) -> None:
    """Verb `predict-expansion`: p(expansion) of every patient, forecasts of those not trained on.

    Args:
        samples: Rows of all patients.
        preprocess: Folder with the native volumes.
        expansion: `results/expansion`, with model.json, training.tsv and the patients' features;
            writes predictions.tsv (patient_id, split, model, chosen, p_expansion, source) and
            forecasts.tsv (patient_id, model, draw, growth_ml: 199 quantiles).
    """
    started = time.perf_counter()
    models = load_models(expansion / "model.json")
    chosen = next(iter(models))
    training = pd.read_csv(expansion / "training.tsv", sep="\t", dtype={"patient_id": str})
    cross_fitted = training.set_index(["patient_id", "model"])["p_expansion"]
    table = read_patients(samples, preprocess, expansion)
    rows, draws = [], []
    for patient_id, patient in table.iterrows():
        outside, split = outside_probability(patient), patient["split"]
        for name, model in models.items():
            given = patient_distribution(model, patient)
            p, source = given.p_expansion, "fitted" if outside is None else "sheet"
            # Released models were fitted without these patients: there is nothing to cross-fit.
            if outside is None and (patient_id, name) in cross_fitted.index:
                p, source = cross_fitted[patient_id, name], "cross-fitted"
            rows.append((patient_id, split, name, int(name == chosen), p, source))
            if split != "train":
                growth = given.quantiles(FORECAST_QUANTILES)
                draws += [(patient_id, name, draw, value) for draw, value in enumerate(growth)]
    columns = ["patient_id", "split", "model", "chosen", "p_expansion", "source"]
    tables = {
        expansion / "predictions.tsv": pd.DataFrame(rows, columns=columns),
        expansion / "forecasts.tsv": pd.DataFrame(
            draws, columns=["patient_id", "model", "draw", "growth_ml"]
        ),
    }
    inputs = [
        expansion / "model.json",
        expansion / "training.tsv",
        *patient_files(samples, preprocess, expansion),
    ]
    write_tables(tables, verb="predict-expansion", settings={}, inputs=inputs, started=started)
