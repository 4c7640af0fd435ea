"""One patient's drawn follow-ups, seen one at a time, and every metric of them."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hemexp.anatomy.blood import new_blood
from hemexp.evaluation.metrics import METRICS
from hemexp.evaluation.patient.amounts import Amount
from hemexp.evaluation.patient.before import Before
from hemexp.evaluation.patient.consistency import Measured, measure_followup
from hemexp.evaluation.patient.inputs import Maps, Truth, shift_since
from hemexp.evaluation.patient.match import Ensemble, ImageMatch, Match
from hemexp.evaluation.patient.series import Series
from hemexp.layout import MAPS
from hemexp.statistics.scores import Score


class Look(NamedTuple):
    """What is left of a series when each follow-up has been looked at once.

    Attributes:
        ensemble: All of them.
        each: Of every metric of `each` a score a follow-up.
        measured: What each says: `consistency.MEASURES`.
    """

    ensemble: Ensemble
    each: dict[str, list[Score]]
    measured: list[Measured]

    def scores(self) -> dict[str, Score]:
        """Every metric by name, in the order of `METRICS`.

        What is taken of each follow-up is the mean over all of them, and undefined where it is so
        for any: a mean over those with a mask would be of other follow-ups in every patient.
        """
        return {
            name: _mean(self.each[name])
            if metric.source == "each"
            else metric.compute(
                self.ensemble if metric.source == "all" else self.ensemble.slices_ml
            )
            for name, metric in METRICS.items()
        }


def look_at(series: Series, truth: Truth, before: Before) -> Look:
    """Looks at every follow-up of a series once; 50 of them at a time would fill the memory.

    Args:
        series: Drawn, or copied.
        truth: What happened.
        before: The baseline.
    """
    each = {name: [] for name, metric in METRICS.items() if metric.source == "each"}
    total = np.zeros(truth.brain.shape)
    voxels = {name: [] for name in MAPS}
    slices, measured = [], []
    for followup, listed in zip(series.followups, series.listed, strict=True):
        total += followup.ct_hu
        new = new_blood(followup.blood, truth.baseline_blood)
        for name, mask in zip(MAPS, (followup.iph, followup.ivh, new), strict=True):
            voxels[name].append(np.flatnonzero(mask))
        slices.append(followup.iph.sum(axis=(0, 1)) * truth.voxel_ml)
        shift = listed.shift_mm or shift_since(before.scan, followup)
        measured.append(listed.head | measure_followup(followup, shift, before))
        match = Match(followup, truth)
        for name, scores in each.items():
            scores.append(METRICS[name].compute(match))
    shifts_mm = [row["midline_shift_mm"].value for row in measured]
    changes_ml = np.array([row["ventricle_change_ml"] for row in measured])
    ventricles_ml = np.maximum(truth.ventricles.baseline_ml + changes_ml, 0)
    ensemble = Ensemble(
        mean_image=ImageMatch(total / len(measured), truth),
        voxels=voxels,
        maps=series.maps or _shares(voxels, truth.brain.shape),
        slices_ml=np.array(slices),
        ventricle=Amount("ventricle", ventricles_ml, Score(truth.ventricle_ml)),
        midline=Amount("midline shift", np.array(shifts_mm, np.float64), truth.shift_mm),
        truth=truth,
    )
    return Look(ensemble, each, measured)


def _shares(voxels: dict[str, list[NDArray[np.intp]]], shape: tuple[int, ...]) -> Maps:
    """Share of the follow-ups in whose masks each voxel lies."""
    return Maps(
        *(
            np.bincount(np.concatenate(found), minlength=math.prod(shape)).reshape(shape)
            / len(found)
            for found in (voxels[name] for name in MAPS)
        )
    )


def _mean(scores: list[Score]) -> Score:
    undefined = [score for score in scores if score.value is None]
    return undefined[0] if undefined else Score(float(np.mean([one.value for one in scores])))


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
