"""Table `maps`: expansion-probability maps against what happened and against the true map.

All scores of a map follow from the sums over its voxels that `patient.map_sums` keeps.
"""

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp.evaluation.cohort.groups import GROUP, by_group
from hemexp.evaluation.patient.map_sums import CLIMATOLOGY, EMPTY_REGION, SUMS
from hemexp.statistics.bootstrap import Estimate, Resamples, Resampling, estimate, means, undefined
from hemexp.statistics.scores import Score, skill
from hemexp.tables import cells, table_of

LEAST_SPREAD = 1e-5
"""Variance over mean square; a map of less is flat, for the sums are kept to six digits."""

MAP_SCORES = (
    "brier",
    "brier_low",
    "brier_high",
    "nll",
    "skill",
    "skill_low",
    "skill_high",
    "slope",
    "slope_low",
    "slope_high",
    "intercept",
)
COLUMNS = (*GROUP, "region", "reference", "model", "indicator", "n", *MAP_SCORES, "note")
REGIONS, REFERENCES = ("band", "brain"), ("outcome", "true_map")
FLAT = "no slope: the map is the same everywhere"
NO_TRUE_MAP = "no true map: no patient of this group is a phantom"


def _briers(sums: NDArray) -> NDArray[np.float64]:
    n, _, _, pp, py, yy, _ = np.moveaxis(sums, -1, 0)
    return (pp - 2 * py + yy) / n


def reliability_slopes(rows: NDArray) -> NDArray[np.float64]:
    """Slope of truth on forecast over all voxels, of resampled patients' sums (repeats, n, 7).

    The least-squares line: 1 when reliable, less when the map is too sure.
    """
    n, p, y, pp, py, *_ = np.moveaxis(rows.sum(axis=-2), -1, 0)
    spread = n * pp - p * p
    varies = spread > LEAST_SPREAD * n * pp
    return np.divide(n * py - p * y, spread, out=np.full_like(n, np.nan), where=varies)


def tabulate_maps(sums: pd.DataFrame, resampling: Resampling) -> pd.DataFrame:
    """Scores of every model's map in every region.

    Args:
        sums: The patients' `maps.tsv` with split and center.
        resampling: How intervals are drawn.

    Returns:
        Brier and NLL are means of the patients' own means; `skill` is 1 - Brier / Brier of the
        climatology by distance; slope and intercept of truth on forecast pool the voxels.
    """
    rows = []
    for group, patients in by_group(sums):
        models = patients[["model", "indicator"]].drop_duplicates().itertuples(index=False)
        for (model, indicator), region, reference in product(models, REGIONS, REFERENCES):
            same = patients[(patients["region"] == region) & (patients["reference"] == reference)]
            ours = (same["model"] == model) & (same["indicator"] == indicator)
            head = group | {
                "region": region,
                "reference": reference,
                "model": model,
                "indicator": indicator,
            }
            chosen, yardstick = (
                part.groupby("patient_id")[list(SUMS)].sum()
                for part in (same[ours], same[same["model"] == CLIMATOLOGY])
            )
            if chosen.empty:
                missing = Score(None, EMPTY_REGION if reference == "outcome" else NO_TRUE_MAP)
                rows.append(head | cells(n=0, **dict.fromkeys(MAP_SCORES, missing)))
                continue
            resamples = resampling.of_row("maps", *head.values())
            rows.append(head | _row(chosen.to_numpy(), yardstick.loc[chosen.index], resamples))
    return table_of(rows, COLUMNS)


def _row(sums: NDArray, yardstick: pd.DataFrame, resamples: Resamples) -> dict[str, Any]:
    brier = _briers(sums)
    pairs = np.stack([brier, _briers(yardstick.to_numpy())], axis=-1)
    mean_brier, skill_found = estimate(brier, means, resamples), _skill(pairs, resamples)
    slope = estimate(
        sums, reliability_slopes, resamples, "no slope: the map is the same everywhere"
    )
    return cells(
        n=len(sums),
        **mean_brier.named("brier"),
        nll=float((sums[:, 6] / sums[:, 0]).mean()),
        **skill_found.named("skill"),
        **slope.named("slope"),
        intercept=_intercept(sums, slope),
    )


def _skill(pairs: NDArray, resamples: Resamples) -> Estimate:
    if pairs[:, 1].min() <= 0:
        return undefined("no skill: the climatology has no error")
    return estimate(pairs, skill, resamples)


def _intercept(sums: NDArray, slope: Estimate) -> Score:
    if slope.value is None:
        return Score(None, slope.note)
    n, p, y, *_ = sums.sum(axis=0)
    return Score(float((y - slope.value * p) / n))
