"""The finish: volumes that were told, no islands, voxels that look like their mask; or nothing."""

import numpy as np
import pytest

from hemexp.anatomy.noise import Noise
from hemexp.anatomy.reference import CSF_HU, IVH_SHARE, ReferenceScan, Told
from hemexp.anatomy.shell import BleedHu
from hemexp.grid_scan import GridScan
from hemexp.sampling.finish import Finish, finish_sample, islands, relate, ventricle_reach
from hemexp.sampling.patient import Baseline
from hemexp.sampling.sample import DecodedScan
from hemexp.sampling.volume import correct_logits, matched_ml
from hemexp.volumes import Volume

SHAPE = (6, 6, 4)
NOWHERE = np.full(3, np.nan)
HU = BleedHu(blood=64.0, tissue=32.0)
BLOOD, DULL, TISSUE = 66.0, 40.0, 32.0


def decoded_bleed(voxels, ivh=(), hu=0.0):
    """A decoder's answer: IPH in the first voxels, IVH in those listed."""
    iph, other = (np.full(SHAPE, -5, dtype=np.float32) for _ in range(2))
    iph.ravel()[:voxels] = np.linspace(1, 2, voxels)
    other.ravel()[list(ivh)] = 2.0
    return DecodedScan(np.full(SHAPE, hu, dtype=np.float32), iph, other)


@pytest.fixture(autouse=True)
def still(monkeypatch):
    """Heads of 144 voxels have no midline."""
    monkeypatch.setattr("hemexp.sampling.finish.midline_shift_mm", lambda *_: 0.0)


def baseline_of(voxels, ivh, voxel_mm):
    truth = decoded_bleed(voxels, ivh)
    iph, ivh = truth.iph_logit > 0, truth.ivh_logit > 0
    ct = Volume(np.zeros(SHAPE, dtype=np.float32), np.diag([voxel_mm] * 3 + [1]))
    return Baseline(GridScan(ct, iph, ivh, iph | True), iph_ml=21.0, ivh_ml=2.5)


@pytest.fixture
def bleed():
    """A baseline of 20 voxels of IPH and 2 of IVH, 1 mL each."""
    return baseline_of(20, (100, 101), 10.0)


def unchanged(baseline, ct_hu=0.0):
    """The baseline as the reference of a sample."""
    scan = baseline.scan
    iph, ivh = (np.asarray(mask, np.float32) for mask in (scan.iph, scan.ivh))
    return ReferenceScan(np.full(SHAPE, ct_hu, np.float32), iph, ivh, iph)


def finish(sample, decoded_reference, baseline, growth_ml=np.nan, ivh_growth_ml=np.nan, **how):
    """Finishes a sample; `ct_hu` is the reference's, the rest are parts of `Finish`."""
    parts = {"hu": None, "ventricles": None, "active": True, "seed": 0} | how
    rng = np.random.default_rng(parts.pop("seed"))
    reference = unchanged(baseline, parts.pop("ct_hu", 0.0))
    told = Told(growth_ml, NOWHERE, 0.0, ivh_growth_ml)
    asked = Finish(baseline, **parts)
    related = relate(sample, decoded_reference, reference, baseline.scan.brain)
    return finish_sample(related, related.labels(baseline.scan.brain), told, asked, rng)


@pytest.mark.parametrize("active", [True, False])
def test_a_sample_without_a_target_has_one_volume(bleed, active):
    """Raw and final volume are one where nothing is matched, whatever the decoder does."""
    reference, sample = decoded_bleed(25), decoded_bleed(35)
    _, labels, free = finish(sample, reference, bleed, active=active)
    assert free["iph_ml"] == free["iph_raw_ml"] == pytest.approx(31)
    assert free["logit_offset"] == 0 and np.count_nonzero(labels == 1) == 30


def test_a_finished_sample_has_the_growth_that_was_told(bleed):
    reference, sample = decoded_bleed(25), decoded_bleed(35)
    _, labels, wanted = finish(sample, reference, bleed, 12.0)
    assert wanted["iph_raw_ml"] == pytest.approx(31)
    assert wanted["iph_ml"] == pytest.approx(33)
    assert np.count_nonzero(labels == 1) == 32 and wanted["logit_offset"] > 0


@pytest.mark.parametrize("voxels", [12, 20, 27])
def test_what_the_decoder_gets_wrong_on_the_baseline_is_no_new_blood(voxels, bleed):
    """Else every sample would have it, and the map would be certain of what never happened."""
    wrong = decoded_bleed(voxels, ivh=(101, 102, 103))
    _, labels, unchanged = finish(wrong, wrong, bleed)
    assert np.array_equal(labels == 1, bleed.scan.iph)
    assert np.array_equal(labels == 2, bleed.scan.ivh)
    assert unchanged["iph_ml"] == bleed.iph_ml and unchanged["ivh_ml"] == bleed.ivh_ml


