"""Table `conformal`: intervals at levels learned where the forecast was already put to test.

A forecast's interval at level L runs between its quantiles (1 - L) / 2 and (1 + L) / 2. If
outcomes of training patients, each forecast by models that never saw it, fall outside more often,
other quantiles are taken: those between which the right share of the training patients' PIT
values lay (distributional conformal prediction, Chernozhukov 2021, PNAS 118:e2107794118). Released
models bring none, unless they were recalibrated: those patients' PIT values count then. For
patients exchangeable with these the interval holds its level whatever the forecast's faults; a
new centre is not, so coverage is reported centre by centre.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom

from hemexp.evaluation.cohort.forecast_scores import POINT
from hemexp.evaluation.cohort.forecasts import Forecast
from hemexp.evaluation.cohort.groups import GROUP, by_group
from hemexp.provenance import seed_for
from hemexp.statistics.scores import Kind, Score, coverage, quantiles, randomised_pit
from hemexp.tables import cells, table_of

INTERVAL_LEVELS = (0.5, 0.9)
COLUMNS = (
    *GROUP,
    "model",
    "indicator",
    "target",
    "level",
    "n",
    "n_calibration",
    "lower_level",
    "upper_level",
    "coverage_before",
    "coverage_after",
    "band_low",
    "band_high",
    "width_before_ml",
    "width_after_ml",
    "note",
)
NOT_FITTED = "no calibration: there are no cross-fitted forecasts of training patients"


class Levels(NamedTuple):
    """Between which of a forecast's levels an interval runs."""

    lower: float
    upper: float


def nominal(level: float) -> Levels:
    """The central interval of a forecast that is taken at its word."""
    return Levels((1 - level) / 2, (1 + level) / 2)


def fit_levels(pit: ArrayLike, level: float) -> Levels:
    """The levels between which a share `level` of new PIT values will lie, or more.

    Args:
        pit: PIT values of n patients whom the forecast's makers had not seen.
        level: Such as 0.9.

    Returns:
        Order statistics of the PIT values with the finite-sample ranks of split conformal
        prediction, a tail of (1 - level) / 2 at each side; 0 and 1 where n is too small for one.
    """
    ordered = np.sort(np.asarray(pit, dtype=np.float64))
    n = len(ordered)
    rank = math.floor((n + 1) * (1 - level) / 2 + 1e-9)
    if rank < 1:
        return Levels(0.0, 1.0)
    return Levels(float(ordered[rank - 1]), float(ordered[n - rank]))


def conformal_levels(pit: ArrayLike | None) -> tuple[Levels, ...]:
    """`fit_levels` for each of `INTERVAL_LEVELS`; none where there is nothing to fit on."""
    return () if pit is None else tuple(fit_levels(pit, level) for level in INTERVAL_LEVELS)


def share_inside(pit: ArrayLike, levels: Levels) -> float:
    """Share of outcomes inside the intervals, from their PIT values."""
    pit = np.asarray(pit)
    return float(np.mean((pit >= levels.lower) & (pit <= levels.upper)))


def widths_ml(
    draws: dict[str, NDArray], ids: list[str], levels: Levels, kind: Kind
) -> NDArray[np.float64]:
    """Width of every patient's interval, as far as the draws reach."""
    return np.array([np.ptp(quantiles(draws[name], levels, kind)) for name in ids])


def training_pit(training: pd.DataFrame, outcomes: pd.DataFrame, seed: int) -> NDArray[np.float64]:
    """PIT of training patients' growth under cross-fitted forecasts.

    Args:
        training: Columns patient_id, draw, growth_ml.
        outcomes: `outcomes.tsv`, indexed by patient.
        seed: Run seed; breaks ties.
    """
    values = []
    for name, draws in training.groupby("patient_id")["growth_ml"]:
        rng = np.random.default_rng(seed_for(seed, "pit", "training", name))
        values.append(randomised_pit(outcomes.loc[name, "growth_ml"], draws.to_numpy(), rng))
    return np.array(values)


def recalibrated_pit(record: dict[str, Any]) -> NDArray[np.float64] | None:
    """The same of the patients whom released models were recalibrated on last.

    Args:
        record: `expansion/model.json`; `recalibrate` has put the values there.

    Returns:
        None where the models are as they were trained.
    """
    history = record.get("recalibrated")
    return np.array(history[-1]["pit"]) if history else None


def tabulate_conformal(
    scored: pd.DataFrame, forecasts: list[Forecast], pit: NDArray | None
) -> pd.DataFrame:
    """Coverage of IPH intervals at their word and after calibration, centre by centre.

    Args:
        scored: From `forecasts.score_draws`.
        forecasts: The forecasts that draw from the distribution whose PIT values are given.
        pit: `training_pit` or `recalibrated_pit`; None where there are no such forecasts.

    Returns:
        `band_low` to `band_high` is where 95 % of coverages of n patients lie when the level is
        right (binomial).
    """
    rows = []
    for group, patients in by_group(scored):
        for forecast in forecasts:
            names = ("model", "indicator", "target")
            key = {name: getattr(forecast, name) for name in names}
            part = patients[(patients[list(key)] == list(key.values())).all(axis=1)]
            for level in INTERVAL_LEVELS if len(part) else ():
                row = _row(part, forecast, level, pit)
                rows.append(group | key | {"level": level} | row)
    return table_of(rows, COLUMNS)


def _row(part: pd.DataFrame, forecast: Forecast, level: float, pit: NDArray | None) -> dict:
    if part["k"].min() == 1:
        measures = COLUMNS[COLUMNS.index("n_calibration") + 1 : COLUMNS.index("note")]
        unknown = dict.fromkeys(measures, Score(None, POINT))
        return cells(n=len(part), n_calibration=0 if pit is None else len(pit), **unknown)
    n, drawn = len(part), (forecast.draws, list(part["patient_id"]))
    low, high = (float(binom.ppf(end, n, level) / n) for end in (0.025, 0.975))
    missing = Score(None, NOT_FITTED)
    fitted = None if pit is None or not len(pit) else fit_levels(pit, level)
    return cells(
        n=n,
        n_calibration=0 if pit is None else len(pit),
        lower_level=fitted.lower if fitted else missing,
        upper_level=fitted.upper if fitted else missing,
        coverage_before=coverage(part["pit"], level),
        coverage_after=share_inside(part["pit"], fitted) if fitted else missing,
        band_low=low,
        band_high=high,
        width_before_ml=float(widths_ml(*drawn, nominal(level), forecast.kind).mean()),
        width_after_ml=float(widths_ml(*drawn, fitted, forecast.kind).mean())
        if fitted
        else missing,
    )
