"""Forecasts against each other on the same patients: paired differences, skill fraction."""

from typing import Any

import numpy as np
import pandas as pd

from hemexp.evaluation.cohort.growth_models import CHOSEN
from hemexp.evaluation.cohort.tables import GROUP, Resampling, by_group, interval_cells
from hemexp.statistics.scores import Score, bootstrap_interval, finite
from hemexp.tables import cells, table_of

COMPARISONS = (
    *GROUP,
    "target",
    "model",
    "indicator",
    "reference",
    "measure",
    "n",
    "value",
    "low",
    "high",
    "note",
)
COHERENCE = (*GROUP, "model", "indicator", "n", "value", "low", "high", "note")
SCORES = ("crps_ml", "twcrps_ml")
BEST = "best_tabular"
OURS = ("hemexp", "hemexp_raw")
TRUE = "true_distribution"
NO_SKILL = "no skill fraction: climatology is no worse than the true distribution here"
STILL = "no correlation: all members are alike"


def tabulate_comparisons(scored: pd.DataFrame, resampling: Resampling) -> pd.DataFrame:
    """Our forecasts against every reference, target by target.

    Args:
        scored: From `forecasts.score_draws`.
        resampling: How intervals are drawn.

    Returns:
        Measures: `crps_difference_ml` and `twcrps_difference_ml`, ours minus the reference's,
        below 0 where ours is better; `skill_fraction`, (climatology - ours) / (climatology -
        true distribution) of mean CRPS: 1 is the best possible forecast. The reference
        `best_tabular` is the tabular model with the lowest mean CRPS on these very patients:
        the hardest choice, made in hindsight.
    """
    rows = []
    for group, patients in by_group(scored):
        for target, same in patients.groupby("target", sort=False):
            tables = {
                score: same.pivot_table(
                    index="patient_id", columns=["model", "indicator"], values=score
                )
                for score in SCORES
            }
            ours = [key for key in tables["crps_ml"] if key[0] in OURS]
            for model, indicator in ours:
                head = group | {"target": target, "model": model, "indicator": indicator}
                rows += _compare(head, (model, indicator), tables, resampling)
    return table_of(rows, COMPARISONS)


def _compare(
    head: dict[str, str],
    ours: tuple[str, str],
    tables: dict[str, pd.DataFrame],
    resampling: Resampling,
) -> list[dict[str, Any]]:
    crps, rows = tables["crps_ml"], []
    references = {key[0]: key for key in crps if key[0] not in OURS}
    if best := best_tabular({name: crps[key].mean() for name, key in references.items()}):
        references[BEST] = references[best]
    for reference, key in references.items():
        for score, table in tables.items():
            pairs = table[[ours, key]].dropna()
            difference = (pairs[ours] - pairs[key]).to_numpy()
            measure = score.replace("_ml", "_difference_ml")
            row = head | {"reference": reference, "measure": measure}
            rng = resampling.rng("comparisons", *row.values())
            interval = bootstrap_interval(difference, resampling.repeats, rng)
            told = Score(float(difference.mean()), key[0] if reference == BEST else "")
            rows.append(row | told_cells(len(pairs), told, interval))
    row = head | {"reference": TRUE, "measure": "skill_fraction"}
    if {TRUE, "climatology"} <= set(references):
        columns = [ours, references["climatology"], references[TRUE]]
        triples = crps[columns].dropna().to_numpy()
        rng = resampling.rng("comparisons", *row.values())
        statistic = finite(skill_fraction_rows)
        interval = bootstrap_interval(triples, resampling.repeats, rng, statistic)
        told = float(skill_fraction_rows(triples[None])[0])
        told = Score(told) if np.isfinite(told) else Score(None, NO_SKILL)
        rows.append(row | told_cells(len(triples), told, interval))
    return rows


def skill_fraction_rows(rows: np.ndarray) -> np.ndarray:
    """Skill fraction of resampled (ours, climatology, truth) scores (repeats, n, 3).

    NaN where climatology is no worse than the truth: there is no skill to have.
    """
    ours, climatology, truth = np.moveaxis(rows.mean(axis=1), -1, 0)
    best = climatology - truth
    return np.divide(climatology - ours, best, out=np.full_like(best, np.nan), where=best > 0)


def best_tabular(crps_ml: dict[str, float]) -> str | None:
    """Name of the tabular model with the lowest mean CRPS among models; None without any."""
    return min((name for name in crps_ml if CHOSEN in name), key=crps_ml.__getitem__, default=None)


def told_cells(n: int, told: Score, interval: tuple[float, float] | None) -> dict[str, Any]:
    """Cells n, value, low, high and note of one measure of n patients.

    What has no value has no interval for the same reason.
    """
    if told.value is None:
        return cells(n=n, value=told, low=told, high=told)
    ends = {name.strip("_"): end for name, end in interval_cells("", "", interval).items()}
    return cells(n=n, value=told, **ends)


def tabulate_coherence(scores: pd.DataFrame, resampling: Resampling) -> pd.DataFrame:
    """Lag-1 correlation through the plane of slice-area deviations, pooled over patients.

    Args:
        scores: The patients' `scores.tsv` with split and center; rows of the metrics
            `slice_covariance_ml2` and `slice_variance_ml2` count.
        resampling: How intervals are drawn.

    Returns:
        `true_distribution` is what the phantom's redraws have; real patients have no such row.
    """
    rows = []
    chosen = scores[scores["metric"].str.startswith("slice_") & scores["value"].notna()]
    for group, patients in by_group(chosen):
        for (model, indicator), part in patients.groupby(["model", "indicator"], sort=False):
            table = part.pivot_table(index="patient_id", columns="metric", values="value")
            pairs = table[["slice_covariance_ml2", "slice_variance_ml2"]].to_numpy()
            head = group | {"model": model, "indicator": indicator}
            rng = resampling.rng("coherence", *head.values())
            told = float(correlation_rows(pairs[None])[0])
            told = Score(told) if np.isfinite(told) else Score(None, STILL)
            statistic = finite(correlation_rows)
            interval = bootstrap_interval(pairs, resampling.repeats, rng, statistic)
            rows.append(head | told_cells(len(pairs), told, interval))
    return table_of(rows, COHERENCE)


def correlation_rows(rows: np.ndarray) -> np.ndarray:
    """Pooled correlation of resampled (covariance, variance) pairs (repeats, n, 2)."""
    covariance, variance = np.moveaxis(rows.sum(axis=1), -1, 0)
    missing = np.full_like(covariance, np.nan)
    return np.divide(covariance, variance, out=missing, where=variance > 0)
