"""Expansion-probability maps against what happened and against the true map.

All scores of a map follow from sums over its voxels, kept by bin of probability: `map_sums` makes
them for one patient, the rest works on tables of such sums.
"""

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp.evaluation.cohort.tables import GROUP, Resampling, by_group, interval_cells
from hemexp.evaluation.patient.distance_climatology import CLIMATOLOGY
from hemexp.evaluation.patient.images import EMPTY_REGION
from hemexp.statistics.scores import Score, bootstrap_interval, finite, skill_rows
from hemexp.tables import cells, table_of

BINS = 10
LEAST_SPREAD = 1e-5
"""Variance over mean square; a map of less is flat, for the sums are kept to six digits."""

SUMS = ("n", "p", "y", "pp", "py", "yy", "nll")
"""Voxels, and sums of forecast, truth, their products, and negative log-likelihood (nats)."""

PATIENT_MAPS = ("patient_id", "model", "indicator", "region", "reference", "bin", *SUMS)
MAPS = (
    *GROUP,
    "region",
    "reference",
    "model",
    "indicator",
    "n",
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
    "note",
)
RELIABILITY = (
    "split",
    "region",
    "reference",
    "model",
    "indicator",
    "bin",
    "n_voxels",
    "forecast",
    "observed",
)
REGIONS, REFERENCES = ("band", "brain"), ("outcome", "true_map")
NO_TRUTH = "no true map: no patient of this group is a phantom"


def map_sums(
    forecast: NDArray, truth: NDArray, region: NDArray, least: float
) -> list[dict[str, float]]:
    """Sums over the voxels of a region, a row a bin of the forecast.

    Args:
        forecast: Probability map.
        truth: What happened (0/1) or the true probability.
        region: Voxels that count.
        least: The log-likelihood sees the forecast cut to [least, 1 - least]: 1 / (2 K), for a
            map of K samples does not mean its zeros.

    Returns:
        `bin` and the sums named in `SUMS`, for bins that hold a voxel.
    """
    p, y = (np.asarray(image, dtype=np.float64)[region] for image in (forecast, truth))
    cut = np.clip(p, least, 1 - least)
    nll = -(y * np.log(cut) + (1 - y) * np.log1p(-cut))
    # A map on disk is float32: 0.3 read back must fall in the bin of 0.3.
    place = np.minimum((p * BINS + 1e-5).astype(int), BINS - 1)
    columns = (np.ones_like(p), p, y, p * p, p * y, y * y, nll)
    sums = np.stack([np.bincount(place, weights=one, minlength=BINS) for one in columns], axis=1)
    return [
        {"bin": b} | dict(zip(SUMS, map(float, row), strict=True))
        for b, row in enumerate(sums)
        if row[0]
    ]


def _briers(sums: NDArray) -> NDArray[np.float64]:
    n, _, _, pp, py, yy, _ = np.moveaxis(sums, -1, 0)
    return (pp - 2 * py + yy) / n


def slope_rows(rows: NDArray) -> NDArray[np.float64]:
    """Slope of truth on forecast over all voxels, of resampled patients' sums (..., n, 7).

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
            rng = resampling.rng("maps", *head.values())
            missing = EMPTY_REGION if reference == "outcome" else NO_TRUTH
            rows.append(head | _map_row(chosen, yardstick, missing, resampling.repeats, rng))
    return table_of(rows, MAPS)


def _map_row(
    sums: pd.DataFrame,
    yardstick: pd.DataFrame,
    missing: str,
    repeats: int,
    rng: np.random.Generator,
) -> dict[str, Any]:
    if sums.empty:
        return cells(n=0, **dict.fromkeys(MAPS[7:-1], Score(None, missing)))
    values = sums.to_numpy()
    brier = _briers(values)
    pairs = np.stack([brier, _briers(yardstick.loc[sums.index].to_numpy())], axis=-1)
    no_skill = Score(None, "no skill: the climatology has no error")
    has_skill = bool(pairs[:, 1].min() > 0)
    return cells(
        n=len(sums),
        brier=float(brier.mean()),
        **interval_cells("brier", "", bootstrap_interval(brier, repeats, rng)),
        nll=float((values[:, 6] / values[:, 0]).mean()),
        skill=float(skill_rows(pairs[None])[0]) if has_skill else no_skill,
        **(
            interval_cells("skill", "", bootstrap_interval(pairs, repeats, rng, skill_rows))
            if has_skill
            else dict.fromkeys(("skill_low", "skill_high"), no_skill)
        ),
        **_slope_cells(values, repeats, rng),
    )


def _slope_cells(values: NDArray, repeats: int, rng: np.random.Generator) -> dict[str, Score]:
    slope, pooled = float(slope_rows(values)), values.sum(axis=0)
    if np.isnan(slope):
        reason = Score(None, "no slope: the map is the same everywhere")
        return dict.fromkeys(("slope", "slope_low", "slope_high", "intercept"), reason)
    interval = bootstrap_interval(values, repeats, rng, finite(slope_rows))
    intercept = Score(float((pooled[2] - slope * pooled[1]) / pooled[0]))
    ends = interval_cells("slope", "", interval)
    return {"slope": Score(slope)} | ends | {"intercept": intercept}


def tabulate_reliability(sums: pd.DataFrame) -> pd.DataFrame:
    """Mean forecast and mean truth a bin of the forecast, over all patients of a split."""
    keys = ["split", "region", "reference", "model", "indicator", "bin"]
    table = sums.groupby(keys)[["n", "p", "y"]].sum().reset_index()
    table = table.assign(
        n_voxels=table["n"].astype(int),
        forecast=table["p"] / table["n"],
        observed=table["y"] / table["n"],
    )
    return table[list(RELIABILITY)]
