"""Table `robustness`: scores where masks, and so outcomes, are a little different."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from hemexp.evaluation.cohort.forecast_scores import score_draws
from hemexp.evaluation.cohort.forecasts import Forecast
from hemexp.outcomes import HE_ML, HE_RELATIVE, is_expansion
from hemexp.statistics.bootstrap import Resampling, estimate, means
from hemexp.statistics.discrimination import ONE_CLASS, auc
from hemexp.statistics.scores import Score
from hemexp.tables import cells, table_of

COLUMNS = (
    "split",
    "center",
    "change",
    "model",
    "indicator",
    "n",
    "n_left_out",
    "n_events",
    "n_relabelled",
    "baseline_change_ml",
    "crps_ml",
    "crps_low_ml",
    "crps_high_ml",
    "auc",
    "auc_low",
    "auc_high",
    "note",
)
MODELS = ("hemexp", "tabular", "climatology")
NEAR_ML = 1.0
"""HE is in doubt where growth lies nearer to its limit: two readings of a bleed differ by as much
(method.md 1 has the limits)."""

AS_GIVEN, CLEAR = "as_given", "clear_of_limit"


def limit_distance_ml(outcomes: pd.DataFrame) -> pd.Series:
    """How far growth lies from the limit of HE, in mL: the lower of 6 mL and 33 %."""
    limit_ml = np.minimum(HE_ML, HE_RELATIVE * outcomes["baseline_iph_ml"])
    return (outcomes["growth_ml"] - limit_ml).abs()


def changed_outcomes(
    outcomes: pd.DataFrame, resized: dict[str, dict[str, dict[str, float]]]
) -> dict[str, pd.DataFrame]:
    """Outcomes of the patients who are left under every change.

    Args:
        outcomes: Of the scored patients, indexed by patient.
        resized: By patient, change and session: IPH volume in mL.

    Returns:
        By change: rows of `outcomes` with baseline and follow-up IPH, growth and `he` as they
        would be. A patient whose baseline bleed vanishes is left out, and under `CLEAR` one
        whose growth lies within `NEAR_ML` of the limit.
    """
    clear = outcomes[limit_distance_ml(outcomes) >= NEAR_ML]
    found = {AS_GIVEN: outcomes, CLEAR: clear}
    for change in next(iter(resized.values()), {}):
        ml = pd.DataFrame({name: one[change] for name, one in resized.items()}).T
        table = outcomes.assign(
            baseline_iph_ml=ml["baseline"],
            followup_iph_ml=ml["followup"],
            growth_ml=ml["followup"] - ml["baseline"],
        )
        table = table[table["baseline_iph_ml"] > 0]
        he = is_expansion(table["growth_ml"], table["baseline_iph_ml"])
        found[change] = table.assign(he=he.astype(float))
    return found


def moved_forecast(forecast: Forecast, before: pd.DataFrame, after: pd.DataFrame) -> Forecast:
    """A forecast whose growth stays and whose baseline is another, of the patients of `after`."""
    shift_ml = after["baseline_iph_ml"] - before.loc[after.index, "baseline_iph_ml"]
    draws = {name: forecast.draws[name] + ml for name, ml in shift_ml.items()}
    return replace(forecast, draws=draws)


def tabulate_robustness(
    forecasts: list[Forecast],
    events: pd.DataFrame,
    outcomes: pd.DataFrame,
    resized: dict[str, dict[str, dict[str, float]]],
    resampling: Resampling,
) -> pd.DataFrame:
    """CRPS of growth and AUC of HE under every change; forecasts stay as they were drawn.

    Args:
        forecasts: Of volumes.
        events: Probabilities, from `event_probabilities`.
        outcomes: Of the scored patients, indexed by patient.
        resized: By patient, change and session: IPH volume in mL.
        resampling: How intervals are drawn.
    """
    rows = []
    ours = [one for one in forecasts if one.model in MODELS and one.target == "iph_ml"]
    for split, before in outcomes.groupby("split"):
        changes = changed_outcomes(before, {name: resized[name] for name in before.index})
        for change, after in changes.items():
            for forecast in ours:
                same = (events["event"] == "he") & (events["model"] == forecast.model)
                same &= events["indicator"] == forecast.indicator
                p = events[same].set_index("patient_id")["probability"]
                rows.append(
                    {"split": split, "center": "all", "change": change}
                    | {"model": forecast.model, "indicator": forecast.indicator}
                    | _row(forecast, p, before, after, resampling)
                )
    return table_of(rows, COLUMNS)


def _row(
    forecast: Forecast,
    probability: pd.Series,
    before: pd.DataFrame,
    after: pd.DataFrame,
    resampling: Resampling,
) -> dict[str, Any]:
    # Resampled as in the tables `forecasts` and `expansion`: the outcomes alone differ.
    group, who = (before["split"].iloc[0], "all"), (forecast.model, forecast.indicator)
    of_crps = resampling.of_row("forecasts", *group, *who, forecast.target)
    of_auc = resampling.of_row("expansion", *group, "he", *who)
    moved = moved_forecast(forecast, before, after)
    crps = score_draws(moved, after, resampling.seed)["crps_ml"] if len(after) else []
    pairs = np.stack([probability.reindex(after.index), after["he"]], axis=-1).astype(np.float64)
    shift = after["baseline_iph_ml"] - before.loc[after.index, "baseline_iph_ml"]
    nobody = "no patient is left"
    return cells(
        n=len(after),
        n_left_out=len(before) - len(after),
        n_events=int(after["he"].sum()),
        n_relabelled=int((after["he"] != before.loc[after.index, "he"]).sum()),
        baseline_change_ml=float(shift.mean()) if len(after) else Score(None, nobody),
        **estimate(crps, means, of_crps, nobody).named("crps", "_ml"),
        **estimate(pairs, auc, of_auc, ONE_CLASS if len(after) else nobody).named("auc"),
    )
