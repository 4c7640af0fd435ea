"""Tables `images` and `images_oracle`: means over patients of the scores of masks and images."""

import pandas as pd

from hemexp.evaluation.cohort.groups import GROUP, by_group
from hemexp.evaluation.metrics import METRICS
from hemexp.statistics.bootstrap import ONE_PATIENT, Resampling, estimate, means
from hemexp.tables import cells, table_of

COLUMNS = (
    *GROUP,
    "model",
    "indicator",
    "metric",
    "n",
    "n_undefined",
    "mean",
    "low",
    "high",
    "note",
)


def tabulate_images(scores: pd.DataFrame, resampling: Resampling) -> pd.DataFrame:
    """Means over patients of the metrics that people are shown.

    Args:
        scores: The patients' `scores.tsv` with split and center.
        resampling: How intervals are drawn.

    Returns:
        `n` patients have the score, `n_undefined` have none (no such blood on the true scan, for
        instance) and are left out of the mean.
    """
    shown = {name for name, metric in METRICS.items() if metric.what}
    rows = []
    for group, patients in by_group(scores[scores["metric"].isin(shown)]):
        keys = ["model", "indicator", "metric"]
        for (model, indicator, metric), part in patients.groupby(keys, sort=False):
            head = group | {"model": model, "indicator": indicator, "metric": metric}
            values = part["value"].dropna().to_numpy()
            reasons = "; ".join([*sorted(set(part["note"]) - {""}), ONE_PATIENT])
            resamples = resampling.of_row("images", *head.values())
            found = estimate(values, means, resamples, missing=reasons)
            counts = {"n": len(values), "n_undefined": len(part) - len(values)}
            rows.append(head | counts | cells(**found.columns("mean")))
    return table_of(rows, COLUMNS)
