"""The probability model of the plain world: who expands, and by how much.

A patient's numbers depend on (phantom seed, patient_id) alone. Directions of effect follow the
literature named at each parameter; their sizes are chosen so that about 30 % expand, the true
probability's own AUC is about .80 and that of a logistic model of the four tabular variables
(onset, anticoagulant, antiplatelet, log volume) about .72 (in 60,000 draws: 30.8 %, .799, .720).
The rest is only in the image.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.random import PCG64, Generator
from numpy.typing import NDArray
from scipy.special import expit, ndtr, ndtri

from hemexp.columns import CLINICAL
from hemexp.outcomes import HE_ML, HE_RELATIVE
from hemexp.provenance import seed_for

BASELINE_ML = (2.0, 60.0)
ONSET_H = (0.5, 12.0)
COURSE = "followup"
"""What the random numbers of a patient's course and growth direction are drawn for."""

MAY_BE_UNKNOWN = ("antiplatelet", "gcs", "sbp")
UNKNOWN_SHARE = 0.08
"""Share of cells left empty in each of these columns: hospitals do not know everything."""

OEDEMA_MM = (1.5, 0.25, 5.0)
"""Oedema at baseline: 1.5 mm plus 0.25 mm per hour since onset; at follow-up 5 mm."""

GROWTH_PROBABILITIES = np.arange(1, 100) / 100
"""Where the true growth distribution is tabulated."""

GROWTH_PARTS, POINTS_OF_A_PART = 200, 50
"""Parts of equal probability whose means stand for a patient's law of growth in `truth.tsv`.

They keep its mean, and its mean distance to itself within 0.1 % (`tests/test_phantom_model.py`).
"""


@dataclass(frozen=True)
class Parameters:
    """Constants of the model.

    Attributes:
        onset_median_h: Median of the log-normal onset-to-CT time.
        onset_log_sd: Its SD on the log scale.
        volume_median_ml: Median of the log-normal baseline IPH volume.
        volume_log_sd: Its SD on the log scale.
        anticoagulant_share: Share of patients on any anticoagulant.
        antiplatelet_share: Share of patients on any antiplatelet.
        age: Mean and SD, years.
        sbp: Mean and SD of systolic blood pressure, mmHg.
        pocket_shares: Probability of 0, 1, 2, 3 hypodense pockets in the bleed.
        intercept: Logit of expansion for the reference patient (all terms below 0).
        onset: Per unit of ln(onset / onset_median_h): earlier scans grow more (Al-Shahi Salman
            2018, Lancet Neurol 17:885).
        anticoagulant: On anticoagulants more expand (same source).
        antiplatelet: On antiplatelets slightly more expand (same source).
        log_volume: Per unit of ln(volume / volume_median_ml) (same source).
        sbp_10mmhg: Per 10 mmHg above the mean: a weak effect.
        pocket: Per hypodense pocket (Boulouis 2016, JAMA Neurol 73:961; BAT score, Morotti 2018).
        irregular: Over the range 0 (smooth) to 1 (irregular) of the margin (Barras 2009,
            Stroke 40:1325).
        growth_offset_ml: Median growth of an expander is this plus ...
        growth_share: ... this times the baseline volume.
        growth_log_sd: SD of an expander's log growth.
        growth_limit_ml: Upper end of an expander's growth.
        stable_sd_ml: SD of the growth of who does not expand, at most ...
        stable_share: ... this times the baseline volume; cut off at 3 SD.
    """

    onset_median_h: float = 2.5
    onset_log_sd: float = 0.8
    volume_median_ml: float = 13.0
    volume_log_sd: float = 0.8
    anticoagulant_share: float = 0.18
    antiplatelet_share: float = 0.28
    age: tuple[float, float] = (68.0, 12.0)
    sbp: tuple[float, float] = (172.0, 26.0)
    pocket_shares: tuple[float, ...] = (0.5, 0.25, 0.15, 0.1)
    intercept: float = -2.75
    onset: float = -0.95
    anticoagulant: float = 1.25
    antiplatelet: float = 0.5
    log_volume: float = 0.75
    sbp_10mmhg: float = 0.05
    pocket: float = 0.75
    irregular: float = 1.4
    growth_offset_ml: float = 4.0
    growth_share: float = 0.4
    growth_log_sd: float = 0.5
    growth_limit_ml: float = 50.0
    stable_sd_ml: float = 0.6
    stable_share: float = 0.1


MODEL = Parameters()


