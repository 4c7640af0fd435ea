"""What-if questions: the same ones are put to the models and to the phantom."""

import math

import pandas as pd

ONSETS_H = (0.5, 1.0, 2.0, 3.0, 4.5, 6.0, 9.0, 12.0, 18.0, 24.0)
"""Onset-to-CT times asked for; onset contrasts compare 1 with 12 hours."""

EARLY_H, LATE_H = 1.0, 12.0
ANTICOAGULANT = (0, 1)

AS_IS = "as_is"
CASES = {"anticoagulant": "anticoagulant", "onset": "onset_to_ct_h"}
"""Where images are drawn again, one value at a time is another: case and column of the sheet."""


def other_value(case: str, value: float) -> float:
    """What the case changes a value to.

    Args:
        case: One of `CASES`.
        value: As it is; NaN where the sheet does not know it.

    Returns:
        On an anticoagulant for off and the reverse; of 1 and 12 hours the one further away on the
        log scale. What is unknown becomes on, and 1 hour: what raises growth.
    """
    if case == "anticoagulant":
        return float(value != 1)
    return LATE_H if value < math.sqrt(EARLY_H * LATE_H) else EARLY_H


def ask(patient_ids: list[str]) -> pd.DataFrame:
    """Every patient with every onset time, off and on an anticoagulant.

    Returns:
        Columns patient_id, onset_to_ct_h, anticoagulant; patients in the order given.
    """
    asked = [(p, onset, drug) for p in patient_ids for drug in ANTICOAGULANT for onset in ONSETS_H]
    return pd.DataFrame(asked, columns=["patient_id", "onset_to_ct_h", "anticoagulant"])
