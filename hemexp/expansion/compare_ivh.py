"""How well IVH growth of training patients is forecast by a model that did not see them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hemexp.expansion.compare import resamples
from hemexp.expansion.distribution import FORECAST_QUANTILES, GrowthDistribution
from hemexp.expansion.fit import split_folds
from hemexp.expansion.fit_ivh import fit_ivh
from hemexp.expansion.ivh import IVH_EVENT_ML, HurdleIvh, ivh_forecast
from hemexp.settings import Expansion
from hemexp.statistics.bootstrap import estimate, means
from hemexp.statistics.discrimination import ONE_CLASS, auc
from hemexp.statistics.scores import crps
from hemexp.tables import cells

HURDLE, TOLD, CLIMATOLOGY, COPIED = (
    "hurdle",
    "hurdle_told_growth",
    "climatology",
    "copied_baseline",
)


def cross_fit_ivh(table: pd.DataFrame, settings: Expansion, seed: int) -> list[HurdleIvh]:
    """Every training patient's distribution, from a fit without that patient.

    The folds are those of the models of growth. With one expander, or one patient without
    expansion, there are none: one fit of all stands for them.
    """
    everyone = np.arange(len(table))
    expands = table["he"].to_numpy() == 1
    folds = split_folds(expands, settings.folds, seed) or [(everyone, everyone)]
    found: dict[int, HurdleIvh] = {}
    for fit, held_out in folds:
        model = fit_ivh(table.iloc[fit])
        found |= {row: model.of_patient(table.iloc[row]) for row in held_out.tolist()}
    return [found[row] for row in range(len(table))]


def score_ivh(
    table: pd.DataFrame, growth: Sequence[GrowthDistribution], ivh: Sequence[HurdleIvh]
) -> pd.DataFrame:
    """Scores of cross-fitted forecasts of IVH growth, and of forecasts that know no patient.

    Args:
        table: Training patients, indexed by patient_id, with `growth_ml` and `ivh_growth_ml`.
        growth: Their cross-fitted distributions of growth.
        ivh: Their cross-fitted distributions of IVH growth given it.

    Returns:
        patient_id, model, p_ivh_growth, ivh_event, crps_ml. Models: `hurdle`; the same told the
        growth that happened; `climatology`, the other patients' changes; no change at all.
    """
    changes = table["ivh_growth_ml"].to_numpy(dtype=float)
    event = (changes >= IVH_EVENT_ML).astype(int)
    others = [np.delete(changes, row) for row in range(len(table))]
    rows = []
    for row, (patient_id, patient) in enumerate(table.iterrows()):
        told = {HURDLE: growth[row].quantiles(FORECAST_QUANTILES), TOLD: [patient["growth_ml"]]}
        climate_ml = np.maximum(others[row], -patient["baseline_ivh_ml"])
        forecasts = {
            **{name: ivh_forecast(ivh[row], growth_ml) for name, growth_ml in told.items()},
            CLIMATOLOGY: (event.mean(), np.quantile(climate_ml, FORECAST_QUANTILES)),
            COPIED: (0.0, np.zeros(1)),
        }
        for name, (p, quantiles_ml) in forecasts.items():
            score = crps(changes[row], quantiles_ml, "quantiles")
            rows.append((patient_id, name, p, event[row], score))
    return pd.DataFrame(
        rows, columns=["patient_id", "model", "p_ivh_growth", "ivh_event", "crps_ml"]
    )


def compare_ivh(scores: pd.DataFrame, settings: Expansion, seed: int) -> pd.DataFrame:
    """One row a model: AUC of IVH growth and CRPS, with patient-bootstrap intervals.

    Args:
        scores: As `score_ivh` gives them.
        settings: `bootstrap` resamples.
        seed: Run seed; models share the resamples.

    Returns:
        Columns model, n, events, auc, auc_low, auc_high, crps_ml, crps_low, crps_high, note.
    """
    rows = []
    for name, group in scores.groupby("model", sort=False):
        patients = group[["p_ivh_growth", "ivh_event"]].to_numpy(dtype=float)
        area = estimate(patients, auc, resamples(settings, seed), ONE_CLASS)
        change = estimate(group["crps_ml"], means, resamples(settings, seed))
        row = cells(
            n=len(group),
            events=int(group["ivh_event"].sum()),
            **area.named("auc"),
            **change.columns("crps_ml", "crps_low", "crps_high"),
        )
        rows.append({"model": name} | row)
    return pd.DataFrame(rows)
