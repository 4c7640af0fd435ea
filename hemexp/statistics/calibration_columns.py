"""Names of the measures of calibration: for tables, and for who must not pay SciPy's start."""

MEASURES = ("calibration_in_the_large", "oe_ratio", "calibration_slope")
COLUMNS = tuple(f"{name}{end}" for name in MEASURES for end in ("", "_low", "_high"))
"""Of tables that hold every measure with its interval."""
