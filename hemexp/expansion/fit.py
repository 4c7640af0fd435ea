"""Fits the expansion model on training patients and forecasts growth for all."""

import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from hemexp import Fault, HemexpError
from hemexp.cohort import read_volumes
from hemexp.expansion.distribution import ExpansionModel, LogisticLognormal
from hemexp.outcomes import expansion_outcomes
from hemexp.provenance import describe, write_atomically, write_json, write_sidecars
from hemexp.settings import Expansion

PREDICTORS = ("ln_onset", "ln_iph_ml", "anticoagulant", "antiplatelet")
FORECAST_QUANTILES = np.arange(1, 200) / 200


def predictors(table: pd.DataFrame) -> NDArray[np.float64]:
    """The four variables (n, 4) of the 2018 model, NaN where unknown.

    Args:
        table: Columns `onset_to_ct_h`, `baseline_iph_ml`, `anticoagulant`, `antiplatelet`.
    """
    columns = [
        # Quarter of an hour: the sheet allows an onset of 0.
        np.log(table["onset_to_ct_h"].clip(lower=0.25)),
        np.log(table["baseline_iph_ml"]),
        table["anticoagulant"],
        table["antiplatelet"],
    ]
    return np.stack([np.asarray(column, dtype=float) for column in columns], axis=1)


def fit_expansion(table: pd.DataFrame, settings: Expansion) -> ExpansionModel:
    """Fits p(expansion) and the growth of expanders and of the others.

    Args:
        table: Training patients: the columns of `predictors`, `he` (0/1) and `growth_ml`.
        settings: The room's settings.

    Raises:
        HemexpError: All patients expand, or none does.
    """
    expands = table["he"].to_numpy() == 1
    if expands.all() or not expands.any():
        raise HemexpError(
            Fault(f"sample sheet, {len(table)} training patients",
                  f"{int(expands.sum())} with expansion", "both patients with and without",
                  "Add training patients of the missing kind.")
        )  # fmt: skip
    raw = predictors(table)
    known = ~np.isnan(raw).all(axis=0)
    mean = np.array(
        [np.nanmean(column) if ok else 0.0 for column, ok in zip(raw.T, known, strict=True)]
    )
    sd = np.array(
        [np.nanstd(column) if ok else 1.0 for column, ok in zip(raw.T, known, strict=True)]
    )
    sd[sd == 0] = 1.0
    scaled = np.where(np.isnan(raw), 0.0, (raw - mean) / sd)
    logistic = LogisticRegression(C=1 / settings.penalty).fit(scaled, expands)
    volume, log_growth = scaled[expands, 1], np.log(table["growth_ml"].to_numpy()[expands])
    # With very few expanders a slope would be noise: shrink it as a ridge of one observation.
    slope = float(
        ((volume - volume.mean()) * log_growth).sum() / (np.sum((volume - volume.mean()) ** 2) + 1)
    )
    intercept = float(log_growth.mean() - slope * volume.mean())
    residual = log_growth - intercept - slope * volume
    freedom = max(len(residual) - 2, 1)
    return ExpansionModel(
        names=PREDICTORS,
        mean=tuple(mean.tolist()),
        sd=tuple(sd.tolist()),
        coefficients=tuple(logistic.coef_[0].tolist()),
        intercept=float(logistic.intercept_[0]),
        log_intercept=intercept,
        log_slope=slope,
        log_sd=float(max(np.sqrt((residual**2).sum() / freedom), 0.1)),
        stable_ml=tuple(np.sort(table["growth_ml"].to_numpy()[~expands]).tolist()),
    )


def cross_fit(table: pd.DataFrame, settings: Expansion, seed: int) -> NDArray[np.float64]:
    """p(expansion) of each training patient from models that never saw that patient."""
    expands = table["he"].to_numpy() == 1
    folds = min(settings.folds, int(expands.sum()), int((~expands).sum()))
    if folds < 2:
        # One patient of a kind: leaving it out leaves one class. The prevalence is honest then.
        return np.full(len(table), expands.mean())
    p = np.empty(len(table))
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed % 2**32)
    for fit, held_out in splitter.split(np.zeros(len(table)), expands):
        model = fit_expansion(table.iloc[fit], settings)
        p[held_out] = model.probability(predictors(table.iloc[held_out]))
    return p


