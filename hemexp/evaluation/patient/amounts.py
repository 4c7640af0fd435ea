"""One number of every follow-up against the true one, and how numbers a slice move together."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hemexp.statistics.scores import Score, crps


@dataclass(frozen=True)
class Amount:
    """One number of every follow-up beside the true one.

    Attributes:
        name: For people, such as `midline shift`.
        drawn: One number a follow-up; NaN where none could be measured.
        truth: The true number, or why there is none.
    """

    name: str
    drawn: NDArray
    truth: Score

    def _score(self, of: Callable[[NDArray], float]) -> Score:
        known = self.drawn[np.isfinite(self.drawn)]
        if not known.size:
            return Score(None, f"no {self.name} could be measured on any sample")
        return Score(of(known))

    def median(self) -> Score:
        """Median over follow-ups."""
        return self._score(lambda known: float(np.median(known)))

    def error(self) -> Score:
        """Absolute error of the median."""
        median, true = self.median(), self.truth.value
        if median.value is None or true is None:
            return median if median.value is None else self.truth
        return Score(abs(median.value - true))

    def crps(self) -> Score:
        """CRPS of the follow-ups as independent draws: noise moves it, whatever they were told."""
        median, true = self.median(), self.truth.value
        if median.value is None or true is None:
            return median if median.value is None else self.truth
        return self._score(lambda known: crps(true, known))


ONE_FOLLOWUP = "one member has no deviation"


def _deviations(slices_ml: NDArray) -> tuple[NDArray, NDArray]:
    """Deviations of neighbouring slices from the mean over follow-ups, (followups, z - 1) each."""
    deviation = slices_ml - slices_ml.mean(axis=0)
    return deviation[:, :-1], deviation[:, 1:]


def slice_covariance(slices_ml: NDArray) -> Score:
    """Mean product of neighbouring slices' deviations from the mean over follow-ups.

    Over `slice_variance` it is the lag-1 correlation through the plane.

    Args:
        slices_ml: IPH a slice, (followups, z).
    """
    if len(slices_ml) < 2:
        return Score(None, ONE_FOLLOWUP)
    one, other = _deviations(slices_ml)
    return Score(float(np.mean(one * other)))


def slice_variance(slices_ml: NDArray) -> Score:
    """Geometric mean of the mean squares of neighbouring slices' deviations.

    Args:
        slices_ml: IPH a slice, (followups, z).
    """
    if len(slices_ml) < 2:
        return Score(None, ONE_FOLLOWUP)
    one, other = _deviations(slices_ml)
    return Score(float(np.sqrt(np.mean(one**2) * np.mean(other**2))))
