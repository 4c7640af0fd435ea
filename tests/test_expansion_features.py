"""Features of the bleed: known forms and densities give known numbers."""

import numpy as np
import pytest
from scipy.ndimage import binary_erosion
from scipy.spatial import cKDTree

from hemexp.expansion.features import (
    FARTHEST_MM,
    WITHIN_MM,
    BleedScan,
    abc2_ml,
    densities,
    measure_bleed,
)
from hemexp.expansion.predictors import FREE_COLUMNS

SPACING = np.array([2.0, 2.0, 4.0])
SHAPE = (60, 60, 24)
MIDDLE_MM = np.array([50.0, 60.0, 48.0])
POINTS = np.moveaxis(np.indices(SHAPE), 0, -1) * SPACING
BRAIN = np.linalg.norm((POINTS - SPACING * SHAPE / 2) / [55, 55, 46], axis=-1) < 1
VOXEL_ML = SPACING.prod() / 1000


def ellipsoid(radii_mm, middle_mm=MIDDLE_MM):
    return np.linalg.norm((POINTS - middle_mm) / radii_mm, axis=-1) < 1


BALL = ellipsoid((16, 16, 16))
VENTRICLE = ellipsoid((5, 5, 8), (88.0, 60.0, 48.0))


def picture(iph, *pockets, noise_hu=0.0):
    ct = np.where(BRAIN, 32.0, 0.0)
    ct[VENTRICLE] = 5
    ct[iph] = 65
    for pocket in pockets:
        ct[pocket] = 45
    return ct + noise_hu * np.random.default_rng(0).normal(size=SHAPE)


def measure(iph, ct, ivh=None, spacing=SPACING):
    ivh = np.zeros(SHAPE, bool) if ivh is None else ivh
    scan = BleedScan(ct, iph, ivh, BRAIN, spacing)
    return measure_bleed(scan, iph.sum() * VOXEL_ML, ivh.sum() * VOXEL_ML)


def test_a_plain_ball():
    found = measure(BALL, picture(BALL))
    assert found["iph_ml"] == pytest.approx(4 / 3 * np.pi * 16**3 / 1000, rel=0.05)
    # Slice weights make ABC/2 of a ball too small: 0.65 of it with thin slices and pixels.
    assert 0.65 < found["abc2_ml"] / found["iph_ml"] < 0.9
    assert 0.85 < found["sphericity"] <= 1.0
    assert found["irregularity"] < 0.03
    assert found["hu_mean"] == 65 and found["hu_sd"] == 0 and found["hu_skew"] == 0
    assert found["dark_share"] == found["dark_spots"] == found["dark_hu"] == 0
    assert found["ventricle_mm"] == pytest.approx(88 - 5 - 50 - 16, abs=3)


def test_pockets_are_seen_counted_and_darken():
    one = ellipsoid((5, 5, 5), np.add(MIDDLE_MM, [6, 0, 0]))
    two = ellipsoid((5, 5, 5), MIDDLE_MM - [7, 0, 0])
    none, first, both = (
        measure(BALL, picture(BALL, *dark, noise_hu=2.0)) for dark in ((), (one,), (one, two))
    )
    assert [none["dark_spots"], first["dark_spots"], both["dark_spots"]] == [0, 1, 2]
    assert both["dark_share"] > 1.7 * first["dark_share"] > 0.02
    assert both["dark_hu"] == pytest.approx(2 * first["dark_hu"], rel=0.35)
    assert both["hu_mean"] < first["hu_mean"] < none["hu_mean"]
    assert first["hu_sd"] > none["hu_sd"] + 1 and first["hu_skew"] < -1


def test_partial_volume_at_the_edge_is_no_hypodensity():
    edge = BALL & ~binary_erosion(BALL)
    ct = picture(BALL)
    ct[edge] = 48
    assert measure(BALL, ct)["dark_share"] == 0


def test_small_voxels_leave_off_more_of_the_edge():
    spacing = np.array([0.4, 0.4, 4.0])
    iph = ellipsoid((16, 16, 16))
    ct = np.where(iph, 65.0, 32.0)
    ct[iph & ~binary_erosion(iph, np.ones((3, 3, 1)), iterations=2)] = 45
    assert densities(ct, iph, spacing)["dark_share"] == 0


def test_noise_is_no_hypodensity():
    found = measure(BALL, picture(BALL, noise_hu=6.0))
    assert found["dark_spots"] == 0 and found["dark_share"] < 0.001
    assert found["hu_sd"] < 3


