"""Table `decision_curve`: what acting on p(expansion) would be worth, by threshold."""

from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp.statistics.bootstrap import Resampling, estimate
from hemexp.tables import cells, table_of

COLUMNS = (
    "split",
    "model",
    "indicator",
    "threshold",
    "n",
    "n_events",
    "net_benefit",
    "net_benefit_low",
    "net_benefit_high",
    "note",
)
THRESHOLDS = np.arange(5, 51) / 100
"""Probabilities from which somebody might treat; treating one event is then worth 19 to 1 needless
treatments."""

TREAT_ALL, TREAT_NONE = "treat_all", "treat_none"


def net_benefit(rows: NDArray, threshold: float) -> NDArray[np.float64]:
    """Net benefit of treating whoever reaches a threshold, of rows of patients.

    True positives less false positives, these weighted by the odds of the threshold, over all
    patients (Vickers and Elkin 2006, Med Decis Making 26:565): 0 for treating nobody.

    Args:
        rows: Probability and event (0/1), (repeats, n, 2).
        threshold: Between 0 and 1.
    """
    treated, event = rows[..., 0] >= threshold, rows[..., 1] == 1
    worth = np.where(event, 1.0, -threshold / (1 - threshold))
    return (treated * worth).mean(axis=1)


def tabulate_decision_curve(probabilities: pd.DataFrame, resampling: Resampling) -> pd.DataFrame:
    """Net benefit of every model, of treating all and of treating none, at every threshold.

    Args:
        probabilities: Rows of one event, from `event_probabilities`.
        resampling: How intervals are drawn.
    """
    rows = []
    for split, patients in probabilities.groupby("split"):
        once = patients.drop_duplicates("patient_id").assign(indicator="none")
        strategies = [
            once.assign(model=TREAT_ALL, probability=1.0),
            once.assign(model=TREAT_NONE, probability=0.0),
        ]
        everything = pd.concat([patients, *strategies])
        for (model, indicator), part in everything.groupby(["model", "indicator"], sort=False):
            pairs = part[["probability", "observed"]].to_numpy(dtype=np.float64)
            for threshold in THRESHOLDS:
                head = {"split": split, "model": model, "indicator": indicator}
                head["threshold"] = threshold
                resamples = resampling.of_row("decision_curve", *head.values())
                found = estimate(pairs, partial(net_benefit, threshold=threshold), resamples)
                counts = {"n": len(pairs), "n_events": int(pairs[:, 1].sum())}
                rows.append(head | cells(**counts, **found.named("net_benefit")))
    return table_of(rows, COLUMNS)
