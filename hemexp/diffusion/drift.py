"""Where a bleed grows to: the drift of its centroid, learned from expanders and drawn anew.

Given the volume alone, a denoiser trained on some hundred expanders draws all samples of a patient
towards one side (drawn_scans.md). So it is given the direction too, drawn from a distribution
of its own as the volume is. *Unevenness* is the drift over the thickness of an even shell of the
same growth: 0 for even growth, about 1 for growth towards one side, whatever the volumes.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

POSITION_SCALE_MM, SHRINKAGE = 30.0, 4.0
"""Ridge: positions in units of 30 mm, slopes held back as by 4 patients at that distance."""

MIRRORED = np.array([1.0, -1.0, 1.0])
"""Of vectors along z, x, y: heads are taken as alike left and right."""


@dataclass(frozen=True)
class DriftModel:
    """Unevenness given where a bleed lies: a linear mean, and what expanders deviated by.

    Attributes:
        coefficients: (4, 3): intercept and slopes on the position along z, x, y.
        residuals: (m, 3), of expanders and of their mirror images.
    """

    coefficients: list[list[float]]
    residuals: list[list[float]]

    def draw(
        self, position_mm: ArrayLike, thickness_mm: ArrayLike, uniforms: ArrayLike
    ) -> NDArray[np.float64]:
        """Drifts (K, 3) of one patient's samples, mm along z, x, y.

        Args:
            position_mm: (3,) of the bleed's centroid seen from the brain's.
            thickness_mm: (K,) of the even shell of each sample's growth, see `shell_mm`.
            uniforms: (K,) in [0, 1): which deviation each takes.

        Returns:
            NaN, which means unknown, where no expander was learned from or the growth is NaN.
        """
        thickness, chosen = np.asarray(thickness_mm)[:, None], np.asarray(uniforms)
        if not self.residuals:
            return np.full((len(chosen), 3), np.nan)
        mean = _terms(np.asarray(position_mm)[None]) @ np.array(self.coefficients)
        residuals = np.array(self.residuals)
        return thickness * (mean + residuals[(chosen * len(residuals)).astype(int)])

    def as_json(self) -> dict[str, Any]:
        """Plain values, for the model file."""
        return asdict(self)


def fit_drift(
    position_mm: NDArray[np.float64],
    drift_mm: NDArray[np.float64],
    thickness_mm: NDArray[np.float64],
) -> DriftModel:
    """Learns unevenness from expanders by ridge regression.

    Args:
        position_mm: (n, 3) of the bleeds' centroids seen from the brains'.
        drift_mm: (n, 3) along z, x, y.
        thickness_mm: (n,) of the even shell of their growth; those without any are left out.
    """
    known = (thickness_mm > 0) & np.isfinite(drift_mm).all(axis=1)
    uneven = drift_mm[known] / thickness_mm[known, None]
    target = np.concatenate([uneven, uneven * MIRRORED])
    terms = _terms(np.concatenate([position_mm[known], position_mm[known] * MIRRORED]))
    penalty = np.diag([0.0, *[2 * SHRINKAGE] * 3])  # every expander counts twice
    coefficients = np.linalg.lstsq(terms.T @ terms + penalty, terms.T @ target, rcond=None)[0]
    residuals = target - terms @ coefficients
    return DriftModel(coefficients.tolist(), residuals.tolist())


def _terms(position_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.column_stack([np.ones(len(position_mm)), position_mm / POSITION_SCALE_MM])
