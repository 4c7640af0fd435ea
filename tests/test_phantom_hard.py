"""Hard phantom heads: each difficulty is what it says, and the true brain stays true."""

from dataclasses import fields

import numpy as np
import pytest

from hemexp.phantom.centers import HEAD_CENTER_MM
from hemexp.phantom.hard import (
    DIFFICULTIES,
    FLAP_DIRECTIONS,
    Difficulty,
    draw_hard_head,
    open_cavity_mm,
)
from hemexp.phantom.head import cavity_mm, draw_head
from hemexp.phantom.model import draw_case
from hemexp.volumes import Volume, volume_ml

FACTOR = 2.0


@pytest.fixture(scope="module")
def easy():
    return draw_hard_head(Difficulty(), "A", FACTOR, "A01")


def where_mm(mask, affine):
    return np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3]


def ml(mask, affine):
    return volume_ml(Volume(mask, affine))


def head_of(patient_id):
    return draw_head(1, patient_id, draw_case(1, patient_id).age)


def test_an_easy_head_is_the_phantoms_own(easy):
    scan, affine = easy
    assert scan.ct.dtype == np.int16 and scan.brain.shape == scan.ct.shape
    assert ml(scan.brain, affine) == pytest.approx(1357, abs=8)
    assert ml(scan.iph, affine) == pytest.approx(draw_case(1, "A01").baseline_iph_ml, abs=0.02)
    assert ml(scan.ivh, affine) > 1
    assert not np.any((scan.iph | scan.ivh) & ~scan.brain)
    again, _ = draw_hard_head(Difficulty(), "A", FACTOR, "A01")
    assert np.array_equal(scan.ct, again.ct)


@pytest.mark.parametrize(("case", "pitch_deg"), [("chin up", 15), ("chin down", -15)])
def test_pitch_turns_the_head_about_its_left_right_axis(easy, case, pitch_deg):
    def axis_deg(scan, affine):
        """Direction of the brain's length in the sagittal plane, degrees above horizontal."""
        covariance = np.cov(where_mm(scan.brain, affine)[:, 1:].T)
        y, z = np.linalg.eigh(covariance)[1][:, 1]
        return np.degrees(np.arctan(z / y))

    turned = draw_hard_head(DIFFICULTIES[case], "A", FACTOR, "A01")
    assert axis_deg(*turned) - axis_deg(*easy) == pytest.approx(pitch_deg, abs=1.5)
    assert ml(turned[0].brain, turned[1]) == pytest.approx(ml(easy[0].brain, easy[1]), rel=0.01)


