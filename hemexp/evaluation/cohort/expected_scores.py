"""Forecasts against everything that might have happened, where the truth is known: the phantom.

A cohort shows one outcome a patient, and a hundred of them tell a good forecast of growth from a
fair one only by luck: few expand, and those decide. The phantom's true distribution of growth is
known, so every score can be averaged over it instead of being read off the one outcome. What is
left to chance is which patients were drawn and what the models learned.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from hemexp.evaluation.cohort.conformal import LEVELS, Levels, share_inside
from hemexp.evaluation.cohort.forecasts import Forecast
from hemexp.evaluation.cohort.paired_differences import (
    BEST,
    NO_SKILL,
    TRUE,
    best_tabular,
    skill_fraction_rows,
    told_cells,
)
from hemexp.evaluation.cohort.tables import GROUP, Resampling, by_group
from hemexp.provenance import seed_for
from hemexp.statistics.calibration_line import NO_SLOPE, slopes
from hemexp.statistics.scores import (
    Kind,
    Score,
    bootstrap_interval,
    coverage,
    crps,
    ensemble_sd,
    finite,
    randomised_pit,
)
from hemexp.tables import table_of

EXPECTED = (
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

REFERENCES = ("climatology", "copy_baseline", "tabular", BEST, TRUE)
NO_PAIR = "no AUC: fewer than two patients"
Statistic = Callable[[NDArray], NDArray]


def expected_crps(outcomes: ArrayLike, draws: ArrayLike, kind: Kind = "independent") -> float:
    """Mean CRPS over equally likely outcomes.

    The CRPS is the mean distance of outcome and draws less half the spread of the draws, and only
    the first depends on the outcome: one CRPS tells the second for all.

    Args:
        outcomes: Shape (m,).
        draws: Shape (K,), same unit.
        kind: What the draws are.
    """
    outcomes, draws = np.asarray(outcomes, float), np.asarray(draws, float)
    away = np.abs(outcomes[:, None] - draws).mean(axis=1)
    half_spread = away[0] - crps(outcomes[0], draws, kind)
    return float(away.mean() - half_spread)


def expected_auc(probability: ArrayLike, truth: ArrayLike) -> float:
    """Chance that of an expander and another patient the expander was given more; ties count half.

    Args:
        probability: What a model says, (n,).
        truth: True probabilities of the event, (n,): weights of each patient as either of the two.

    Returns:
        NaN with fewer than two patients.
    """
    p, q = np.asarray(probability, float), np.asarray(truth, float)
    weight = q[:, None] * (1 - q)
    np.fill_diagonal(weight, 0)
    ahead = (p[:, None] > p) + 0.5 * (p[:, None] == p)
    return float((weight * ahead).sum() / weight.sum()) if weight.sum() > 0 else np.nan


class Means(NamedTuple):
    """One patient's scores under one forecast, averaged over the true distribution.

    Attributes:
        crps_ml: CRPS.
        bias_ml: Mean of the draws minus true mean.
        variance_ml2: Variance of the draws.
        error_ml2: Squared distance of outcome and mean of the draws.
        inside: Chance of the outcome inside the interval of each level of `LEVELS`.
        calibrated: The same after conformal calibration.
    """

    crps_ml: float
    bias_ml: float
    variance_ml2: float
    error_ml2: float
    inside: tuple[float, ...]
    calibrated: tuple[float, ...]


def average(
    draws: NDArray[np.float64],
    kind: Kind,
    outcomes: NDArray[np.float64],
    fitted: tuple[Levels, ...],
    rng: np.random.Generator,
) -> Means:
    """Scores of one forecast of one patient over equally likely outcomes (m,), in mL."""
    pit = [randomised_pit(one, draws, rng, kind) for one in outcomes]
    return Means(
        crps_ml=expected_crps(outcomes, draws, kind),
        bias_ml=float(draws.mean() - outcomes.mean()),
        variance_ml2=ensemble_sd(draws, kind) ** 2 if draws.size > 1 else 0.0,
        error_ml2=float(((outcomes - draws.mean()) ** 2).mean()),
        inside=tuple(coverage(pit, level) for level in LEVELS),
        calibrated=tuple(share_inside(pit, levels) for levels in fitted),
    )


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
        events: From `events.event_probabilities`.
        outcomes: `outcomes.tsv`, indexed by patient.
        fitted: Conformal levels (one pair a level of `LEVELS`) of the models that have some.
        resampling: How intervals are drawn.

    Returns:
        One row a measure; `reference` is what a difference is taken to. Empty without a true
        distribution. Measures: `crps_ml`, `crps_difference_ml`, `skill_fraction` (see
        `comparisons`), `bias_ml`, `coverage50`, `coverage90` and the same `_conformal`,
        `spread_ratio`; of the probability of expansion `auc`, `auc_difference`, `brier` and
        `calibration_slope`.
    """
    volumes = [one for one in forecasts if one.target == TARGET]
    truth = next((one for one in volumes if one.model == TRUE), None)
    if truth is None:
        return table_of([], EXPECTED)
    means = {
        (one.model, one.indicator): _average_all(one, truth, fitted.get(one.model, ()), resampling)
        for one in volumes
    }
    known = outcomes.loc[list(truth.draws), ["split", "center"]].rename_axis("patient_id")
    rows = []
    for group, patients in by_group(known.reset_index()):
        ids = list(patients["patient_id"])
        same = {key: [of[name] for name in ids if name in of] for key, of in means.items()}
        whole = {key: part for key, part in same.items() if len(part) == len(ids)}
        rows += _volume_rows(group, whole, resampling)
        part = events[(events["event"] == EVENT) & events["patient_id"].isin(ids)]
        rows += _event_rows(group, part, resampling)
    return table_of(rows, EXPECTED)


