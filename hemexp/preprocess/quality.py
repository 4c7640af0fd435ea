"""How far each measure of a scan lies from its limit: for the table, and for the page."""

import math
from typing import Any, NamedTuple

from hemexp.made_masks import GIVEN
from hemexp.settings import QualityLimits

SMALL_ML = 5.0
"""Below this the grid's error is judged in mL, as a part of this: few voxels, much chance."""

LARGE_ERROR = 0.1
"""Expected error of a found IPH, as part of its volume, above which a scan is marked: a choice."""

BALL = 4 / (3 * math.sqrt(math.pi))
"""Compactness of a ball, 0.75: the best value of a brain."""


class Mark(NamedTuple):
    """One measure against its limit.

    Attributes:
        column: Column of `qc.tsv` that holds the measure.
        ratio: 0 at the best value, 1 at the limit, more beyond it.
        words: What is doubtful, if the limit is passed.
    """

    column: str
    ratio: float
    words: str


def marks(row: dict[str, Any], other_brain_ml: float | None, limits: QualityLimits) -> list[Mark]:
    """Judges one scan.

    Args:
        row: The scan's measures, named as in `qc.tsv`; NaN where something was not measured.
        other_brain_ml: Brain volume of the patient's other scan, None if there is none.
        limits: Outside these a scan is doubtful.

    Returns:
        A mark for every measure that there is.
    """
    low, high = limits.brain_ml
    brain_ml, rotation, shift = row["brain_ml"], row["rotation_deg"], row["translation_mm"]
    found = [
        *_shape_marks(row, limits),
        Mark(
            "brain_ml",
            abs(2 * brain_ml - low - high) / (high - low),
            f"brain {brain_ml:.0f} mL outside {low:g}-{high:g} mL",
        ),
        Mark(
            "rotation_deg",
            rotation / limits.rotation_deg,
            f"turned by {rotation:.1f} deg (limit {limits.rotation_deg:g})",
        ),
        Mark(
            "translation_mm",
            shift / limits.translation_mm,
            f"moved by {shift:.1f} mm (limit {limits.translation_mm:g})",
        ),
    ]
    if other_brain_ml:
        change = abs(brain_ml / other_brain_ml - 1)
        words = f"brain {brain_ml:.0f} mL but {other_brain_ml:.0f} mL in the other scan"
        found.append(Mark("brain_ml", change / limits.brain_change, words))
    for blood in ("iph", "ivh"):
        native_ml, grid_ml = row[f"{blood}_ml"], row[f"{blood}_grid_ml"]
        allowed_ml = limits.grid_volume_error * max(native_ml, SMALL_ML)
        words = f"{blood.upper()} {native_ml:.2f} mL is {grid_ml:.2f} mL on the grid"
        found.append(Mark(f"{blood}_grid_ml", abs(grid_ml - native_ml) / allowed_ml, words))
    found += _made_marks(row)
    return [mark for mark in found if not math.isnan(mark.ratio)]


def _shape_marks(row: dict[str, Any], limits: QualityLimits) -> list[Mark]:
    """Whether the brain is all there: it is narrow at both ends, and high for its width."""
    found = []
    for column, side in (("lowest_share", "lower"), ("highest_share", "upper")):
        words = (
            f"brain cut off at its {side} end ({row[column]:.0%} of its widest slice there, limit "
            f"{limits.end_share:.0%}): the scan ends inside the brain, or its mask lost a part"
        )
        found.append(Mark(column, row[column] / limits.end_share, words))
    words = (
        f"brain small for its widest slice (compactness {row['compactness']:.2f}, limit "
        f"{limits.compactness:g}): is a part missing?"
    )
    ratio = (BALL - row["compactness"]) / (BALL - limits.compactness)
    return [*found, Mark("compactness", ratio, words)]


def _made_marks(row: dict[str, Any]) -> list[Mark]:
    """How sure the volume of a mask is that the workflow made; nothing of a given one."""
    source, volume_ml = row.get("mask", GIVEN), row["iph_ml"]
    if source in ("", GIVEN):
        return []
    error_ml = row["iph_error_ml"]
    words = f"IPH {volume_ml:.2f} mL found by the {source}, give or take {error_ml:.2f} mL"
    return [Mark("iph_error_ml", error_ml / volume_ml / LARGE_ERROR, words)]


def scan_warnings(
    row: dict[str, Any], other_brain_ml: float | None, limits: QualityLimits
) -> list[str]:
    """What is doubtful about one scan, in words; arguments as for `marks`.

    First what was seen when it was read, the row's `warnings`, then what passed a limit.
    """
    seen = [row["warnings"]] if row.get("warnings") else []
    return seen + [mark.words for mark in marks(row, other_brain_ml, limits) if mark.ratio > 1]
