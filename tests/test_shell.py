"""The shell: exact volumes for any growth and at any place; drift; compartments."""

import numpy as np
import pytest
from scipy import ndimage

from hemexp.anatomy.compartments import LEFT, POSTERIOR_FOSSA, RIGHT, compartments, open_to
from hemexp.anatomy.prepared import prepare
from hemexp.anatomy.reference import Told, make_reference
from hemexp.grid_scan import GridScan
from hemexp.settings import Reference
from hemexp.volumes import Volume

SHAPE, SPACING_MM = (48, 56, 22), np.array([3.0, 3.0, 6.0])
VOXEL_ML = 0.054
EVEN = np.full(3, np.nan)
GROWTHS_ML = (-5.0, -1.0, -0.02, 0.0, 0.01, 0.3, 2.0, 6.0, 20.0, 60.0)


def ball(center, radius_mm):
    """A mask; the centre in voxels."""
    at = np.indices(SHAPE).astype(float)
    away = (at - np.reshape(center, (3, 1, 1, 1))) * SPACING_MM.reshape(3, 1, 1, 1)
    return (away**2).sum(axis=0) <= radius_mm**2


def ellipsoid(semi_mm):
    at = np.indices(SHAPE).astype(float) - (np.reshape(SHAPE, (3, 1, 1, 1)) - 1) / 2
    scaled = at * SPACING_MM.reshape(3, 1, 1, 1) / np.reshape(semi_mm, (3, 1, 1, 1))
    return (scaled**2).sum(axis=0) <= 1


BRAIN = ellipsoid((64, 78, 62))
VENTRICLE = BRAIN & (ball((20, 30, 13), 9) | ball((27, 30, 13), 9))


def scan(iph, ivh=None, ventricle=VENTRICLE, noise_hu=2.0):
    """A baseline whose blood, tissue and CSF look like it."""
    rng = np.random.default_rng(1)
    hu = np.where(BRAIN, 32.0, 0)
    hu = np.where(ventricle, 6, hu)
    iph = iph & BRAIN
    ivh = np.zeros(SHAPE, bool) if ivh is None else ivh & BRAIN
    hu = np.where(iph, 64, np.where(ivh, 54, hu)) + noise_hu * rng.standard_normal(SHAPE) * BRAIN
    affine = np.diag([*SPACING_MM, 1.0])
    return GridScan(Volume(hu.astype(np.float32), affine), iph, ivh, BRAIN)


def reference(baseline, told, shell="tilted", ivh=True):
    kind = Reference(shell=shell, warp=False, ivh=ivh)
    return make_reference(prepare(baseline, kind, 0.0), told)


DEEP = ball((33, 28, 11), 13)
BLEEDS = {
    "deep": DEEP,
    "at the skull": ball((44, 28, 11), 12),
    "beside a ventricle": ball((32, 30, 13), 11) & ~VENTRICLE,
    "two": ball((34, 38, 12), 9) | ball((34, 16, 9), 8),
    "low and behind": ball((30, 10, 4), 11),
}


@pytest.mark.parametrize("place", BLEEDS)
def test_volume_is_exact_to_a_tenth_of_a_voxel(place):
    baseline = scan(BLEEDS[place])
    before = np.count_nonzero(baseline.iph)
    for growth_ml in GROWTHS_ML:
        for drift_mm in (EVEN, np.array([2.0, 3.0, -1.0])):
            made = reference(baseline, Told(growth_ml, drift_mm))
            wanted = max(before + growth_ml / VOXEL_ML, 0)
            assert made.iph.sum() == pytest.approx(wanted, abs=0.1)
            assert not made.iph[~BRAIN].any()
            assert made.iph.min() >= 0 and made.iph.max() <= 1


def test_no_growth_is_the_baseline_itself():
    baseline = scan(DEEP, VENTRICLE & ball((27, 30, 13), 5))
    made = reference(baseline, Told(0.0, EVEN))
    assert np.array_equal(made.iph > 0.5, baseline.iph)
    assert np.array_equal(made.ivh > 0.5, baseline.ivh)
    assert np.array_equal(made.ct_hu, baseline.ct.data * BRAIN)


def test_growth_keeps_the_bleed_and_shrinkage_takes_its_rim():
    baseline = scan(DEEP)
    grown = reference(baseline, Told(8.0, EVEN)).iph > 0.5
    assert grown[baseline.iph].all()
    shrunk = reference(baseline, Told(-3.0, EVEN)).iph > 0.5
    assert not shrunk[~baseline.iph].any()
    core = ndimage.distance_transform_edt(baseline.iph, sampling=SPACING_MM) > 8
    assert core.any() and shrunk[core].all()
    assert ndimage.label(grown)[1] == ndimage.label(shrunk)[1] == 1


