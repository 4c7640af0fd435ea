"""Real heads with a drawn bleed and a known motion, as `benchmarks/real_heads.py` makes them."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from hemexp.preprocess.scans import NativeScan
from hemexp.volumes import Volume, volume_ml

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("HEMEXP_REALHEAD", ROOT.parent / "shared" / "data" / "realhead")).parent


@pytest.fixture(scope="module")
def benchmark():
    """The benchmark's two modules."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import real_head_scans
    import real_heads

    sys.path.remove(str(ROOT / "benchmarks"))
    return real_head_scans, real_heads


@pytest.fixture
def ball():
    """A ball of 40 mm at (8, -6, 4) in air, of slices of 4 mm, with all of it as brain."""
    affine = np.diag([2.0, 2.0, 4.0, 1.0])
    affine[:3, 3] = -59, -63, -62
    grid = Volume(np.zeros((60, 64, 32), dtype=bool), affine)
    index = np.moveaxis(np.indices(grid.data.shape), 0, -1)
    away_mm = np.linalg.norm(index @ affine[:3, :3] + affine[:3, 3] - (8, -6, 4), axis=-1)
    ct = np.where(away_mm < 40, 30, -1000).astype(np.float32)
    return NativeScan(grid.with_data(ct), grid, grid)


def centre_mm(scan):
    """Of all matter: what is blurred or interpolated keeps it."""
    index = ndimage.center_of_mass(np.maximum(scan.ct.data + 1000, 0))
    return (scan.ct.affine @ [*index, 1])[:3]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_both_second_scans_lie_where_the_motion_takes_them(benchmark, ball, number):
    scans, _ = benchmark
    motion = scans.make_motion(number, np.array([8.0, -6.0, 4.0]))
    here, there = np.array([8, -6, 4]), np.add([8, -6, 4], scans.MOTIONS[number][1])
    tilt_deg = scans.MOTIONS[number][2]
    for second in (scans.move(ball, motion), scans.rescan(ball, motion, tilt_deg, here)):
        np.testing.assert_allclose(centre_mm(second), there, atol=0.02)


def test_the_drawn_bleed_has_its_volume_and_lies_in_the_brain(benchmark, ball):
    scans, _ = benchmark
    brain, place = ball.ct.data > 0, np.array([30.0, -6, 4])
    rng = np.random.default_rng(1)
    small, large = (
        scans.draw_bleed(ball, brain, place, np.eye(4), ml, rng).iph for ml in (5.0, 40.0)
    )
    assert volume_ml(small) == pytest.approx(5, abs=0.01)
    assert volume_ml(large) == pytest.approx(40, abs=0.01)
    assert not (large.data & ~brain).any()
    assert not (small.data & ~large.data).any()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ge_head", "A003_followup", "C005_baseline"])
def test_nothing_is_lost_and_the_motion_is_found(benchmark, name):
    """The benchmark has all heads; the limits are about twice what it prints."""
    rows = list(benchmark[1].judge_heads(DATA, [name]))
    if not rows:
        pytest.skip(f"no head {name} below {DATA}")
    row = rows[0]
    assert row["blood_lost"] == 0
    assert row["brain_lost"] < 1e-3
    assert row["outside"] < 1e-3
    assert row["judged_ml"] > 800
    assert abs(row["brain_change"]) < 0.02
    assert row["volume_off_ml"] < 1e-4
    assert row["grid_change"] < 0.005
    assert row["moved_mean_mm"] < 0.02
    assert row["moved_worst_mm"] < 0.03
    assert row["rescanned_mean_mm"] < 0.05
    assert row["rescanned_worst_mm"] < 0.08
    assert name != "ge_head" or row["tilt_off_mm"] < 0.2
