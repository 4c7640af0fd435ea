"""What has to be said of a new patient beside its images, to `predict` and to a bundle."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from hemexp import Fault
from hemexp.ranges import NUMBERS, NUMBERS_OPTIONAL, Range

PATIENT_NUMBERS = NUMBERS | {"expansion_prob": NUMBERS_OPTIONAL["expansion_prob"]}
"""Numbers by the names of the sheet's columns; None where unknown."""

MEASURED_NUMBERS = {
    "baseline_iph_ml": Range(0.01, 500, "mL in native space", required=True),
    "baseline_ivh_ml": Range(0, 500, "mL in native space", required=True),
}
"""Volumes, which `predict` measures itself and a bundle has to be given."""


def is_patient_id(value: object) -> bool:
    """Whether it is letters and digits."""
    return isinstance(value, str) and bool(re.fullmatch(r"[A-Za-z0-9]+", value))


def number_faults(
    values: Mapping[str, Any], allowed: Mapping[str, Range], where: Callable[[str], str]
) -> list[Fault]:
    """Numbers that are missing, no numbers or out of range.

    Args:
        values: By name; None or absent where unknown.
        allowed: The names to look at, and what each may be.
        where: Gives the place of a name, for the message.
    """
    faults = []
    for name, limits in allowed.items():
        value = values.get(name)
        if (value is None or isinstance(value, int | float)) and limits.fits(value):
            continue
        expected = str(limits) + ("" if limits.required else ", or nothing when unknown")
        faults.append(Fault(where(name), repr(value), expected, "Correct the value or its unit."))
    return faults
