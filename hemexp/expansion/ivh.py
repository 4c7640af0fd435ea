"""How much blood breaks into the ventricles, given how much the bleed grows.

A hurdle: whether IVH grows by `IVH_EVENT_ML` or more, and by how much if it does. Whoever has no
such growth changes as training patients without it did.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from hemexp import Fault, HemexpError
from hemexp.expansion.distribution import FORECAST_QUANTILES, quantiles_below
from hemexp.expansion.features import FARTHEST_MM
from hemexp.expansion.linear import Linear, tuples
from hemexp.expansion.predictors import IVH_COLUMNS
from hemexp.outcomes import IVH_EVENT_ML

GRID = 50
"""Points of the amount, for each growth, where quantiles are read off."""


class IvhDistribution(Protocol):
    """What sampling and scoring need of IVH growth given growth of the bleed, both in mL."""

    def probability(self, growth_ml: ArrayLike) -> NDArray[np.float64]:
        """Probability (K,) of IVH growth of `IVH_EVENT_ML` or more, given growths (K,)."""

    def draw(
        self, growth_ml: ArrayLike, presence: ArrayLike, amount: ArrayLike
    ) -> NDArray[np.float64]:
        """IVH growth (K,) of uniform draws (`presence` decides whether, `amount` how much)."""

    def quantiles(self, growth_ml: ArrayLike, probabilities: ArrayLike) -> NDArray[np.float64]:
        """Quantiles of IVH growth where all of the growths (K,) are equally likely."""


@dataclass(frozen=True)
class IvhModel:
    """A fitted hurdle model as plain numbers; `of_patient` gives a patient's distribution.

    Attributes:
        presence: Logit of the probability of growth of IVH by `IVH_EVENT_ML` or more.
        ln_share: Mean of ln(IVH growth / (1 mL + growth of the bleed)) if so.
        residuals: What training patients deviated from that by, sorted.
        largest_share: No share is larger.
        stable: IVH growth of training patients with IVH and without such growth, over
            V^`stable_power`, sorted.
        stable_power: How that growth's spread rises with the baseline's IVH volume V in mL.
        patients: How many it was learned from.
        events: How many of them had such growth.
    """

    presence: Linear
    ln_share: Linear
    residuals: tuple[float, ...]
    largest_share: float
    stable: tuple[float, ...]
    stable_power: float
    patients: int
    events: int

    def of_patient(self, patient: pd.Series) -> "HurdleIvh":
        """The distribution of one row of the sheet joined with native volumes and features."""
        return HurdleIvh(self, {name: float(patient[name]) for name in IVH_COLUMNS})

    def as_json(self) -> dict[str, Any]:
        """Plain numbers, for the model file."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Self:
        """Inverse of `as_json`."""
        parts = {name: Linear(**tuples(record[name])) for name in ("presence", "ln_share")}
        return cls(**tuples(record | parts))


@dataclass(frozen=True)
class HurdleIvh:
    """IVH growth of one patient.

    Attributes:
        model: What was learned.
        patient: `IVH_COLUMNS` of the baseline; NaN where unknown.
    """

    model: IvhModel
    patient: dict[str, float]

    def probability(self, growth_ml: ArrayLike) -> NDArray[np.float64]:
        """Probability (K,) of IVH growth of `IVH_EVENT_ML` or more, never falling with growth.

        0 where the scan shows no ventricle: there is nowhere to draw it.
        """
        p = expit(self.model.presence(self._table(growth_ml)))
        nowhere = self.patient["ventricle_mm"] >= FARTHEST_MM and not self._baseline_ml
        return np.zeros_like(p) if nowhere else p

    def draw(
        self, growth_ml: ArrayLike, presence: ArrayLike, amount: ArrayLike
    ) -> NDArray[np.float64]:
        """Draws IVH growth; independent uniforms give a random draw.

        Args:
            growth_ml: (K,) growth of the bleed.
            presence: (K,) in (0, 1); low ones have IVH growth.
            amount: (K,) in (0, 1); high ones have much.

        Returns:
            (K,) in mL, so that no IVH volume is below 0; without IVH at baseline it is 0 or at
            least `IVH_EVENT_ML`.
        """
        grows = np.asarray(presence) < self.probability(growth_ml)
        return np.where(grows, self._event_ml(growth_ml, amount), self._stable_ml(amount))

    def quantiles(self, growth_ml: ArrayLike, probabilities: ArrayLike) -> NDArray[np.float64]:
        """Quantiles of IVH growth in mL where all of the growths (K,) are equally likely."""
        amount = ((np.arange(GRID) + 0.5) / GRID)[:, None]
        event_ml = self._event_ml(growth_ml, amount)
        stable_ml = np.broadcast_to(self._stable_ml(amount), event_ml.shape)
        p = np.broadcast_to(self.probability(growth_ml), event_ml.shape)
        ivh_ml, weight = np.concatenate([event_ml, stable_ml]), np.concatenate([p, 1 - p])
        order = np.argsort(ivh_ml, axis=None, kind="stable")
        reached = np.cumsum(weight.ravel()[order]) / p.size
        # Nothing lies between two of them: most patients have exactly 0.
        found = np.searchsorted(reached, probabilities).clip(max=len(order) - 1)
        return ivh_ml.ravel()[order][found]

    @property
    def _baseline_ml(self) -> float:
        return self.patient["baseline_ivh_ml"]

    def _table(self, growth_ml: ArrayLike) -> pd.DataFrame:
        growth = np.atleast_1d(np.asarray(growth_ml, dtype=float))
        if not np.isfinite(growth).all():
            raise ValueError("IVH growth of an unknown growth of the bleed")
        return pd.DataFrame({"growth_ml": growth, **self.patient})

    def _event_ml(self, growth_ml: ArrayLike, amount: ArrayLike) -> NDArray[np.float64]:
        table = self._table(growth_ml)
        residual = np.quantile(self.model.residuals, amount)
        share = np.exp(self.model.ln_share(table) + residual)
        whole_ml = 1 + table["growth_ml"].to_numpy().clip(min=0)
        return np.maximum(np.minimum(share, self.model.largest_share) * whole_ml, IVH_EVENT_ML)

    def _stable_ml(self, amount: ArrayLike) -> NDArray[np.float64]:
        if not self._baseline_ml or not self.model.stable:
            return np.zeros(np.shape(amount))
        change = np.array(self.model.stable) * self._baseline_ml**self.model.stable_power
        # What is no event of the smaller IVH it was seen in may be one of this.
        return np.maximum(quantiles_below(change, IVH_EVENT_ML, amount), -self._baseline_ml)


def ivh_forecast(ivh: IvhDistribution, growth_ml: ArrayLike) -> tuple[float, NDArray[np.float64]]:
    """IVH growth where all of the growths (K,) are equally likely.

    Returns:
        Probability of `IVH_EVENT_ML` or more, and the quantiles at `FORECAST_QUANTILES` in mL.
    """
    p = float(ivh.probability(growth_ml).mean())
    return p, ivh.quantiles(growth_ml, FORECAST_QUANTILES)


def load_ivh(path: Path) -> IvhModel:
    """The model of IVH growth of `model.json`.

    Raises:
        HemexpError: The file is of a version that had none.
    """
    record = json.loads(path.read_text(encoding="utf-8"))
    if "ivh" not in record:
        raise HemexpError(
            Fault(
                str(path),
                "no model of IVH growth",
                "models of growth that were fitted by this version",
                "Fit them again with this version (rule fit_expansion).",
            )
        )
    return IvhModel.from_json(record["ivh"])
