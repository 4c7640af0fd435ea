"""Verb `score-segmentation`: found masks against given ones, of patients the network never saw."""

import math
import time
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from hemexp.layout import Layout
from hemexp.provenance import describe, write_json, write_sidecars
from hemexp.segmentation.volume_error import fit_volume_error
from hemexp.tables import read_table, table_of, write_table
from hemexp.volumes import read_volume

MASKS = {"iph": 1, "ivh": 2}
"""Masks and their labels in `_dseg` files."""

BLEED_ML = 1.0
"""A bleed that must not be missed, nor invented: the growth of IVH that counts for rHE."""

LARGE_ML = 5.0
"""From here on a volume's error is also told in percent: that of less would be of few voxels."""

LIMITS_SD = 1.96
"""Limits of agreement: bias -+ so many SD of the differences (Bland and Altman 1986)."""

SCAN_COLUMNS = (
    *("patient_id", "center", "session", "mask", "given_ml", "found_ml", "error_ml"),
    *("entropy_ml", "dice", "missed", "false", "note"),
)
SUMMARY_COLUMNS = (
    *("center", "mask", "scans", "with_blood", "dice", "bias_ml", "lower_ml", "upper_ml"),
    *("large", "bias_percent", "lower_percent", "upper_percent"),
    *("bleeds", "missed", "without_blood", "false", "note"),
)


def score_mask(
    given: NDArray[np.bool_], found: NDArray[np.bool_], voxel_ml: float
) -> dict[str, Any]:
    """Compares one mask of one scan.

    Args:
        given: The study's mask.
        found: The network's.
        voxel_ml: Volume of a voxel.

    Returns:
        Columns `given_ml` to `note` of `SCAN_COLUMNS` but `entropy_ml`. `dice` is empty where no
        such blood is given; `missed`: 1 mL or more is given and no voxel of it is found; `false`:
        1 mL or more is found where none is given.
    """
    given_ml, found_ml = (float(mask.sum()) * voxel_ml for mask in (given, found))
    both = int((given & found).sum())
    dice = 2 * both / int(given.sum() + found.sum()) if given.any() else math.nan
    return {
        "given_ml": given_ml,
        "found_ml": found_ml,
        "error_ml": found_ml - given_ml,
        "dice": dice,
        "missed": int(given_ml >= BLEED_ML and both == 0),
        "false": int(given_ml == 0 and found_ml >= BLEED_ML),
        "note": "" if given.any() else "no such blood is given",
    }


def limits_of_agreement(differences: ArrayLike) -> tuple[float, float, float]:
    """Bias, and the limits between which 95 % of differences lie; NaN from fewer than two."""
    values = np.asarray(differences, dtype=float)
    if len(values) < 2:
        return math.nan, math.nan, math.nan
    bias, reach = values.mean(), LIMITS_SD * values.std(ddof=1)
    return float(bias), float(bias - reach), float(bias + reach)


def summarise(center: str, mask: str, rows: pd.DataFrame) -> dict[str, Any]:
    """One row of the summary, from the rows of one mask."""
    bloody, large = rows[rows["given_ml"] > 0], rows[rows["given_ml"] >= LARGE_ML]
    in_ml = limits_of_agreement(bloody["error_ml"])
    in_percent = limits_of_agreement(100 * large["error_ml"] / large["given_ml"])
    few = {"with blood": len(bloody), f"of {LARGE_ML:g} mL or more": len(large)}
    return {
        "center": center,
        "mask": mask,
        "scans": len(rows),
        "with_blood": len(bloody),
        "dice": bloody["dice"].mean(),
        **dict(zip(("bias_ml", "lower_ml", "upper_ml"), in_ml, strict=True)),
        "large": len(large),
        **dict(zip(("bias_percent", "lower_percent", "upper_percent"), in_percent, strict=True)),
        "bleeds": int((rows["given_ml"] >= BLEED_ML).sum()),
        "missed": int(rows["missed"].sum()),
        "without_blood": len(rows) - len(bloody),
        "false": int(rows["false"].sum()),
        "note": "; ".join(f"fewer than two scans {what}" for what, n in few.items() if n < 2),
    }


def summary_table(table: pd.DataFrame) -> pd.DataFrame:
    """A row a centre and mask, then all centres together (`all`), from `crossfit.tsv`."""
    centers = {**dict(list(table.groupby("center"))), "all": table}
    rows = [
        summarise(center, mask, part[part["mask"] == mask])
        for center, part in centers.items()
        for mask in MASKS
    ]
    return table_of(rows, SUMMARY_COLUMNS)


def score_scan(layout: Layout, told: pd.Series, center: str) -> list[dict[str, Any]]:
    """Rows of `crossfit.tsv` of one scan, a mask each, from its row of `crossfit_fold`."""
    scan = str(told["patient_id"]), str(told["session"])
    native, labels = layout.native(*scan), read_volume(layout.crossfit_scan(*scan))
    names = {"patient_id": scan[0], "center": center, "session": scan[1]}
    return [
        {
            **names,
            "mask": mask,
            "entropy_ml": float(told[f"entropy_{mask}_ml"]),
            **score_mask(
                read_volume(getattr(native, mask)).data > 0, labels.data == kind, labels.voxel_ml
            ),
        }
        for mask, kind in MASKS.items()
    ]


def run_score_segmentation(layout: Layout, centers: pd.Series, folds: int) -> None:
    """Verb `score-segmentation`: given and cross-fitted masks to tables and the error's model.

    Writes `crossfit.tsv`, `summary.tsv` and `error_model.json`.

    Args:
        layout: Of the run.
        centers: Centre of every training patient with given masks, indexed by patient_id.
        folds: How many there are.
    """
    started = time.perf_counter()
    told = pd.concat([read_table(layout.crossfit_fold(fold)) for fold in range(folds)])
    told = told.sort_values(["patient_id", "session"])
    scans = [row for _, row in told.iterrows()]
    table = table_of(
        [
            row
            for scan in scans
            for row in score_scan(layout, scan, str(centers[scan["patient_id"]]))
        ],
        SCAN_COLUMNS,
    )
    write_table(layout.crossfit, table)
    write_table(layout.crossfit_summary, summary_table(table))
    models = {
        mask: fit_volume_error(rows["found_ml"], rows["entropy_ml"], rows["error_ml"])
        for mask, rows in table.groupby("mask")
    }
    inputs = [layout.crossfit_scan(scan["patient_id"], scan["session"]) for scan in scans]
    record = {"verb": "score-segmentation", "settings": {}, "inputs": inputs, "started": started}
    write_sidecars([layout.crossfit, layout.crossfit_summary], **record)
    fitted = {mask: model.as_json() for mask, model in models.items()}
    write_json(layout.error_model, {**describe(**record), "masks": fitted})
