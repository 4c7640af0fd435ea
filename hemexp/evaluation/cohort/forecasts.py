"""Every model's forecast of a follow-up volume as draws per patient."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp import Fault, HemexpError
from hemexp.evaluation.kinds import kind_of
from hemexp.evaluation.patient.series import SHELL_ALONE
from hemexp.layout import Layout
from hemexp.statistics.scores import Kind

TRUE_DISTRIBUTION = "true_distribution"
"""The phantom's own forecast, as tables name it."""

GROWTH_PART = r"growth_part\d{3}_ml"
"""Columns of `truth.tsv` that hold the true law of growth."""

PARTS = {"iph_ml": ("iph",), "ivh_ml": ("ivh",), "total_ml": ("iph", "ivh")}
"""What a target is the sum of."""

SAMPLED = (
    ("hemexp", "iph_ml", ("iph_ml",)),
    ("hemexp_raw", "iph_ml", ("iph_raw_ml",)),
    ("hemexp", "ivh_ml", ("ivh_ml",)),
    ("hemexp_raw", "ivh_ml", ("ivh_raw_ml",)),
    ("hemexp", "total_ml", ("iph_ml", "ivh_ml")),
    ("hemexp_raw", "total_ml", ("iph_raw_ml", "ivh_raw_ml")),
)
"""Model, target and columns of `volumes.tsv`; raw is the volume before the finish."""

REFERENCES: dict[str, Callable[[NDArray], NDArray]] = {
    "climatology": lambda growth_ml: growth_ml,
    "copy_baseline": lambda growth_ml: np.zeros(1),
}
"""Forecasts that know no patient: draws of growth in mL, given that of all training patients. With
released models there may be none; then who makes no draw is left out."""


@dataclass(frozen=True)
class Forecast:
    """One model's draws of one target.

    Attributes:
        model: Such as `hemexp` or `climatology`.
        indicator: How the samples were driven; `none` for references.
        target: `iph_ml`, `ivh_ml` or `total_ml`, of the follow-up.
        draws: Per patient an array of shape (K,), in mL.
        kind: How the draws were made.
    """

    model: str
    indicator: str
    target: str
    draws: dict[str, NDArray]
    kind: Kind = "independent"


def volume_of(outcomes: pd.DataFrame | pd.Series, session: str, target: str) -> Any:  # noqa: ANN401
    """A target's volume in `outcomes.tsv` or one of its rows, in mL."""
    return sum(outcomes[f"{session}_{part}_ml"] for part in PARTS[target])


def sampled_forecasts(volumes: pd.DataFrame) -> list[Forecast]:
    """The drawn follow-ups as forecasts; samples that knew the outcome (`oracle`) are none.

    Args:
        volumes: All patients' `volumes.tsv` with a `patient_id` column.

    Raises:
        HemexpError: Samples of one indicator were drawn in several ways.
    """
    return [
        Forecast(
            model,
            indicator,
            target,
            _draws(rows.assign(drawn_ml=rows[list(columns)].sum(axis=1)), "drawn_ml"),
            kind_of(target, _only_driver(rows)),
        )
        for indicator, rows in volumes.groupby("indicator")
        if indicator != "oracle"
        for model, target, columns in SAMPLED
    ]


def shell_forecasts(measured: pd.DataFrame, outcomes: pd.DataFrame) -> list[Forecast]:
    """The follow-ups without a network as forecasts: none where samples do not rest on any.

    A shell has the growth that was drawn for it, spread evenly.

    Args:
        measured: All patients' `consistency.tsv`.
        outcomes: `outcomes.tsv`, indexed by patient.
    """
    shells = measured[(measured["model"] == SHELL_ALONE) & (measured["indicator"] != "oracle")]
    shells = shells.rename(columns={"growth_ml": "iph_growth_ml"})
    found = []
    for indicator, rows in shells.groupby("indicator"):
        for target, parts in PARTS.items():
            columns = [f"{part}_growth_ml" for part in parts]
            growth = _draws(rows.assign(drawn_ml=rows[columns].sum(axis=1)), "drawn_ml")
            baseline = volume_of(outcomes.loc[list(growth)], "baseline", target)
            grown_ml = _grown(baseline, growth)
            found.append(
                Forecast(SHELL_ALONE, indicator, target, grown_ml, kind_of(target, "even"))
            )
    return found


