"""Masks, sets of masks and mass effect against known answers."""

import numpy as np
import pytest

from hemexp.anatomy.midline import midline_shift_mm
from hemexp.anatomy.surfaces import surface_gaps
from hemexp.anatomy.ventricles import (
    ventricle_change_ml,
    ventricle_mask,
    ventricle_ml,
    ventricle_region,
    ventricle_surroundings,
)
from hemexp.evaluation.patient.amounts import Amount, slice_covariance, slice_variance
from hemexp.evaluation.patient.masks import (
    NO_DISTANCE,
    NO_TRUTH,
    energy_distance,
    hd95_mm,
    presence_brier,
    surface_dice,
)
from hemexp.phantom.bleed import draw_shape
from hemexp.phantom.head import draw_head
from hemexp.phantom.mass_effect import mean_shift_mm
from hemexp.phantom.mass_effect import ventricle_ml as true_ventricle_ml
from hemexp.phantom.model import draw_case
from hemexp.phantom.scan import take_scan
from hemexp.phantom.tissue import Session
from hemexp.statistics.scores import Score

SPACING = (2.0, 3.0, 5.0)


def box(*where):
    mask = np.zeros((20, 16, 8), dtype=bool)
    mask[where] = True
    return mask


CUBE = box(slice(4, 12), slice(4, 10), slice(2, 6))
EMPTY = box(slice(0, 0))


def test_equal_masks_have_no_gap():
    gaps = surface_gaps(CUBE, CUBE, SPACING)
    assert hd95_mm(gaps, False).value == 0
    assert surface_dice(gaps, False, 0.1).value == 1


@pytest.mark.parametrize(("axis", "gap_mm"), [(0, 2.0), (1, 3.0), (2, 5.0)])
def test_a_shift_by_one_voxel_is_its_spacing(axis, gap_mm):
    gaps = surface_gaps(np.roll(CUBE, 1, axis), CUBE, SPACING)
    assert hd95_mm(gaps, False).value == gap_mm
    assert surface_dice(gaps, False, gap_mm).value == 1
    assert 0.2 < surface_dice(gaps, False, gap_mm - 0.1).value < 0.9


def test_a_far_voxel_moves_the_farthest_five_percent_only():
    speck = CUBE.copy()
    speck[19, 15, 7] = True
    assert hd95_mm(surface_gaps(speck, CUBE, SPACING), False).value == 0
    # A distance holds in both directions: the truth's own missing half counts too.
    half = CUBE.copy()
    half[8:] = False
    for one, other in ((half, CUBE), (CUBE, half)):
        assert hd95_mm(surface_gaps(one, other, SPACING), False).value == 8.0


def test_empty_masks_are_decided():
    assert surface_gaps(EMPTY, CUBE, SPACING) is None
    assert hd95_mm(None, False) == Score(None, NO_DISTANCE)
    assert hd95_mm(None, True) == Score(None, NO_TRUTH)
    assert surface_dice(None, False, 1.0).value == 0
    assert surface_dice(None, True, 1.0).value is None


def test_presence_is_scored_apart():
    assert presence_brier([True, False, False, False], False).value == 0.0625
    assert presence_brier([True, False, False, False], True).value == 0.5625
    assert presence_brier([False], False).value == 0


def flat(*masks):
    return [np.flatnonzero(mask) for mask in masks]


def test_energy_distance_and_its_two_terms():
    half = CUBE.copy()
    half[8:] = False
    # Dice of the half and the whole is 2/3; of the members with each other too.
    found = energy_distance(flat(CUBE, half), *flat(CUBE))
    assert found["ged_error"] == pytest.approx(1 / 6)
    assert found["ged_diversity"] == pytest.approx(1 / 3)
    assert found["ged"] == pytest.approx(0, abs=1e-6)
    assert energy_distance(flat(half), *flat(CUBE))["ged"] == pytest.approx(2 / 3)
    nothing = energy_distance(flat(EMPTY, EMPTY), *flat(EMPTY))
    assert nothing == {"ged": 0, "ged_error": 0, "ged_diversity": 0}
    assert energy_distance(flat(EMPTY), *flat(CUBE))["ged_error"] == 1


