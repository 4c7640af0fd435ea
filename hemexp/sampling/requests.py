"""What is asked for in each sample: a growth or an expansion flag, forecast or given."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats.qmc import Halton

from hemexp import Fault, HemexpError
from hemexp.anatomy.blood import shell_mm
from hemexp.anatomy.reference import Told
from hemexp.diffusion.condition import RequestKind
from hemexp.expansion.distribution import GrowthDistribution
from hemexp.outcomes import is_expansion
from hemexp.sampling.models import Models
from hemexp.sampling.noise import PatientSeed
from hemexp.sampling.patient import PatientAtBaseline
from hemexp.settings import Sampling


@dataclass(frozen=True)
class Requests:
    """Of K samples; NaN where a value plays no part.

    Attributes:
        growth_ml: (K,) target growth.
        flag: (K,) expansion indicator.
        ivh_growth_ml: IVH growth of all samples where an oracle knows it.
    """

    growth_ml: NDArray[np.float64]
    flag: NDArray[np.float64]
    ivh_growth_ml: float = np.nan


def spread_evenly(count: int, seed: PatientSeed) -> NDArray[np.float64]:
    """Points of the unit square, (2, K): each uniform, together more even than independent ones.

    A scrambled Halton sequence (Owen 2017, arXiv 1706.02808): point k does not depend on K. The
    share of 50 samples that expand misses its probability by an SD of .01, of independent draws by
    .06 (method.md 7).
    """
    rng = np.random.default_rng(seed.for_draw("drive"))
    return Halton(2, rng=rng).random(count).T


def how_drawn(kind: RequestKind, settings: Sampling) -> Literal["even", "independent"]:
    """How the volumes of a patient's samples were drawn, for the scores of them as a forecast.

    A drawn growth is spread evenly, and volumes follow it. A flag is spread evenly too, but says
    of a volume only on which side of a threshold it lies; where nothing is drawn (`free`,
    `oracle`), only noise tells samples apart.
    """
    return "even" if kind == "growth" and settings.indicator == "predicted" else "independent"


def draw_requests(
    kind: RequestKind,
    settings: Sampling,
    distribution: GrowthDistribution,
    true_growth_ml: float,
    seed: PatientSeed,
    true_ivh_growth_ml: float = np.nan,
) -> Requests:
    """Draws what is asked for in the K samples of one patient.

    Args:
        kind: What the denoiser is conditioned on.
        settings: K and the indicator: `predicted` draws from the distribution, `oracle` takes
            what happened, `free` leaves the learned null.
        distribution: Predictive distribution of the patient's growth.
        true_growth_ml: Growth that happened; NaN if unknown.
        seed: Of the patient; sample k depends on it and k alone.
        true_ivh_growth_ml: IVH growth that happened; NaN if unknown.

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
    oracle = settings.indicator == "oracle"
    ivh_growth_ml = true_ivh_growth_ml if oracle else np.nan
    return Requests(growth if kind == "growth" else nothing, flag, ivh_growth_ml)


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


def draw_told(
    models: Models, patient: PatientAtBaseline, requests: Requests, seed: PatientSeed
) -> tuple[Told, ...]:
    """What is told of each sample of one patient beside its growth: drift, push, IVH growth.

    Sample k uses the seed and k alone. Under an oracle the IVH growth is what happened too.
    """
    growth_ml, row = requests.growth_ml, patient.row
    rngs = {
        name: [np.random.default_rng(seed.for_draw(k, name)) for k in range(len(growth_ml))]
        for name in ("drift", "push", "ivh")
    }
    drifts_mm = models.denoiser.drift.draw(
        patient.encoded["position_mm"].double().numpy(),
        shell_mm(growth_ml, patient.baseline.iph_ml),
        [rng.uniform() for rng in rngs["drift"]],
    )
    kind, push = models.denoiser.reference[:2]
    push_ml, ivh_ml = np.zeros(len(growth_ml)), np.full(len(growth_ml), np.nan)
    if push:
        deviations = np.array([rng.normal() for rng in rngs["push"]])
        push_ml = push.push_ml(growth_ml, patient.baseline.iph_ml, deviations)
    if kind.ivh:
        uniforms = np.array([rng.random(2) for rng in rngs["ivh"]]).T
        ivh_ml = models.ivh.of_patient(row).draw(growth_ml, *uniforms)
        if np.isfinite(requests.ivh_growth_ml):
            ivh_ml[:] = requests.ivh_growth_ml
    return tuple(map(Told, growth_ml, drifts_mm, push_ml, ivh_ml))