def reference_forecasts(outcomes: pd.DataFrame, ids: list[str]) -> list[Forecast]:
    """Copy of the baseline, and climatology: what `REFERENCES` draws, added to the baseline.

    Args:
        outcomes: `outcomes.tsv`, indexed by patient.
        ids: Patients to forecast.
    """
    found = []
    train = outcomes[outcomes["split"] == "train"]
    for target in PARTS:
        baseline = volume_of(outcomes.loc[ids], "baseline", target)
        growth = volume_of(train, "followup", target) - volume_of(train, "baseline", target)
        growth = growth.dropna().to_numpy()
        for model, draw in REFERENCES.items():
            draws = draw(growth)
            if len(draws):
                grown = _grown(baseline, dict.fromkeys(ids, draws))
                found.append(Forecast(model, "none", target, grown))
    return found


def tabular_forecasts(
    forecasts: dict[str, pd.DataFrame], outcomes: pd.DataFrame, ids: list[str]
) -> list[Forecast]:
    """The predictive distributions of growth of the room `expansion`, added to the baseline.

    Args:
        forecasts: By name, from `growth_models.by_model`: patient_id, draw, growth_ml; 199
            quantiles a patient.
        outcomes: `outcomes.tsv`, indexed by patient.
        ids: Patients to forecast.
    """
    baseline, found = outcomes.loc[ids, "baseline_iph_ml"], []
    for name, table in forecasts.items():
        growth = _draws(table[table["patient_id"].isin(ids)], "growth_ml")
        _check_complete(growth, ids, f"{Layout().growth('forecasts')}, {name}")
        found.append(Forecast(name, "none", "iph_ml", _grown(baseline, growth), "quantiles"))
    return found


def true_forecast(truth: pd.DataFrame, outcomes: pd.DataFrame, ids: list[str]) -> Forecast:
    """The phantom's true distribution of growth, added to the baseline.

    Args:
        truth: Columns patient_id and growth_part001_ml to the last: mean growth in each of K
            equally likely parts of the law, which serve as K draws.
        outcomes: `outcomes.tsv`, indexed by patient.
        ids: Patients to forecast.

    Raises:
        HemexpError: The table has no parts, or lacks a patient.
    """
    columns = sorted(column for column in truth if re.fullmatch(GROWTH_PART, column))
    where = str(Layout().truths)
    if not columns:
        raise HemexpError(
            Fault(
                where,
                "no column growth_part001_ml",
                "the phantom's law of growth in equally likely parts",
                "Run collect-truth again.",
            )
        )
    rows = truth.set_index("patient_id")[columns]
    _check_complete(dict.fromkeys(rows.index), ids, where)
    growth = {name: rows.loc[name].to_numpy(dtype=np.float64) for name in ids}
    baseline = outcomes.loc[ids, "baseline_iph_ml"]
    return Forecast(TRUE_DISTRIBUTION, "none", "iph_ml", _grown(baseline, growth), "even")


def redrawn_forecasts(redraws: pd.DataFrame, outcomes: pd.DataFrame) -> list[Forecast]:
    """The phantom's true distribution where no formula tells it: IVH, and all blood.

    Args:
        redraws: From `redraws.read_redraws`: random draws of every phantom patient's follow-up.
        outcomes: `outcomes.tsv`, indexed by patient.
    """
    found = []
    for target in ("ivh_ml", "total_ml") if len(redraws) else ():
        columns = [f"{part}_growth_ml" for part in PARTS[target]]
        growth = _draws(redraws.assign(drawn_ml=redraws[columns].sum(axis=1)), "drawn_ml")
        baseline = volume_of(outcomes.loc[list(growth)], "baseline", target)
        found.append(Forecast(TRUE_DISTRIBUTION, "none", target, _grown(baseline, growth)))
    return found


def _only_driver(rows: pd.DataFrame) -> Kind:
    found = sorted(set(rows["draws"]))
    if len(found) != 1:
        raise HemexpError(
            Fault(
                f"{Layout().sample_volumes('*')}, indicator {rows['indicator'].iloc[0]}",
                f"draws {' and '.join(map(str, found))}",
                "the same way for every patient",
                "Sample all patients again with one `diffusion.condition`.",
            )
        )
    return found[0]


def _draws(rows: pd.DataFrame, column: str) -> dict[str, NDArray]:
    return {name: group.to_numpy() for name, group in rows.groupby("patient_id")[column]}


def _grown(baseline: pd.Series, growth: dict[str, NDArray]) -> dict[str, NDArray]:
    """Volumes of the follow-up: baseline plus growth, never below zero."""
    return {name: np.maximum(baseline[name] + growth[name], 0.0) for name in baseline.index}


def _check_complete(found: dict, ids: list[str], where: str) -> None:
    missing = sorted(set(ids) - set(found))
    if missing:
        raise HemexpError(
            Fault(
                where,
                f"no rows for patients {', '.join(missing)}",
                "a forecast of every scored patient",
                "Run the step that writes it again.",
            )
        )
