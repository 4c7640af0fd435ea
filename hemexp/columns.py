"""Names of the sheet's columns and of the scans they hold: what every room knows of the sheet.

How the sheet is read and checked stands in `sheet.py`, which no room of the workflow needs: a
message reworded there makes nothing again.
"""

SPLITS = ("train", "val", "test", "predict")
SESSIONS = BASELINE, FOLLOWUP = ("baseline", "followup")
OTHER_SESSION = dict(zip(SESSIONS, reversed(SESSIONS), strict=True))
IMAGES = ("ct", "iph", "ivh")
FILES = tuple(f"{session}_{image}" for session in SESSIONS for image in IMAGES)
NO_IVH = "none"
"""What a cell of `baseline_ivh` or `followup_ivh` holds where the scan shows no IVH."""
OPTIONAL_MASKS = ("baseline_brain", "followup_brain")

CLINICAL = ("onset_to_ct_h", "anticoagulant", "antiplatelet", "age", "gcs", "sbp")
"""The six clinical variables of the sheet; the seventh, baseline IPH volume, is measured."""

EARLIEST_H = 0.25
"""The sheet allows an onset of 0; its logarithm does not."""

INTERVAL = "followup_interval_h"
"""Hours from the baseline to the follow-up scan."""

CENTER_ONSET = "center_onset_h"
"""The centre's median onset, which stands for an unknown one; `cohort.read_sheet` fills it."""

LEAST_ONSETS = 20
"""Known onsets of a centre that tell its hours: their median is then good to a quarter."""

TREATMENT = ("reversed", "bp_lowered")
"""What was given between the scans; told of the cohort, read by no model."""

LEFT_OUT = {
    "evacuated": "evacuated between the scans: the follow-up shows no growth of the bleed",
    "died": "died before the follow-up scan",
}
"""Columns that, where they hold 1, leave a patient out of training, forecasts and scores."""

REQUIRED = ("patient_id", "center", "split", *FILES, *CLINICAL)
