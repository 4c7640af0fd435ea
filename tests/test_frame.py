"""Work in the brain's box gives what the plain definitions on the whole grid give."""

from dataclasses import replace

import numpy as np
import pytest
from results_folder import Grid, bleeds, head_ct
from scipy import ndimage
from tiny_models import WHOLE

from hemexp.anatomy import shell
from hemexp.anatomy.blur import PlaneBlur
from hemexp.anatomy.boxes import Frame
from hemexp.anatomy.looks import fine_structure
from hemexp.anatomy.noise import Noise
from hemexp.anatomy.prepared import prepare
from hemexp.anatomy.reference import Told, limit_push, make_reference
from hemexp.anatomy.shell import Candidates, grow_shell
from hemexp.grid_scan import GridScan
from hemexp.volumes import Volume

GRID = Grid((30, 34, 13), (6.0, 6.5, 11.0))
TOLD = Told(9.0, np.array([2.0, -3.0, 1.0]), 8.0, 3.0)


@pytest.fixture(scope="module")
def scan():
    iph, ivh = bleeds(GRID, 25.0, 4.0)
    brain = GRID.brain() & (np.arange(GRID.shape[0]) > 3)[:, None, None]
    iph, ivh = iph & brain, ivh & brain
    ct = head_ct(GRID, brain, iph, ivh, np.random.default_rng(0)).astype(np.float32)
    return GridScan(Volume(np.where(brain, ct, 0), GRID.affine), iph, ivh, brain)


def test_a_frame_cuts_and_spreads(scan):
    frame, own = scan.frame, scan.cut(scan.frame)
    assert own.brain.size < 0.8 * scan.brain.size and own.brain.sum() == scan.brain.sum()
    assert np.array_equal(frame.spread(own.ct.data), scan.ct.data)
    corner = np.argwhere(scan.iph)[0]
    inner = corner - [side.start for side in frame.box]
    assert own.iph[tuple(inner)]
    for affine, voxel in ((scan.ct.affine, corner), (own.ct.affine, inner)):
        assert affine @ [*voxel, 1] == pytest.approx(GRID.affine @ [*corner, 1])
    sides = [(before, size - before - after) for (before, after), size in pads(frame)]
    assert sides == [(side.start, side.stop - side.start) for side in frame.box]
    assert Frame.of(np.zeros((3, 4, 5), bool)) == Frame.whole((3, 4, 5))


def pads(frame):
    return zip(frame.beside, frame.shape, strict=True)


@pytest.mark.parametrize("sd_voxels", [0.0, 1.5, (4.0, 11.0)])
@pytest.mark.parametrize("mode", ["constant", "reflect"])
def test_a_product_of_matrices_is_the_filter(sd_voxels, mode):
    image = np.random.default_rng(0).normal(30, 9, (150, 70, 3)).astype(np.float32)
    blurred = PlaneBlur(image.shape, sd_voxels, mode)(image)
    plain = ndimage.gaussian_filter(image, (*np.broadcast_to(sd_voxels, 2), 0), mode=mode)
    assert np.abs(blurred - plain).max() < 1e-4
    assert PlaneBlur((7, 5), 2.0)(np.zeros((7, 5, 0))).shape == (7, 5, 0)


def test_a_reference_and_its_noise_are_those_of_the_whole_grid(scan):
    frame, own = scan.frame, scan.cut(scan.frame)
    whole, part = (prepare(one, WHOLE, 3e-3) for one in (scan, own))
    made, plain = make_reference(part, TOLD).spread(frame), make_reference(whole, TOLD)
    assert np.abs(made.ct_hu - plain.ct_hu).max() < 0.01
    for name in ("iph", "ivh", "before"):
        assert getattr(made, name) == pytest.approx(getattr(plain, name), abs=1e-3), name
    noise = Noise.of(scan, whole.ventricles, 0.4)
    noise_of_part = Noise.of(own, part.ventricles, 0.4)
    for name in ("sd_hu", "wide_sd_hu", "blur_voxels"):
        assert getattr(noise_of_part, name) == pytest.approx(getattr(noise, name), abs=1e-4), name
    assert noise_of_part.kept == pytest.approx(noise.kept, abs=0.02)  # of another draw
    change_hu = plain.ct_hu - scan.ct.data
    quiet = noise_of_part.quieten(frame.cut(change_hu))
    assert np.abs(frame.spread(quiet) - noise.quieten(change_hu)).max() < 0.01
    fine = fine_structure(own.ct.data, own.brain, own.ct.spacing_mm)
    assert frame.spread(fine) == pytest.approx(
        fine_structure(scan.ct.data, scan.brain, scan.ct.spacing_mm), abs=1e-3
    )


def test_a_second_reference_of_one_push_needs_no_second_warp(scan, monkeypatch):
    prepared = prepare(scan, WHOLE, 3e-3)
    first = make_reference(prepared, TOLD)
    more = TOLD._replace(growth_ml=11.0)
    plain = make_reference(prepared, more)
    monkeypatch.setattr("hemexp.anatomy.reference.back_map", None)
    again = make_reference(prepared, more, first.seen)
    assert all(np.array_equal(a, b) for a, b in zip(again[:4], plain[:4], strict=True))
    assert again.iph.sum() > first.iph.sum()


def test_masks_are_read_wherever_the_warp_may_bring_blood(scan):
    prepared = prepare(scan, WHOLE, 3e-3)
    assert (prepared.away_mm > 30).mean() > 0.1  # not looked at
    everywhere = replace(prepared, away_mm=np.zeros_like(prepared.away_mm))
    for push_ml in (-12.0, 2.0, 25.0):
        told = limit_push(prepared, TOLD._replace(push_ml=push_ml))
        made, plain = make_reference(prepared, told), make_reference(everywhere, told)
        assert all(np.array_equal(*both) for both in zip(made[:4], plain[:4], strict=True))


@pytest.mark.parametrize("drift_mm", [0.5, 4.0, 60.0])
def test_near_candidates_give_the_shell_of_all(drift_mm, monkeypatch):
    """A drift that nothing can reach tilts so far that all have to be looked at."""
    rng = np.random.default_rng(3)
    position_mm = rng.uniform(-50, 50, (40000, 3))
    level_mm = np.linalg.norm(position_mm, axis=1) - 12
    candidates = Candidates(level_mm, position_mm, np.zeros(3))
    before = np.count_nonzero(level_mm < 0)
    drift = drift_mm * np.array([0.6, 0.8, 0.0])
    looked_at = []
    only = Candidates.only
    monkeypatch.setattr(
        Candidates, "only", lambda self, near: looked_at.append(near.sum()) or only(self, near)
    )
    found = grow_shell(candidates, 3.3 * before, before, drift)
    assert looked_at[0] < 0.8 * len(level_mm)
    monkeypatch.setattr(shell, "NEAR_RIM_MM", 1e9)
    assert np.array_equal(found, grow_shell(candidates, 3.3 * before, before, drift))
    monkeypatch.setattr(shell, "NEAR_RIM_MM", -1e9)  # never enough: all of them
    assert np.array_equal(found, grow_shell(candidates, 3.3 * before, before, drift))
