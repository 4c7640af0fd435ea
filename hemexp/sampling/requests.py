"""What drives each sample: a growth or a flag, forecast or given."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats.qmc import Halton

from hemexp import Fault, HemexpError
from hemexp.diffusion.drift import DriftModel, shell_mm
from hemexp.expansion.distribution import GrowthDistribution
from hemexp.outcomes import is_expansion
from hemexp.provenance import seed_for


@dataclass(frozen=True)
class Drives:
    """Of K samples; NaN where a value plays no part.

    Attributes:
        growth_ml: (K,) target growth.
        flag: (K,) expansion indicator.
    """

    growth_ml: NDArray[np.float64]
    flag: NDArray[np.float64]


def spread_evenly(samples: int, seed: int, patient_id: str) -> NDArray[np.float64]:
    """Points of the unit square, (2, K): each uniform, together more even than independent ones.

    A scrambled Halton sequence (Owen 2017, arXiv 1706.02808): point k does not depend on K. The
    share of 50 samples that expand misses its probability by an SD of .01, of independent draws by
    .06 (docs/method.md 6).
    """
    rng = np.random.default_rng(seed_for(seed, patient_id, "drive"))
    return Halton(2, rng=rng).random(samples).T


def draw_drives(
    condition: Literal["growth", "flag"],
    indicator: Literal["predicted", "oracle", "free"],
    distribution: GrowthDistribution,
    baseline_ml: float,
    true_growth_ml: float,
    samples: int,
    seed: int,
    patient_id: str,
) -> Drives:
    """Draws what drives the samples of one patient.

    Args:
        condition: What the denoiser is conditioned on.
        indicator: `predicted` draws from the distribution, `oracle` takes what happened,
            `free` leaves the learned null.
        distribution: Predictive distribution of the patient's growth.
        baseline_ml: Baseline IPH volume.
        true_growth_ml: Growth that happened; NaN if unknown.
        samples: K.
        seed: Run seed; sample k depends on (seed, patient_id, k) alone.
        patient_id: The patient.

    Raises:
        HemexpError: `oracle` for a patient without follow-up.
    """
    nothing = np.full(samples, np.nan)
    if indicator == "free":
        return Drives(nothing, nothing)
    if indicator == "oracle":
        if np.isnan(true_growth_ml):
            raise HemexpError(
                Fault(
                    f"patient {patient_id}",
                    "no follow-up, but sampling.indicator is 'oracle'",
                    "a known outcome",
                    "Use 'predicted' for patients to forecast.",
                )
            )
        growth = np.full(samples, true_growth_ml)
    else:
        expands, amount = spread_evenly(samples, seed, patient_id)
        if condition == "flag":
            return Drives(nothing, (expands < distribution.p_expansion).astype(float))
        growth = distribution.quantile(expands, amount)
    flag = is_expansion(growth, baseline_ml).astype(float)
    return Drives(growth if condition == "growth" else nothing, flag)


def draw_drifts(
    model: DriftModel,
    position_mm: NDArray[np.float64],
    growth_ml: NDArray[np.float64],
    baseline_ml: float,
    seed: int,
    patient_id: str,
) -> NDArray[np.float64]:
    """Draws where the bleed's centroid moves to in the samples of one patient.

    Args:
        model: What was learned from the training expanders.
        position_mm: (3,) of the baseline bleed seen from the brain's centroid.
        growth_ml: (K,) target growth; NaN where there is none.
        baseline_ml: Baseline IPH volume.
        seed: Run seed; sample k uses (seed, patient_id, k) alone.
        patient_id: The patient.

    Returns:
        (K, 3) in mm along z, x, y; NaN where there is no target or nothing was learned.
    """
    seeds = (seed_for(seed, patient_id, k, "drift") for k in range(len(growth_ml)))
    uniforms = [np.random.default_rng(one).uniform() for one in seeds]
    return model.draw(position_mm, shell_mm(growth_ml, baseline_ml), uniforms)
