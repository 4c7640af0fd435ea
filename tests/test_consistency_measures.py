"""What a follow-up's image and masks say, on heads whose answers are known."""

import numpy as np
import pytest

from hemexp.anatomy.boxes import bounding_box, within_mm
from hemexp.anatomy.looks import count_pieces, dense_mask, neighbour_correlation, smoothing_margin
from hemexp.anatomy.ventricles import Ventricles
from hemexp.evaluation.patient.before import Before, bleed_side
from hemexp.evaluation.patient.consistency import MEASURES, measure_followup, measure_shift
from hemexp.evaluation.patient.inputs import Followup
from hemexp.grid_scan import GridScan
from hemexp.statistics.scores import Score
from hemexp.volumes import Volume

SPACING_MM = np.array([2.0, 2.0, 4.0])
SHAPE = (70, 80, 30)
VOXEL_ML = 0.016
BLEED_MM = np.array([-32.0, 0, 0])


def points_mm():
    centre = (np.array(SHAPE) - 1) / 2
    return (np.moveaxis(np.indices(SHAPE), 0, -1) - centre) * SPACING_MM


def ball(radius_mm, center_mm=BLEED_MM):
    return np.linalg.norm(points_mm() - center_mm, axis=-1) <= radius_mm


BRAIN = np.linalg.norm(points_mm() / [66, 76, 56], axis=-1) <= 1
NOTHING = np.zeros(SHAPE, bool)
CSF = (ball(16, [0, -16, 8]) | ball(16, [0, 16, 8])) & BRAIN


def head(iph, ivh=NOTHING, seed=0, csf=CSF):
    """Tissue of 32 HU, CSF 6, blood 60, noise 3, 0 outside the brain."""
    ct = np.full(SHAPE, 32.0)
    ct[csf], ct[iph | ivh] = 6, 60
    ct += np.random.default_rng(seed).normal(scale=3, size=SHAPE)
    return Followup(np.where(BRAIN, ct, 0).astype(np.float32), iph, ivh)


def scan(followup):
    return GridScan(
        Volume(followup.ct_hu, np.diag([*SPACING_MM, 1])), followup.iph, followup.ivh, BRAIN
    )


BASELINE = scan(head(ball(12)))


def prepared(baseline):
    return Before.of(baseline, BRAIN, Ventricles(baseline))


@pytest.fixture(scope="module")
def before():
    return prepared(BASELINE)


def values(followup, before):
    found = measure_followup(followup, Score(0.0), before)
    assert tuple(found) == MEASURES
    return {k: v.value if isinstance(v, Score) else v for k, v in found.items()}


def test_a_copy_changes_nothing_and_shows_its_own_noise(before):
    found = values(Followup.of_scan(BASELINE), before)
    zero = ("growth_ml", "hu_growth_ml", "ivh_growth_ml", "far_ml", "ventricle_change_ml")
    assert [found[name] for name in zero] == [0] * 5
    assert found["texture"] == pytest.approx(1)
    assert found["new_blood_hu"] is None
    assert found["pieces"] == 1


def test_growth_that_image_and_mask_share(before):
    found = values(head(ball(16), seed=1), before)
    grown = (ball(16).sum() - ball(12).sum()) * VOXEL_ML
    assert found["growth_ml"] == pytest.approx(grown)
    assert found["hu_growth_ml"] == pytest.approx(grown, rel=0.05)
    assert found["mask_hu_dice"] > 0.97
    assert found["new_mask_hu_dice"] > 0.95
    assert found["new_blood_hu"] == pytest.approx(60, abs=0.5)
    assert abs(found["texture"]) < 0.1
    assert found["noise_sd_hu"] == pytest.approx(3, abs=0.4)


def test_growth_of_the_mask_alone_is_told_from_growth(before):
    painted = head(ball(12), seed=1)._replace(iph=ball(16))
    found = values(painted, before)
    assert found["growth_ml"] > 5
    assert abs(found["hu_growth_ml"]) < 0.3
    assert found["new_blood_hu"] == pytest.approx(32, abs=0.5)
    small, large = ball(12).sum(), ball(16).sum()
    assert found["mask_hu_dice"] == pytest.approx(2 * small / (small + large), abs=0.03)
    assert found["new_mask_hu_dice"] < 0.1


def test_growth_of_the_image_alone_is_seen_near_the_bleed_only(before):
    bright = head(ball(16), seed=1)._replace(iph=ball(12))
    assert values(bright, before)["hu_growth_ml"] > 5
    elsewhere = head(ball(12) | ball(10, [32, 0, 0]), seed=1)._replace(iph=ball(12))
    assert abs(values(elsewhere, before)["hu_growth_ml"]) < 0.3


def test_ivh_is_no_growth_of_the_bleed(before):
    ivh = ball(8, [-12, 0, 0])
    found = values(head(ball(12), ivh, seed=1), before)
    assert found["ivh_growth_ml"] == pytest.approx(ivh.sum() * VOXEL_ML)
    # The rim of the IVH, which smoothing brightens, is all that is seen of it.
    assert found["hu_growth_ml"] < 0.25 * found["ivh_growth_ml"]
    assert found["growth_ml"] == 0


def test_an_island_is_a_piece_and_far_blood(before):
    island = ball(6, [36, 0, 0])
    found = values(head(ball(12) | island, seed=1), before)
    assert found["pieces"] == 2
    assert found["far_ml"] == pytest.approx(island.sum() * VOXEL_ML)
    assert values(head(ball(12) | ball(5, [-14, 0, 0]), seed=1), before)["far_ml"] == 0