def test_energy_distance_of_members_from_the_truth_is_zero_on_average():
    """Members and truth from one distribution: the score's two terms cancel, whatever K."""
    rng = np.random.default_rng(0)
    for k in (2, 6):
        drawn = [[np.flatnonzero(rng.random(30) < 0.4) for _ in range(k + 1)] for _ in range(800)]
        terms = [energy_distance(members, truth) for *members, truth in drawn]
        error, diversity = (
            np.mean([t[name] for t in terms]) for name in ("ged_error", "ged_diversity")
        )
        assert error == pytest.approx(diversity, abs=0.01)


def test_slices_that_move_together_are_told_from_slices_that_do_not():
    rng = np.random.default_rng(0)

    def lag1(slices_ml):
        return slice_covariance(slices_ml).value / slice_variance(slices_ml).value

    mean, shared = np.arange(10.0), rng.normal(size=(400, 1))
    assert lag1(mean + shared * np.ones(10)) == pytest.approx(1)
    assert lag1(mean + rng.normal(size=(400, 10))) == pytest.approx(0, abs=0.05)
    mixed = mean + shared + rng.normal(size=(400, 10))
    assert lag1(mixed) == pytest.approx(0.5, abs=0.06)
    assert slice_variance(np.ones((1, 10))).value is None


def test_amounts_are_scored_against_the_truth():
    amount = Amount("ventricle", np.array([1.0, 3.0, np.nan]), Score(5.0))
    found = (amount.median(), amount.error(), amount.crps())
    assert [score.value for score in found] == [2.0, 3.0, 2.0]
    unseen = Amount("ventricle", np.array([np.nan]), Score(5.0))
    for score in (unseen.median(), unseen.error(), unseen.crps()):
        assert score.value is None and "no ventricle" in score.note
    unknown = Amount("ventricle", np.array([1.0]), Score(None, "not seen"))
    assert unknown.median().value == 1
    assert unknown.error() == unknown.crps() == Score(None, "not seen")


SHAPE, GRID_MM, FINE = (64, 64, 30), np.array([3.0, 3.0, 6.0]), 2


def block_mean(image):
    sides = [n for side in SHAPE for n in (side, FINE)]
    return image.astype(float).reshape(sides).mean(axis=(1, 3, 5))


def fine_grid():
    affine = np.diag([*GRID_MM / FINE, 1.0])
    shape = tuple(FINE * side for side in SHAPE)
    affine[:3, 3] = -affine.diagonal()[:3] * (np.array(shape) - 1) / 2 + [0, 0, 12]
    return shape, affine


def grid_scan(head, bleed, volume_ml, before=None):
    """CT, IPH, IVH and brain on a 3 x 3 x 6 mm grid, and how far the bleed reaches."""
    direction = None if before is None else bleed.direction
    session = Session(np.eye(4), volume_ml, 3.0, before, direction)
    scan = take_scan(head, bleed, session, fine_grid(), 4.0, np.random.default_rng(0))
    masks = [block_mean(getattr(scan, name)) > 0.5 for name in ("iph", "ivh", "brain")]
    return np.where(masks[2], block_mean(scan.ct), 0), *masks, scan.extent


@pytest.mark.parametrize("patient", ["D05", "D20"])
def test_mass_effect_is_that_of_the_phantom(patient):
    case = draw_case(1, patient)
    head, bleed = draw_head(1, patient, case.age), draw_shape(1, case)
    before, after = case.baseline_iph_ml, case.baseline_iph_ml + 25
    ct, iph, ivh, brain, extent = grid_scan(head, bleed, before)
    ct2, iph2, ivh2, _, _ = grid_scan(head, bleed, after, extent)
    blood = iph | ivh | iph2 | ivh2

    region = ventricle_region(brain, GRID_MM)
    true_ml = [true_ventricle_ml(head, bleed.center_mm, volume) for volume in (before, after)]
    assert ventricle_ml(ct, iph, ivh, region, GRID_MM) == pytest.approx(true_ml[0], rel=0.15)
    mask = ventricle_mask(ct, iph, ivh, region, GRID_MM)
    around = ventricle_surroundings(mask, brain, GRID_MM)
    found_ml = ventricle_change_ml(ct, ct2, blood, around, GRID_MM)
    assert found_ml == pytest.approx(true_ml[1] - true_ml[0], abs=1.6)
    assert found_ml < -2

    shift_mm = midline_shift_mm(ct, ct2, blood, brain, GRID_MM)
    true_mm = [mean_shift_mm(head, bleed.center_mm, volume) for volume in (before, after)]
    assert shift_mm == pytest.approx(true_mm[1] - true_mm[0], abs=0.4)
    assert abs(shift_mm) > 0.8


