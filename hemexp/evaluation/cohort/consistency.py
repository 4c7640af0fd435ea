"""Table `consistency`: whether image, masks, volume, midline and IVH say one thing.

Drawn follow-ups stand beside the true scans, beside what they would be without a network, and
beside copied baselines.
"""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp.evaluation.cohort.consistency_measures import MEASURES, SMALL_REQUEST_ML, Measure
from hemexp.evaluation.cohort.groups import GROUP, by_group
from hemexp.evaluation.cohort.obedience import LARGE_REQUEST_ML
from hemexp.evaluation.patient.series import SHELL_ALONE
from hemexp.statistics.bootstrap import Resamples, Resampling, Statistic, estimate
from hemexp.tables import cells, table_of

COLUMNS = (
    *GROUP,
    "model",
    "indicator",
    "measure",
    "subset",
    "n",
    "n_followups",
    "value",
    "low",
    "high",
    "note",
)
SUMS = ("n", "x", "y", "xx", "xy", "yy", "xx_within", "yy_within")
"""Of a patient's follow-ups: count, sums, and sums of squares round the patient's own means."""

LEAST_SPREAD = 1e-9
"""Of growths over their mean square; what varies less does not vary."""


def followup_rows(measured: pd.DataFrame, volumes: pd.DataFrame) -> pd.DataFrame:
    """What every measure is made from, a row a follow-up.

    Args:
        measured: The patients' `consistency.tsv` with split, center and baseline_iph_ml.
        volumes: Their `volumes.tsv`.

    Returns:
        `measured` with raw_growth_ml, as decoded (samples) or of the mask (without a network);
        abs_logit_offset; midline_is_away, 0 or 1; and grown_ml, the growth asked for or, of a
        flag, that of the mask. Then the rows of `midline_errors`.
    """
    own = ["patient_id", "sample", "iph_raw_ml", "logit_offset", "redrawn", "disagrees"]
    drawn = volumes[own].assign(model="hemexp")
    table = measured.merge(drawn, how="left", on=["patient_id", "model", "sample"])
    raw_ml = table["iph_raw_ml"] - table["baseline_iph_ml"]
    away_mm = table["midline_away_mm"]
    table = table.assign(
        raw_growth_ml=raw_ml.where(table["model"] != SHELL_ALONE, table["growth_ml"]),
        abs_logit_offset=table["logit_offset"].abs(),
        midline_is_away=(away_mm > 0).astype(float).where(away_mm.notna()),
        grown_ml=table["target_growth_ml"].fillna(table["growth_ml"]),
    )
    return pd.concat([table, midline_errors(measured)], ignore_index=True)


def midline_errors(measured: pd.DataFrame) -> pd.DataFrame:
    """How far each forecaster's midline is off at the growth that happened.

    A sample of another growth than the true one must have another midline. So the line through
    the origin of a patient's samples, shift on growth, is read at the true growth.

    Args:
        measured: The patients' `consistency.tsv` with split and center.

    Returns:
        A row a model and patient: midline_error_mm; grown_ml and growth_ml are the true growth.
    """
    keys = ["split", "center", "model", "indicator", "patient_id"]
    known = measured.dropna(subset=["midline_shift_mm"])
    growth_ml, shift_mm = known["growth_ml"], known["midline_shift_mm"]
    sums = known[keys].assign(xy=growth_ml * shift_mm, xx=growth_ml**2)
    lines = sums.groupby(keys, sort=False).sum().reset_index()
    mm_per_ml = (lines["xy"] / lines["xx"]).where(lines["xx"] > 0, 0.0)
    happened = known[known["model"] == "truth"].set_index("patient_id")
    true_ml, true_mm = (
        lines["patient_id"].map(happened[name]) for name in ("growth_ml", "midline_shift_mm")
    )
    errors = lines[keys].assign(
        grown_ml=true_ml, growth_ml=true_ml, midline_error_mm=(mm_per_ml * true_ml - true_mm).abs()
    )
    return errors[errors["model"] != "truth"]


def tabulate_consistency(followups: pd.DataFrame, resampling: Resampling) -> pd.DataFrame:
    """Every measure of every model.

    Args:
        followups: From `followup_rows`.
        resampling: How intervals are drawn.

    Returns:
        `subset` says whose follow-ups count: those of which growth was asked or, where nothing
        was asked, that grew so. `n` patients with `n_followups`, which weigh alike.
    """
    rows = []
    for group, patients in by_group(followups):
        for (model, indicator), part in patients.groupby(["model", "indicator"], sort=False):
            for measure in MEASURES.values():
                if model not in measure.models:
                    continue
                for subset in measure.subsets:
                    head = group | {"model": model, "indicator": indicator}
                    head |= {"measure": measure.name, "subset": subset}
                    resamples = resampling.of_row("consistency", *head.values())
                    rows.append(head | _row(_chosen(part, measure, subset), measure, resamples))
    return table_of(rows, COLUMNS)


