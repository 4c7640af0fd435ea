"""The cohort's report: one screen that says what was done, how good it is and where to look."""
