"""Table `coherence`: how the slices of a patient's samples move together."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp.evaluation.cohort.groups import GROUP, by_group
from hemexp.statistics.bootstrap import Resampling, estimate
from hemexp.tables import cells, table_of

COLUMNS = (*GROUP, "model", "indicator", "n", "value", "low", "high", "note")
SLICE_METRICS = ("slice_covariance_ml2", "slice_variance_ml2")
"""Metrics of a patient whose sums over patients make the correlation."""

STILL = "no correlation: all members are alike"


def tabulate_coherence(scores: pd.DataFrame, resampling: Resampling) -> pd.DataFrame:
    """Lag-1 correlation through the plane of slice-area deviations, pooled over patients.

    Args:
        scores: The patients' `scores.tsv` with split and center; rows of the metrics
            `SLICE_METRICS` count.
        resampling: How intervals are drawn.

    Returns:
        `true_distribution` is what the phantom's redraws have; real patients have no such row.
    """
    rows = []
    chosen = scores[scores["metric"].isin(SLICE_METRICS) & scores["value"].notna()]
    for group, patients in by_group(chosen):
        for (model, indicator), part in patients.groupby(["model", "indicator"], sort=False):
            table = part.pivot_table(index="patient_id", columns="metric", values="value")
            pairs = table[[*SLICE_METRICS]].to_numpy()
            head = group | {"model": model, "indicator": indicator}
            resamples = resampling.of_row("coherence", *head.values())
            found = estimate(pairs, correlation, resamples, STILL)
            rows.append(head | cells(n=len(pairs), **found.columns()))
    return table_of(rows, COLUMNS)


def correlation(rows: NDArray) -> NDArray:
    """Pooled correlation of resampled (covariance, variance) pairs (repeats, n, 2)."""
    covariance, variance = np.moveaxis(rows.sum(axis=1), -1, 0)
    missing = np.full_like(covariance, np.nan)
    return np.divide(covariance, variance, out=missing, where=variance > 0)
