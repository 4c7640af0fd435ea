"""Tables for people: headers with units, rounded numbers, intervals beside their numbers."""

import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from hemexp.evaluation.tidy import read_table
from hemexp.provenance import write_sidecars, write_text
from hemexp.reporting.style import MODEL_NAMES
from hemexp.settings import Reporting

UNKNOWN = "–"
"""Stands where a number is undefined; the column Remark says why."""

NUMBERS = {"age": "Age, years", "onset_to_ct_h": "Onset to CT, h", "gcs": "GCS",
           "sbp": "Systolic pressure, mmHg", "baseline_iph_ml": "Baseline IPH, mL"}  # fmt: skip
EVENTS = {"anticoagulant": "Anticoagulant", "antiplatelet": "Antiplatelet",
          "baseline_ivh": "Baseline IVH", "he": "Expansion (HE)",
          "he_6ml": "Growth ≥ 6 mL", "rhe": "Revised expansion (rHE)"}  # fmt: skip
EVENT_NAMES = {name: EVENTS[name] for name in ("he", "he_6ml", "rhe")}
TARGETS = {"iph_ml": "IPH", "ivh_ml": "IVH"}
REQUESTS = {"target_growth_ml": "Target growth, mL", "expansion_flag": "Expansion flag"}
METRICS = {
    "iph_dice_sample": "IPH Dice, mean of samples", "iph_dice_map": "IPH Dice, map > 0.5",
    "ivh_dice_sample": "IVH Dice, mean of samples", "ivh_dice_map": "IVH Dice, map > 0.5",
    "psnr_db_sample": "PSNR in the brain, dB, mean of samples",
    "psnr_db_mean_image": "PSNR in the brain, dB, mean image",
    "ssim_sample": "SSIM in the brain, mean of samples",
    "ssim_mean_image": "SSIM in the brain, mean image",
    "expansion_brier_brain": "Expansion map Brier, brain",
    "expansion_brier_band": "Expansion map Brier, band round the bleed",
    "midline_shift_mm": "Midline shift, mm, median",
    "midline_shift_error_mm": "Midline shift error, mm",
    "midline_shift_crps_mm": "Midline shift CRPS, mm",
}  # fmt: skip


def number(value: float, digits: int) -> str:
    """A rounded number, or a dash where there is none."""
    # Adding zero turns -0.00 into 0.00.
    return UNKNOWN if pd.isna(value) else f"{round(value, digits) + 0.0:.{digits}f}"


def with_interval(value: float, low: float, high: float, digits: int) -> str:
    """A number and its 95 % interval: `4.02 (3.10 to 5.20)`."""
    if pd.isna(value) or pd.isna(low):
        return number(value, digits)
    return f"{number(value, digits)} ({number(low, digits)} to {number(high, digits)})"


def describe_cohort(samples: pd.DataFrame, outcomes: pd.DataFrame) -> pd.DataFrame:
    """Who the patients are, by centre and split, and all together.

    Args:
        samples: The sheet, indexed by patient, numbers as floats and NaN where unknown.
        outcomes: `outcomes.tsv`, indexed by patient.

    Returns:
        Median [quartiles] of numbers and count/known (%) of events; unknown values are left out
        and counted.
    """
    columns = [column for column in outcomes if column not in samples]
    table = samples.join(outcomes[columns])
    table["baseline_ivh"] = (table["baseline_ivh_ml"] > 0).astype(float)
    groups = [((center, split), part)
              for (center, split), part in table.groupby(["center", "split"])]  # fmt: skip
    return pd.DataFrame(
        {"Centre": center, "Split": split, "Patients": len(part)}
        | {header: _median(part[name]) for name, header in NUMBERS.items()}
        | {f"{header}, n (%)": _share(part[name]) for name, header in EVENTS.items()}
        for (center, split), part in [*groups, (("all", "all"), table)]
    )


def _median(values: pd.Series) -> str:
    known = values.dropna()
    if known.empty:
        return UNKNOWN
    low, middle, high = np.quantile(known, [0.25, 0.5, 0.75])
    unknown = f"; {len(values) - len(known)} unknown" if len(known) < len(values) else ""
    return f"{middle:.1f} [{low:.1f}, {high:.1f}]{unknown}"


def _share(values: pd.Series) -> str:
    known = values.dropna()
    if known.empty:
        return UNKNOWN
    return f"{int(known.sum())}/{len(known)} ({100 * known.mean():.0f} %)"


