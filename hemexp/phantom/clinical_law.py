"""The clinical world: growth without a gap, treatment, and what became of a patient.

Growth between the scans is continuous. With t0 the hours from onset to the baseline scan and t1
those to the follow-up,

    growth = amplitude (F(t1) - F(t0)) - shrinkage,
    F(t) = 1 - a exp(-t / fast) - b exp(-t / slow),

where ln(amplitude / mL) is normal about a sum of effects. So most bleeds grow a little and a few
grow much; early scans miss less, and the same bleed has grown more by a later follow-up. Treatment
slows growth and is given to the sicker. Nobody knows at baseline what will be given, so the law of
a patient is the mixture over treatments.

Directions of effect follow the literature named at each constant; sizes are chosen unless a source
is named, and none is the published odds ratio. Timed models of `expansion` have the same outline,
an amplitude times a share of hours, with another F, without treatment, products or shrinkage.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.special import expit, ndtr

from hemexp.columns import CLINICAL
from hemexp.phantom.clinical_cases import AGE_YEARS, SBP_MMHG, ClinicalCase
from hemexp.phantom.model import (
    COURSE,
    MAY_BE_UNKNOWN,
    UNKNOWN_SHARE,
    Course,
    generator,
    he_threshold_ml,
)

SLOW_SHARE, FAST_H, SLOW_H = 0.2, 3.0, 24.0
"""b (a = 1 - b), and the two times of F: 74 % of all growth happens in the first 6 h (Brott 1997,
Stroke 28:1: 26 % grow within an hour of the first scan, 12 % more by 20 h)."""

LOG_AMPLITUDE, LOG_SD, LIMIT_ML = 1.55, 0.9, 60.0
"""Mean and SD of ln(amplitude / mL) of the reference patient; growth ends at 60 mL."""

SHRINKAGE = (0.03, 0.4)
"""Clots retract: by 3 % of the volume, at most 0.4 mL."""

ACTIVITY = 0.55
"""Of ln amplitude per SD of the bleed's activity, which the image shows in several signs."""

LOG_VOLUME, ANTIPLATELET, SBP_PER_MMHG = 0.75, 0.2, 0.004
"""Of ln amplitude: per unit of ln(volume / 13 mL), on antiplatelets, per mmHg over the mean."""

ANTICOAGULANT, EARLY_H = (0.55, 0.45), 3.0
"""On anticoagulants, and that much more in an early scan: 0.55 + 0.45 (exp(-t0 / 3 h) - 0.4)."""

POCKET_VOLUME = 0.15
"""Per hypodense pocket (two at most count) and unit of ln(volume / 13 mL)."""

BP_LOWERED, REVERSED = -0.25, -0.55
"""Of ln amplitude under treatment (INTERACT2 and ATACH-2: a little less growth; reversal:
Kuramatsu 2015, JAMA 313:824)."""

EVACUATED_SHARE, LEFT_BEHIND = 0.04, (0.15, 0.4)
"""Of bleeds of 20 mL or more, wherever they lie, three times this share is evacuated between the
scans, of the others a fourth of it; part of the volume that stays."""

LEAST_EVACUATED_ML = 20.0

DEATH = (-4.3, 0.06, 0.012)
"""Logit of death before the follow-up: intercept, per mL of growth, per mL at baseline."""

YIELDING_LOG_SD = 0.25
"""How patients differ in their midline shift for the same bleed (chosen)."""

OEDEMA_MM, OEDEMA_H = 6.0, 24.0
"""Oedema widens by up to 6 mm round a bleed of 13 mL, 63 % of it within 24 h (chosen)."""

SWELLING, LEAST_BLOCKING_ML, SWELLING_H = (0.05, 0.5), 2.0, 12.0
"""IVH of more than 2 mL blocks CSF: the ventricles widen by 5 % per mL, 50 % at most, 63 % of it
within 12 h (chosen)."""

