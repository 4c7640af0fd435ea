"""Who the patients are, and how well the autoencoder gives their scans back."""

import pandas as pd

from hemexp.columns import SESSIONS
from hemexp.made_masks import GIVEN
from hemexp.reporting.cells import median, share

NUMBER_NAMES = {
    "age": "Age, years",
    "onset_to_ct_h": "Onset to CT, h",
    "gcs": "GCS",
    "sbp": "Systolic pressure, mmHg",
    "baseline_iph_ml": "Baseline IPH, mL",
    "growth_ml": "IPH growth, mL",
}
FLAG_NAMES = {
    "female": "Female",
    "anticoagulant": "Anticoagulant",
    "antiplatelet": "Antiplatelet",
    "baseline_ivh": "Baseline IVH",
    "he": "Expansion (HE)",
    "he_6ml": "Growth ≥ 6 mL",
    "rhe": "Revised expansion (rHE)",
}
OF_MASKS = {
    "found_mask": "Masks found by the workflow",
    "he_uncertain": "HE within the error of its threshold",
}
"""Further counts of a run that made masks."""


def describe_cohort(sheet: pd.DataFrame, outcomes: pd.DataFrame) -> pd.DataFrame:
    """Who the patients are, by centre and split, and all together.

    Args:
        sheet: The sheet, indexed by patient, numbers as floats and NaN where unknown.
        outcomes: `outcomes.tsv`, indexed by patient.

    Returns:
        Median [quartiles] of numbers and count/known (%) of events; unknown values are left out
        and counted. A run that made masks has the counts of `OF_MASKS` too.
    """
    columns = [column for column in outcomes if column not in sheet]
    table = sheet.join(outcomes[columns])
    table["female"] = _female(table)
    table["baseline_ivh"] = (table["baseline_ivh_ml"] > 0).astype(float)
    flags = dict(FLAG_NAMES)
    if "he_uncertain" in table:
        sources = table[[f"{session}_mask" for session in SESSIONS]]
        # Without a follow-up the source of its masks is empty.
        table["found_mask"] = (sources.notna() & ~sources.isin((GIVEN, ""))).any(axis=1)
        flags |= OF_MASKS
    return pd.DataFrame(
        {"Centre": center, "Split": split, "Patients": len(part)}
        | {header: median(part[name]) for name, header in NUMBER_NAMES.items()}
        | {f"{header}, n (%)": share(part[name]) for name, header in flags.items()}
        for center, split, part in _groups(table)
    )


def _female(table: pd.DataFrame) -> pd.Series:
    """1 or 0, NaN where the sex is unknown or the sheet has no such column."""
    sex = table["sex"] if "sex" in table else pd.Series("", table.index)
    return sex.map({"female": 1.0, "male": 0.0})


def describe_reconstruction(scores: pd.DataFrame) -> pd.DataFrame:
    """How well the autoencoder gives scans back: a row a centre and split, and all together.

    Args:
        scores: All `reconstruction.tsv` below one another, with `center` and `split`; a scan
            without a structure has no Dice of it.
    """
    return pd.DataFrame(
        {
            "Centre": center,
            "Split": split,
            "Scans": len(part),
            "IPH Dice": median(part["iph_dice"].dropna(), 3),
            "Scans with IVH": int(part["ivh_dice"].notna().sum()),
            "IVH Dice": median(part["ivh_dice"].dropna(), 3),
            "PSNR in the brain, dB": median(part["psnr_db"]),
        }
        for center, split, part in _groups(scores)
    )


def _groups(table: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    parts = [(*group, part) for group, part in table.groupby(["center", "split"])]
    return [*parts, ("all", "all", table)]