def test_a_logit_counts_from_the_side_that_the_baseline_is_on():
    logit, reference = np.array([3.0, -1.0, 3.0, -9.0]), np.array([2.0, 2.0, -2.0, -2.0])
    right = correct_logits(logit, reference, reference > 0)
    wrong = correct_logits(logit, reference, reference < 0)
    assert right.tolist() == [3, -1, 3, -9] and wrong.tolist() == [-1, -5, 7, -5]


def test_volumes_are_relative_to_the_baseline_seen_the_same_way():
    assert matched_ml(20.0, 120, 100, 0.05) == pytest.approx(21.0)
    assert matched_ml(2.0, 0, 100, 0.05) == 0


def test_islands_are_small_and_touch_no_old_blood():
    mask, before = np.zeros((2, 12, 9, 3), bool)
    mask[1:4, 1, 1] = True  # three voxels
    mask[1:5, 4, 1] = True  # four
    mask[7:9, 4, 1] = before[8, 4, 1] = True  # two, on old blood
    found = islands(mask, before, voxel_ml=0.125)
    assert np.argwhere(found).tolist() == [[1, 1, 1], [2, 1, 1], [3, 1, 1]]
    assert not islands(mask, before, voxel_ml=0.2).any()
    assert not islands(np.zeros_like(mask), before, 0.1).any()


def test_islands_are_taken_out_and_the_volume_is_still_the_one_told():
    """The island is what the network is surest of: matching alone would leave it."""
    small = baseline_of(20, (), 5.0)
    sample = decoded_bleed(40)
    sample.iph_logit.ravel()[40:] = np.linspace(-1, -9, 104)
    sample.iph_logit[5, 4:6, 3] = 9.0
    voxel_ml = 0.125
    _, labels, free = finish(sample, decoded_bleed(20), small)
    assert not labels[5, 4:6, 3].any() and np.count_nonzero(labels == 1) == 40
    assert free["iph_raw_ml"] == pytest.approx(21 + 22 * voxel_ml)
    assert free["iph_ml"] == pytest.approx(21 + 20 * voxel_ml)
    for growth_ml in (3.5, 0.5, -1.0):
        _, labels, wanted = finish(sample, decoded_bleed(20), small, growth_ml)
        assert not labels[5, 4:6, 3].any()
        assert np.count_nonzero(labels == 1) == 20 + growth_ml / voxel_ml
        assert wanted["iph_ml"] == pytest.approx(21 + growth_ml)
        assert wanted["iph_raw_ml"] == free["iph_raw_ml"]
    _, labels, off = finish(sample, decoded_bleed(20), small, 3.5, active=False)
    assert (labels[5, 4:6, 3] == 1).all() and off["iph_ml"] == free["iph_raw_ml"]


ROOM = np.zeros(SHAPE, bool)
ROOM[4:] = True


def ivh_sample():
    """IVH logits that fall over the ventricles from 2 to -3; two more voxels outside them."""
    sample = decoded_bleed(20)
    sample.ivh_logit[ROOM] = np.linspace(2, -3, ROOM.sum())
    sample.ivh_logit[2, 5, 2:] = 3.0
    return sample


@pytest.mark.parametrize("growth_ml", [-1.0, 0.0, 6.0, 25.0])
def test_ivh_has_the_growth_that_was_told_and_stands_in_ventricles_alone(bleed, growth_ml):
    sample, nothing = ivh_sample(), decoded_bleed(20, ivh=(100, 101))
    raw = np.count_nonzero(sample.ivh_logit > 0)
    _, labels, found = finish(sample, nothing, bleed, 0.0, growth_ml, ventricles=ROOM)
    assert np.count_nonzero(labels == 2) == 2 + growth_ml
    assert not (labels == 2)[~ROOM].any() and np.count_nonzero(labels == 1) == 20
    assert found["ivh_ml"] == pytest.approx(2.5 + growth_ml)
    assert found["ivh_raw_ml"] == pytest.approx(2.5 + raw - 2)
    _, labels, free = finish(sample, nothing, bleed, 0.0, growth_ml)  # no IVH growth is told
    assert np.count_nonzero(labels == 2) == raw and free["ivh_logit_offset"] == 0
    _, labels, unknown = finish(sample, nothing, bleed, 0.0, ventricles=ROOM)
    assert np.count_nonzero(labels == 2) == raw and unknown["ivh_ml"] == free["ivh_ml"]


