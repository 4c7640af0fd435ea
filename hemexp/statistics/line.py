"""A straight line through what was asked for and what was got."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Line(NamedTuple):
    """How a quantity followed what was asked for.

    Attributes:
        slope: Got per requested.
        intercept: Got where nothing was requested.
        r2: Share of variance explained.
        residual_sd: SD of what is left (ddof 2).
    """

    slope: float
    intercept: float
    r2: float
    residual_sd: float


def fit_line(requested: ArrayLike, got: ArrayLike) -> Line | None:
    """Least-squares line through (requested, got); None with fewer than three distinct points."""
    x, y = np.asarray(requested, dtype=np.float64), np.asarray(got, dtype=np.float64)
    if x.size < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    slope, intercept = np.polyfit(x, y, 1)
    left = y - slope * x - intercept
    r2 = 1 - np.sum(left**2) / np.sum((y - y.mean()) ** 2)
    return Line(
        float(slope), float(intercept), float(r2), float(np.sqrt(np.sum(left**2) / (x.size - 2)))
    )
