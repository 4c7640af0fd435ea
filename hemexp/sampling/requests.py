"""What is asked for in each sample: a growth or an expansion flag, forecast or given."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats.qmc import Halton

from hemexp import Fault, HemexpError
from hemexp.anatomy.blood import shell_mm
from hemexp.diffusion.condition import RequestKind
from hemexp.diffusion.drift import DriftModel
from hemexp.expansion.distribution import GrowthDistribution
from hemexp.outcomes import is_expansion
from hemexp.sampling.noise import PatientSeed
from hemexp.settings import Sampling


@dataclass(frozen=True)
class Requests:
    """Of K samples; NaN where a value plays no part.

    Attributes:
        growth_ml: (K,) target growth.
        flag: (K,) expansion indicator.
    """

    growth_ml: NDArray[np.float64]
    flag: NDArray[np.float64]


def spread_evenly(count: int, seed: PatientSeed) -> NDArray[np.float64]:
    """Points of the unit square, (2, K): each uniform, together more even than independent ones.

    A scrambled Halton sequence (Owen 2017, arXiv 1706.02808): point k does not depend on K. The
    share of 50 samples that expand misses its probability by an SD of .01, of independent draws by
    .06 (docs/method.md 6).
    """
    rng = np.random.default_rng(seed.for_draw("drive"))
    return Halton(2, rng=rng).random(count).T


def draw_requests(
    kind: RequestKind,
    settings: Sampling,
    distribution: GrowthDistribution,
    true_growth_ml: float,
    seed: PatientSeed,
) -> Requests:
    """Draws what is asked for in the K samples of one patient.

    Args:
        kind: What the denoiser is conditioned on.
        settings: K and the indicator: `predicted` draws from the distribution, `oracle` takes
            what happened, `free` leaves the learned null.
        distribution: Predictive distribution of the patient's growth.
        true_growth_ml: Growth that happened; NaN if unknown.
        seed: Of the patient; sample k depends on it and k alone.

    Raises:
        HemexpError: `oracle` for a patient without follow-up.
    """
    count = settings.samples
    nothing = np.full(count, np.nan)
    if settings.indicator == "free":
        return Requests(nothing, nothing)
    if settings.indicator == "oracle":
        _refuse_unknown(true_growth_ml, seed.patient_id)
        growth = np.full(count, true_growth_ml)
    else:
        expands, amount = spread_evenly(count, seed)
        if kind == "flag":
            return Requests(nothing, (expands < distribution.p_expansion).astype(float))
        growth = distribution.quantile(expands, amount)
    flag = is_expansion(growth, distribution.baseline_ml).astype(float)
    return Requests(growth if kind == "growth" else nothing, flag)


def _refuse_unknown(true_growth_ml: float, patient_id: str) -> None:
    if np.isnan(true_growth_ml):
        raise HemexpError(
            Fault(
                f"patient {patient_id}",
                "no follow-up, but sampling.indicator is 'oracle'",
                "a known outcome",
                "Use 'predicted' for patients to forecast.",
            )
        )


def draw_drifts(
    model: DriftModel,
    position_mm: NDArray[np.float64],
    growth_ml: NDArray[np.float64],
    baseline_ml: float,
    seed: PatientSeed,
) -> NDArray[np.float64]:
    """Draws where the bleed's centroid moves to in the samples of one patient.

    Args:
        model: What was learned from the training expanders.
        position_mm: (3,) of the baseline bleed seen from the brain's centroid.
        growth_ml: (K,) target growth; NaN where there is none.
        baseline_ml: Baseline IPH volume.
        seed: Of the patient; sample k uses it and k alone.

    Returns:
        (K, 3) in mm along z, x, y; NaN where there is no target or nothing was learned.
    """
    seeds = (seed.for_draw(k, "drift") for k in range(len(growth_ml)))
    uniforms = [np.random.default_rng(one).uniform() for one in seeds]
    return model.draw(position_mm, shell_mm(growth_ml, baseline_ml), uniforms)
