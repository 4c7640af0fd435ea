"""Table `forecasts`: every forecast of a follow-up volume, one row a model."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp.evaluation.cohort.forecast_scores import POINT
from hemexp.evaluation.cohort.groups import GROUP, by_group
from hemexp.statistics.bootstrap import Estimate, Resamples, Resampling, estimate, means, undefined
from hemexp.statistics.scores import Score, coverage, skill, spread_ratio
from hemexp.tables import cells, table_of

COLUMNS = (
    *GROUP,
    "model",
    "indicator",
    "target",
    "n",
    "k",
    "crps_ml",
    "crps_low_ml",
    "crps_high_ml",
    "twcrps_ml",
    "mae_ml",
    "bias_ml",
    "coverage50",
    "coverage90",
    "spread_ratio",
    "width50_ml",
    "width90_ml",
    "skill",
    "skill_low",
    "skill_high",
    "note",
)


def tabulate_forecasts(scored: pd.DataFrame, resampling: Resampling) -> pd.DataFrame:
    """One row per group, model, indicator and target, from `forecast_scores.score_draws`."""
    rows = []
    for group, patients in by_group(scored):
        keys = ["target", "model", "indicator"]
        for (target, model, indicator), part in patients.groupby(keys, sort=False):
            same = (patients["target"] == target) & (patients["model"] == "climatology")
            climatology = patients[same].set_index("patient_id")["crps_ml"]
            head = group | {"model": model, "indicator": indicator, "target": target}
            resamples = resampling.of_row("forecasts", *head.values())
            rows.append(head | _row(part, climatology, resamples))
    return table_of(rows, COLUMNS)


def _row(part: pd.DataFrame, climatology: pd.Series, resamples: Resamples) -> dict[str, Any]:
    crps = part["crps_ml"].to_numpy()
    pairs = np.stack([crps, climatology.reindex(part["patient_id"]).to_numpy()], axis=-1)
    return cells(
        n=len(part),
        k=int(part["k"].min()),
        **estimate(crps, means, resamples).named("crps", "_ml"),
        twcrps_ml=float(part["twcrps_ml"].mean()),
        mae_ml=float((part["median_ml"] - part["observed_ml"]).abs().mean()),
        bias_ml=float((part["mean_ml"] - part["observed_ml"]).mean()),
        **_spread_cells(part),
        **_skill(pairs, resamples).named("skill"),
    )


def _spread_cells(part: pd.DataFrame) -> dict[str, Score | float]:
    if part["k"].min() == 1:
        names = ("coverage50", "coverage90", "spread_ratio", "width50_ml", "width90_ml")
        return dict.fromkeys(names, Score(None, POINT))
    return {
        "coverage50": coverage(part["pit"], 0.5),
        "coverage90": coverage(part["pit"], 0.9),
        "spread_ratio": spread_ratio(part["sd_ml"], part["mean_ml"] - part["observed_ml"]),
        "width50_ml": float((part["q75_ml"] - part["q25_ml"]).mean()),
        "width90_ml": float((part["q95_ml"] - part["q05_ml"]).mean()),
    }


def _skill(pairs: NDArray, resamples: Resamples) -> Estimate:
    """Skill against climatology: 1 - CRPS / CRPS of climatology, on the same patients."""
    if np.isnan(pairs[:, 1]).any():
        return undefined("no skill: without training patients there is no climatology")
    if not np.all(pairs[:, 1] > 0):
        return undefined("no skill: climatology was perfect for a patient")
    return estimate(pairs, skill, resamples)