def test_narrower_ventricles_are_measured(before):
    narrow = (ball(14, [0, -16, 8]) | ball(14, [0, 16, 8])) & BRAIN
    found = values(head(ball(12), seed=1, csf=narrow), before)
    # Deeper than 20 mm nothing of them is cut off.
    true_ml = (narrow.sum() - CSF.sum()) * VOXEL_ML
    assert found["ventricle_change_ml"] == pytest.approx(true_ml, rel=0.15)


def test_half_of_the_noise_kept_gives_half_a_correlation(before):
    kept, new = head(ball(12)), head(ball(12), seed=1)
    half = kept._replace(ct_hu=32 + ((kept.ct_hu - 32) + (new.ct_hu - 32)) / np.sqrt(2))
    assert values(half, before)["texture"] == pytest.approx(np.sqrt(0.5), abs=0.05)


def test_texture_sees_neither_slow_shades_nor_new_blood(before):
    sharp = head(ball(12), seed=1)
    shaded = sharp._replace(ct_hu=sharp.ct_hu + (0.1 * points_mm()[..., 1] * BRAIN))
    bled = head(ball(12) | ball(14, [36, 20, 0]), seed=1)
    noise_hu = values(sharp, before)["noise_sd_hu"]
    for other in (shaded, bled):
        found = values(other, before)
        assert found["noise_sd_hu"] == pytest.approx(noise_hu, abs=0.1)
        assert abs(found["texture"]) < 0.1


def test_blur_is_seen_in_the_noise(before):
    sharp = head(ball(12), seed=1)
    blurred = sharp._replace(ct_hu=(sharp.ct_hu + np.roll(sharp.ct_hu, 1, axis=0)) / 2)
    found, soft = values(sharp, before), values(blurred, before)
    assert soft["noise_lag1"] > found["noise_lag1"] + 0.1
    assert soft["noise_sd_hu"] < 0.85 * found["noise_sd_hu"]


def test_away_from_the_bleed():
    left, right, middle = (ball(8, [x, 0, 0]) for x in (-30, 30, 3))
    sides = [bleed_side(iph, BRAIN, SPACING_MM) for iph in (left, right, middle, NOTHING)]
    assert sides == [-1, 1, 0, 0]
    assert measure_shift(Score(1.5), -1)["midline_away_mm"].value == 1.5
    assert measure_shift(Score(1.5), 1)["midline_away_mm"].value == -1.5
    assert "middle" in measure_shift(Score(1.5), 0)["midline_away_mm"].note
    unknown = measure_shift(Score(None, "unseen"), 1)
    assert {score.value for score in unknown.values()} == {None}
    assert all(score.note == "unseen" for score in unknown.values())


def test_no_calm_tissue_and_no_bleed_are_said():
    everywhere = scan(head(ball(60, [0, 0, 0]) & BRAIN))
    found = measure_followup(
        Followup.of_scan(everywhere),
        Score(0.0),
        Before.of(everywhere, BRAIN, Ventricles(everywhere)),
    )
    assert found["texture"].value is None and "deep voxels" in found["texture"].note
    empty = scan(head(NOTHING))
    found = measure_followup(
        Followup.of_scan(empty), Score(0.0), Before.of(empty, BRAIN, Ventricles(empty))
    )
    assert found["hu_growth_ml"] == Score(None, "no IPH")
    assert found["pieces"] == 0


def test_blood_at_the_edge_of_the_brain_is_not_dimmed_by_what_lies_outside():
    edge = BRAIN & (points_mm()[..., 0] < -50)
    ct = np.where(edge, 60.0, np.where(BRAIN, 32.0, 0.0))
    assert (dense_mask(ct, BRAIN, SPACING_MM) & edge).sum() > 0.95 * edge.sum()


def test_a_part_with_its_margin_looks_like_the_whole():
    ct_hu = head(ball(12)).ct_hu
    whole = dense_mask(ct_hu, BRAIN, SPACING_MM)
    box, part = bounding_box(ball(12), smoothing_margin(SPACING_MM)), ball(12)
    cut = dense_mask(ct_hu[box], BRAIN[box], SPACING_MM)
    assert (cut == whole[box])[part[box]].all()


def test_pieces_that_share_a_corner_are_one():
    mask = np.zeros((4, 4, 4), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[3, 3, 3] = True
    assert count_pieces(mask) == 2


def test_boxes_and_reach():
    mask = np.zeros((20, 20, 10), bool)
    mask[1, 10, 5] = True
    assert bounding_box(mask) == (slice(1, 2), slice(10, 11), slice(5, 6))
    box = bounding_box(mask, (3, 3, 7))
    assert [range(n)[side] for n, side in zip(mask.shape, box, strict=True)] == [
        range(5),
        range(7, 14),
        range(10),
    ]
    near = within_mm(mask, 6.0, (2, 3, 4))
    assert np.flatnonzero(near[:, 10, 5]).tolist() == [0, 1, 2, 3, 4]
    assert np.flatnonzero(near[1, :, 5]).tolist() == [8, 9, 10, 11, 12]
    assert np.flatnonzero(near[1, 10]).tolist() == [4, 5, 6]
    assert not within_mm(np.zeros_like(mask), 6.0, (2, 3, 4)).any()


def test_noise_that_repeats_is_correlated_with_its_neighbour():
    noise = np.random.default_rng(0).normal(size=(40, 40, 3))
    everywhere = np.ones(noise.shape, bool)
    assert abs(neighbour_correlation(noise, everywhere)) < 0.05
    assert neighbour_correlation(np.repeat(noise, 2, 0), np.repeat(everywhere, 2, 0)) > 0.2
    assert np.isnan(neighbour_correlation(noise * 0, everywhere))