def _average_all(
    forecast: Forecast, truth: Forecast, fitted: tuple[Levels, ...], resampling: Resampling
) -> dict[str, Means]:
    found = {}
    for name in truth.draws.keys() & forecast.draws.keys():
        parts = ("expected", forecast.model, forecast.indicator, name)
        rng = np.random.default_rng(seed_for(resampling.seed, "pit", *parts))
        draws = forecast.draws[name]
        found[name] = average(draws, forecast.kind, truth.draws[name], fitted, rng)
    return found


def _mean(rows: NDArray) -> NDArray:
    return rows[..., 0].mean(axis=1)


def _difference(rows: NDArray) -> NDArray:
    return (rows[..., 0] - rows[..., 1]).mean(axis=1)


def _spread(rows: NDArray) -> NDArray:
    return np.sqrt(rows[..., 0].mean(axis=1) / rows[..., 1].mean(axis=1))


def _auc(rows: NDArray) -> NDArray:
    return np.array([expected_auc(*one.T) for one in rows])


def _auc_difference(rows: NDArray) -> NDArray:
    return _auc(rows) - _auc(rows[..., [1, 1]])


def _volume_rows(
    group: dict[str, str], means: dict[tuple[str, str], list[Means]], resampling: Resampling
) -> list[dict[str, Any]]:
    crps_ml = {key: np.array([one.crps_ml for one in part]) for key, part in means.items()}
    references = {key[0]: key for key in means if key[0] in REFERENCES}
    if best := best_tabular({key[0]: one.mean() for key, one in crps_ml.items()}):
        references[BEST] = (best, "none")
    rows = []
    for key, part in means.items():
        ours, tell = crps_ml[key], _teller(group, key, resampling)
        rows.append(tell("crps_ml", [ours], _mean))
        rows.append(tell("bias_ml", [[one.bias_ml for one in part]], _mean))
        rows += [
            tell("crps_difference_ml", [ours, crps_ml[other]], _difference, reference)
            for reference, other in references.items()
            if other != key
        ]
        if {"climatology", TRUE} <= set(references) and key != references["climatology"]:
            three = [ours, crps_ml[references["climatology"]], crps_ml[references[TRUE]]]
            rows.append(tell("skill_fraction", three, skill_fraction_rows, TRUE, NO_SKILL))
        if any(one.variance_ml2 > 0 for one in part):  # a point forecast has no interval
            squares = [[one.variance_ml2 for one in part], [one.error_ml2 for one in part]]
            rows += [tell("spread_ratio", squares, _spread), *_coverage_rows(tell, part)]
    return rows


def _coverage_rows(tell: Callable[..., dict[str, Any]], part: list[Means]) -> list[dict[str, Any]]:
    return [
        tell(f"coverage{round(100 * level)}{ending}", [inside], _mean)
        for ending, name in (("", "inside"), ("_conformal", "calibrated"))
        # A model without conformal levels has nothing calibrated: no row.
        for level, *inside in zip(LEVELS, *(getattr(one, name) for one in part), strict=False)
    ]


def _event_rows(
    group: dict[str, str], events: pd.DataFrame, resampling: Resampling
) -> list[dict[str, Any]]:
    rows = []
    truth = events[events["model"] == TRUE].set_index("patient_id")["probability"]
    events = events[events["patient_id"].isin(truth.index)]
    for key, part in events.groupby(["model", "indicator"], sort=False):
        p, q = part["probability"].to_numpy(), truth[part["patient_id"]].to_numpy()
        tell = _teller(group, key, resampling)
        rows.append(tell("auc", [p, q], _auc, missing=NO_PAIR))
        if key[0] != TRUE:
            rows.append(tell("auc_difference", [p, q], _auc_difference, TRUE, NO_PAIR))
        rows.append(tell("brier", [q * (1 - p) ** 2 + (1 - q) * p**2], _mean))
        rows.append(tell("calibration_slope", [p, q], slopes, missing=NO_SLOPE))
    return rows


def _teller(
    group: dict[str, str], key: tuple[str, str], resampling: Resampling
) -> Callable[..., dict[str, Any]]:
    """What makes one model's rows: a statistic of patients with its bootstrap interval."""

    def tell(
        measure: str,
        columns: list[ArrayLike],
        statistic: Statistic,
        reference: str = "none",
        missing: str = "",
    ) -> dict[str, Any]:
        head = group | {
            "model": key[0],
            "indicator": key[1],
            "reference": reference,
            "measure": measure,
        }
        values = np.stack([np.asarray(one, dtype=float) for one in columns], axis=-1)
        told = float(statistic(values[None])[0])
        if not np.isfinite(told):
            return head | told_cells(len(values), Score(None, missing), None)
        rng = resampling.rng("expected", *head.values())
        interval = bootstrap_interval(values, resampling.repeats, rng, finite(statistic))
        return head | told_cells(len(values), Score(told), interval)

    return tell