COURSE_COLUMNS = ("evacuated", "reversed", "bp_lowered", "died")
"""What the sheet says of a patient's course."""


@dataclass(frozen=True)
class Treatment:
    """What was given between the scans, 0 or 1 each.

    Attributes:
        bp_lowered: Blood pressure lowered.
        reversed: Anticoagulation reversed.
    """

    bp_lowered: int
    reversed: int


def grown_share(hours: float) -> float:
    """F: which part of all its growth a bleed has made that many hours after onset."""
    return float(
        1 - (1 - SLOW_SHARE) * np.exp(-hours / FAST_H) - SLOW_SHARE * np.exp(-hours / SLOW_H)
    )


def treatment_probabilities(case: ClinicalCase) -> dict[Treatment, float]:
    """How likely each treatment is: the sicker get more of both (confounded on purpose)."""
    lowered = expit(0.3 + (case.sbp - SBP_MMHG[0]) / 20 + 0.4 * case.activity)
    back = case.anticoagulant * expit(0.8 + 0.5 * case.activity - 0.1 * case.onset_to_ct_h)
    given = {
        Treatment(bp, rev): float((lowered if bp else 1 - lowered) * (back if rev else 1 - back))
        for bp, rev in product((0, 1), (0, 1))
    }
    return {treatment: weight for treatment, weight in given.items() if weight > 0}


def log_amplitude(case: ClinicalCase, treatment: Treatment) -> float:
    """Mean of ln(amplitude / mL)."""
    log_volume = np.log(case.baseline_iph_ml / 13.0)
    early = np.exp(-case.onset_to_ct_h / EARLY_H) - 0.4
    return float(
        LOG_AMPLITUDE
        + case.severity
        + ACTIVITY * case.activity
        + LOG_VOLUME * log_volume
        + ANTIPLATELET * case.antiplatelet
        + SBP_PER_MMHG * (case.sbp - SBP_MMHG[0])
        + case.anticoagulant * (ANTICOAGULANT[0] + ANTICOAGULANT[1] * early)
        + POCKET_VOLUME * min(case.pockets, 2) * log_volume
        + BP_LOWERED * treatment.bp_lowered
        + REVERSED * treatment.reversed
    )