def squeezed(kept):
    """CT of a box of brain with a ventricle of 12 voxels' width, `kept` of which are CSF."""
    ct = np.full((40, 40, 30), 30.0)
    ct[14 : 14 + int(kept), 14:26, 14:20] = 6
    ct[14 + int(kept), 14:26, 14:20] = 30 - 24 * (kept % 1)
    return ct


def change_ml(reference, changed, blood):
    ventricle, brain = reference < 18, np.ones(reference.shape, dtype=bool)
    spacing_mm = (3.0, 3.0, 5.0)
    around = ventricle_surroundings(ventricle, brain, spacing_mm)
    return ventricle_change_ml(reference, changed, blood, around, spacing_mm)


@pytest.mark.parametrize("kept", [8.0, 11.5, 12.0, 13.5])
def test_change_of_ventricles_counts_partial_volume(kept):
    reference, blood = squeezed(12.0), np.zeros((40, 40, 30), dtype=bool)
    expected_ml = (kept - 12) * 12 * 6 * 0.045
    assert change_ml(reference, squeezed(kept), blood) == pytest.approx(expected_ml, abs=1e-6)
    assert change_ml(reference, squeezed(kept) + 4, blood) == pytest.approx(expected_ml, abs=1e-6)


def test_change_of_ventricles_looks_neither_at_blood_nor_far_away():
    reference, blood = squeezed(12.0), np.zeros((40, 40, 30), dtype=bool)
    changed = squeezed(12.0)
    changed[14:20, 14:26, 14:20] = 60
    assert change_ml(reference, changed, blood) == pytest.approx(-6 * 12 * 6 * 0.045)
    blood[14:20, 14:26, 14:20] = True
    assert change_ml(reference, changed, blood) == 0
    changed = squeezed(12.0)
    changed[2:4] = 6
    assert change_ml(reference, changed, ~np.ones_like(blood)) == 0
    assert change_ml(reference, changed, np.ones_like(blood)) == 0
    assert change_ml(np.full(reference.shape, 30.0), changed, ~np.ones_like(blood)) == 0


def test_ventricles_are_dark_deep_and_may_be_filled_with_blood():
    brain, spacing_mm = np.ones((40, 40, 30), dtype=bool), (3.0, 3.0, 5.0)
    region = ventricle_region(brain, spacing_mm)
    assert region[20, 20, 20] and not region[5, 20, 20] and not region[20, 20, 8]
    ct = np.full(brain.shape, 30.0)
    ct[18:22, 18:22, 18:20] = 8
    ct[2:4] = 8
    ct[20, 26, 24] = 8  # a speck of 0.045 mL
    nothing = np.zeros_like(brain)
    assert ventricle_ml(ct, nothing, nothing, region, spacing_mm) == pytest.approx(32 * 0.045)
    blood = nothing.copy()
    blood[18:20, 18:22, 18:20] = True
    filled = np.where(blood, 60.0, ct)
    found = ventricle_ml(filled, nothing, blood, region, spacing_mm)
    assert found == pytest.approx(32 * 0.045, rel=0.2)
    # A dark pocket inside a bleed is no ventricle.
    found = ventricle_ml(ct, blood, nothing, region, spacing_mm)
    assert found == pytest.approx(16 * 0.045)
    assert not ventricle_region(nothing, spacing_mm).any()