def describe_forecasts(table: pd.DataFrame) -> pd.DataFrame:
    """`evaluation/forecasts.tsv` for people."""
    return pd.DataFrame(
        _head(row)
        | {
            "Volume": TARGETS[row["target"]],
            "Patients": row["n"],
            "Draws K": row["k"],
            "CRPS, mL (95 % CI)": _score(row, "crps", "_ml", 2),
            "Skill against climatology (95 % CI)": _score(row, "skill", "", 2),
            "MAE of the median, mL": number(row["mae_ml"], 2),
            "Bias, mL": number(row["bias_ml"], 2),
            "Coverage of 50 %": number(row["coverage50"], 2),
            "Coverage of 90 %": number(row["coverage90"], 2),
            "Spread ratio": number(row["spread_ratio"], 2),
            "Width of 50 %, mL": number(row["width50_ml"], 1),
            "Width of 90 %, mL": number(row["width90_ml"], 1),
            "Remark": row["note"],
        }
        for row in table.to_dict("records")
    )


def describe_expansion(table: pd.DataFrame) -> pd.DataFrame:
    """`evaluation/expansion.tsv` for people."""
    return pd.DataFrame(
        _head(row)
        | {
            "Event": EVENT_NAMES[row["event"]],
            "Patients": row["n"],
            "Events": row["n_events"],
            "AUC (95 % CI)": _score(row, "auc", "", 2),
            "Brier score (95 % CI)": _score(row, "brier", "", 3),
            "Remark": row["note"],
        }
        for row in table.to_dict("records")
    )


def describe_obedience(table: pd.DataFrame) -> pd.DataFrame:
    """`evaluation/obedience.tsv` for people."""
    return pd.DataFrame(
        {
            "Split": row["split"],
            "Indicator": row["indicator"],
            "Asked for": REQUESTS[row["request"]],
            "Volume": row["volume"],
            "Patients": row["n"],
            "Samples": row["n_samples"],
            "Slope": number(row["slope"], 3),
            "Intercept, mL": number(row["intercept_ml"], 2),
            "R²": number(row["r2"], 3),
            "Residual SD, mL": number(row["residual_sd_ml"], 2),
            "|Logit offset|, median": number(row["abs_logit_offset_median"], 2),
            "|Logit offset|, P90": number(row["abs_logit_offset_p90"], 2),
            "Remark": row["note"],
        }
        for row in table.to_dict("records")
    )


def describe_images(table: pd.DataFrame) -> pd.DataFrame:
    """`evaluation/images.tsv` for people."""
    return pd.DataFrame(
        _head(row)
        | {
            "Score": METRICS[row["metric"]],
            "Patients": row["n"],
            "Left out (undefined)": row["n_undefined"],
            "Mean (95 % CI)": with_interval(row["mean"], row["low"], row["high"], 3),
            "Remark": row["note"],
        }
        for row in table.to_dict("records")
    )


def _head(row: dict) -> dict[str, str]:
    model = MODEL_NAMES.get(row["model"], row["model"])
    return {"Split": row["split"], "Centre": row["center"], "Model": model,
            "Indicator": row["indicator"]}  # fmt: skip


def _score(row: dict, name: str, unit: str, digits: int) -> str:
    return with_interval(
        row[f"{name}{unit}"], row[f"{name}_low{unit}"], row[f"{name}_high{unit}"], digits
    )


DESCRIBED = {
    "forecasts": describe_forecasts,
    "expansion": describe_expansion,
    "obedience": describe_obedience,
    "images": describe_images,
}


def run_write_tables(
    samples: pd.DataFrame, outcomes: Path, evaluation: Path, out: Path, settings: Reporting
) -> list[Path]:
    """Writes cohort, forecasts, expansion, obedience and images as CSV.

    Args:
        samples: The sheet as `cohort.read_samples` gives it.
        outcomes: `results/cohort/outcomes.tsv`.
        evaluation: `results/evaluation`.
        out: `results/tables`.
        settings: Kept in the sidecars.

    Returns:
        The files.
    """
    started = time.perf_counter()
    sources = {name: evaluation / f"{name}.tsv" for name in DESCRIBED}
    cohort = describe_cohort(samples, read_table(outcomes).set_index("patient_id"))
    tables = {"cohort": cohort}
    tables |= {name: DESCRIBED[name](read_table(path)) for name, path in sources.items()}
    for name, table in tables.items():
        write_text(out / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))
    products = _paths(out, tables)
    write_sidecars(products, verb="write-tables", settings=settings.as_json(), started=started,
                   inputs=[outcomes, *sources.values()])  # fmt: skip
    return products


def _paths(out: Path, names: Iterable[str]) -> list[Path]:
    return [out / f"{name}.csv" for name in names]