def test_form_is_told_from_size():
    small, large = (ellipsoid((r, r, r)) for r in (10, 20))
    found = [measure(iph, picture(iph)) for iph in (small, large)]
    assert abs(found[0]["sphericity"] - found[1]["sphericity"]) < 0.08
    lobed = ellipsoid((10, 10, 10)) | ellipsoid((9, 9, 9), np.add(MIDDLE_MM, [16, 10, 0]))
    lobed |= ellipsoid((8, 8, 8), np.add(MIDDLE_MM, [-8, 16, 8]))
    uneven = measure(lobed, picture(lobed))
    assert uneven["irregularity"] > 0.1 > 0.05 > found[0]["irregularity"]
    assert uneven["sphericity"] < found[0]["sphericity"] - 0.1


def test_a_stretched_ellipsoid_is_regular_but_no_ball():
    long = ellipsoid((24, 10, 12))
    found = measure(long, picture(long))
    assert found["irregularity"] < 0.04 and found["sphericity"] < 0.85


def test_spacing_counts():
    found = measure(BALL, picture(BALL), spacing=SPACING * 2)
    plain = measure(BALL, picture(BALL))
    assert found["abc2_ml"] == pytest.approx(8 * plain["abc2_ml"], rel=1e-6)
    assert found["ventricle_mm"] == pytest.approx(2 * plain["ventricle_mm"])


def test_abc2_weighs_slices_by_their_area():
    iph = np.zeros((20, 20, 4), bool)
    iph[5:15, 5:15, 0] = True  # the largest: 100 voxels
    iph[5:15, 5:13, 1] = True  # 80 %: whole
    iph[5:15, 5:10, 2] = True  # half: half
    iph[5:9, 5:10, 3] = True  # a fifth: none
    side = np.hypot(9, 9) + 1
    assert abc2_ml(iph, np.array([1.0, 1.0, 5.0])) == pytest.approx(side * side * 2.5 * 5 / 2000)


def test_the_smallest_bleed_has_numbers():
    one = np.zeros(SHAPE, bool)
    one[25, 30, 12] = True
    found = measure(one, picture(one))
    assert all(np.isfinite(list(found.values())))
    line = np.zeros(SHAPE, bool)
    line[22:28, 30, 12] = True
    assert all(np.isfinite(list(measure(line, picture(line)).values())))


def test_ventricles_are_deep_and_blood_in_them_counts():
    nothing = np.where(BALL, 65.0, np.where(BRAIN, 32.0, 0.0))
    assert measure(BALL, nothing)["ventricle_mm"] == FARTHEST_MM
    sulcus = BRAIN & (POINTS[..., 0] < 12)
    assert measure(BALL, np.where(sulcus, 3.0, nothing))["ventricle_mm"] == FARTHEST_MM
    near = ellipsoid((6, 6, 6), np.add(MIDDLE_MM, [20, 0, 0])) & ~BALL
    assert measure(BALL, nothing, ivh=near)["ventricle_mm"] == 2.0


def test_free_ventricle_is_measured_by_distance():
    found = measure(BALL, picture(BALL))
    free_ml = [found[name] for name in FREE_COLUMNS]
    assert free_ml[:5] == [0.0] * 5  # it begins 17 mm away
    assert free_ml[5] == pytest.approx(VENTRICLE.sum() * VOXEL_ML, abs=0.02)
    near = ellipsoid((5, 5, 8), np.add(MIDDLE_MM, [24, 0, 0])) & ~BALL
    ct = np.where(near, 5.0, np.where(BALL, 65.0, np.where(BRAIN, 32.0, 0.0)))
    # Voxel by voxel, against the nearest of the bleed.
    away_mm = cKDTree(POINTS[BALL]).query(POINTS[near])[0]
    expected_ml = [np.sum(away_mm <= mm + 1e-6) * VOXEL_ML for mm in WITHIN_MM]
    assert 0 == expected_ml[0] < expected_ml[2] < expected_ml[3] < expected_ml[4]
    found = measure(BALL, ct)
    assert [found[name] for name in FREE_COLUMNS] == pytest.approx(expected_ml, abs=0.02)
    filled = measure(BALL, ct, ivh=near)
    assert [filled[name] for name in FREE_COLUMNS] == [0.0] * 6
    assert filled["ventricle_mm"] == found["ventricle_mm"]