def load_expansion(path: Path) -> ExpansionModel:
    """Reads `model.json`."""
    return ExpansionModel.from_json(json.loads(path.read_text(encoding="utf-8"))["model"])


def run_fit_expansion(
    samples: pd.DataFrame,
    preprocess: Path,
    model: Path,
    training: Path,
    settings: Expansion,
    seed: int,
) -> None:
    """Verb `fit-expansion`: the model, and the training patients' cross-fitted probabilities.

    Args:
        samples: Rows of the training patients.
        preprocess: Folder with the native volumes.
        model: `model.json` to write.
        training: Table of cross-fitted probabilities to write.
        settings: The room's settings.
        seed: Run seed; it decides the folds.
    """
    started = time.perf_counter()
    outcomes = expansion_outcomes(read_volumes(preprocess, samples))
    table = samples.join(outcomes)
    fitted = fit_expansion(table, settings)
    p = cross_fit(table, settings, seed)
    probabilities = pd.DataFrame({"patient_id": table.index, "p_expansion": p, "he": table["he"]})
    with write_atomically(training) as temporary:
        probabilities.to_csv(temporary, sep="\t", index=False, float_format="%.6f")
    record = describe(
        verb="fit-expansion", settings=settings.as_json(), inputs=[], started=started, seed=seed,
        patients=len(table), expanders=int(table["he"].sum()),
    )  # fmt: skip
    write_json(model, {"model": fitted.as_json(), **record})
    write_sidecars([training], verb="fit-expansion", settings=settings.as_json(), inputs=[],
                   started=started, seed=seed)  # fmt: skip


def run_predict_expansion(
    samples: pd.DataFrame,
    preprocess: Path,
    model: Path,
    training: Path,
    predictions: Path,
    forecasts: Path,
) -> None:
    """Verb `predict-expansion`: p(expansion) of every patient, forecasts of those not trained on.

    Args:
        samples: Rows of all patients.
        preprocess: Folder with the native volumes.
        model: The fitted model.
        training: Cross-fitted probabilities of the training patients.
        predictions: Table to write: patient_id, split, p_expansion, source.
        forecasts: Table to write: patient_id, draw, growth_ml (199 quantiles a patient).
    """
    started = time.perf_counter()
    fitted = load_expansion(model)
    cross_fitted = pd.read_csv(training, sep="\t", dtype={"patient_id": str}).set_index(
        "patient_id"
    )
    table = samples.join(read_volumes(preprocess, samples, ("baseline",)))
    rows, draws = [], []
    for patient_id, patient in table.iterrows():
        outside = outside_probability(patient)
        given = patient_distribution(fitted, patient)
        if outside is None and patient["split"] == "train":
            p, source = cross_fitted.loc[patient_id, "p_expansion"], "cross-fitted"
        else:
            p, source = given.p_expansion, "sheet" if outside is not None else "fitted"
        rows.append((patient_id, patient["split"], p, source))
        if patient["split"] != "train":
            growth = given.quantiles(FORECAST_QUANTILES)
            draws += [(patient_id, draw, value) for draw, value in enumerate(growth)]
    tables = {
        predictions: pd.DataFrame(rows, columns=["patient_id", "split", "p_expansion", "source"]),
        forecasts: pd.DataFrame(draws, columns=["patient_id", "draw", "growth_ml"]),
    }
    for path, content in tables.items():
        with write_atomically(path) as temporary:
            content.to_csv(temporary, sep="\t", index=False, float_format="%.6f")
    write_sidecars(tables, verb="predict-expansion", settings={}, inputs=[model, training],
                   started=started)  # fmt: skip


def outside_probability(patient: pd.Series) -> float | None:
    """The sheet's `expansion_prob` of a patient, None where it has none."""
    value = patient.get("expansion_prob", np.nan)
    return None if np.isnan(value) else float(value)


def patient_distribution(model: ExpansionModel, patient: pd.Series) -> LogisticLognormal:
    """Growth distribution of one row with `baseline_iph_ml`; the sheet's probability wins."""
    raw = predictors(patient.to_frame().T.infer_objects())[0]
    return model.distribution(raw, float(patient["baseline_iph_ml"]), outside_probability(patient))