@dataclass(frozen=True)
class ContinuousGrowth:
    """The law of a patient's growth: a mixture of log-normal laws, shifted and cut above.

    Attributes:
        weights: (n,) of the parts, sum 1.
        log_means: (n,) mean of ln(growth + shrinkage) before the cut.
        shrinkage_ml: Shift of all parts.
        baseline_ml: Baseline IPH volume.
    """

    weights: NDArray[np.float64]
    log_means: NDArray[np.float64]
    shrinkage_ml: float
    baseline_ml: float

    @property
    def p_expansion(self) -> float:
        """The true probability of HE (growth >= 6 mL or >= 33 %)."""
        return float(1 - self.below(np.array([he_threshold_ml(self.baseline_ml)]))[0])

    def below(self, growth_ml: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distribution function at growths in mL, of any shape."""
        shifted = np.maximum(np.asarray(growth_ml) + self.shrinkage_ml, 1e-300)
        standard = (np.log(shifted)[..., None] - self.log_means) / LOG_SD
        most = (np.log(LIMIT_ML + self.shrinkage_ml) - self.log_means) / LOG_SD
        return np.minimum(ndtr(standard) / ndtr(most), 1) @ self.weights

    def quantile(self, probability: NDArray[np.float64]) -> NDArray[np.float64]:
        """Quantile function, by bisection to 1e-9 of the log scale.

        Args:
            probability: Any shape, inside (0, 1).
        """
        u = np.asarray(probability, dtype=np.float64)
        ends = self.log_means.min() - 40 * LOG_SD, np.log(LIMIT_ML + self.shrinkage_ml)
        low, high = (np.full(u.shape, end) for end in ends)
        for _ in range(40):
            middle = (low + high) / 2
            right = self.below(np.exp(middle) - self.shrinkage_ml) < u
            low, high = np.where(right, middle, low), np.where(right, high, middle)
        return np.exp((low + high) / 2) - self.shrinkage_ml


def clinical_growth(case: ClinicalCase, treatment: Treatment | None = None) -> ContinuousGrowth:
    """The law of growth between the scans, of a treatment or, without one, as seen at baseline."""
    given = treatment_probabilities(case) if treatment is None else {treatment: 1.0}
    t0 = case.onset_to_ct_h
    share = grown_share(t0 + case.followup_interval_h) - grown_share(t0)
    means = [log_amplitude(case, one) + np.log(share) for one in given]
    shrinkage_ml = min(SHRINKAGE[0] * case.baseline_iph_ml, SHRINKAGE[1])
    weights = np.array(list(given.values()))
    return ContinuousGrowth(weights, np.array(means), shrinkage_ml, case.baseline_iph_ml)


def draw_course(case: ClinicalCase, rng: Generator) -> Course:
    """Draws what became of a patient."""
    given = treatment_probabilities(case)
    treatment = list(given)[rng.choice(len(given), p=list(given.values()))]
    growth_ml = float(clinical_growth(case, treatment).quantile(rng.random(1))[0])
    volume_ml = case.baseline_iph_ml + growth_ml
    large = case.baseline_iph_ml >= LEAST_EVACUATED_ML
    evacuated = int(rng.random() < EVACUATED_SHARE * (3 if large else 0.25))
    left_ml = volume_ml * float(rng.uniform(*LEFT_BEHIND)) if evacuated else volume_ml
    logit = DEATH[0] + DEATH[1] * growth_ml + DEATH[2] * case.baseline_iph_ml
    died = int(rng.random() < expit(logit))
    return Course(growth_ml, left_ml, evacuated, died, treatment.bp_lowered, treatment.reversed)


def draw_yielding(seed: int, case: ClinicalCase) -> float:
    """How far the deep brain moves for a mL: less in the old, whose CSF gives way first."""
    rng = generator(seed, case.patient_id, "yielding")
    return float(np.exp(rng.normal(0, YIELDING_LOG_SD) - (case.age - AGE_YEARS[0]) / 100))


def oedema_mm(case: ClinicalCase) -> tuple[float, float]:
    """Width of the oedema at baseline and at follow-up: it fills up over a day."""
    most = OEDEMA_MM * (case.baseline_iph_ml / 13.0) ** (1 / 3)
    hours = case.onset_to_ct_h, case.onset_to_ct_h + case.followup_interval_h
    first, later = (float(1 + most * (1 - np.exp(-h / OEDEMA_H))) for h in hours)
    return first, later


def swelling(case: ClinicalCase, ivh_ml: float) -> float:
    """By which part of their volume blocked CSF has widened the ventricles at follow-up.

    Args:
        case: The patient.
        ivh_ml: IVH at baseline.
    """
    blocked = min(SWELLING[0] * max(ivh_ml - LEAST_BLOCKING_ML, 0.0), SWELLING[1])
    return float(blocked * (1 - np.exp(-case.followup_interval_h / SWELLING_H)))


def known_cells(seed: int, case: ClinicalCase) -> dict[str, str]:
    """The cells of one patient; what a hospital would not know is empty, not at random."""
    rng = generator(seed, case.patient_id, "unknown")
    unknown = {name: rng.random() < UNKNOWN_SHARE for name in MAY_BE_UNKNOWN}
    unknown |= {"onset_to_ct_h": not case.onset_known, "gcs": bool(case.intubated)}
    course = draw_course(case, generator(seed, case.patient_id, COURSE))
    told = {name: getattr(case, name) for name in (*CLINICAL, "followup_interval_h", "sex")}
    told |= {name: getattr(course, name) for name in COURSE_COLUMNS}
    return {name: "" if unknown.get(name) else str(value) for name, value in told.items()}
