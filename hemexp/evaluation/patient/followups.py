"""One patient's drawn follow-ups, seen one at a time: their scores, and what they share."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hemexp.anatomy.surfaces import energy_distance, hd95_mm, surface_dice, surface_gaps
from hemexp.anatomy.ventricles import score_amounts
from hemexp.evaluation.patient.images import dice, map_brier, new_blood, score_image
from hemexp.evaluation.patient.inputs import Maps, Member, Truth
from hemexp.statistics.scores import Score


@dataclass(frozen=True)
class Ensemble:
    """What is left of a patient's follow-ups when each has been looked at once.

    Attributes:
        scores: Of every metric a score a member, in the members' order.
        mean_hu: Their mean image, (x, y, z).
        iph: Flat indices of every member's IPH.
        expansion: Flat indices of every member's blood where the baseline had none.
        slices_ml: IPH a slice, (members, z).
        ventricles_ml: Volume of the ventricles, (members,).
    """

    scores: dict[str, list[Score]]
    mean_hu: NDArray[np.float64]
    iph: list[NDArray[np.intp]]
    expansion: list[NDArray[np.intp]]
    slices_ml: NDArray[np.float64]
    ventricles_ml: NDArray[np.float64]


def collect_members(
    members: Iterable[Member], truth: Truth, blood: NDArray, surface_mm: float
) -> Ensemble:
    """Looks at every follow-up once; 50 of them at a time would fill the memory.

    Args:
        members: At least one follow-up.
        truth: What happened.
        blood: The baseline's blood.
        surface_mm: Tolerance of the surface Dice.
    """
    scores: dict[str, list[Score]] = {}
    total = np.zeros(truth.brain.shape)
    iph, expansion, slices, ventricles = [], [], [], []
    for member in members:
        total += member.ct_hu
        iph.append(np.flatnonzero(member.iph))
        expansion.append(np.flatnonzero(new_blood(member.iph | member.ivh, blood)))
        slices.append(member.iph.sum(axis=(0, 1)) * truth.voxel_ml)
        ventricles.append(truth.ventricle_ml(member))
        for name, score in score_member(member, truth, surface_mm).items():
            scores.setdefault(name, []).append(score)
    return Ensemble(
        scores, total / len(iph), iph, expansion, np.array(slices), np.array(ventricles)
    )


def score_member(member: Member, truth: Truth, surface_mm: float) -> dict[str, Score]:
    """Masks and image of one follow-up against the true one."""
    scores = {}
    for name in ("iph", "ivh"):
        mask, true = getattr(member, name), getattr(truth.followup, name)
        gaps = surface_gaps(mask, true, truth.spacing_mm)
        both_empty = not (mask.any() or true.any())
        scores[f"{name}_dice"] = dice(mask, true)
        scores[f"{name}_hd95_mm"] = hd95_mm(gaps, both_empty)
        scores[f"{name}_surface_dice"] = surface_dice(gaps, both_empty, surface_mm)
    return scores | score_image(member.ct_hu, truth.followup.ct_hu, truth.brain, truth.band)


def score_ensemble(ensemble: Ensemble, truth: Truth) -> dict[str, Score]:
    """Scores of single follow-ups, averaged, of their mean image and of them as a set.

    Returns:
        `*_sample` metrics are means over members for which the score is defined; `*_mean_image`
        belong to the mean image; `iph_ged*` and `expansion_ged*` to the set of masks.
    """
    scores = {f"{name}_sample": _mean(values) for name, values in ensemble.scores.items()}
    image = score_image(ensemble.mean_hu, truth.followup.ct_hu, truth.brain, truth.band)
    scores |= {f"{name}_mean_image": score for name, score in image.items()}
    for name, members, true in (
        ("iph", ensemble.iph, truth.followup.iph),
        ("expansion", ensemble.expansion, truth.expansion),
    ):
        terms = energy_distance(members, np.flatnonzero(true))
        scores |= {f"{name}_{term}": Score(value) for term, value in terms.items()}
    true_ml = Score(truth.ventricle_ml(truth.followup))
    return scores | score_amounts("ventricle", "ml", ensemble.ventricles_ml, true_ml)


def _mean(scores: list[Score]) -> Score:
    values = [score.value for score in scores if score.value is not None]
    if not values:
        return Score(None, scores[0].note)
    return Score(float(np.mean(values)))


def score_maps(maps: Maps, truth: Truth) -> dict[str, Score]:
    """Dice of the maps cut above one half, and the expansion map's Brier score."""
    return {
        "iph_dice_map": dice(maps.iph > 0.5, truth.followup.iph),
        "ivh_dice_map": dice(maps.ivh > 0.5, truth.followup.ivh),
        "expansion_brier_brain": map_brier(maps.expansion, truth.expansion, truth.brain),
        "expansion_brier_band": map_brier(maps.expansion, truth.expansion, truth.band),
    }


def score_slices(slices_ml: NDArray) -> dict[str, Score]:
    """How the slices' areas move together: what the lag-1 correlation is made of.

    Args:
        slices_ml: IPH a slice, (members, z).

    Returns:
        Mean product of neighbouring slices' deviations from the members' mean, and the geometric
        mean of the two slices' mean squares; their ratio is the correlation.
    """
    if len(slices_ml) < 2:
        names = ("slice_covariance_ml2", "slice_variance_ml2")
        return dict.fromkeys(names, Score(None, "one member has no deviation"))
    deviation = slices_ml - slices_ml.mean(axis=0)
    one, other = deviation[:, :-1], deviation[:, 1:]
    variance = np.sqrt(np.mean(one**2) * np.mean(other**2))
    return {
        "slice_covariance_ml2": Score(float(np.mean(one * other))),
        "slice_variance_ml2": Score(float(variance)),
    }


def score_truth(truth: Truth) -> dict[str, Score]:
    """Mass effect of what happened, beside that of the forecasts."""
    return {
        "midline_shift_mm": truth.shift_mm,
        "ventricle_ml": Score(truth.ventricle_ml(truth.followup)),
    }
