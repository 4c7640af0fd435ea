"""Table `obedience`: growth that samples show against growth that was asked for."""

import pandas as pd

from hemexp.statistics.line import fit_line
from hemexp.statistics.scores import Score
from hemexp.tables import cells, table_of

LARGE_REQUEST_ML = 3.0
"""Stable requests dominate a line over all; the slope above this shows whether growth obeys."""

COLUMNS = (
    "split",
    "indicator",
    "request",
    "volume",
    "n",
    "n_samples",
    "slope",
    "intercept_ml",
    "r2",
    "residual_sd_ml",
    "miss_sd_ml",
    "slope_large",
    "r2_large",
    "abs_logit_offset_median",
    "abs_logit_offset_p90",
    "note",
)


def tabulate_obedience(volumes: pd.DataFrame) -> pd.DataFrame:
    """Growth got against growth asked for, over all samples of all patients.

    `slope_large` and `r2_large` are of requests above `LARGE_REQUEST_ML`.

    Args:
        volumes: All patients' `volumes.tsv` with patient_id, split and baseline_iph_ml. What was
            asked for is `target_growth_ml` or, for the published flag, `expansion_flag` (the
            slope is then mL per flag).
    """
    rows = []
    for (split, indicator), part in volumes.groupby(["split", "indicator"]):
        request = (
            "target_growth_ml" if part["target_growth_ml"].notna().any() else "expansion_flag"
        )
        asked = part[part[request].notna()]
        offsets = _offset_cells(part["logit_offset"].abs().dropna())
        for volume, column in (("raw", "iph_raw_ml"), ("matched", "iph_ml")):
            head = {
                "split": split,
                "indicator": indicator,
                "request": request,
                "volume": volume,
                "n": part["patient_id"].nunique(),
                "n_samples": len(asked),
            }
            got = asked[column] - asked["baseline_iph_ml"]
            found = _line_cells(asked[request], got) | offsets
            rows.append(head | cells(**found))
    return table_of(rows, COLUMNS)


def _line_cells(wanted: pd.Series, got: pd.Series) -> dict[str, Score | float]:
    """How growth followed the requests: of all, and of the large ones."""
    line = fit_line(wanted, got)
    large = wanted > LARGE_REQUEST_ML
    steep = fit_line(wanted[large], got[large])
    missing = Score(None, "no line: fewer than three distinct requests")
    too_few = Score(None, f"no line: fewer than three requests above {LARGE_REQUEST_ML:g} mL")
    no_volume = Score(None, "a flag asks for no volume")
    is_growth = wanted.name == "target_growth_ml"
    return {
        "slope": line.slope if line else missing,
        "intercept_ml": line.intercept if line else missing,
        "r2": line.r2 if line else missing,
        "residual_sd_ml": line.residual_sd if line else missing,
        "miss_sd_ml": float((got - wanted).std()) if is_growth else no_volume,
        "slope_large": steep.slope if steep else too_few,
        "r2_large": steep.r2 if steep else too_few,
    }


def _offset_cells(offsets: pd.Series) -> dict[str, Score | float]:
    """How far logits had to be moved until the volumes were those asked for."""
    unmatched = Score(None, "volumes were not matched")
    return {
        "abs_logit_offset_median": float(offsets.median()) if len(offsets) else unmatched,
        "abs_logit_offset_p90": float(offsets.quantile(0.9)) if len(offsets) else unmatched,
    }
