"""A fitted expansion model as plain numbers, and the growth distribution it gives a patient."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp.expansion.distribution import GrowthDistribution, LogisticLognormal
from hemexp.expansion.linear import Linear, tuples
from hemexp.expansion.timed import TimedModel

BASELINE_ERROR = "baseline_error_ml"
"""Column of `read_patients`: expected error of the baseline's IPH volume."""


@dataclass(frozen=True)
class ExpansionModel:
    """Gives each patient's p(expansion) and distribution of growth.

    Attributes:
        name: Such as `four_variable`.
        logit: Logit of p(expansion).
        log_growth: Mean of ln(growth / mL) of the law that, cut where HE begins, is that of
            expanders.
        log_sd: SD of ln growth about it.
        stable: Growth of training patients without expansion over V^`stable_power`, sorted.
        stable_power: How that growth's spread rises with the baseline volume V in mL.
        growth_note: Why the law of expanders is not the fitted one (`truncated.LogNormal`).
    """

    name: str
    logit: Linear
    log_growth: Linear
    log_sd: float
    stable: tuple[float, ...]
    stable_power: float
    growth_note: str = ""

    def probability(self, table: pd.DataFrame) -> NDArray[np.float64]:
        """p(expansion) of every row, shape (n,)."""
        return 1 / (1 + np.exp(-self.logit(table)))

    def distributions(self, table: pd.DataFrame) -> list[LogisticLognormal]:
        """The growth distribution of every row; no probability from outside is heeded.

        Where the table has `baseline_error_ml`, above 0 for masks that were found, growth is
        spread by it.
        """
        errors_ml = table.get(BASELINE_ERROR, pd.Series(0.0, table.index))
        volumes_ml = table["baseline_iph_ml"]
        numbers = zip(
            self.probability(table), self.log_growth(table), volumes_ml, errors_ml, strict=True
        )
        return [
            LogisticLognormal(
                float(p),
                float(log_mean),
                self.log_sd,
                self._stable_ml(volume),
                float(volume),
                float(error),
            )
            for p, log_mean, volume, error in numbers
        ]

    def _stable_ml(self, volume_ml: float) -> tuple[float, ...]:
        return tuple((np.array(self.stable) * volume_ml**self.stable_power).tolist())

    def as_json(self) -> dict[str, Any]:
        """Plain numbers, for the model file."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Self:
        """Inverse of `as_json`."""
        parts = {name: Linear(**tuples(record[name])) for name in ("logit", "log_growth")}
        return cls(**tuples(record | parts))


GrowthModel = ExpansionModel | TimedModel
"""What gives a patient's distribution of growth."""


def load_models(path: Path) -> dict[str, GrowthModel]:
    """All models of `model.json` by name, the chosen one first."""
    record = json.loads(path.read_text(encoding="utf-8"))
    names = sorted(record["models"], key=lambda name: name != record["chosen"])
    return {name: _from_json(record["models"][name]) for name in names}


def _from_json(record: dict[str, Any]) -> GrowthModel:
    return (TimedModel if "time" in record else ExpansionModel).from_json(record)


def load_expansion(path: Path) -> GrowthModel:
    """The model of `model.json` that sampling draws from."""
    return next(iter(load_models(path).values()))


def outside_probability(patient: pd.Series) -> float | None:
    """The sheet's `expansion_prob` of a patient, None where it has none."""
    value = patient.get("expansion_prob", np.nan)
    return None if np.isnan(value) else float(value)


def patient_distribution(model: GrowthModel, patient: pd.Series) -> GrowthDistribution:
    """Growth distribution of one row of the sheet joined with native volumes and features.

    The sheet's probability wins over the model's.
    """
    given = model.distributions(patient.to_frame().T.infer_objects())[0]
    p = outside_probability(patient)
    return given if p is None else replace(given, p_expansion=p)
