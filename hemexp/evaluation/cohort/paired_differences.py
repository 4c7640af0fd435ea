"""Table `comparisons`: forecasts against each other on the same patients."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp.evaluation.cohort.forecasts import TRUE_DISTRIBUTION
from hemexp.evaluation.cohort.groups import GROUP, by_group
from hemexp.evaluation.cohort.growth_models import CHOSEN
from hemexp.statistics.bootstrap import Resampling, estimate, means
from hemexp.tables import cells, table_of

COLUMNS = (
    *GROUP,
    "target",
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
SCORES = ("crps_ml", "twcrps_ml")
BEST = "best_tabular"
OURS = ("hemexp", "hemexp_raw")
NO_SKILL = "no skill fraction: climatology is no worse than the true distribution here"


def tabulate_comparisons(scored: pd.DataFrame, resampling: Resampling) -> pd.DataFrame:
    """Our forecasts against every reference, target by target.

    Args:
        scored: From `forecasts.score_draws`.
        resampling: How intervals are drawn.

    Returns:
        Measures: `crps_difference_ml` and `twcrps_difference_ml`, ours minus the reference's,
        below 0 where ours is better; `skill_fraction`, (climatology - ours) / (climatology -
        true distribution) of mean CRPS: 1 is the best possible forecast. The reference
        `best_tabular` is the tabular model with the lowest mean CRPS on these very patients:
        the hardest choice, made in hindsight.
    """
    rows = []
    for group, patients in by_group(scored):
        for target, same in patients.groupby("target", sort=False):
            tables = {
                score: same.pivot_table(
                    index="patient_id", columns=["model", "indicator"], values=score
                )
                for score in SCORES
            }
            ours = [key for key in tables["crps_ml"] if key[0] in OURS]
            for model, indicator in ours:
                head = group | {"target": target, "model": model, "indicator": indicator}
                rows += _compare(head, (model, indicator), tables, resampling)
    return table_of(rows, COLUMNS)


def _compare(
    head: dict[str, str],
    ours: tuple[str, str],
    tables: dict[str, pd.DataFrame],
    resampling: Resampling,
) -> list[dict[str, Any]]:
    crps, rows = tables["crps_ml"], []
    references = {key[0]: key for key in crps if key[0] not in OURS}
    if best := best_tabular({name: crps[key].mean() for name, key in references.items()}):
        references[BEST] = references[best]
    for reference, key in references.items():
        for score, table in tables.items():
            pairs = table[[ours, key]].dropna()
            difference = (pairs[ours] - pairs[key]).to_numpy()
            measure = score.replace("_ml", "_difference_ml")
            row = head | {"reference": reference, "measure": measure}
            resamples = resampling.of_row("comparisons", *row.values())
            note = key[0] if reference == BEST else ""
            found = estimate(difference, means, resamples, note=note)
            rows.append(row | cells(n=len(pairs), **found.columns()))
    row = head | {"reference": TRUE_DISTRIBUTION, "measure": "skill_fraction"}
    if {TRUE_DISTRIBUTION, "climatology"} <= set(references):
        columns = [ours, references["climatology"], references[TRUE_DISTRIBUTION]]
        triples = crps[columns].dropna().to_numpy()
        resamples = resampling.of_row("comparisons", *row.values())
        found = estimate(triples, skill_fraction, resamples, NO_SKILL)
        rows.append(row | cells(n=len(triples), **found.columns()))
    return rows


def skill_fraction(rows: NDArray) -> NDArray:
    """Skill fraction of resampled (ours, climatology, truth) scores (repeats, n, 3).

    NaN where climatology is no worse than the truth: there is no skill to have.
    """
    ours, climatology, truth = np.moveaxis(rows.mean(axis=1), -1, 0)
    best = climatology - truth
    return np.divide(climatology - ours, best, out=np.full_like(best, np.nan), where=best > 0)


def best_tabular(crps_ml: dict[str, float]) -> str | None:
    """Name of the tabular model with the lowest mean CRPS among models; None without any."""
    return min((name for name in crps_ml if CHOSEN in name), key=crps_ml.__getitem__, default=None)
