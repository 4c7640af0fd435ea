"""Before and after: released and recalibrated models on a centre's patients, each held out."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp.evaluation.cohort.conformal import INTERVAL_LEVELS, conformal_levels, nominal
from hemexp.expansion.compare import score_training
from hemexp.expansion.distribution import GrowthDistribution
from hemexp.expansion.model import GrowthModel
from hemexp.release.recalibration import cross_fit, folds_of
from hemexp.statistics.bootstrap import Resampling, estimate
from hemexp.statistics.calibration import NO_LEVEL, NO_RATIO, NO_SLOPE, levels, oe_ratios, slopes
from hemexp.statistics.calibration_columns import MEASURES
from hemexp.tables import cells, table_of

STAGES = ("released", "recalibrated")
COLUMNS = (
    "measure",
    *(f"{name}{end}" for name in (*STAGES, "difference") for end in ("", "_low", "_high")),
    "note",
)
CALIBRATION = {
    name: (statistic, missing)
    for name, statistic, missing in zip(
        MEASURES, (levels, oe_ratios, slopes), (NO_LEVEL, NO_RATIO, NO_SLOPE), strict=True
    )
}
NOT_KNOWN = "the released model brings no conformal limits of this centre"


def score(table: pd.DataFrame, given: list[GrowthDistribution]) -> pd.DataFrame:
    """Scores of every patient, in the table's order.

    Args:
        table: The centre's patients: `he`, `growth_ml`, indexed by patient_id.
        given: Their distributions.

    Returns:
        Columns p_expansion, he, crps_ml, pit, brier.
    """
    scores, _ = score_training(table, {"": given})
    return scores.assign(brier=(scores["p_expansion"] - scores["he"]) ** 2)


def inside(pit: NDArray, limits: NDArray) -> NDArray[np.float64]:
    """Whether outcomes lie inside, (n, levels) as 0/1, from PIT values (n,); NaN without limits.

    Args:
        pit: Of the patients.
        limits: Lower and upper level of each interval, (levels, 2) or (n, levels, 2).
    """
    at = np.asarray(pit)[:, None]
    found = ((at >= limits[..., 0]) & (at <= limits[..., 1])).astype(float)
    return np.where(np.isnan(limits).any(axis=-1), np.nan, found)


def held_out_limits(model: GrowthModel, table: pd.DataFrame, seed: int) -> NDArray[np.float64]:
    """Conformal limits for every patient from the patients of the other folds, (n, levels, 2).

    As the verb learns them from all: from PIT values of patients whom no update has seen.
    """
    found = np.empty((len(table), len(INTERVAL_LEVELS), 2))
    for others, held_out in folds_of(table, seed):
        part = table.iloc[others]
        pit = score(part, cross_fit(model, part, seed))["pit"]
        found[held_out] = conformal_levels(pit)
    return found


def compare_stages(
    model: GrowthModel, table: pd.DataFrame, bootstrap: int, seed: int
) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """The released model and its recalibration on the same patients, who are new to both.

    Args:
        model: As released.
        table: The centre's patients, see `fit_update`.
        bootstrap: Resamples of patients for the intervals.
        seed: Decides folds and resamples.

    Returns:
        A row a measure (`COLUMNS`), and the PIT values (n,) under the recalibrated models, from
        which conformal limits follow.
    """
    given = (model.distributions(table), cross_fit(model, table, seed))
    stages = [score(table, one) for one in given]
    plain = np.array([nominal(level) for level in INTERVAL_LEVELS])
    fitted = held_out_limits(model, table, seed)
    for stage, limits in zip(stages, (np.full_like(plain, np.nan), fitted), strict=True):
        for ending, at in (("", plain), ("_conformal", limits)):
            for level, share in zip(INTERVAL_LEVELS, inside(stage["pit"], at).T, strict=True):
                stage[f"coverage{round(100 * level)}{ending}"] = share
    means = [name for name in stages[0] if name.startswith(("crps", "brier", "coverage"))]
    rows = [_row(name, stages, bootstrap, seed) for name in (*means, *MEASURES)]
    return table_of(rows, COLUMNS), stages[1]["pit"].to_numpy()


def _row(name: str, stages: list[pd.DataFrame], bootstrap: int, seed: int) -> dict:
    """One measure before and after, and the difference in the same resamples of patients."""
    statistic, missing = CALIBRATION.get(name, (_mean, NOT_KNOWN))
    columns = ["p_expansion", "he"] if name in CALIBRATION else [name]
    # (n, stages, columns): a patient's two forecasts stay together.
    both = np.stack([stage[columns].to_numpy(dtype=float) for stage in stages], axis=1)
    asked = {
        STAGES[0]: lambda rows: statistic(rows[:, :, 0]),
        STAGES[1]: lambda rows: statistic(rows[:, :, 1]),
        "difference": lambda rows: statistic(rows[:, :, 1]) - statistic(rows[:, :, 0]),
    }
    found: dict = {}
    for column, function in asked.items():
        resamples = Resampling(bootstrap, seed).of_row("recalibrate", name)
        found |= estimate(both, function, resamples, missing).named(column)
    return {"measure": name} | cells(**found)


def _mean(rows: NDArray) -> NDArray[np.float64]:
    return rows[..., 0].mean(axis=1)
