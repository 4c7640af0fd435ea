"""What the numbers of a patient may be: of the sheet, and of a single patient at a desk."""

from typing import NamedTuple

from hemexp.columns import CENTER_ONSET, INTERVAL, LEFT_OUT, TREATMENT


class Range(NamedTuple):
    """Allowed values of one numeric column."""

    low: float
    high: float
    unit: str
    required: bool = False
    whole: bool = False

    def fits(self, value: float | None) -> bool:
        """Whether a value is allowed; None is an unknown one."""
        if value is None:
            return not self.required
        return self.low <= value <= self.high and not (self.whole and value % 1)

    def __str__(self) -> str:
        """What is expected, for a message."""
        kind = "whole number" if self.whole else "number"
        return f"a {kind} from {self.low:g} to {self.high:g} ({self.unit})"


NUMBERS = {
    "onset_to_ct_h": Range(0, 24, "hours"),
    "anticoagulant": Range(0, 1, "0 or 1", whole=True),
    "antiplatelet": Range(0, 1, "0 or 1", whole=True),
    "age": Range(0, 120, "years"),
    "gcs": Range(3, 15, "points", whole=True),
    "sbp": Range(40, 300, "mmHg"),
}
NUMBERS_OPTIONAL = {
    INTERVAL: Range(0.1, 1000, "hours"),
    CENTER_ONSET: Range(0, 24, "hours"),
    "expansion_prob": Range(0, 1, "probability"),
    **{name: Range(0, 1, "0 or 1", whole=True) for name in (*TREATMENT, *LEFT_OUT)},
}
"""Numeric columns that a sheet may lack."""

RANGES = NUMBERS | NUMBERS_OPTIONAL