def test_ivh_is_not_forced_where_the_network_is_sure_of_none(bleed):
    sample, nothing = decoded_bleed(20), decoded_bleed(20, ivh=(100, 101))
    sample.ivh_logit[ROOM] = -6.0
    sample.ivh_logit[5, 5] = -3.5
    _, labels, found = finish(sample, nothing, bleed, 0.0, 10.0, ventricles=ROOM)
    assert found["ivh_logit_offset"] == 4.0
    assert np.argwhere(labels == 2)[:, :2].tolist() == [[5, 5]] * 4


def test_iph_is_matched_first_and_takes_no_voxel_twice(bleed):
    sample, nothing = ivh_sample(), decoded_bleed(20, ivh=(100, 101))
    sample.iph_logit[4] = np.linspace(-2, -1, 24).reshape(6, 4)
    _, labels, found = finish(sample, nothing, bleed, 16.0, 4.0, ventricles=ROOM)
    assert np.count_nonzero(labels[4] == 1) == 16
    assert np.count_nonzero(labels == 1) == 36 and np.count_nonzero(labels == 2) == 6
    assert found["iph_ml"] == pytest.approx(37) and found["ivh_ml"] == pytest.approx(6.5)


def test_ventricles_are_widened_within_the_brain():
    """By millimetres: on finer voxels by more of them."""
    room, brain = np.zeros((2, 31, 31, 7), bool)
    room[15, 15, 3], brain[:, :16] = True, True
    for spacing_mm, reach in (((3.0, 3.0, 6.0), (2, 2, 1)), ((1.0, 1.0, 5.0), (6, 6, 1))):
        ct = Volume(np.zeros(room.shape, np.float32), np.diag([*spacing_mm, 1]))
        wide = ventricle_reach(GridScan(ct, room, room, brain), room)
        ends = [np.flatnonzero(wide.any(axis=tuple({0, 1, 2} - {a}))) for a in range(3)]
        assert [end[0] for end in ends] == [15 - reach[0], 15 - reach[1], 3 - reach[2]]
        assert [end[-1] for end in ends] == [15 + reach[0], 15, 3 + reach[2]]


def test_a_ct_is_the_references_and_what_the_network_changed(bleed):
    brain = bleed.scan.brain.copy()
    brain[0] = False
    smaller = Baseline(
        GridScan(bleed.scan.ct, bleed.scan.iph & brain, bleed.scan.ivh, brain), 21.0, 2.5
    )
    sample, reference = decoded_bleed(20, hu=38.0), decoded_bleed(20, hu=30.0)
    ct_hu, _, _ = finish(sample, reference, smaller, ct_hu=33.0)
    assert (ct_hu[brain] == 41).all() and not ct_hu[~brain].any() and ct_hu.dtype == np.float32


def look(values, **how):
    """Finishes a sample of 30 voxels of IPH whose CT has given HU at some voxels, else tissue."""
    baseline = baseline_of(20, (100, 101), 10.0)
    sample = decoded_bleed(30, ivh=(100, 101, 102, 103, 104))
    sample.ct_hu[:] = TISSUE
    sample.ct_hu.ravel()[:20] = BLOOD
    for place, hu in values.items():
        sample.ct_hu.ravel()[list(place)] = hu
    asked = {"hu": HU, "ventricles": None} | how
    growth_ml = asked.pop("growth_ml", np.nan)
    truth = decoded_bleed(20, ivh=(100, 101))
    ct_hu, labels, found = finish(sample, truth, baseline, growth_ml, **asked)
    return ct_hu.ravel(), labels.ravel(), found, sample.ct_hu.ravel()


def test_new_blood_that_looks_like_tissue_is_painted():
    """Half way is 48 HU; what is brighter, and old blood whatever it looks like, stays."""
    ct_hu, labels, found, drawn = look({range(20, 24): DULL, range(24, 30): 55.0, (3,): DULL})
    assert (labels[:30] == 1).all()
    clear = (19 * BLOOD + 6 * 55) / 25  # mean of the IPH that looks like it
    assert ct_hu[20:24] == pytest.approx(clear) and (ct_hu[24:30] == 55).all()
    assert ct_hu[3] == DULL
    assert np.array_equal(ct_hu[30:100], drawn[30:100])
    assert found["painted_share"] == pytest.approx(0.4)