@dataclass(frozen=True, kw_only=True)
class Case:
    """One patient's variables, rounded as the sample sheet shows them.

    Attributes:
        patient_id: Who.
        onset_to_ct_h: Hours from onset to baseline CT.
        anticoagulant: 0 or 1.
        antiplatelet: 0 or 1.
        age: Years.
        gcs: Glasgow coma scale, 3-15; falls with volume, says nothing more about growth.
        sbp: Systolic blood pressure, mmHg.
        baseline_iph_ml: Volume of the baseline IPH.
        pockets: Number of hypodense pockets in the bleed; seen in the image only.
        irregularity: 0 (smooth margin) to 1; seen in the image only.
        pocket_scale: Radius of the pockets relative to the usual one.
        unevenness: 0 (even blood) to 1; seen in the image only.
        site: Where the bleed lies, a key of `bleed.SITES`; None: drawn with its shape.
        second_share: Radius of a second bleed relative to the first; 0: there is none.
    """

    patient_id: str
    onset_to_ct_h: float
    anticoagulant: int
    antiplatelet: int
    age: int
    gcs: int
    sbp: int
    baseline_iph_ml: float
    pockets: int
    irregularity: float
    pocket_scale: float = 1.0
    unevenness: float = 0.0
    site: str | None = None
    second_share: float = 0.0


def generator(*parts: object) -> Generator:
    """Random numbers that depend on the given parts alone (phantom seed, patient_id, purpose)."""
    return Generator(PCG64(seed_for("phantom", *parts)))


def draw_case(seed: int, patient_id: str, model: Parameters = MODEL) -> Case:
    """Draws one patient's variables, whoever else is in the cohort."""
    rng = generator(seed, patient_id, "case")
    onset_h = log_normal(rng, model.onset_median_h, model.onset_log_sd, ONSET_H)
    volume_ml = log_normal(rng, model.volume_median_ml, model.volume_log_sd, BASELINE_ML)
    gcs = np.clip(14.5 - volume_ml / 10 + rng.normal(0, 1.5), 3, 15)
    return Case(
        patient_id=patient_id,
        onset_to_ct_h=round(onset_h, 2),
        anticoagulant=int(rng.random() < model.anticoagulant_share),
        antiplatelet=int(rng.random() < model.antiplatelet_share),
        age=round(float(np.clip(rng.normal(*model.age), 35, 95))),
        gcs=round(float(gcs)),
        sbp=round(float(np.clip(rng.normal(*model.sbp), 100, 250))),
        baseline_iph_ml=round(volume_ml, 3),
        pockets=int(rng.choice(len(model.pocket_shares), p=model.pocket_shares)),
        irregularity=round(float(rng.random()), 4),
    )


def log_normal(rng: Generator, median: float, log_sd: float, limits: tuple[float, float]) -> float:
    """A log-normal number between limits, by inverting its distribution."""
    low, high = ndtr(np.log(np.divide(limits, median)) / log_sd)
    return float(median * np.exp(log_sd * ndtri(rng.uniform(low, high))))


def expansion_probability(case: Case, model: Parameters = MODEL) -> float:
    """The true probability of HE (growth >= 6 mL or >= 33 %) given everything about the patient.

    `growth_quantile` cuts both parts of the growth distribution at the HE threshold, so this
    logistic function is exactly the probability of HE, not of some latent event near it.
    """
    logit = (
        model.intercept
        + model.onset * np.log(case.onset_to_ct_h / model.onset_median_h)
        + model.anticoagulant * case.anticoagulant
        + model.antiplatelet * case.antiplatelet
        + model.log_volume * np.log(case.baseline_iph_ml / model.volume_median_ml)
        + model.sbp_10mmhg * (case.sbp - model.sbp[0]) / 10
        + model.pocket * case.pockets
        + model.irregular * case.irregularity
    )
    return float(expit(logit))


def he_threshold_ml(baseline_iph_ml: float) -> float:
    """The growth from which the definition of HE counts it as expansion."""
    return min(HE_ML, HE_RELATIVE * baseline_iph_ml)


def growth_quantile(
    case: Case, probability: NDArray[np.float64], model: Parameters = MODEL
) -> NDArray[np.float64]:
    """The true quantile function of IPH growth.

    With probability 1 - p a normal number near zero, cut off at 3 SD (below the HE threshold by
    construction); else a log-normal number between the HE threshold and `growth_limit_ml`. The
    two do not overlap, so the mixture's quantile function is theirs, end to end.

    Args:
        case: The patient.
        probability: Any shape, inside (0, 1).
        model: The constants.

    Returns:
        Growth in mL, of the same shape.
    """
    (stable, expanding), p = _parts(case, model), expansion_probability(case, model)
    u = np.asarray(probability, dtype=np.float64)
    stable_ml = stable.scale_ml * stable.quantile(np.clip(u / (1 - p), 0, 1))
    standard = expanding.quantile(np.clip((u - (1 - p)) / p, 0, 1))
    expanding_ml = expanding.scale_ml * np.exp(model.growth_log_sd * standard)
    return np.where(u < 1 - p, stable_ml, expanding_ml)


