"""Table `expansion`: every probability of an event, one row a model."""

from typing import Any

import numpy as np
import pandas as pd

from hemexp.evaluation.cohort.groups import GROUP, by_group
from hemexp.statistics.bootstrap import Resamples, Resampling, estimate, means
from hemexp.statistics.calibration import calibration_cells
from hemexp.statistics.calibration_columns import COLUMNS as CALIBRATION
from hemexp.statistics.calibration_curve import estimate_ici
from hemexp.statistics.discrimination import ONE_CLASS, auc
from hemexp.tables import cells, table_of

COLUMNS = (
    *GROUP,
    "event",
    "model",
    "indicator",
    "n",
    "n_events",
    "auc",
    "auc_low",
    "auc_high",
    "brier",
    "brier_low",
    "brier_high",
    *CALIBRATION,
    "ici",
    "ici_low",
    "ici_high",
    "note",
)


def tabulate_expansion(probabilities: pd.DataFrame, resampling: Resampling) -> pd.DataFrame:
    """AUC, Brier score and calibration of every model's probability of every event.

    Args:
        probabilities: One row per patient, model and event: patient_id, split, center, event,
            model, indicator, probability, observed (0/1).
        resampling: How intervals are drawn.
    """
    rows = []
    for group, patients in by_group(probabilities):
        keys = ["event", "model", "indicator"]
        for (event, model, indicator), part in patients.groupby(keys, sort=False):
            head = group | {"event": event, "model": model, "indicator": indicator}
            resamples = resampling.of_row("expansion", *head.values())
            rows.append(head | _row(part["probability"], part["observed"], resamples))
    return table_of(rows, COLUMNS)


def _row(probability: pd.Series, observed: pd.Series, resamples: Resamples) -> dict[str, Any]:
    p, y = probability.to_numpy(), observed.to_numpy()
    pairs = np.stack([p, y], axis=-1).astype(np.float64)
    area = estimate(pairs, auc, resamples, ONE_CLASS)
    squared = estimate((p - y) ** 2, means, resamples)
    return cells(
        n=len(p),
        n_events=int(y.sum()),
        **area.named("auc"),
        **squared.named("brier"),
        **calibration_cells(pairs, lambda: resamples),
        **estimate_ici(pairs, resamples).named("ici"),
    )
