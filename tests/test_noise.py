"""New noise: its strength and spectrum, how much of the old it keeps, and that edges stay."""

import numpy as np
import pytest
from scipy import ndimage

from hemexp.anatomy.looks import correlation, fine_structure, neighbour_correlation
from hemexp.anatomy.noise import Noise, calm_tissue, kept_texture
from hemexp.grid_scan import GridScan
from hemexp.volumes import Volume

SHAPE, SPACING_MM = (48, 56, 22), np.array([3.0, 3.0, 6.0])
AT = np.indices(SHAPE) - (np.reshape(SHAPE, (3, 1, 1, 1)) - 1) / 2
BRAIN = ((AT * SPACING_MM.reshape(3, 1, 1, 1) / np.reshape((64, 78, 62), (3, 1, 1, 1))) ** 2).sum(
    axis=0
) < 1
BLOOD = np.zeros(SHAPE, bool)
BLOOD[34:38, 26:30, 10:12] = True
NONE = np.zeros(SHAPE, bool)
STEP = np.where(AT[1] > 14, 25.0, 0)
"""An edge of anatomy in the middle of the brain."""


def scan(rng, blur=0.8, shared=None, step=0.0):
    """Tissue with noise of 3 HU, part of it shared with another scan."""
    noise = ndimage.gaussian_filter(rng.standard_normal(SHAPE), (blur, blur, 0))
    noise = noise / noise.std()
    if shared is not None:
        noise = np.sqrt(0.4) * shared + np.sqrt(0.6) * noise
    ct = np.where(BRAIN, 30 + step + 3 * noise, 0).astype(np.float32)
    return GridScan(Volume(ct, np.diag([*SPACING_MM, 1])), BLOOD, NONE, BRAIN), noise


CALM = calm_tissue(BRAIN, BLOOD, NONE, SPACING_MM)


@pytest.mark.parametrize("kept", [0.0, 0.4, 1.0])
def test_noise_is_new_but_for_the_share_that_is_kept(kept):
    baseline, _ = scan(np.random.default_rng(1))
    noise = Noise.of(baseline, NONE, kept)
    before = fine_structure(baseline.ct.data, BRAIN, SPACING_MM)
    drawn = [noise.renew(baseline.ct.data, np.random.default_rng(k)) for k in (2, 3, 2)]
    assert np.array_equal(drawn[0], drawn[2]) and not drawn[0][~BRAIN].any()
    after = [fine_structure(one, BRAIN, SPACING_MM) for one in drawn]
    assert correlation(before[CALM], after[0][CALM]) == pytest.approx(kept, abs=0.06)
    assert after[0][CALM].std() == pytest.approx(before[CALM].std(), rel=0.1)
    lags = [neighbour_correlation(one, CALM) for one in (before, after[0])]
    assert lags[1] == pytest.approx(lags[0], abs=0.1)
    if kept < 1:
        assert not np.array_equal(drawn[0], drawn[1])


def test_edges_of_anatomy_stay():
    baseline, _ = scan(np.random.default_rng(1), step=STEP)
    new = Noise.of(baseline, NONE, 0.0).renew(baseline.ct.data, np.random.default_rng(2))
    rows = slice(int(14 + 27.5 - 3), int(14 + 27.5 + 5))
    middle = np.s_[18:30, rows, 8:14]
    old = baseline.ct.data[middle].mean(axis=(0, 2))
    assert new[middle].mean(axis=(0, 2)) == pytest.approx(old, abs=3)


def test_what_two_scans_share_is_measured():
    one, noise = scan(np.random.default_rng(1))
    other, _ = scan(np.random.default_rng(2), shared=noise)
    assert kept_texture(one, other, NONE) == pytest.approx(np.sqrt(0.4), abs=0.06)


def test_too_little_calm_tissue_leaves_the_noise():
    baseline, _ = scan(np.random.default_rng(1))
    everywhere = GridScan(baseline.ct, BRAIN, NONE, BRAIN)
    assert Noise.of(everywhere, NONE, 0.4) is None
    assert np.isnan(kept_texture(everywhere, baseline, NONE))


def test_a_change_stays_where_it_is_larger_than_noise():
    baseline, _ = scan(np.random.default_rng(1))
    noise = Noise.of(baseline, NONE, 0.4)
    rng = np.random.default_rng(2)
    blotches = 2 * ndimage.gaussian_filter(rng.standard_normal(SHAPE), (2, 2, 0)) * 7 * BRAIN
    grown = 20.0 * BLOOD
    quiet = noise.quieten(blotches + grown)
    assert np.std(quiet[CALM]) < 0.35 * np.std(blotches[CALM])
    assert quiet[BLOOD].mean() > 0.9 * (blotches + grown)[BLOOD].mean()
    assert np.array_equal(noise.quieten(np.zeros(SHAPE)), np.zeros(SHAPE))
