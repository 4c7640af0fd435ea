"""Table `calibration_curves`: observed share of events against the probability."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp.evaluation.cohort.groups import GROUP, by_group
from hemexp.statistics.bootstrap import Resampling
from hemexp.statistics.calibration_curve import curve_with_band, no_curve
from hemexp.statistics.wilson import wilson_interval
from hemexp.tables import table_of

COLUMNS = (
    *GROUP,
    "model",
    "indicator",
    "kind",
    "n",
    "predicted",
    "observed",
    "low",
    "high",
    "note",
)
GROUP_SIZE, MOST_GROUPS = 10, 5


def tabulate_calibration_curves(
    probabilities: pd.DataFrame, resampling: Resampling
) -> pd.DataFrame:
    """Smoothed curves, and patients in groups of equal size, of every model.

    Args:
        probabilities: Rows of one event, from `event_probabilities`.
        resampling: How the bands are drawn.

    Returns:
        `kind` is `curve`, `n` then all patients, or `group`, with the patients of the group. A
        model without a curve has one empty row that says why.
    """
    rows = []
    for group, patients in by_group(probabilities):
        for (model, indicator), part in patients.groupby(["model", "indicator"], sort=False):
            head = group | {"model": model, "indicator": indicator}
            pairs = part[["probability", "observed"]].to_numpy(dtype=np.float64)
            rows += [head | row for row in _curve_rows(pairs, resampling, head)]
            groups = group_by_prediction(*pairs.T).to_dict("records")
            rows += [head | {"kind": "group", "note": ""} | row for row in groups]
    return table_of(rows, COLUMNS)


def _curve_rows(
    pairs: NDArray[np.float64], resampling: Resampling, head: dict[str, str]
) -> list[dict[str, Any]]:
    row = {"kind": "curve", "n": len(pairs)}
    if reason := no_curve(*pairs.T):
        return [row | {"note": reason}]
    resamples = resampling.of_row("calibration_curves", *head.values())
    names = ("predicted", "observed", "low", "high")
    points = zip(*curve_with_band(pairs, resamples), strict=True)
    return [row | dict(zip(names, point, strict=True)) | {"note": ""} for point in points]


def group_by_prediction(probability: NDArray, observed: NDArray) -> pd.DataFrame:
    """Patients in groups of equal size by predicted probability.

    Returns:
        Columns predicted, observed, n, low, high (Wilson); at most five rows.
    """
    groups = int(np.clip(len(probability) // GROUP_SIZE, 1, MOST_GROUPS))
    parts = np.array_split(np.argsort(probability, kind="stable"), groups)
    table = pd.DataFrame(
        {"predicted": probability[part].mean(), "observed": observed[part].mean(), "n": len(part)}
        for part in parts
    )
    low, high = wilson_interval(table["observed"].to_numpy(), table["n"].to_numpy())
    return table.assign(low=low, high=high)
