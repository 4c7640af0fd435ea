"""What the models of growth say of one patient: as is, with a value changed, beside its likes.

It is the forecast without an image: a page of the patient stands it beside the drawn follow-ups.
"""

import json
import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from hemexp.columns import INTERVAL
from hemexp.expansion.distribution import FORECAST_QUANTILES, GrowthDistribution
from hemexp.expansion.ivh import IvhDistribution, load_ivh
from hemexp.expansion.likeness import COLUMNS, RECORDED, Cohort, beyond, place
from hemexp.expansion.model import (
    GrowthModel,
    load_expansion,
    outside_probability,
    patient_distribution,
)
from hemexp.expansion.over_time import QUANTILES, growth_over_time
from hemexp.expansion.patients import patient_files, read_patients
from hemexp.expansion.timed import interval_h
from hemexp.layout import Layout
from hemexp.outcomes import HE_ML, HE_RELATIVE
from hemexp.provenance import describe, write_json
from hemexp.what_if_cases import ANTICOAGULANT, AS_IS

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Ends of the central 90 and 50 %, and the median."""

ONSETS_H = (1.0, 3.0, 6.0, 12.0, 24.0)
"""Few enough to be read at a glance."""

CHANGED = {"onset_to_ct_h": ONSETS_H, "anticoagulant": ANTICOAGULANT}
"""What is changed, one at a time, to each of these values and to unknown."""


def answer(growth: GrowthDistribution, ivh: IvhDistribution) -> dict[str, Any]:
    """A forecast as numbers.

    Returns:
        p_expansion, p_growth_6ml, p_growth_33pct, p_ivh_growth (0-1); growth_ml and ivh_growth_ml
        at `LEVELS`.
    """
    growth_ml = growth.quantiles(FORECAST_QUANTILES)
    return {
        "p_expansion": float(growth.p_expansion),
        "p_growth_6ml": growth.probability_from(HE_ML),
        "p_growth_33pct": growth.probability_from(HE_RELATIVE * growth.baseline_ml),
        "p_ivh_growth": float(ivh.probability(growth_ml).mean()),
        "growth_ml": growth.quantiles(np.array(LEVELS)).tolist(),
        "ivh_growth_ml": ivh.quantiles(growth_ml, LEVELS).tolist(),
    }


def changed_patients(patient: pd.Series) -> Iterator[tuple[str, float | None, pd.Series]]:
    """The patient as is, and with one value another; values as they are do not come twice.

    Yields:
        What is changed (`as_is` first), to what (None is unknown), and the patient so changed.
    """
    yield AS_IS, None, patient
    for column, values in CHANGED.items():
        for value in (*values, math.nan):
            if value == patient[column] or (math.isnan(value) and pd.isna(patient[column])):
                continue
            changed = patient.copy()
            changed[column] = value
            yield column, None if math.isnan(value) else float(value), changed


def answer_cases(model: GrowthModel, patient: pd.Series) -> list[dict[str, Any]]:
    """The model's own answers to every case; the sheet's `expansion_prob` has no part in them.

    Returns:
        variable (`as_is` or a column), value, p_expansion, p_growth_6ml, growth_ml at `LEVELS`.
    """
    rows, own = [], patient.drop("expansion_prob", errors="ignore")
    for variable, value, changed in changed_patients(own):
        growth = patient_distribution(model, changed)
        rows.append(
            {
                "variable": variable,
                "value": value,
                "p_expansion": float(growth.p_expansion),
                "p_growth_6ml": growth.probability_from(HE_ML),
                "growth_ml": growth.quantiles(np.array(LEVELS)).tolist(),
            }
        )
    return rows


def answer_over_time(model: GrowthModel, table: pd.DataFrame) -> dict[str, Any] | None:
    """The model's own answers for several hours from the baseline to the follow-up.

    Args:
        model: The chosen model.
        table: The patient's row, as `read_patients` gives it.

    Returns:
        as_is_h, the hours of every other answer; told, whether the sheet names them; and answers:
        at_h, p_expansion, growth_ml at `LEVELS`. None where the model knows no time.
    """
    found = growth_over_time(model, table)
    if found.empty:
        return None
    answers = [
        {
            "at_h": float(row["at_h"]),
            "p_expansion": float(row["p_expansion"]),
            "growth_ml": [float(row[name]) for name in QUANTILES],
        }
        for _, row in found.iterrows()
    ]
    told = INTERVAL in table and bool(table[INTERVAL].notna().all())
    return {"as_is_h": float(interval_h(table)[0]), "told": told, "answers": answers}


def compare(
    cohort: Cohort, patient: pd.DataFrame, values: dict[str, float | None]
) -> dict[str, Any]:
    """The patient beside the training patients, as JSON values.

    Returns:
        patients, expanders, phantoms, ranges; `beyond`, which of the values lie outside these; and
        `likeness`, None where training patients are too few.
    """
    likeness = place(cohort, patient)
    names = ("patients", "expanders", "phantoms", "ranges")
    return {name: getattr(cohort, name) for name in names} | {
        "beyond": beyond(cohort, values),
        "likeness": likeness and likeness._asdict(),
    }


def run_answer_patient(layout: Layout, sheet: pd.DataFrame, models: Layout) -> None:
    """Writes what the chosen model of growth says of one patient, one JSON file.

    Args:
        layout: Of the run; the bleed was measured.
        sheet: The patient's row, as a table.
        models: Where the models lie.
    """
    started = time.perf_counter()
    table = read_patients(layout, sheet)
    patient_id, patient = next(iter(table.iterrows()))
    model, path = load_expansion(models.growth_models), models.growth_models
    record = json.loads(path.read_text(encoding="utf-8"))
    known = {name: patient.get(name, math.nan) for name in COLUMNS}
    values = {name: None if pd.isna(value) else float(value) for name, value in known.items()}
    trained = record.get(RECORDED)
    growth = patient_distribution(model, patient)
    found = {
        "model": model.name,
        "outside_probability": outside_probability(patient),
        "values": values,
        "forecast": answer(growth, load_ivh(path).of_patient(patient)),
        "cases": answer_cases(model, patient),
        "over_time": answer_over_time(model, table),
        "patients": record.get("patients"),
        "recalibrated": [one["center"] for one in record.get("recalibrated", [])],
        RECORDED: compare(Cohort.from_json(trained), table, values) if trained else None,
    }
    inputs = [path, *patient_files(layout, table)]
    about = describe(verb="write-patient-page", settings={}, inputs=inputs, started=started)
    write_json(layout.patient_answers(str(patient_id)), found | about)