def test_a_holder_is_dense_touches_the_scalp_and_changes_nothing_inside(easy):
    scan, affine = easy
    held, _ = draw_hard_head(DIFFICULTIES["head holder"], "A", FACTOR, "A01")
    added = held.ct != scan.ct
    assert scan.ct[added].max() < -100
    assert held.ct[added].max() > 400
    assert ml(added & (held.ct > 300), affine) > 50
    assert np.array_equal(held.brain, scan.brain)
    assert where_mm(added, affine)[:, 1].max() < 10
    behind = scan.ct[scan.ct.shape[0] // 2, :, scan.ct.shape[2] // 2] > -500
    first = int(behind.argmax())
    cushion = held.ct[held.ct.shape[0] // 2, first - 3 : first, held.ct.shape[2] // 2]
    assert cushion.max() > -800


def test_an_open_foramen_leads_down_and_out_of_the_scan(easy):
    case = DIFFICULTIES["open foramen"]
    scan, affine = draw_hard_head(case, "A", FACTOR, "A01")
    assert scan.ct.shape[2] == easy[0].ct.shape[2] + 8
    np.testing.assert_allclose(
        where_mm(scan.brain, affine).mean(0), where_mm(easy[0].brain, easy[1]).mean(0), atol=0.5
    )
    x = np.arange(-60, 60, 0.1, dtype=np.float32)
    below = np.stack([x, np.full_like(x, -24.0), np.full_like(x, -75.0)])
    width = np.count_nonzero(open_cavity_mm(head_of("A01"), below, case.foramen_mm) < 0) * 0.1
    assert width == pytest.approx(36, abs=0.7)
    usual = np.count_nonzero(cavity_mm(head_of("A01"), below) < 0) * 0.1
    assert usual == pytest.approx(26, abs=1)
    lowest = scan.ct[:, :, 0]
    bone = np.argwhere(lowest > 500)
    ring = lowest[tuple(np.rint(bone.mean(0)).astype(int))]
    assert 0 < ring < 60 and not scan.brain[:, :, 0].any()
    assert not np.any(scan.iph[:, :, :8])


@pytest.mark.parametrize("width_mm", [40, 70])
def test_a_craniotomy_lacks_a_disc_of_bone_and_the_scalp_lies_on_the_dura(easy, width_mm):
    scan, affine = easy
    cut, _ = draw_hard_head(DIFFICULTIES[f"craniotomy {width_mm} mm"], "A", FACTOR, "A01")
    gone = (scan.ct > 300) & (cut.ct < 200)
    disc_ml = np.pi * (width_mm / 2) ** 2 * 6.5 / 1000
    assert ml(gone, affine) == pytest.approx(disc_ml, rel=0.25)
    in_head = where_mm(gone, affine).mean(0) + np.array(HEAD_CENTER_MM)
    to_gap = in_head / np.linalg.norm(in_head) * [np.sign(in_head[0]), 1, 1]
    assert max(FLAP_DIRECTIONS @ to_gap) > 0.99
    assert np.array_equal(cut.brain, scan.brain)
    assert np.array_equal(cut.ct[scan.brain > 0], scan.ct[scan.brain > 0])
    galea = gone & (cut.ct > 0)
    assert ml(galea, affine) > 0.3 * disc_ml


def test_a_bleed_at_the_skull_touches_bone_and_keeps_its_volume(easy):
    scan, affine = draw_hard_head(DIFFICULTIES["bleed at skull"], "A", FACTOR, "A01")
    assert ml(scan.iph, affine) == pytest.approx(draw_case(1, "A01").baseline_iph_ml, abs=0.02)

    def touching(found):
        x, y, _ = np.nonzero(found.iph)
        z = np.nonzero(found.iph)[2]
        neighbours = [found.ct[x + i, y + j, z] for i, j in ((1, 0), (-1, 0), (0, 1), (0, -1))]
        return np.count_nonzero(np.max(neighbours, axis=0) > 300)

    assert touching(scan) > 40
    assert touching(easy[0]) == 0


def test_a_cut_scan_ends_inside_the_brain_and_keeps_its_place(easy):
    scan, affine = easy
    cut, moved = draw_hard_head(DIFFICULTIES["holder, both ends cut"], "A", FACTOR, "A01")
    assert cut.brain[:, :, 0].any() and cut.brain[:, :, -1].any()
    slices = np.flatnonzero(scan.brain.any((0, 1)))
    kept = slice(slices[0] + 5, slices[-1] + 1 - 5)
    assert np.array_equal(cut.brain, scan.brain[:, :, kept])
    assert np.array_equal(cut.iph, scan.iph[:, :, kept])
    np.testing.assert_allclose(moved[:3, 3] - affine[:3, 3], kept.start * affine[:3, 2])
    for case, end, other in (("cut vertex", -1, 0), ("starts at orbits", 0, -1)):
        part, _ = draw_hard_head(DIFFICULTIES[case], "A", FACTOR, "A01")
        assert part.brain[:, :, end].any() and not part.brain[:, :, other].any()


def test_the_cases_cover_every_difficulty_alone_and_combined():
    for field in fields(Difficulty):
        used = [getattr(case, field.name) != field.default for case in DIFFICULTIES.values()]
        assert sum(used) >= 2, field.name
    scan, affine = draw_hard_head(
        DIFFICULTIES["craniotomy, cut vertex, open foramen"], "C", FACTOR, "B03"
    )
    assert scan.brain[:, :, -1].any()
    assert ml(scan.iph, affine) == pytest.approx(draw_case(1, "B03").baseline_iph_ml, abs=0.02)
