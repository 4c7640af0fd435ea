"""Table `expected`: forecasts against everything that might have happened, for the phantom.

A cohort shows one outcome a patient, and a hundred of them tell a good forecast of growth from a
fair one only by luck: few expand, and those decide. The phantom's true distribution of growth is
known, so every score can be averaged over it instead of being read off the one outcome. What is
left to chance is which patients were drawn and what the models learned.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from hemexp.evaluation.cohort.conformal import INTERVAL_LEVELS, Levels
from hemexp.evaluation.cohort.expectations import Expectations, average_scores
from hemexp.evaluation.cohort.forecasts import TRUE_DISTRIBUTION, Forecast
from hemexp.evaluation.cohort.groups import GROUP, by_group
from hemexp.evaluation.cohort.paired_differences import (
    BEST,
    NO_SKILL,
    best_tabular,
    skill_fraction,
)
from hemexp.provenance import seed_for
from hemexp.statistics.bootstrap import Resampling, Statistic, estimate, means
from hemexp.statistics.calibration import NO_LEVEL, NO_RATIO, NO_SLOPE, levels, oe_ratios, slopes
from hemexp.statistics.discrimination import expected_auc
from hemexp.tables import cells, table_of

COLUMNS = (
    *GROUP,
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
TARGET, EVENT = "iph_ml", "he"
"""Volume and event whose true distribution a formula tells."""

COMPARED_TO = ("climatology", "copy_baseline", "tabular", BEST, TRUE_DISTRIBUTION)
Key, Row = tuple[str, str], dict[str, Any]
"""Model and indicator of a forecast; a row of the table."""

NO_PAIR = "no AUC: fewer than two patients"


def tabulate_expected(
    forecasts: list[Forecast],
    events: pd.DataFrame,
    outcomes: pd.DataFrame,
    fitted: dict[str, tuple[Levels, ...]],
    resampling: Resampling,
) -> pd.DataFrame:
    """Every forecast of IPH volume and of expansion against the phantom's true distribution.

    Args:
        forecasts: All of them; those of follow-up IPH volume count, the true one among them.
        events: From `event_probabilities`.
        outcomes: `outcomes.tsv`, indexed by patient.
        fitted: Conformal levels, a pair for each of `INTERVAL_LEVELS`, of models that have some.
        resampling: How intervals are drawn.

    Returns:
        One row a measure; `reference` is what a difference is taken to. Empty without a true
        distribution. Measures: `crps_ml`, `crps_difference_ml`, `skill_fraction` (see
        `comparisons`), `bias_ml`, `coverage50`, `coverage90` and the same `_conformal`,
        `spread_ratio`; of the probability of expansion `auc`, `auc_difference`, `brier`,
        `calibration_in_the_large`, `oe_ratio` and `calibration_slope`.
    """
    volumes = [one for one in forecasts if one.target == TARGET]
    truth = next((one for one in volumes if one.model == TRUE_DISTRIBUTION), None)
    if truth is None:
        return table_of([], COLUMNS)
    averages = {
        (one.model, one.indicator): _average_all(one, truth, fitted.get(one.model, ()), resampling)
        for one in volumes
    }
    known = outcomes.loc[list(truth.draws), ["split", "center"]].rename_axis("patient_id")
    rows = []
    for group, patients in by_group(known.reset_index()):
        ids = list(patients["patient_id"])
        same = {key: [of[name] for name in ids if name in of] for key, of in averages.items()}
        whole = {key: part for key, part in same.items() if len(part) == len(ids)}
        rows += _volume_rows(group, whole, resampling)
        part = events[(events["event"] == EVENT) & events["patient_id"].isin(ids)]
        rows += _event_rows(group, part, resampling)
    return table_of(rows, COLUMNS)


def _average_all(
    forecast: Forecast, truth: Forecast, fitted: tuple[Levels, ...], resampling: Resampling
) -> dict[str, Expectations]:
    found = {}
    for name in truth.draws.keys() & forecast.draws.keys():
        parts = ("expected", forecast.model, forecast.indicator, name)
        rng = np.random.default_rng(seed_for(resampling.seed, "pit", *parts))
        draws = forecast.draws[name]
        found[name] = average_scores(draws, forecast.kind, truth.draws[name], fitted, rng)
    return found


def _difference(rows: NDArray) -> NDArray:
    return (rows[..., 0] - rows[..., 1]).mean(axis=1)


def _spread(rows: NDArray) -> NDArray:
    return np.sqrt(rows[..., 0].mean(axis=1) / rows[..., 1].mean(axis=1))


def _auc_difference(rows: NDArray) -> NDArray:
    return expected_auc(rows) - expected_auc(rows[..., [1, 1]])


def _volume_rows(
    group: dict[str, str], averages: dict[Key, list[Expectations]], resampling: Resampling
) -> list[Row]:
    crps_ml = {key: np.array([one.crps_ml for one in part]) for key, part in averages.items()}
    references = {key[0]: key for key in averages if key[0] in COMPARED_TO}
    if best := best_tabular({key[0]: one.mean() for key, one in crps_ml.items()}):
        references[BEST] = (best, "none")
    rows = []
    for key, part in averages.items():
        ours, row = crps_ml[key], _Rows(group, *key, resampling).row
        rows.append(row("crps_ml", [ours]))
        rows.append(row("bias_ml", [[one.bias_ml for one in part]]))
        rows += [
            row("crps_difference_ml", [ours, crps_ml[other]], _difference, reference)
            for reference, other in references.items()
            if other != key
        ]
        scale = [references.get(name) for name in ("climatology", TRUE_DISTRIBUTION)]
        if None not in scale and key != scale[0]:
            three = [ours, *(crps_ml[end] for end in scale)]
            rows.append(row("skill_fraction", three, skill_fraction, TRUE_DISTRIBUTION, NO_SKILL))
        if any(one.variance_ml2 > 0 for one in part):  # a point forecast has no interval
            squares = [[one.variance_ml2 for one in part], [one.error_ml2 for one in part]]
            rows += [row("spread_ratio", squares, _spread), *_coverage_rows(row, part)]
    return rows


def _coverage_rows(row: Callable[..., Row], part: list[Expectations]) -> list[Row]:
    return [
        row(f"coverage{round(100 * level)}{ending}", [inside])
        for ending, name in (("", "inside"), ("_conformal", "calibrated"))
        # A model without conformal levels has nothing calibrated: no row.
        for level, *inside in zip(
            INTERVAL_LEVELS, *(getattr(one, name) for one in part), strict=False
        )
    ]


def _event_rows(group: dict[str, str], events: pd.DataFrame, resampling: Resampling) -> list[Row]:
    rows = []
    truth = events[events["model"] == TRUE_DISTRIBUTION].set_index("patient_id")["probability"]
    events = events[events["patient_id"].isin(truth.index)]
    for key, part in events.groupby(["model", "indicator"], sort=False):
        p, q = part["probability"].to_numpy(), truth[part["patient_id"]].to_numpy()
        row = _Rows(group, *key, resampling).row
        rows.append(row("auc", [p, q], expected_auc, missing=NO_PAIR))
        if key[0] != TRUE_DISTRIBUTION:
            to = TRUE_DISTRIBUTION
            rows.append(row("auc_difference", [p, q], _auc_difference, to, NO_PAIR))
        rows.append(row("brier", [q * (1 - p) ** 2 + (1 - q) * p**2]))
        rows.append(row("calibration_in_the_large", [p, q], levels, missing=NO_LEVEL))
        rows.append(row("oe_ratio", [p, q], oe_ratios, missing=NO_RATIO))
        rows.append(row("calibration_slope", [p, q], slopes, missing=NO_SLOPE))
    return rows


@dataclass(frozen=True)
class _Rows:
    """Makes one model's rows: a statistic of patients with its interval."""

    group: dict[str, str]
    model: str
    indicator: str
    resampling: Resampling

    def row(
        self,
        measure: str,
        columns: list[ArrayLike],
        statistic: Statistic = means,
        reference: str = "none",
        missing: str = "",
    ) -> Row:
        """One row; `columns` hold a number a patient each."""
        head = self.group | {
            "model": self.model,
            "indicator": self.indicator,
            "reference": reference,
            "measure": measure,
        }
        values = np.stack([np.asarray(one, dtype=float) for one in columns], axis=-1)
        values = values[:, 0] if len(columns) == 1 else values
        resamples = self.resampling.of_row("expected", *head.values())
        found = estimate(values, statistic, resamples, missing)
        return head | cells(n=len(values), **found.columns())
