"""Table `subgroups`: our forecasts in groups of patients, a row a group."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp.evaluation.cohort.characteristics import VARIABLES, levels_of
from hemexp.evaluation.cohort.forecast_scores import POINT
from hemexp.statistics.bootstrap import Estimate, Resamples, Resampling, estimate, means, undefined
from hemexp.statistics.calibration import LEAST_EVENTS, levels
from hemexp.statistics.discrimination import auc
from hemexp.statistics.scores import coverage
from hemexp.statistics.wilson import wilson_interval
from hemexp.tables import cells, table_of

LEVEL = "calibration_in_the_large"
COLUMNS = (
    "split",
    "variable",
    "level",
    "model",
    "indicator",
    "n",
    "n_events",
    *(f"crps{end}_ml" for end in ("", "_low", "_high")),
    *(f"{name}{end}" for name in ("auc", "coverage90", LEVEL) for end in ("", "_low", "_high")),
    "note",
)
NOBODY = "no patient"
TOO_FEW = f"no AUC nor calibration: fewer than {LEAST_EVENTS} patients with or without the event"
OURS = "hemexp"


def tabulate_subgroups(
    scored: pd.DataFrame,
    probabilities: pd.DataFrame,
    patients: pd.DataFrame,
    resampling: Resampling,
) -> pd.DataFrame:
    """Volumes and expansion as we forecast them, in every level of every variable.

    Args:
        scored: From `forecast_scores.score_forecasts`.
        probabilities: Of expansion, from `event_probabilities`.
        patients: What `characteristics.VARIABLES` are made from, indexed by patient.
        resampling: How intervals are drawn.
    """
    ours = scored[(scored["model"] == OURS) & (scored["target"] == "iph_ml")]
    keys = ["patient_id", "split", "model", "indicator"]
    table = ours[[*keys, "k", "crps_ml", "pit"]].merge(
        probabilities[[*keys, "probability", "observed"]], on=keys
    )
    rows = []
    for (split, indicator), part in table.groupby(["split", "indicator"], sort=False):
        part = part.set_index("patient_id")
        for variable in VARIABLES:
            for level, members in levels_of(patients.loc[part.index], variable):
                head = {"split": split, "variable": variable, "level": level}
                head |= {"model": OURS, "indicator": indicator}
                resamples = resampling.of_row("subgroups", *head.values())
                rows.append(head | _row(part.loc[members], resamples))
    return table_of(rows, COLUMNS)


def _row(part: pd.DataFrame, resamples: Resamples) -> dict[str, Any]:
    if part.empty:
        return {"n": 0, "n_events": 0, "note": NOBODY}
    pairs = part[["probability", "observed"]].to_numpy(dtype=np.float64)
    events = int(pairs[:, 1].sum())
    area = level = undefined(TOO_FEW)
    if min(events, len(pairs) - events) >= LEAST_EVENTS:
        area, level = (estimate(pairs, statistic, resamples) for statistic in (auc, levels))
    return cells(
        n=len(pairs),
        n_events=events,
        **estimate(part["crps_ml"], means, resamples).named("crps", "_ml"),
        **area.named("auc"),
        **_coverage(part["pit"].to_numpy(), int(part["k"].min())).named("coverage90"),
        **level.named(LEVEL),
    )


def _coverage(pit: NDArray[np.float64], k: int) -> Estimate:
    """Share of outcomes inside the central 90 % interval; a single draw has no interval."""
    if k == 1:
        return undefined(POINT)
    share = coverage(pit, 0.9)
    return Estimate(share, *wilson_interval(np.float64(share), np.int64(len(pit))))
