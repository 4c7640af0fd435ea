"""From scores per patient to one row per model: forecasts, expansion, obedience, images."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from hemexp.evaluation.cohort.forecasts import POINT
from hemexp.provenance import seed_for
from hemexp.statistics.calibration_line import calibration_line
from hemexp.statistics.scores import (
    ONE_PATIENT,
    Score,
    auc,
    auc_interval,
    bootstrap_interval,
    brier,
    coverage,
    fit_line,
    skill_rows,
    spread_ratio,
)
from hemexp.tables import cells, table_of

GROUP = ("split", "center")
FORECASTS = (
    *GROUP,
    "model",
    "indicator",
    "target",
    "n",
    "k",
    "crps_ml",
    "crps_low_ml",
    "crps_high_ml",
    "twcrps_ml",
    "mae_ml",
    "bias_ml",
    "coverage50",
    "coverage90",
    "spread_ratio",
    "width50_ml",
    "width90_ml",
    "skill",
    "skill_low",
    "skill_high",
    "note",
)
EXPANSION = (
    *GROUP,
    "event",
    "model",
    "indicator",
    "n",
    "n_events",
    "auc",
    "auc_low",
    "auc_high",
    "brier",
    "brier_low",
    "brier_high",
    "calibration_slope",
    "calibration_slope_low",
    "calibration_slope_high",
    "calibration_intercept",
    "note",
)
LARGE_REQUEST_ML = 3.0
"""Stable requests dominate a line over all; the slope above this shows whether growth obeys."""

OBEDIENCE = (
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
IMAGES = (
    *GROUP,
    "model",
    "indicator",
    "metric",
    "n",
    "n_undefined",
    "mean",
    "low",
    "high",
    "note",
)
CALIBRATION = ("split", "model", "indicator", "target", "pit", "n", "share", "expected")


class Resampling(NamedTuple):
    """How bootstrap intervals are drawn: number of resamples and run seed."""

    repeats: int
    seed: int

    def rng(self, *parts: object) -> np.random.Generator:
        """The generator of one row of one table, whatever rows come before it."""
        return np.random.default_rng(seed_for(self.seed, "bootstrap", *parts))


def tabulate_forecasts(scored: pd.DataFrame, resampling: Resampling) -> pd.DataFrame:
    """One row per group, model, indicator and target, from `forecasts.score_draws`."""
    rows = []
    for group, patients in by_group(scored):
        keys = ["target", "model", "indicator"]
        for (target, model, indicator), part in patients.groupby(keys, sort=False):
            same = (patients["target"] == target) & (patients["model"] == "climatology")
            climatology = patients[same].set_index("patient_id")["crps_ml"]
            head = group | {"model": model, "indicator": indicator, "target": target}
            rng = resampling.rng("forecasts", *head.values())
            rows.append(head | _forecast_row(part, climatology, resampling.repeats, rng))
    return table_of(rows, FORECASTS)


def _forecast_row(
    part: pd.DataFrame, climatology: pd.Series, repeats: int, rng: np.random.Generator
) -> dict[str, Any]:
    crps = part["crps_ml"].to_numpy()
    pairs = np.stack([crps, climatology.reindex(part["patient_id"]).to_numpy()], axis=-1)
    return cells(
        n=len(part),
        k=int(part["k"].min()),
        crps_ml=float(crps.mean()),
        **interval_cells("crps", "_ml", bootstrap_interval(crps, repeats, rng)),
        twcrps_ml=float(part["twcrps_ml"].mean()),
        mae_ml=float((part["median_ml"] - part["observed_ml"]).abs().mean()),
        bias_ml=float((part["mean_ml"] - part["observed_ml"]).mean()),
        **_spread_cells(part),
        **_skill_cells(pairs, repeats, rng),
    )


def _spread_cells(part: pd.DataFrame) -> dict[str, Score | float]:
    if part["k"].min() == 1:
        names = ("coverage50", "coverage90", "spread_ratio", "width50_ml", "width90_ml")
        return dict.fromkeys(names, Score(None, POINT))
    return {
        "coverage50": coverage(part["pit"], 0.5),
        "coverage90": coverage(part["pit"], 0.9),
        "spread_ratio": spread_ratio(part["sd_ml"], part["mean_ml"] - part["observed_ml"]),
        "width50_ml": float((part["q75_ml"] - part["q25_ml"]).mean()),
        "width90_ml": float((part["q95_ml"] - part["q05_ml"]).mean()),
    }


def _skill_cells(
    pairs: np.ndarray, repeats: int, rng: np.random.Generator
) -> dict[str, Score | float]:
    """Skill against climatology: 1 - CRPS / CRPS of climatology, on the same patients."""
    if np.isnan(pairs[:, 1]).any():
        reason = Score(None, "no skill: without training patients there is no climatology")
        return dict.fromkeys(("skill", "skill_low", "skill_high"), reason)
    if not np.all(pairs[:, 1] > 0):
        reason = Score(None, "no skill: climatology was perfect for a patient")
        return dict.fromkeys(("skill", "skill_low", "skill_high"), reason)
    interval = bootstrap_interval(pairs, repeats, rng, skill_rows)
    return {"skill": float(skill_rows(pairs[None])[0])} | interval_cells("skill", "", interval)


def interval_cells(name: str, unit: str, interval: tuple[float, float] | None) -> dict[str, Score]:
    """The two ends of an interval, `name_low` and `name_high` with the unit, or a reason."""
    low, high = interval or (None, None)
    note = "" if interval else ONE_PATIENT
    return {f"{name}_low{unit}": Score(low, note), f"{name}_high{unit}": Score(high, note)}


def tabulate_expansion(probabilities: pd.DataFrame, resampling: Resampling) -> pd.DataFrame:
    """AUC and Brier score of every model's probability of every event.

    Args:
        probabilities: One row per patient, model and event: patient_id, split, center, event,
            model, indicator, probability, observed (0/1).
        resampling: How intervals are drawn.
    """
    rows = []
    for group, patients in by_group(probabilities):
        keys = ["event", "model", "indicator"]
        for (event, model, indicator), part in patients.groupby(keys, sort=False):
            head = group | {"event": event, "model": model, "indicator": indicator}
            rng = resampling.rng("expansion", *head.values())
            p, y = part["probability"].to_numpy(), part["observed"].to_numpy()
            area = auc(p, y)
            ends = auc_interval(p, y, resampling.repeats, rng)
            squared = bootstrap_interval((p - y) ** 2, resampling.repeats, rng)
            row = cells(
                n=len(part),
                n_events=int(y.sum()),
                auc=area,
                **(
                    interval_cells("auc", "", ends)
                    if area.value is not None
                    else dict.fromkeys(("auc_low", "auc_high"), area)
                ),
                brier=brier(p, y),
                **interval_cells("brier", "", squared),
                **calibration_line(p, y, resampling.repeats, rng),
            )
            rows.append(head | row)
    return table_of(rows, EXPANSION)


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
        offsets = part["logit_offset"].abs().dropna()
        for volume, column in (("raw", "iph_raw_ml"), ("matched", "iph_ml")):
            head = {
                "split": split,
                "indicator": indicator,
                "request": request,
                "volume": volume,
                "n": part["patient_id"].nunique(),
                "n_samples": len(asked),
            }
            wanted, got = asked[request], asked[column] - asked["baseline_iph_ml"]
            line = fit_line(wanted, got)
            large = wanted > LARGE_REQUEST_ML
            steep = fit_line(wanted[large], got[large])
            missing = Score(None, "no line: fewer than three distinct requests")
            too_few = Score(None, "no line: fewer than three requests above 3 mL")
            unmatched = Score(None, "volumes were not matched")
            row = cells(
                slope=line.slope if line else missing,
                intercept_ml=line.intercept if line else missing,
                r2=line.r2 if line else missing,
                residual_sd_ml=line.residual_sd if line else missing,
                miss_sd_ml=(
                    float((got - wanted).std())
                    if request == "target_growth_ml"
                    else Score(None, "a flag asks for no volume")
                ),
                slope_large=steep.slope if steep else too_few,
                r2_large=steep.r2 if steep else too_few,
                abs_logit_offset_median=float(offsets.median()) if len(offsets) else unmatched,
                abs_logit_offset_p90=float(offsets.quantile(0.9)) if len(offsets) else unmatched,
            )
            rows.append(head | row)
    return table_of(rows, OBEDIENCE)


def tabulate_images(scores: pd.DataFrame, resampling: Resampling) -> pd.DataFrame:
    """Means over patients of the image scores.

    Args:
        scores: The patients' `scores.tsv` with split and center.
        resampling: How intervals are drawn.

    Returns:
        `n` patients have the score, `n_undefined` have none (both masks empty, for instance) and
        are left out of the mean.
    """
    rows = []
    for group, patients in by_group(scores):
        keys = ["model", "indicator", "metric"]
        for (model, indicator, metric), part in patients.groupby(keys, sort=False):
            head = group | {"model": model, "indicator": indicator, "metric": metric}
            values = part["value"].dropna().to_numpy()
            reasons = "; ".join(sorted(set(part["note"]) - {""}))
            interval = bootstrap_interval(
                values, resampling.repeats, resampling.rng("images", *head.values())
            )
            row = cells(
                n=len(values),
                n_undefined=len(part) - len(values),
                mean=float(values.mean()) if len(values) else Score(None, reasons),
                **{name.strip("_"): end for name, end in interval_cells("", "", interval).items()},
            )
            rows.append(head | row)
    return table_of(rows, IMAGES)


def tabulate_calibration(scored: pd.DataFrame, bins: int) -> pd.DataFrame:
    """Histogram of the PIT of every forecast that has a spread: flat when calibrated."""
    rows = []
    keys = ["split", "model", "indicator", "target"]
    for head, part in scored[scored["pit"].notna()].groupby(keys, sort=False):
        counts, edges = np.histogram(part["pit"], bins=bins, range=(0, 1))
        rows += [
            dict(zip(keys, head, strict=True))
            | {
                "pit": round((low + high) / 2, 6),
                "n": len(part),
                "share": count / len(part),
                "expected": 1 / bins,
            }
            for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
        ]
    return table_of(rows, CALIBRATION)


def by_group(table: pd.DataFrame) -> list[tuple[dict[str, str], pd.DataFrame]]:
    """The patients of each split together and, where a split has several centres, by centre."""
    groups = []
    for split, part in table.groupby("split"):
        groups.append(({"split": split, "center": "all"}, part))
        if part["center"].nunique() > 1:
            groups += [
                ({"split": split, "center": center}, rows)
                for center, rows in part.groupby("center")
            ]
    return groups
