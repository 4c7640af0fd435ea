"""Whom the clinical world admits: centres that differ, hours, drugs, and what an image shows.

Sizes are chosen unless a source is named.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from scipy.special import expit, ndtr

from hemexp.phantom.bleed import SITES
from hemexp.phantom.model import Case, generator, log_normal

VOLUME_ML, ONSET_H = (0.5, 120.0), (0.5, 24.0)
"""Ends of the baseline volume and of the hours to the baseline scan."""

AGE_YEARS, SBP_MMHG = (69.0, 13.0), (172.0, 26.0)
"""Mean and SD (INTERACT2: 64 years, 179 mmHg; European cohorts are older): chosen between."""

VOLUME_LOG_SD, ONSET_LOG_SD = 0.95, 0.8
ANTIPLATELET_SHARE, MALE_SHARE = 0.28, 0.55
INFRATENTORIAL_SHARE, TWO_BLEEDS_SHARE = 0.10, 0.05
"""Some 10 % of bleeds lie below the tentorium; 5 % of patients have two (chosen)."""


@dataclass(frozen=True)
class CaseMix:
    """Whom a centre admits, and what it does.

    Attributes:
        anticoagulant_share: Share of patients on any anticoagulant.
        lobar_share: Share of supratentorial bleeds in a lobe.
        onset_median_h: Median hours from onset to the baseline scan.
        volume_median_ml: Median baseline IPH volume.
        severity: Added to ln amplitude.
        interval_h: Ends of the hours between the scans, even on the log scale.
        unknown_onset: Logit of an unknown onset at 69 years.
    """

    anticoagulant_share: float
    lobar_share: float
    onset_median_h: float
    volume_median_ml: float
    severity: float
    interval_h: tuple[float, float]
    unknown_onset: float


CASE_MIX = {
    "A": CaseMix(0.12, 0.25, 2.2, 12.0, 0.0, (18.0, 30.0), -1.6),
    "B": CaseMix(0.20, 0.35, 3.0, 15.0, 0.15, (20.0, 40.0), -1.4),
    "C": CaseMix(0.16, 0.30, 2.0, 10.0, -0.15, (10.0, 30.0), -1.8),
    "D": CaseMix(0.32, 0.40, 4.5, 18.0, 0.1, (3.0, 72.0), -1.2),
}
"""The test centre D lies outside the others in drugs, hours, volume and intervals."""


@dataclass(frozen=True, kw_only=True)
class ClinicalCase(Case):
    """One patient of the clinical world; what `Case` says, and more.

    Attributes:
        followup_interval_h: Hours from the baseline to the follow-up scan.
        sex: `F` or `M`; says nothing about growth.
        activity: How active the bleed is, in SD; no single sign in the image shows it.
        severity: The centre's part of ln amplitude.
        intubated: Whether the GCS could not be taken.
        onset_known: Whether anybody saw the onset.
    """

    followup_interval_h: float
    sex: str
    activity: float
    severity: float
    intubated: int
    onset_known: int


def draw_clinical_case(seed: int, patient_id: str, center: str) -> ClinicalCase:
    """Draws one patient's variables, whoever else is in the cohort."""
    rng, mix = generator(seed, patient_id, "clinical case"), CASE_MIX[center]
    activity = float(rng.normal())
    onset_h = log_normal(rng, mix.onset_median_h, ONSET_LOG_SD, ONSET_H)
    volume_ml = log_normal(rng, mix.volume_median_ml, VOLUME_LOG_SD, VOLUME_ML)
    age = round(float(np.clip(rng.normal(*AGE_YEARS), 30, 98)))
    gcs = round(float(np.clip(14.6 - volume_ml / 9 + rng.normal(0, 1.8), 3, 15)))
    return ClinicalCase(
        patient_id=patient_id,
        onset_to_ct_h=round(onset_h, 2),
        anticoagulant=int(rng.random() < mix.anticoagulant_share),
        antiplatelet=int(rng.random() < ANTIPLATELET_SHARE),
        age=age,
        gcs=gcs,
        sbp=round(float(np.clip(rng.normal(*SBP_MMHG), 100, 250))),
        baseline_iph_ml=round(volume_ml, 3),
        **_signs(activity, rng),
        site=_draw_site(mix.lobar_share, rng),
        second_share=float(rng.uniform(0.2, 0.6)) if rng.random() < TWO_BLEEDS_SHARE else 0.0,
        followup_interval_h=round(float(np.exp(rng.uniform(*np.log(mix.interval_h)))), 1),
        sex="M" if rng.random() < MALE_SHARE else "F",
        activity=activity,
        severity=mix.severity,
        intubated=int(rng.random() < expit(7.5 - gcs)),
        onset_known=int(rng.random() > expit(mix.unknown_onset + (age - 69) / 20)),
    )


def _signs(activity: float, rng: Generator) -> dict[str, float]:
    """What the image shows of the activity: pockets, how wide they are, margin, uneven blood."""
    seen = 0.7 * activity + 0.7 * rng.normal(size=4)
    return {
        "pockets": int(min(rng.poisson(np.exp(0.6 * seen[0] - 0.6)), 4)),
        "pocket_scale": round(float(np.exp(0.25 * seen[1])), 4),
        "irregularity": round(float(ndtr(seen[2])), 4),
        "unevenness": round(float(ndtr(seen[3])), 4),
    }


def _draw_site(lobar_share: float, rng: Generator) -> str:
    kinds = {"infratentorial": INFRATENTORIAL_SHARE}
    kinds["lobar"] = (1 - INFRATENTORIAL_SHARE) * lobar_share
    kinds["deep"] = 1 - sum(kinds.values())
    kind = str(rng.choice(list(kinds), p=list(kinds.values())))
    names = [name for name, site in SITES.items() if site.kind == kind]
    weights = np.array([max(SITES[name].share, 1e-9) for name in names])
    return str(rng.choice(names, p=weights / weights.sum()))


def at_interval(case: ClinicalCase, hours: float) -> ClinicalCase:
    """The same patient with the follow-up that many hours after the baseline."""
    return replace(case, followup_interval_h=hours)
