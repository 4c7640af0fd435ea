"""The volumes of a patient's drawn follow-ups, a dot each: what the slider runs through."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from hemexp.outcomes import HE_ML, HE_RELATIVE, expansion_begins_ml

WIDTH, HEIGHT, TOP, SIDE = 800, 170, 56, 16
"""Of the figure, of the room above the dots for names, and at both ends; its own units."""

AXIS = 42
"""Below the dots: ticks and the axis's name."""

NAME, ROW, ROWS = 70, 16, 3
"""Room for the name of a line: width, height, and rows above the dots."""

BINS = 50
"""Columns of dots at most; with 50 samples about the width of a dot each."""

TICKS = 8


def stack_dots(
    volumes_ml: NDArray[np.float64], span_ml: tuple[float, float]
) -> list[tuple[int, int]]:
    """Column and height of each dot, in the order given: the first in a column lies lowest.

    Args:
        volumes_ml: (K,) volumes.
        span_ml: What the columns span.
    """
    low, high = span_ml
    columns = ((np.asarray(volumes_ml) - low) / (high - low) * BINS).astype(int)
    counts: dict[int, int] = {}
    places = []
    for column in np.clip(columns, 0, BINS - 1).tolist():
        places.append((column, counts.get(column, 0)))
        counts[column] = counts.get(column, 0) + 1
    return places


def thresholds_ml(baseline_ml: float) -> dict[str, float]:
    """Follow-up volumes in mL from which growth is at least 6 mL, or 33 %."""
    return {"absolute": baseline_ml + HE_ML, "relative": baseline_ml * (1 + HE_RELATIVE)}


def place_names(lines: Mapping[str, float]) -> list[dict[str, Any]]:
    """Lines from left to right with a place for each name: rows apart where names would touch.

    Args:
        lines: Where each line stands.
    """
    placed: list[dict[str, Any]] = []
    ends = [-math.inf] * ROWS
    for name, x in sorted(lines.items(), key=lambda line: line[1]):
        row = next((row for row, end in enumerate(ends) if x - NAME / 2 >= end), ROWS - 1)
        ends[row] = x + NAME / 2
        side = "start" if x < NAME / 2 else "end" if x > WIDTH - NAME / 2 else "middle"
        placed.append({"name": name, "x": x, "y": TOP - 6 - row * ROW, "anchor": side})
    return placed


def dot_figure(
    volumes_ml: Sequence[float], baseline_ml: float, true_ml: float | None
) -> Mapping[str, Any]:
    """What the template draws: dots, ticks and marked volumes, in the figure's units.

    Args:
        volumes_ml: IPH of the samples on the slider, in its order.
        baseline_ml: IPH at baseline.
        true_ml: IPH of the true follow-up; None where it is unknown.
    """
    lines = {"baseline": baseline_ml, **thresholds_ml(baseline_ml)}
    lines |= {} if true_ml is None else {"true": true_ml}
    seen = [*volumes_ml, *lines.values()]
    ticks = MaxNLocator(TICKS).tick_values(min(seen), max(seen))
    low, high = float(ticks[0]), float(ticks[-1])
    step = (WIDTH - 2 * SIDE) / BINS
    places = stack_dots(np.array(volumes_ml), (low, high))
    room = HEIGHT - TOP - AXIS
    rise = min(step, room / (max(height for _, height in places) + 1))

    def at(volume_ml: float) -> float:
        return round(SIDE + (volume_ml - low) / (high - low) * (WIDTH - 2 * SIDE), 1)

    base = HEIGHT - AXIS
    dots = [(SIDE + (c + 0.5) * step, base - (h + 0.5) * rise) for c, h in places]
    marks = {name: at(volume_ml) for name, volume_ml in lines.items()}
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "base": base,
        "top": TOP,
        "radius": round(0.44 * min(step, rise), 2),
        "dots": [(round(x, 1), round(y, 1)) for x, y in dots],
        "ticks": [(at(tick), f"{tick:g}") for tick in ticks],
        "lines": place_names(marks),
        "expands_from": at(baseline_ml + float(expansion_begins_ml(baseline_ml))),
        "side": SIDE,
    }