def test_a_bleed_that_shows_nowhere_is_painted_as_the_baselines():
    ct_hu, _, _, _ = look({range(30): DULL})
    assert (ct_hu[20:30] == HU.blood).all() and (ct_hu[:20] == DULL).all()


def test_blood_that_is_gone_looks_like_tissue():
    ct_hu, labels, _, drawn = look({(2,): 45.0}, growth_ml=-4.0)
    gone = labels[:20] == 0
    assert gone.tolist() == [True] * 14 + [False] * 6  # logits rise with the number; 10 are new
    assert (ct_hu[:20][gone & (drawn[:20] > 48)] == HU.tissue).all()
    assert ct_hu[2] == 45.0  # not bright: it stays
    assert np.array_equal(ct_hu[:20][~gone], drawn[:20][~gone])


def test_new_ivh_that_looks_like_csf_is_painted_as_that_which_shows():
    middle = (HU.blood + CSF_HU) / 2
    values = {(100,): 54.0, (101,): 9.0, (102,): 50.0, (103,): middle - 1, (104,): 9.0}
    ct_hu, labels, _, _ = look(values)
    assert (labels[100:105] == 2).all()
    assert ct_hu[100] == 54 and ct_hu[102] == 50 and ct_hu[101] == 9  # old IVH stays
    assert ct_hu[103:105] == pytest.approx([52, 52])
    dark = look(dict.fromkeys([(k,) for k in range(100, 105)], 9.0))[0]
    assert dark[100] == 9 and dark[101] == 9  # old IVH stays
    assert dark[102:105] == pytest.approx([IVH_SHARE * HU.blood] * 3)  # none to take the HU from


def noise_of(kept):
    """Noise of 3 HU in the heads of this file."""
    brain = np.ones(SHAPE, bool)
    return Noise(
        brain, brain, np.full(3, 5.0), sd_hu=3.0, wide_sd_hu=3.5, blur_voxels=0.0, kept=kept
    )


def test_a_sample_has_noise_of_its_own_seed(monkeypatch):
    # Here a decoded sample is all change: nothing in it is calm.
    monkeypatch.setattr(Noise, "quieten", lambda _, change_hu: change_hu)
    plain = look({})
    one, same, other = (look({}, noise=noise_of(0.4), seed=k)[0] for k in (1, 1, 2))
    assert np.array_equal(one, same) and not np.array_equal(one, other)
    assert 1 < (one - plain[0]).std() < 8
    assert np.array_equal(look({}, noise=noise_of(0.4), seed=1)[1], plain[1])  # labels


def test_nothing_is_touched_when_the_finish_is_off():
    values = {range(20, 24): DULL, (102,): 9.0, (100,): 54.0}
    off = {"active": False, "ventricles": ROOM, "noise": noise_of(0.0)}
    ct_hu, labels, found, drawn = look(values, growth_ml=-4.0, **off)
    assert np.array_equal(ct_hu, drawn)
    assert np.array_equal(np.flatnonzero(labels == 1), np.arange(30))
    assert np.flatnonzero(labels == 2).tolist() == [100, 101, 102, 103, 104]
    assert found["iph_ml"] == found["iph_raw_ml"] and found["ivh_ml"] == found["ivh_raw_ml"]
    assert not any(found[f"{name}offset"] for name in ("logit_", "ivh_logit_"))
    assert found["painted_share"] == 0
    on = look(values, growth_ml=-4.0)
    assert on[2]["iph_raw_ml"] == found["iph_raw_ml"] != on[2]["iph_ml"]


@pytest.mark.parametrize(
    ("growth_ml", "dull", "disagrees"),
    [
        (10.0, 0, 0),  # the sample grew by 10 mL
        (7.5, 0, 0),  # by 2.5 mL more than told
        (13.5, 0, 0),  # 3.5 mL, but 26 % less
        (15.0, 0, 1),
        (6.0, 0, 1),
        (np.nan, 0, 0),
        (10.0, 5, 0),
        (10.0, 6, 1),
    ],
)
def test_a_sample_says_where_image_and_request_or_mask_disagree(growth_ml, dull, disagrees):
    values = {range(20, 30): BLOOD, range(20, 20 + dull): DULL}
    assert look(values, growth_ml=growth_ml)[2]["disagrees"] == disagrees


def test_little_new_blood_disagrees_with_nothing():
    """Below 1 mL a few dull voxels are many."""
    small = baseline_of(20, (), 5.0)
    sample, truth = decoded_bleed(25, hu=TISSUE), decoded_bleed(20)
    found = finish(sample, truth, small, 5 * 0.125, hu=HU)[2]
    assert found["painted_share"] == 1 and found["disagrees"] == 0