def _chosen(part: pd.DataFrame, measure: Measure, subset: str) -> pd.DataFrame:
    """Follow-ups of a subset that have the measure."""
    grown_ml = part["grown_ml"]
    inside = {
        "all": grown_ml.notna(),
        "large": grown_ml > LARGE_REQUEST_ML,
        "small": grown_ml < SMALL_REQUEST_ML,
    }
    return part[inside[subset]].dropna(subset=[measure.column, measure.by])


def _row(part: pd.DataFrame, measure: Measure, resamples: Resamples) -> dict[str, Any]:
    missing = MISSING.get(measure.kind, "") if len(part) else "no such follow-up has it"
    if measure.kind in QUANTILES:
        level = QUANTILES[measure.kind]
        rows = _padded(part, measure.column)
        found = estimate(rows, partial(quantiles, level=level), resamples, missing)
    else:
        rows = _sums(part, measure)
        found = estimate(rows, STATISTICS[measure.kind], resamples, missing)
    return cells(n=len(rows), n_followups=len(part), **found.columns())


def _sums(part: pd.DataFrame, measure: Measure) -> NDArray[np.float64]:
    """`SUMS` of every patient, (n, 8); x is `by`, y the column of the measure."""
    patient = part["patient_id"]
    x, y = (part[name].astype(float) for name in (measure.by, measure.column))
    within = (one - one.groupby(patient).transform("mean") for one in (x, y))
    squares = [one**2 for one in within]
    columns = (pd.Series(1.0, part.index), x, y, x * x, x * y, y * y, *squares)
    return pd.concat(columns, axis=1).groupby(patient).sum().to_numpy()


def _padded(part: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """Values of every patient, (n, most), NaN behind the last."""
    place = part.groupby("patient_id").cumcount()
    return (
        part.assign(place=place)
        .pivot(index="patient_id", columns="place", values=column)
        .to_numpy(float)
    )


def quantiles(rows: NDArray, level: float) -> NDArray[np.float64]:
    """Quantile of all follow-ups of resampled patients (repeats, n, most)."""
    return np.nanquantile(rows.reshape(len(rows), -1), level, axis=1)


def _totals(rows: NDArray) -> dict[str, NDArray[np.float64]]:
    return dict(zip(SUMS, np.moveaxis(rows.sum(axis=1), -1, 0), strict=True))


def _divide(top: NDArray, bottom: NDArray, least: NDArray | float = 0.0) -> NDArray[np.float64]:
    return np.divide(top, bottom, out=np.full_like(bottom, np.nan), where=bottom > least)


def averages(rows: NDArray) -> NDArray[np.float64]:
    """Mean over the follow-ups of resampled patients' `SUMS` (repeats, n, 8)."""
    s = _totals(rows)
    return _divide(s["y"], s["n"])


def slopes_from_origin(rows: NDArray) -> NDArray[np.float64]:
    """Slope of y on x of the line through the origin, likewise."""
    s = _totals(rows)
    return _divide(s["xy"], s["xx"])


def _moments(rows: NDArray) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """n^2 times the variance of x, the covariance and the variance of y; least variance of x."""
    s = _totals(rows)
    xx, yy = (s["n"] * s[f"{one}{one}"] - s[one] ** 2 for one in "xy")
    return xx, s["n"] * s["xy"] - s["x"] * s["y"], yy, LEAST_SPREAD * s["n"] * s["xx"]


def slopes(rows: NDArray) -> NDArray[np.float64]:
    """Slope of y on x of the least-squares line, likewise."""
    xx, xy, _, least = _moments(rows)
    return _divide(xy, xx, least)


def shares_explained(rows: NDArray) -> NDArray[np.float64]:
    """R2 of that line."""
    xx, xy, yy, least = _moments(rows)
    return _divide(xy**2, np.where(xx > least, xx * yy, 0.0))


def spread_ratios(rows: NDArray) -> NDArray[np.float64]:
    """SD of y within patients over that of x."""
    s = _totals(rows)
    return np.sqrt(_divide(s["yy_within"], s["xx_within"]))


QUANTILES = {"median": 0.5, "p90": 0.9}
STATISTICS: dict[str, Statistic] = {
    "mean": averages,
    "per_ml": slopes_from_origin,
    "slope": slopes,
    "r2": shares_explained,
    "sd_ratio": spread_ratios,
}
NO_LINE = "no line: growths are alike"
MISSING = {
    "per_ml": "nothing grew",
    "slope": NO_LINE,
    "r2": NO_LINE,
    "sd_ratio": "no patient's growths differ",
}
