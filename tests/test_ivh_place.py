"""An IVH mask away from the ventricles is doubted; one in them, or that fills one, is not."""

import numpy as np
import pytest
from scipy import ndimage
from tiny_head import ball, head, places, save

from hemexp.preprocess.masks.ivh_place import mirrored, near_shares, place_remarks
from hemexp.preprocess.strip import read_scan
from hemexp.volumes import Volume

FINE = np.array([[-2.0, 0, 0, 80], [0, 2.0, 0, -90], [0, 0, 3.0, -66], [0, 0, 0, 1]])
WHERE = places((81, 91, 45), FINE)
CT, IPH, IVH = head(WHERE)
BRAIN = ball(WHERE, (0, 0, 0), (62, 78, 52))
VENTRICLE = ball(WHERE, (11, 8, 6), (7, 26, 12))
RIGHT = (Volume(CT, FINE), BRAIN, IPH | IVH)
TURNS = [(0, 1, 2), (2, 0, 1), (1, 2, 0)]


@pytest.fixture
def limits(settings):
    return settings.preprocess.raw.ivh_near


def turn(mask, axes):
    return np.flip(mask.transpose(axes), axis=1)


@pytest.mark.parametrize("axes", TURNS)
def test_shares_count_the_voxels_beside_csf_whichever_way_they_are_stored(axes):
    csf = VENTRICLE | ball(WHERE, (-11, 8, 6), (7, 26, 12))
    away_mm = ndimage.distance_transform_edt(~(csf & ~IVH & ~IPH), sampling=(2, 2, 3))
    size = IVH.shape[axes[1]]
    flip = np.eye(4)
    flip[1, 1], flip[1, 3] = -1, size - 1
    affine = FINE[:, [*axes, 3]] @ flip
    stored = Volume(turn(CT, axes), affine), turn(BRAIN, axes), turn(IPH | IVH, axes)
    own, both = near_shares(*stored, turn(IVH, axes))
    assert 0.2 < own < np.mean(away_mm[IVH] <= 3)  # voxels part blood, part CSF are no CSF
    assert own == near_shares(*RIGHT, IVH)[0]
    assert both > 0.9


@pytest.mark.parametrize(("yaw_deg", "most_mm"), [(0, 0.3), (8, 4.2)])
def test_a_mirror_image_lies_as_far_on_the_other_side(yaw_deg, most_mm):
    cosine, sine = np.cos(np.deg2rad(yaw_deg)), np.sin(np.deg2rad(yaw_deg))
    there = WHERE @ [[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]
    brain, speck = ball(there, (0, 0, 0), (62, 78, 52)), ball(there, (12, -10, 6), (6, 6, 6))
    found = mirrored(speck, brain, FINE)
    assert found.sum() == pytest.approx(speck.sum(), rel=0.02)
    assert np.linalg.norm(there[found].mean(axis=0) - (-12, -10, 6)) < most_mm


def test_right_masks_and_no_mask_are_no_matter_of_doubt(limits):
    assert place_remarks(*RIGHT, IVH, limits) == []
    assert place_remarks(*RIGHT, IVH & False, limits) == []


def test_a_ventricle_full_of_blood_is_told_by_the_other_one(limits):
    full = np.where(VENTRICLE, 62.0, CT)
    blood = IPH | IVH | VENTRICLE
    own, both = near_shares(Volume(full, FINE), BRAIN, blood, VENTRICLE)
    assert own == 0 and both > 0.95
    assert place_remarks(Volume(full, FINE), BRAIN, blood, VENTRICLE, limits) == []


def test_both_limits_must_be_broken(limits):
    own, both = near_shares(*RIGHT, IPH)
    assert own < limits.csf and both < limits.mirrored
    (remark,) = place_remarks(*RIGHT, IPH, limits)
    assert remark.doubtful and "are IPH and IVH swapped" in remark.words
    assert place_remarks(*RIGHT, IPH, limits.model_copy(update={"csf": own})) == []
    assert place_remarks(*RIGHT, IPH, limits.model_copy(update={"mirrored": both})) == []


def test_of_a_full_fourth_ventricle_the_doubt_says_that_it_may_be_right(limits):
    """It leaves no CSF and has no mirror image: nothing tells its mask from a wrong one."""
    fourth = ball(WHERE, (0, -40, -28), (6, 5, 7))
    ct = np.where(fourth, 62.0, np.where(IPH | IVH, 33.0, CT))
    scan = Volume(ct, FINE), BRAIN, fourth
    assert near_shares(*scan, fourth) == (0, 0)
    (remark,) = place_remarks(*scan, fourth, limits)
    assert "or does it fill a fourth ventricle" in remark.words


def test_swapped_masks_are_told_where_a_scan_is_read(tmp_path, settings):
    files = {name: tmp_path / f"{name}.nii" for name in ("ct", "iph", "ivh")}
    for name, image in {"ct": np.rint(CT), "iph": IPH, "ivh": IVH}.items():
        save(files[name], image, FINE, np.int16)
    room = settings.preprocess
    *_, row = read_scan("P7", "baseline", files, room.skull_strip, room.raw)
    assert row["warnings"] == ""
    files["iph"], files["ivh"] = files["ivh"], files["iph"]
    *_, row = read_scan("P7", "baseline", files, room.skull_strip, room.raw)
    assert row["warnings"].startswith("IVH mask away from the ventricles (")
