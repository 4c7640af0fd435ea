"""Scores of every forecast of a volume, patient by patient: what most tables are made from."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp.evaluation.cohort.forecasts import Forecast, volume_of
from hemexp.outcomes import HE_ML, IVH_GROWTH_ML
from hemexp.provenance import seed_for
from hemexp.statistics.scores import (
    Kind,
    Score,
    crps,
    ensemble_sd,
    quantiles,
    randomised_pit,
    tail_crps,
)
from hemexp.tables import cells

LARGE_GROWTH_ML = {"iph_ml": HE_ML, "ivh_ml": IVH_GROWTH_ML, "total_ml": HE_ML}
"""Growth from which the threshold-weighted CRPS looks (method.md 1)."""

QUANTILE_LEVELS = (0.05, 0.25, 0.75, 0.95)
POINT = "a point forecast has no spread"

ROW_KEYS = ("patient_id", "split", "center", "model", "indicator", "target", "k")
"""What identifies a row of `volumes.tsv`; metric, value and note follow."""

SCORED = (
    *ROW_KEYS,
    "baseline_ml",
    "observed_ml",
    "mean_ml",
    "median_ml",
    "sd_ml",
    "q05_ml",
    "q25_ml",
    "q75_ml",
    "q95_ml",
    "crps_ml",
    "twcrps_ml",
    "pit",
    "note",
)


def score_forecasts(forecasts: list[Forecast], outcomes: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Every forecast of every patient with its scores, one row each."""
    tables = [score_draws(forecast, outcomes, seed) for forecast in forecasts if forecast.draws]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(SCORED))


def tidy_scores(scored: pd.DataFrame) -> pd.DataFrame:
    """The same, one row a number; a reason stands only beside an empty value."""
    table = scored.melt([*ROW_KEYS, "note"], var_name="metric", value_name="value")
    table["note"] = table["note"].where(table["value"].isna(), "")
    return table[[*ROW_KEYS, "metric", "value", "note"]]


def score_draws(forecast: Forecast, outcomes: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Scores of one forecast, patient by patient.

    Args:
        forecast: The draws.
        outcomes: `outcomes.tsv`, indexed by patient.
        seed: Run seed; breaks the ties of the PIT.

    Returns:
        One row a patient: who, which model, k, baseline_ml, observed_ml, mean_ml, median_ml,
        sd_ml, q05_ml ... q95_ml, crps_ml, twcrps_ml, pit, note.
    """
    rows = []
    for patient_id, draws in forecast.draws.items():
        patient = outcomes.loc[patient_id]
        observed = float(volume_of(patient, "followup", forecast.target))
        baseline = float(volume_of(patient, "baseline", forecast.target))
        head = {
            "patient_id": patient_id,
            "split": patient["split"],
            "center": patient["center"],
            "model": forecast.model,
            "indicator": forecast.indicator,
            "target": forecast.target,
            "k": draws.size,
            "baseline_ml": baseline,
            "observed_ml": observed,
        }
        rng = np.random.default_rng(
            seed_for(seed, "pit", forecast.model, forecast.indicator, forecast.target, patient_id)
        )
        large = baseline + LARGE_GROWTH_ML[forecast.target]
        rows.append(head | _score_row(observed, draws, forecast.kind, large, rng))
    return pd.DataFrame(rows)


def _score_row(
    observed: float, draws: NDArray, kind: Kind, large_ml: float, rng: np.random.Generator
) -> dict[str, Any]:
    point = draws.size == 1
    spread = {
        f"q{int(100 * level):02d}_ml": float(value)
        for level, value in zip(
            QUANTILE_LEVELS, quantiles(draws, QUANTILE_LEVELS, kind), strict=True
        )
    }
    spread |= {
        "sd_ml": 0.0 if point else ensemble_sd(draws, kind),
        "pit": randomised_pit(observed, draws, rng, kind),
    }
    if point:
        spread = dict.fromkeys(spread, Score(None, POINT))
    return cells(
        mean_ml=float(draws.mean()),
        median_ml=float(np.median(draws)),
        crps_ml=crps(observed, draws, kind),
        twcrps_ml=tail_crps(observed, draws, large_ml, kind),
        **spread,
    )
