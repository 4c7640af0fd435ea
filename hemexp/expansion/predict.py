"""Verb `predict-expansion`: p(expansion) of all patients, growth of those not trained on."""

import time

import pandas as pd

from hemexp.expansion.distribution import FORECAST_QUANTILES
from hemexp.expansion.model import load_models, outside_probability, patient_distribution
from hemexp.expansion.patients import patient_files, read_patients, save_tables
from hemexp.layout import Layout


def run_predict_expansion(layout: Layout, patients: pd.DataFrame) -> None:
    """Verb `predict-expansion`: p(expansion) of every patient, forecasts of those not trained on.

    Writes predictions.tsv (patient_id, split, model, chosen, p_expansion, source) and
    forecasts.tsv (patient_id, model, draw, growth_ml: 199 quantiles).

    Args:
        layout: Of the run; the models were fitted, the bleeds measured.
        patients: All patients' rows of the sheet.
    """
    started = time.perf_counter()
    predictions, forecasts = _predict(layout, read_patients(layout, patients))
    tables = {layout.growth("predictions"): predictions, layout.growth("forecasts"): forecasts}
    inputs = [layout.growth_models, layout.growth("training"), *patient_files(layout, patients)]
    save_tables(tables, verb="predict-expansion", settings={}, inputs=inputs, started=started)


def _predict(layout: Layout, table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables, of patients as `read_patients` gives them."""
    models = load_models(layout.growth_models)
    training = pd.read_csv(layout.growth("training"), sep="\t", dtype={"patient_id": str})
    cross_fitted = training.set_index(["patient_id", "model"])["p_expansion"]
    chosen, rows, draws = next(iter(models)), [], []
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
    return (
        pd.DataFrame(rows, columns=columns),
        pd.DataFrame(draws, columns=["patient_id", "model", "draw", "growth_ml"]),
    )
