"""Rows of table `comparisons`: AUC of expansion, ours minus that of every other model."""

import pandas as pd

from hemexp.evaluation.cohort.groups import by_group
from hemexp.evaluation.cohort.paired_differences import COLUMNS, OURS
from hemexp.statistics.delong import auc_difference
from hemexp.tables import cells, table_of

MEASURE = "auc_difference"


def tabulate_auc_differences(probabilities: pd.DataFrame) -> pd.DataFrame:
    """Our probabilities of one event against those of every other model, on the same patients.

    Args:
        probabilities: Rows of one event, from `event_probabilities`.

    Returns:
        The columns of `comparisons`; the target is the event, the measure `auc_difference`, above
        0 where ours tells patients apart better.
    """
    rows = []
    for group, patients in by_group(probabilities):
        beside = patients.pivot_table(
            index=["patient_id", "observed", "event"],
            columns=["model", "indicator"],
            values="probability",
        )
        ours = [key for key in beside if key[0] in OURS]
        others = [key for key in beside if key[0] not in OURS]
        for model, indicator in ours:
            for other in others:
                pairs = beside[[(model, indicator), other]].dropna()
                head = group | {
                    "target": pairs.index.get_level_values("event")[0],
                    "model": model,
                    "indicator": indicator,
                    "reference": other[0],
                    "measure": MEASURE,
                }
                found = auc_difference(
                    *pairs.to_numpy().T, pairs.index.get_level_values("observed").to_numpy()
                )
                rows.append(head | cells(n=len(pairs), **found.columns()))
    return table_of(rows, COLUMNS)