@pytest.mark.parametrize("drift_mm", [(0, 3, 0), (0, 0, -4), (3, 2, 1), (0, -2, 0)])
def test_centroid_moves_by_the_told_drift(drift_mm):
    """Drift is told along z, x, y; images have axes x, y, z."""
    baseline = scan(DEEP, ventricle=np.zeros(SHAPE, bool))
    drift = np.array(drift_mm, dtype=float)
    made = reference(baseline, Told(15.0, drift))
    before, after = (
        np.array(ndimage.center_of_mass(m.astype(float))) * SPACING_MM
        for m in (baseline.iph, made.iph)
    )
    moved = (after - before)[[2, 0, 1]]
    along = drift / np.linalg.norm(drift)
    assert moved @ along == pytest.approx(np.linalg.norm(drift), abs=0.15)
    even = reference(baseline, Told(15.0, drift), shell="even")
    assert not np.array_equal(even.iph, made.iph)


def test_new_blood_looks_like_blood_and_lost_blood_like_tissue():
    baseline = scan(DEEP)
    grown, shrunk = (reference(baseline, Told(g, EVEN)) for g in (10.0, -4.0))
    new, gone = (grown.iph == 1) & ~baseline.iph, (shrunk.iph == 0) & baseline.iph
    assert grown.ct_hu[new].mean() == pytest.approx(64, abs=3)
    assert shrunk.ct_hu[gone].mean() == pytest.approx(32, abs=3)
    far = BRAIN & (grown.iph == 0)
    assert np.array_equal(grown.ct_hu[far], baseline.ct.data[far])


def test_ventricles_fill_from_the_bleed_on_and_only_they():
    baseline = scan(BLEEDS["beside a ventricle"])
    for ivh_ml in (0.0, 0.5, 2.0):
        made = reference(baseline, Told(3.0, EVEN, 0.0, ivh_ml))
        assert made.ivh.sum() * VOXEL_ML == pytest.approx(ivh_ml, abs=0.1 * VOXEL_ML)
        assert not ((made.ivh > 0) & (made.iph > 0)).any()
        assert not (made.iph > 0)[VENTRICLE].any()
        near = ndimage.binary_dilation(VENTRICLE, ndimage.generate_binary_structure(3, 1))
        assert not made.ivh[~near].any()
    right = np.arange(SHAPE[0]) > 23
    assert made.ivh[right].sum() > 0.9 * made.ivh.sum()
    assert made.ct_hu[made.ivh == 1].mean() > 45


def test_ivh_drains_and_an_overlap_counts_once():
    ivh = VENTRICLE & ball((27, 30, 13), 8)
    baseline = scan(BLEEDS["beside a ventricle"], ivh | ball((30, 30, 13), 4))
    own = baseline.ivh & ~baseline.iph
    made = reference(baseline, Told(0.0, EVEN, 0.0, -0.5))
    assert made.ivh.sum() == pytest.approx(own.sum() - 0.5 / VOXEL_ML, abs=0.1)
    assert np.array_equal(made.iph > 0.5, baseline.iph)


def test_falx_and_tentorium_are_not_crossed():
    labels = compartments(BRAIN, SPACING_MM)
    assert set(np.unique(labels)) == {0, LEFT, RIGHT, POSTERIOR_FOSSA}
    for place, own in (("deep", {RIGHT}), ("low and behind", {POSTERIOR_FOSSA})):
        baseline = scan(BLEEDS[place])
        held = {int(v) for v in np.unique(labels[baseline.iph])}
        made = reference(baseline, Told(60.0, EVEN))
        allowed = {int(v) for v in np.unique(labels[open_to(baseline.iph, labels)])}
        assert own <= allowed <= held
        assert {int(v) for v in np.unique(labels[(made.iph > 0) & ~baseline.iph])} <= allowed


def test_growth_beyond_the_room_fills_it():
    made = reference(scan(DEEP), Told(5000.0, EVEN))
    labels = compartments(BRAIN, SPACING_MM)
    assert made.iph.sum() < np.count_nonzero(labels == RIGHT) + np.count_nonzero(DEEP)
    assert np.isfinite(made.ct_hu).all()


def test_bleed_of_one_voxel_and_none_and_no_ventricle():
    one = np.zeros(SHAPE, bool)
    one[33, 28, 11] = True
    no_ventricle = np.zeros(SHAPE, bool)
    made = reference(scan(one, ventricle=no_ventricle), Told(4.0, np.array([1.0, 2, 0]), 0, 3.0))
    assert made.iph.sum() == pytest.approx(1 + 4 / VOXEL_ML, abs=0.1)
    assert not made.ivh.any() and np.isfinite(made.ct_hu).all()
    empty = scan(np.zeros(SHAPE, bool))
    made = reference(empty, Told(4.0, EVEN))
    assert not made.iph.any() and np.array_equal(made.ct_hu, empty.ct.data * BRAIN)
