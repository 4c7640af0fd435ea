"""The patients whose forecasts were worst, and what a stated rule finds wrong with each."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from hemexp.columns import SESSIONS
from hemexp.outcomes import IVH_GROWTH_ML
from hemexp.reporting.cells import UNKNOWN, number
from hemexp.reporting.reader import Reader

WORST = 10
"""Patients shown."""

DOUBTFUL_DICE = 0.7
"""Below this overlap with what looks like blood a mask is doubtful (Zijdenbos 1994)."""

MANY_DISAGREE = 0.2
"""Share of samples that disagree with what they were told from which that is named."""


def worst_patients(volumes: pd.DataFrame, count: int = WORST) -> pd.DataFrame:
    """The patients with the greatest CRPS of follow-up IPH volume, the worst first.

    Args:
        volumes: `evaluation/volumes.tsv`.
        count: At most so many.

    Returns:
        One row a patient, indexed by patient_id: center and the metrics of HemExp's forecast,
        such as `crps_ml`, `observed_ml`, `q05_ml`. Empty where there is no forecast.
    """
    ours = volumes[(volumes["model"] == "hemexp") & (volumes["target"] == "iph_ml")]
    if ours.empty:
        return pd.DataFrame(index=pd.Index([], name="patient_id"))
    table = ours.pivot(index=["patient_id", "center"], columns="metric", values="value")
    table = table.reset_index("center").rename_axis(columns=None)
    # Equal scores in the order of patient_id.
    ranked = table.sort_index().sort_values("crps_ml", ascending=False, kind="stable")
    return ranked.head(count)


def say_growth(row: pd.Series) -> str:
    """Where the truth lies in the forecast, as a sentence.

    Args:
        row: Of `worst_patients`.
    """
    grew, said = row["observed_ml"] - row["baseline_ml"], row["median_ml"] - row["baseline_ml"]
    told = f"{grew:+.1f} mL, median forecast {said:+.1f} mL"
    if pd.isna(row["q05_ml"]):
        return f"IPH changed by {told}; one draw has no interval"
    ends = (
        f"{row['q05_ml'] - row['baseline_ml']:+.1f} to {row['q95_ml'] - row['baseline_ml']:+.1f}"
    )
    if row["observed_ml"] > row["q95_ml"]:
        return f"grew more than said: {told}, 90 % interval {ends} mL"
    if row["observed_ml"] < row["q05_ml"]:
        return f"grew less than said: {told}, 90 % interval {ends} mL"
    return f"inside what was said: {told}, 90 % interval {ends} mL"


def explain(
    row: pd.Series, outcome: pd.Series, qc: pd.DataFrame, true_dice: float, disagree: float
) -> str:
    """What went wrong with one patient, in the order that it is looked for.

    Args:
        row: Of `worst_patients`.
        outcome: Of `outcomes.tsv`.
        qc: The patient's rows of `qc.tsv`.
        true_dice: Dice of the true follow-up's IPH mask and what looks like blood on its CT; NaN
            where it is undefined.
        disagree: Share of the samples that disagree with what they were told.
    """
    found = [say_growth(row)]
    if outcome["ivh_growth_ml"] >= IVH_GROWTH_ML:
        new = "new IVH" if outcome["baseline_ivh_ml"] == 0 else "IVH grew"
        found.append(f"{new}: {outcome['ivh_growth_ml']:+.1f} mL")
    if true_dice < DOUBTFUL_DICE:
        found.append(f"follow-up mask doubtful: Dice with what looks like blood {true_dice:.2f}")
    for session in SESSIONS:
        marked = qc[(qc["session"] == session) & (qc["status"] != "ok")]
        found += [f"quality control of the {session}: {text}" for text in marked["reason"]]
    if disagree >= MANY_DISAGREE:
        found.append(f"{100 * disagree:.0f} % of the samples disagree with what they were told")
    return "; ".join(found)


def describe_failures(
    worst: pd.DataFrame, outcomes: pd.DataFrame, reasons: Iterable[str]
) -> pd.DataFrame:
    """The table for people.

    Args:
        worst: From `worst_patients`.
        outcomes: `outcomes.tsv`, indexed by patient.
        reasons: From `explain`, a row each.
    """
    rows = []
    for rank, ((name, row), reason) in enumerate(zip(worst.iterrows(), reasons, strict=True), 1):
        place = row["pit"]
        rows.append(
            {
                "Rank": rank,
                "Patient": name,
                "Centre": row["center"],
                "CRPS, mL": number(row["crps_ml"], 2),
                "Baseline IPH, mL": number(row["baseline_ml"], 1),
                "Growth, mL": number(outcomes.loc[name, "growth_ml"], 1),
                "Median forecast growth, mL": number(row["median_ml"] - row["baseline_ml"], 1),
                "Place of the truth": UNKNOWN if pd.isna(place) else f"{100 * place:.0f} %",
                "What went wrong": reason,
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)


COLUMNS = [
    "Rank",
    "Patient",
    "Centre",
    "CRPS, mL",
    "Baseline IPH, mL",
    "Growth, mL",
    "Median forecast growth, mL",
    "Place of the truth",
    "What went wrong",
]


def read_failures(reader: Reader, count: int = WORST) -> pd.DataFrame:
    """Reads and explains the worst patients of a run."""
    layout, outcomes = reader.layout, reader.outcomes()
    worst = worst_patients(reader.table(layout.evaluation("volumes")), count)
    qc = reader.table(layout.qc)
    reasons = []
    for name, row in worst.iterrows():
        measured = reader.table(layout.consistency(name))
        true_dice = measured.loc[measured["model"] == "truth", "mask_hu_dice"]
        samples = reader.table(layout.sample_volumes(name))
        reasons.append(
            explain(
                row,
                outcomes.loc[name],
                qc[qc["patient_id"] == name],
                float(true_dice.iloc[0]) if len(true_dice) else np.nan,
                float(samples["disagrees"].mean()),
            )
        )
    return describe_failures(worst, outcomes, reasons)
