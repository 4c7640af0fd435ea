"""Verb `predict-expansion`: p(expansion) of all patients, growth of those not trained on."""

import time

import pandas as pd

from hemexp.expansion.distribution import FORECAST_QUANTILES
from hemexp.expansion.ivh import load_ivh
from hemexp.expansion.model import (
    GrowthModel,
    load_models,
    outside_probability,
    patient_distribution,
)
from hemexp.expansion.over_time import growth_over_time
from hemexp.expansion.patients import patient_files, read_patients, save_tables
from hemexp.layout import Layout

PREDICTIONS = ["patient_id", "split", "model", "chosen", "p_expansion", "source", "p_ivh_growth"]
FORECASTS = ["patient_id", "model", "draw", "growth_ml", "ivh_growth_ml"]


def run_predict_expansion(layout: Layout, patients: pd.DataFrame) -> None:
    """Verb `predict-expansion`: p(expansion) of every patient, forecasts of those not trained on.

    Writes predictions.tsv (patient_id, split, model, chosen, p_expansion, source, p_ivh_growth),
    forecasts.tsv (patient_id, model, draw, growth_ml, ivh_growth_ml: 199 quantiles of each; a row
    is no pair) and over_time.tsv (`growth_over_time` of the chosen model).

    Args:
        layout: Of the run; the models were fitted, the bleeds measured.
        patients: All patients' rows of the sheet.
    """
    started = time.perf_counter()
    table, models = read_patients(layout, patients), load_models(layout.growth_models)
    predictions, forecasts = _predict(layout, models, table)
    chosen, new = next(iter(models.values())), table[table["split"] != "train"]
    tables = {
        layout.growth("predictions"): predictions,
        layout.growth("forecasts"): forecasts,
        layout.growth("over_time"): growth_over_time(chosen, new),
    }
    inputs = [layout.growth_models, layout.growth("training"), *patient_files(layout, patients)]
    save_tables(tables, verb="predict-expansion", settings={}, inputs=inputs, started=started)


def _predict(
    layout: Layout, models: dict[str, GrowthModel], table: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables, of patients as `read_patients` gives them."""
    ivh = load_ivh(layout.growth_models)
    training = pd.read_csv(layout.growth("training"), sep="\t", dtype={"patient_id": str})
    cross_fitted = training.set_index(["patient_id", "model"])[["p_expansion", "p_ivh_growth"]]
    chosen, rows, draws = next(iter(models)), [], []
    for patient_id, patient in table.iterrows():
        outside, split = outside_probability(patient), patient["split"]
        change = ivh.of_patient(patient)
        for name, model in models.items():
            given = patient_distribution(model, patient)
            growth_ml = given.quantiles(FORECAST_QUANTILES)
            # Released models were fitted without these patients: there is nothing to cross-fit.
            if outside is None and (patient_id, name) in cross_fitted.index:
                (p, p_ivh), source = cross_fitted.loc[(patient_id, name)], "cross-fitted"
            else:
                p, source = given.p_expansion, "fitted" if outside is None else "sheet"
                p_ivh = change.probability(growth_ml).mean()
            rows.append((patient_id, split, name, int(name == chosen), p, source, p_ivh))
            if split != "train":
                ivh_ml = change.quantiles(growth_ml, FORECAST_QUANTILES)
                pairs = enumerate(zip(growth_ml, ivh_ml, strict=True))
                draws += [(patient_id, name, draw, *values) for draw, values in pairs]
    return pd.DataFrame(rows, columns=PREDICTIONS), pd.DataFrame(draws, columns=FORECASTS)
