"""How far off the volume of a found mask is expected to be."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import GammaRegressor

from hemexp.layout import Layout

OFFSET_ML = 0.1
"""Added to volume and entropy before their logarithm: of a mask without a voxel, too, something is
expected."""

FLOOR_ML = 0.05
"""Smallest error that is expected or learned from: some voxels of any scanner."""

PENALTY = 0.01
"""Pull of the slopes towards 0, so that a handful of scans gives a constant."""


@dataclass(frozen=True)
class VolumeError:
    """Expected error: log RMS = intercept + slopes times log volume and log entropy.

    Attributes:
        intercept: At a volume and an entropy of 1 mL, `OFFSET_ML` included.
        volume_slope: Of the logarithm of the found volume.
        entropy_slope: Of the logarithm of the entropy.
        scans: Scans that it was learned from.
    """

    intercept: float
    volume_slope: float
    entropy_slope: float
    scans: int

    def expected_error_ml(
        self, volume_ml: ArrayLike, entropy_ml: ArrayLike
    ) -> NDArray[np.float64]:
        """Root mean square of the error of a found volume, in mL, not below `FLOOR_ML`.

        Args:
            volume_ml: As found.
            entropy_ml: As `segment-scan` tells it of the same mask.
        """
        log_volume, log_entropy = _features(volume_ml, entropy_ml).T
        log_rms = (
            self.intercept + self.volume_slope * log_volume + self.entropy_slope * log_entropy
        )
        return np.maximum(np.exp(log_rms), FLOOR_ML).reshape(np.shape(volume_ml))

    def as_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Takes it back."""
        return cls(**values)


def _features(volume_ml: ArrayLike, entropy_ml: ArrayLike) -> NDArray[np.float64]:
    columns = [np.ravel(np.asarray(one, dtype=float)) for one in (volume_ml, entropy_ml)]
    return np.log(np.stack(columns, axis=1) + OFFSET_ML)


def fit_volume_error(
    volume_ml: ArrayLike, entropy_ml: ArrayLike, error_ml: ArrayLike
) -> VolumeError:
    """Fits the expected error to found masks whose true volume is known.

    A gamma regression of squared errors with a logarithmic link: for errors that are normal, of
    mean 0, it is maximum likelihood of their variance. What is biased counts as error, too.

    Args:
        volume_ml: (n,) as found.
        entropy_ml: (n,) of the same masks.
        error_ml: (n,) found minus true volume.
    """
    squared = np.square(np.asarray(error_ml, dtype=float)).clip(FLOOR_ML**2)
    fitted = GammaRegressor(alpha=PENALTY, max_iter=1000).fit(
        _features(volume_ml, entropy_ml), squared
    )
    slopes = (float(slope) / 2 for slope in fitted.coef_)
    return VolumeError(float(fitted.intercept_) / 2, *slopes, len(squared))


def read_volume_errors(layout: Layout) -> dict[str, VolumeError]:
    """The fitted models of `error_model.json` by mask, `iph` and `ivh`."""
    record = json.loads(layout.error_model.read_text(encoding="utf-8"))
    return {mask: VolumeError.from_json(values) for mask, values in record["masks"].items()}
