"""Tables `roc` and `thresholds`: telling who will expand, at every and at some thresholds."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from hemexp.evaluation.cohort.groups import GROUP, by_group
from hemexp.statistics.bootstrap import Estimate, undefined
from hemexp.statistics.wilson import wilson_interval
from hemexp.tables import cells, table_of

CURVE_COLUMNS = (
    "split",
    "model",
    "indicator",
    "n",
    "n_events",
    "threshold",
    "false_positive_rate",
    "sensitivity",
)
NOBODY = 2.0
"""A threshold that no probability reaches, in place of scikit-learn's infinity."""

FIXED = (0.1, 0.2, 0.3, 0.5)
YOUDEN = "youden"
SHARES = {
    "sensitivity": "no patient with the event",
    "specificity": "no patient without the event",
    "ppv": "nobody reaches the threshold",
    "npv": "everybody reaches the threshold",
}
"""What is said of a threshold, and why it may be undefined."""

THRESHOLD_COLUMNS = (
    *GROUP,
    "model",
    "indicator",
    "criterion",
    "n",
    "n_events",
    "threshold",
    *(f"{name}{end}" for name in SHARES for end in ("", "_low", "_high")),
    "note",
)
NO_YOUDEN = "no best threshold: only one class was observed"


def tabulate_roc(probabilities: pd.DataFrame) -> pd.DataFrame:
    """Points of the ROC curve of every model; none where only one class was observed.

    Args:
        probabilities: Rows of one event, from `event_probabilities`.

    Returns:
        From (0, 0), whose threshold is `NOBODY`, to (1, 1).
    """
    rows = []
    keys = ["split", "model", "indicator"]
    for group, part in probabilities.groupby(keys, sort=False):
        event = part["observed"].to_numpy()
        if event.min() == event.max():
            continue
        curve = roc_curve(event, part["probability"], drop_intermediate=False)
        head = dict(zip(keys, group, strict=True))
        head |= {"n": len(part), "n_events": int(event.sum())}
        for false_positive_rate, sensitivity, threshold in zip(*curve, strict=True):
            rows.append(
                head
                | {
                    "threshold": threshold if np.isfinite(threshold) else NOBODY,
                    "false_positive_rate": false_positive_rate,
                    "sensitivity": sensitivity,
                }
            )
    return table_of(rows, CURVE_COLUMNS)


def tabulate_thresholds(probabilities: pd.DataFrame) -> pd.DataFrame:
    """Sensitivity, specificity and predictive values at fixed thresholds and at the best one.

    Args:
        probabilities: Rows of one event, from `event_probabilities`.

    Returns:
        The criterion is `fixed` or `youden`: the threshold with the greatest sensitivity +
        specificity - 1 (Youden 1950) on these very patients.
    """
    rows = []
    for group, patients in by_group(probabilities):
        for (model, indicator), part in patients.groupby(["model", "indicator"], sort=False):
            p, event = part["probability"].to_numpy(), part["observed"].to_numpy() == 1
            best = best_threshold(p, event)
            counts = {"n": len(p), "n_events": int(event.sum())}
            cuts = [("fixed", cut) for cut in FIXED] + [(YOUDEN, best)]
            for criterion, cut in cuts:
                head = group | {"model": model, "indicator": indicator, "criterion": criterion}
                found = {name: undefined(NO_YOUDEN) for name in SHARES}
                if cut is not None:
                    found = threshold_shares(p, event, cut)
                named = [share.named(name) for name, share in found.items()]
                shares = {key: cell for one in named for key, cell in one.items()}
                rows.append(head | cells(**counts, threshold=cut, **shares))
    return table_of(rows, THRESHOLD_COLUMNS)


def best_threshold(probability: NDArray, event: NDArray[np.bool_]) -> float | None:
    """The lowest threshold with the greatest Youden index; None of one class."""
    if event.min() == event.max():
        return None
    cuts = np.unique(probability)
    reached = probability >= cuts[:, None]
    index = reached[:, event].mean(axis=1) - reached[:, ~event].mean(axis=1)
    return float(cuts[index.argmax()])


def threshold_shares(
    probability: NDArray, event: NDArray[np.bool_], threshold: float
) -> dict[str, Estimate]:
    """The four `SHARES` of a threshold with 95 % intervals (Wilson)."""
    reached = probability >= threshold
    among = {
        "sensitivity": reached[event],
        "specificity": ~reached[~event],
        "ppv": event[reached],
        "npv": ~event[~reached],
    }
    return {name: _share(among[name], reason) for name, reason in SHARES.items()}


def _share(right: NDArray[np.bool_], reason: str) -> Estimate:
    if not right.size:
        return undefined(reason)
    share = right.mean()
    low, high = wilson_interval(share, np.int64(right.size))
    return Estimate(float(share), float(low), float(high))
