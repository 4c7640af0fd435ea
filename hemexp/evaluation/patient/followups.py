"""One patient's drawn follow-ups, seen one at a time, and every metric of them."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from hemexp.anatomy.blood import new_blood
from hemexp.evaluation.metrics import METRICS
from hemexp.evaluation.patient.amounts import Amount
from hemexp.evaluation.patient.inputs import Followup, Maps, Truth
from hemexp.evaluation.patient.match import Ensemble, ImageMatch, Match
from hemexp.statistics.scores import Score


def score_followups(
    followups: Iterable[Followup], shifts_mm: NDArray, maps: Maps, truth: Truth
) -> dict[str, Score]:
    """Every metric of one patient's follow-ups.

    Args:
        followups: At least one.
        shifts_mm: Their midline shifts.
        maps: Their probability maps.
        truth: What happened.

    Returns:
        By name, in the order of `METRICS`. What is taken of each follow-up is the mean over those
        for which it is defined.
    """
    ensemble, each = look_at(followups, shifts_mm, maps, truth)
    return {
        name: _mean(each[name])
        if metric.source == "each"
        else metric.compute(ensemble if metric.source == "all" else ensemble.slices_ml)
        for name, metric in METRICS.items()
    }


def look_at(
    followups: Iterable[Followup], shifts_mm: NDArray, maps: Maps, truth: Truth
) -> tuple[Ensemble, dict[str, list[Score]]]:
    """Looks at every follow-up once; 50 of them at a time would fill the memory.

    Args:
        followups: At least one.
        shifts_mm: Their midline shifts.
        maps: Their probability maps.
        truth: What happened.

    Returns:
        What is left of them, and of every metric of `each` a score a follow-up.
    """
    each = {name: [] for name, metric in METRICS.items() if metric.source == "each"}
    total = np.zeros(truth.brain.shape)
    iph, expansion, slices, ventricles = [], [], [], []
    for followup in followups:
        total += followup.ct_hu
        iph.append(np.flatnonzero(followup.iph))
        expansion.append(np.flatnonzero(new_blood(followup.blood, truth.baseline_blood)))
        slices.append(followup.iph.sum(axis=(0, 1)) * truth.voxel_ml)
        ventricles.append(truth.ventricle_ml(followup))
        match = Match(followup, truth)
        for name, scores in each.items():
            scores.append(METRICS[name].compute(match))
    true_ml = Score(truth.ventricle_ml(truth.followup))
    ensemble = Ensemble(
        mean_image=ImageMatch(total / len(iph), truth),
        voxels={"iph": iph, "expansion": expansion},
        maps=maps,
        slices_ml=np.array(slices),
        ventricle=Amount("ventricle", np.array(ventricles), true_ml),
        midline=Amount("midline shift", shifts_mm, truth.shift_mm),
        truth=truth,
    )
    return ensemble, each


def _mean(scores: list[Score]) -> Score:
    values = [score.value for score in scores if score.value is not None]
    if not values:
        return Score(None, scores[0].note)
    return Score(float(np.mean(values)))


def score_truth(truth: Truth) -> dict[str, Score]:
    """What happened, as far as metrics have that, in the order of their names."""
    known = sorted(name for name, metric in METRICS.items() if metric.of_truth)
    return {name: METRICS[name].of_truth(truth) for name in known}


def score_slices(slices_ml: NDArray) -> dict[str, Score]:
    """Metrics of IPH a slice alone, (followups, z)."""
    return {
        name: metric.compute(slices_ml)
        for name, metric in METRICS.items()
        if metric.source == "slices"
    }