class _Part(NamedTuple):
    """A standard normal number cut at both ends, and the mL by which it is scaled."""

    low: float
    high: float
    scale_ml: float

    def quantile(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        return ndtri(self.low + (self.high - self.low) * u)

    def below(self, standard: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.clip((ndtr(standard) - self.low) / (self.high - self.low), 0, 1)


def _parts(case: Case, model: Parameters) -> tuple[_Part, _Part]:
    """Who does not expand (times its SD), and who does (the log of growth over its median)."""
    volume_ml = case.baseline_iph_ml
    stable_sd_ml = min(model.stable_sd_ml, model.stable_share * volume_ml)
    median_ml = model.growth_offset_ml + model.growth_share * volume_ml
    ends = np.array([he_threshold_ml(volume_ml), model.growth_limit_ml])
    ends = ndtr(np.log(ends / median_ml) / model.growth_log_sd)
    return _Part(ndtr(-3.0), ndtr(3.0), stable_sd_ml), _Part(*ends, median_ml)


class GrowthLaw(Protocol):
    """The true law of a patient's growth."""

    @property
    def p_expansion(self) -> float:
        """Probability of HE."""

    def quantile(self, probability: NDArray[np.float64]) -> NDArray[np.float64]:
        """Growth in mL at probabilities inside (0, 1), of any shape."""

    def below(self, growth_ml: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distribution function at growths in mL, of any shape."""


@dataclass(frozen=True)
class PlainGrowth:
    """The law of growth of a patient of the plain world."""

    case: Case

    @property
    def p_expansion(self) -> float:
        """See `expansion_probability`."""
        return expansion_probability(self.case)

    def quantile(self, probability: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `growth_quantile`."""
        return growth_quantile(self.case, probability)

    def below(self, growth_ml: NDArray[np.float64]) -> NDArray[np.float64]:
        """The inverse of `quantile`; between the two parts it does not rise."""
        stable, expanding = _parts(self.case, MODEL)
        growth_ml, p = np.asarray(growth_ml, dtype=np.float64), self.p_expansion
        standard = np.log(np.maximum(growth_ml, 1e-300) / expanding.scale_ml) / MODEL.growth_log_sd
        return (1 - p) * stable.below(growth_ml / stable.scale_ml) + p * expanding.below(standard)


@dataclass(frozen=True)
class Course:
    """What became of one patient.

    Attributes:
        growth_ml: Growth between the scans, had nobody operated.
        left_ml: IPH volume at the follow-up scan.
        evacuated: Whether the bleed was evacuated between the scans, 0 or 1.
        died: Whether the patient died before the follow-up scan, 0 or 1.
        bp_lowered: Whether blood pressure was lowered, 0 or 1.
        reversed: Whether anticoagulation was reversed, 0 or 1.
    """

    growth_ml: float
    left_ml: float
    evacuated: int = 0
    died: int = 0
    bp_lowered: int = 0
    reversed: int = 0


def draw_course(case: Case, rng: Generator) -> Course:
    """Nobody of the plain world is treated, and nobody dies."""
    growth_ml = float(draw_growth(case, rng)[0])
    return Course(growth_ml, case.baseline_iph_ml + growth_ml)


def oedema_mm(case: Case) -> tuple[float, float]:
    """Width of the oedema at baseline and at follow-up."""
    return OEDEMA_MM[0] + OEDEMA_MM[1] * case.onset_to_ct_h, OEDEMA_MM[2]


def known_cells(seed: int, case: Case) -> dict[str, str]:
    """The clinical cells of one patient; what a hospital would not know is empty."""
    rng = generator(seed, case.patient_id, "unknown")
    unknown = {name: rng.random() < UNKNOWN_SHARE for name in MAY_BE_UNKNOWN}
    return {name: "" if unknown.get(name) else str(getattr(case, name)) for name in CLINICAL}


def draw_growth(case: Case, rng: Generator, draws: int = 1) -> NDArray[np.float64]:
    """Draws IPH growths in mL of one patient from the true distribution; shape (draws,)."""
    return growth_quantile(case, rng.random(draws))


def mean_growth_ml(law: GrowthLaw, points: int) -> float:
    """Mean of a law of growth by the midpoint rule on its quantile function."""
    return float(law.quantile((np.arange(points) + 0.5) / points).mean())


def growth_parts_ml(law: GrowthLaw) -> NDArray[np.float64]:
    """Mean growth in mL of each part of the true law, from the least to the most."""
    points = GROWTH_PARTS * POINTS_OF_A_PART
    growth_ml = law.quantile((np.arange(points) + 0.5) / points)
    return growth_ml.reshape(GROWTH_PARTS, POINTS_OF_A_PART).mean(axis=1)
