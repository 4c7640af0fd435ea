"""Growth in time: what is seen between two scans is a part of what a bleed grows in all.

With t0 the hours from onset to the baseline scan, t1 those to the follow-up and V the baseline
volume,

    growth = amplitude (F(t1) - F(t0)) + error,    F(t) = t^k / (t^k + tau^k),

where ln(amplitude / mL) is normal about a weighted sum of predictors, and the error is normal with
mean and SD in proportion to the root of V: two readings of a bleed differ, and clots retract. No
threshold is in it, so the chance of HE follows from the law. An unknown onset is averaged over
those of the training patients, stretched to the median of the patient's own centre where that is
known: centres scan at other hours.
"""

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp.columns import CENTER_ONSET, EARLIEST_H, INTERVAL
from hemexp.expansion.distribution import PointGrowth, equally_likely
from hemexp.expansion.linear import Linear, tuples

DEFAULT_INTERVAL_H = 24.0
"""Hours between the scans where nobody told them: guidelines repeat the CT after a day."""

LEAST_SHARE = 1e-6
"""F(t1) - F(t0) is at least this: its logarithm is taken."""

AMPLITUDE_POINTS, ERROR_POINTS = 200, 15
"""Points of ln amplitude and of the error in a forecast: quantiles within .5 % (tests)."""


@dataclass(frozen=True)
class TimeLaw:
    """F: which part of all its growth a bleed has made t hours after onset (a Hill curve).

    Attributes:
        tau_h: Hours after which half of it has happened.
        power: k, how steeply it rises.
    """

    tau_h: float
    power: float

    def share(self, hours: NDArray[np.float64]) -> NDArray[np.float64]:
        """F at hours after onset, of any shape."""
        risen = (np.asarray(hours) / self.tau_h) ** self.power
        return risen / (1 + risen)

    def log_between(
        self, onset_h: NDArray[np.float64], interval_h: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """ln(F(t1) - F(t0)) of hours that broadcast."""
        between = self.share(onset_h + interval_h) - self.share(onset_h)
        return np.log(np.maximum(between, LEAST_SHARE))


@dataclass(frozen=True)
class TimedModel:
    """Gives each patient's distribution of growth between the scans.

    Attributes:
        name: Such as `timed_four_variable`.
        log_amplitude: Mean of ln(amplitude / mL).
        log_sd: SD of ln amplitude about it.
        time: F.
        error_mean: Mean of the error, mL per root mL of the baseline.
        error_sd: Its SD, likewise.
        onsets_h: Onsets that stand for an unknown one, equally likely (`likely_onsets_h`).
    """

    name: str
    log_amplitude: Linear
    log_sd: float
    time: TimeLaw
    error_mean: float
    error_sd: float
    onsets_h: tuple[float, ...]

    @property
    def growth_note(self) -> str:
        """Nothing: the priors say what few patients cannot (`ExpansionModel.growth_note`)."""
        return ""

    def probability(self, table: pd.DataFrame) -> NDArray[np.float64]:
        """p(expansion) of every row, shape (n,)."""
        return np.array([given.p_expansion for given in self.distributions(table)])

    def distributions(self, table: pd.DataFrame) -> list[PointGrowth]:
        """The growth distribution of every row; no probability from outside is heeded.

        Where the table has `baseline_error_ml`, above 0 for masks that were found, growth is
        spread by it.
        """
        numbers = zip(
            self.log_amplitude(table),
            likely_onsets_h(table, self.onsets_h),
            interval_h(table),
            table["baseline_iph_ml"].astype(float),
            table.get("baseline_error_ml", pd.Series(0.0, table.index)).astype(float),
            strict=True,
        )
        return [self._growth(*one) for one in numbers]

    def _growth(
        self,
        mean: float,
        onset_h: NDArray[np.float64],
        hours: float,
        volume_ml: float,
        error_ml: float,
    ) -> PointGrowth:
        told = onset_h[:1] if np.ptp(onset_h) == 0 else onset_h
        log_means = mean + self.time.log_between(told, hours)
        amplitude = equally_likely(AMPLITUDE_POINTS)
        grown_ml = np.exp(np.add.outer(log_means, self.log_sd * amplitude)).ravel()
        root = np.sqrt(volume_ml)
        spread_ml = np.hypot(self.error_sd * root, error_ml) * equally_likely(ERROR_POINTS)
        points = np.add.outer(grown_ml, self.error_mean * root + spread_ml).ravel()
        return PointGrowth.of_points(points, volume_ml)

    def as_json(self) -> dict[str, Any]:
        """Plain numbers, for the model file."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Self:
        """Inverse of `as_json`."""
        parts = {"log_amplitude": Linear(**tuples(record["log_amplitude"]))}
        parts["time"] = TimeLaw(**record["time"])
        return cls(**tuples(record | parts))


def interval_h(table: pd.DataFrame) -> NDArray[np.float64]:
    """Hours between the scans of every row, `DEFAULT_INTERVAL_H` where nobody told them."""
    hours = table.get(INTERVAL, pd.Series(np.nan, table.index)).astype(float)
    return hours.fillna(DEFAULT_INTERVAL_H).to_numpy()


def likely_onsets_h(table: pd.DataFrame, onsets_h: tuple[float, ...]) -> NDArray[np.float64]:
    """Equally likely hours from onset to the baseline scan of every row, (n, onsets).

    Args:
        table: With `onset_to_ct_h` and, where the centre's median is known, `center_onset_h`.
        onsets_h: Of the training patients; they keep their spread on the log scale.
    """
    told_h, usual_h = (
        table.get(name, pd.Series(np.nan, table.index)).to_numpy(dtype=float)[:, None]
        for name in ("onset_to_ct_h", CENTER_ONSET)
    )
    training_h = np.maximum(onsets_h, EARLIEST_H)
    stretch = np.where(np.isnan(usual_h), 1.0, usual_h / np.median(training_h))
    return np.where(np.isnan(told_h), stretch * training_h, told_h)
