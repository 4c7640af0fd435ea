"""What-if questions: the same ones are put to the models and to the phantom."""

import pandas as pd

ONSETS_H = (0.5, 1.0, 2.0, 3.0, 4.5, 6.0, 9.0, 12.0, 18.0, 24.0)
"""Onset-to-CT times asked for; onset contrasts compare 1 with 12 hours."""

EARLY_H, LATE_H = 1.0, 12.0
ANTICOAGULANT = (0, 1)


def ask(patient_ids: list[str]) -> pd.DataFrame:
    """Every patient with every onset time, off and on an anticoagulant.

    Returns:
        Columns patient_id, onset_to_ct_h, anticoagulant; patients in the order given.
    """
    asked = [(p, onset, drug) for p in patient_ids for drug in ANTICOAGULANT for onset in ONSETS_H]
    return pd.DataFrame(asked, columns=["patient_id", "onset_to_ct_h", "anticoagulant"])
