"""Verb `fit-expansion`: all models of growth, and how they do on patients they did not see."""

import logging
import time

import numpy as np
import pandas as pd

from hemexp import Fault, HemexpError
from hemexp.expansion.compare import (
    FEW_OF_A_KIND,
    choose,
    compare_models,
    cross_fit,
    few_of_a_kind,
    score_training,
)
from hemexp.expansion.compare_ivh import compare_ivh, cross_fit_ivh, score_ivh
from hemexp.expansion.distribution import FORECAST_QUANTILES
from hemexp.expansion.fit import fit_models
from hemexp.expansion.fit_ivh import fit_ivh, is_learned
from hemexp.expansion.fit_likeness import describe_training
from hemexp.expansion.ivh import IVH_EVENT_ML, IvhModel
from hemexp.expansion.likeness import RECORDED
from hemexp.expansion.model import GrowthModel
from hemexp.expansion.patients import patient_files, read_patients, save_tables
from hemexp.expansion.predictors import FOUR, IMAGE, predictors
from hemexp.layout import Layout
from hemexp.outcomes import expansion_outcomes, has_shrunk
from hemexp.provenance import describe, write_json
from hemexp.settings import Expansion

log = logging.getLogger(__name__)


def run_fit_expansion(
    layout: Layout, patients: pd.DataFrame, settings: Expansion, seed: int
) -> None:
    """Verb `fit-expansion`: all models, and how they do on patients whom they did not see.

    Writes model.json, training.tsv, training_forecasts.tsv (the chosen model's cross-fitted
    quantiles), comparison.tsv and ivh_comparison.tsv.

    Args:
        layout: Of the run; the bleeds were measured.
        patients: Training patients' rows of the sheet.
        settings: The room's settings.
        seed: Run seed; it decides the folds.

    Raises:
        HemexpError: A volume is missing or empty, or all patients expand, or none does.
    """
    started = time.perf_counter()
    everyone = expansion_outcomes(read_patients(layout, patients, follow_up=True))
    check_volumes(everyone)
    table = without_shrunk(everyone)
    models, ivh = _fit_growth(table, settings, seed), _fit_ivh(table)
    held_out, ivh_held_out = (f(table, settings, seed) for f in (cross_fit, cross_fit_ivh))
    scores, forecasts = score_training(table, held_out)
    scores["p_ivh_growth"] = [
        change.probability(growth.quantiles(FORECAST_QUANTILES)).mean()
        for of_model in held_out.values()
        for growth, change in zip(of_model, ivh_held_out, strict=True)
    ]
    comparison = compare_models(scores, settings, seed)
    chosen = choose(comparison, models, settings.model)
    _warn_of_few(int(table["he"].sum()), len(table), chosen)
    of_ivh = compare_ivh(score_ivh(table, held_out[chosen], ivh_held_out), settings, seed)
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
        layout.growth("ivh_comparison"): of_ivh,
    }
    save_tables(tables, **record, left_out=everyone.index.difference(table.index).tolist())
    found = {
        "chosen": chosen,
        "models": {name: model.as_json() for name, model in models.items()},
        "ivh": ivh.as_json(),
        RECORDED: describe_training(table).as_json(),
        "cross_fitted": _records(comparison),
        "ivh_cross_fitted": _records(of_ivh),
    }
    facts = {"patients": len(table), "expanders": int(table["he"].sum())}
    facts |= {"left_out": len(everyone) - len(table)}  # unnamed: this file is released
    write_json(layout.growth_models, found | describe(**record, **facts))


def check_volumes(table: pd.DataFrame) -> None:
    """Refuses training patients without a bleed at baseline or without a follow-up volume.

    Raises:
        HemexpError: There are such patients; it names them.
    """
    known = (table["baseline_iph_ml"] > 0) & table[["growth_ml", "ivh_growth_ml"]].notna().all(
        axis=1
    )
    if not known.all():
        raise HemexpError(
            Fault(
                f"native volumes, training patients {', '.join(table.index[~known])}",
                "an empty or unknown baseline IPH, or no follow-up volume",
                "a baseline IPH above 0 mL and both volumes at follow-up",
                "Correct their masks, or take these patients out of split train.",
            )
        )


def without_shrunk(table: pd.DataFrame) -> pd.DataFrame:
    """The table without patients whose bleed shrank as none does; the log names them."""
    shrunk = has_shrunk(table)
    for patient_id, patient in table[shrunk].iterrows():
        log.warning(
            "Patient %s: an IPH of %.1f mL at baseline and %.1f mL at follow-up; left out of the "
            "models of growth, which would expect such a loss of everybody. Evacuated, or are "
            "baseline and follow-up swapped in the sheet?",
            patient_id,
            patient["baseline_iph_ml"],
            patient["followup_iph_ml"],
        )
    return table[~shrunk]


def without_a_part(table: pd.DataFrame) -> list[str]:
    """Predictors of expansion that are the same, or unknown, for all patients."""
    names = FOUR + IMAGE
    values = zip(names, predictors(table, names).T, strict=True)
    return [name for name, column in values if len(np.unique(column[~np.isnan(column)])) < 2]


def _fit_growth(table: pd.DataFrame, settings: Expansion, seed: int) -> dict[str, GrowthModel]:
    models = fit_models(table, settings, seed)
    if silent := without_a_part(table):
        log.warning(
            "The same, or unknown, for all %d training patients, so nothing is learned of it: %s. "
            "Models of expansion give it no part, or where all have one value the published one.",
            len(table),
            ", ".join(silent),
        )
    for note in sorted({model.growth_note for model in models.values()} - {""}):
        log.warning("%s.", note[0].upper() + note[1:])
    return models


def _warn_of_few(expanders: int, patients: int, chosen: str) -> None:
    if few_of_a_kind(expanders, patients):
        log.warning(
            "%d of %d training patients expand: fewer than %d of a kind are too few to tell models"
            " apart, or to check their probabilities. Growth is drawn from %s.",
            expanders,
            patients,
            FEW_OF_A_KIND,
            chosen,
        )


def _fit_ivh(table: pd.DataFrame) -> IvhModel:
    model = fit_ivh(table)
    if not is_learned(model.patients, model.events):
        log.warning(
            "IVH grew by %g mL or more in %d of %d training patients: too few, or too many, to "
            "learn in whom. Its probability is that rate, how much it grows is partly a guess.",
            IVH_EVENT_ML,
            model.events,
            model.patients,
        )
    return model


def _records(table: pd.DataFrame) -> list[dict[str, object]]:
    return table.astype(object).where(table.notna(), None).to_dict("records")
