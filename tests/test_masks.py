"""Masks that do not lie on blood are refused or doubted; right ones are neither."""

import re

import numpy as np
import pytest
from scipy import ndimage
from tiny_head import AFFINE, ball, head, places, save, write_head

from hemexp.preprocess.masks.checks import blood_share, calm_hu, hu_inside, stray_remarks
from hemexp.preprocess.masks.grids import copy_voxels
from hemexp.preprocess.raw import read_raw_scan
from hemexp.volumes import ImageError, Volume

CT, IPH, IVH = head(places())
AFFINE_MM = np.array([4.5, 4.4, 7.0])
RIGHT = {"iph": IPH, "ivh": IVH}


@pytest.fixture
def files(tmp_path):
    return write_head(tmp_path)


@pytest.fixture
def limits(settings):
    return settings.preprocess.raw


@pytest.fixture
def read(files, limits):
    def read(**changed):
        for name, mask in changed.items():
            save(files[name], mask)
        return read_raw_scan("P7", "baseline", *files.values(), limits)

    return read


def with_noise(sd_hu):
    return CT + np.random.default_rng(5).normal(0, sd_hu, CT.shape)


def turned(name, axis):
    return np.flip(RIGHT[name], axis)


@pytest.mark.parametrize("sd_hu", [0, 10])
def test_right_masks_are_no_matter_of_doubt_whatever_the_noise(sd_hu, read):
    assert read(ct=with_noise(sd_hu)).warnings == ()


def percent(text):
    """The share of a mask that a message names."""
    return float(re.search(r"([\d.]+)% of (?:the|it)", text).group(1)) / 100


@pytest.mark.parametrize(
    ("kind", "mask"),
    [
        ("iph", np.roll(IPH, 1, axis=2)),
        ("iph", np.roll(IPH, -2, axis=0)),
        ("iph", ndimage.binary_dilation(IPH) & ~IVH),
        ("ivh", np.roll(IVH, 1, axis=2)),
    ],
)
def test_a_mask_a_little_off_or_too_large_is_used_and_doubted(kind, mask, read):
    on_blood = np.mean((IPH | IVH)[mask & ~IVH if kind == "iph" else mask])
    (warning,) = read(**{kind: mask}).warnings
    assert f"% of the {kind.upper()} mask at 40 to 100 HU; it may lie beside" in warning
    assert percent(warning) == pytest.approx(on_blood, abs=0.04)


@pytest.mark.parametrize(
    ("kind", "mask", "words"),
    [
        ("iph", turned("iph", 0), "it looks mirrored left-right; expected 40 to 100 HU in 50% of"),
        ("iph", np.roll(IPH, 5, axis=2), "blood; expected 40 to 100 HU in 50% of it or more"),
        ("ivh", turned("ivh", 0), "it looks mirrored left-right; expected 40 to 100 HU in 5% of"),
        ("ivh", np.roll(IVH, 12, axis=1), "blood; expected 40 to 100 HU in 5% of it or more"),
    ],
)
def test_a_mask_elsewhere_is_refused(kind, mask, words, read):
    with pytest.raises(ImageError) as error:
        read(**{kind: mask})
    assert len(error.value.faults) == 1
    message = str(error.value)
    assert f"patient P7, baseline {kind}, " in message and words in message
    assert percent(message) < 0.1


def test_a_share_just_below_its_limit_does_not_read_like_the_limit(files, limits):
    """4.9 % found where 5 % is expected are not both 5 %."""
    save(files["iph"], np.roll(IPH, 1, axis=2))
    mask, ct = Volume(np.roll(IPH, 1, axis=2) & ~IVH, AFFINE), Volume(np.rint(CT), AFFINE)
    share = blood_share(calm_hu(mask, *hu_inside(mask, ct)), limits.iph_hu)
    strict = limits.iph_share.model_copy(update={"refuse": share + 0.001})
    with pytest.raises(ImageError, match="mL does not lie half beside its blood") as error:
        changed = limits.model_copy(update={"iph_share": strict})
        read_raw_scan("P7", "baseline", *files.values(), changed)
    assert percent(str(error.value)) == pytest.approx(share, abs=5.1e-4)


def test_a_mask_whose_mirror_image_fits_says_so_when_it_is_only_doubted(read):
    half = IPH | np.flip(IPH, axis=0) & ~np.flip(IVH, axis=0)
    assert "mirrored" not in read(iph=half & ~IVH).warnings[0]
    some = np.flip(IPH, axis=2) & ~IVH
    (warning,) = read(iph=some).warnings
    assert warning.endswith("; it looks mirrored head-foot")


def test_the_limits_are_the_configs(files, limits):
    save(files["iph"], np.roll(IPH, 1, axis=2))

    def read(**change):
        share = limits.iph_share.model_copy(update=change)
        changed = limits.model_copy(update={"iph_share": share})
        return read_raw_scan("P7", "baseline", *files.values(), changed)

    assert read(warn=0.67).warnings == ()
    assert len(read(warn=0.71).warnings) == 1
    with pytest.raises(ImageError, match=r"in 71% of it or more.* preprocess\.raw\.iph_hu"):
        read(refuse=0.71)


def test_smoothing_keeps_to_the_mask_and_takes_the_noise():
    ct = Volume(np.where(IPH, 60.0, -1000.0), AFFINE)
    fine = np.diag([0.5, 0.5, 1.0, 1.0])
    mask = Volume(np.ones((30, 32, 12), dtype=bool), fine)
    noise = Volume(with_noise(0)[:30, :32, :12] * 0, fine)
    noise.data[...] = np.random.default_rng(2).normal(60, 20, noise.data.shape)
    everywhere = calm_hu(Volume(IPH, AFFINE), *hu_inside(Volume(IPH, AFFINE), ct))
    assert np.allclose(everywhere, 60)
    raw, inside = hu_inside(mask, noise)
    assert blood_share(raw, (40, 100)) == pytest.approx(0.82, abs=0.02)
    assert blood_share(calm_hu(mask, raw, inside), (40, 100)) == 1
    assert calm_hu(mask, raw, inside).mean() == pytest.approx(60, abs=0.5)


def test_voxels_outside_the_scan_do_not_count():
    inside = np.zeros(IPH.sum(), dtype=bool)
    inside[:50] = True
    hu = np.where(inside, 60.0, 0.0)
    assert np.allclose(calm_hu(Volume(IPH, AFFINE), hu, inside), 60)
    assert len(calm_hu(Volume(IPH, AFFINE), hu, inside)) == 50


def test_blood_that_touches_no_brain_is_told():
    brain = ball(places(), (0, 0, 0), (62, 78, 52))
    scalp = ball(places(), (-74, 0, 5), (4, 20, 20))
    assert scalp.any() and stray_remarks(IPH, IVH, brain | scalp, AFFINE_MM) == []
    (remark,) = stray_remarks(IPH, IVH | scalp, brain | scalp, AFFINE_MM)
    share = scalp.sum() / (scalp.sum() + IVH.sum())
    assert remark == (f"{share:.0%} of the IVH mask outside the brain", True)
    whole = stray_remarks(scalp, IVH & False, brain | scalp, AFFINE_MM)
    assert [words for words, _ in whole] == ["100% of the IPH mask outside the brain"]


def test_ivh_within_the_iph_touches_no_brain_and_is_no_stray():
    core = ndimage.binary_erosion(IPH)
    brain = ball(places(), (0, 0, 0), (62, 78, 52))
    assert core.any() and stray_remarks(IPH & ~core, core, brain, AFFINE_MM) == []


# ---- overlap


@pytest.mark.parametrize(("larger", "doubted"), [(1, False), (2.5, True)])
def test_what_the_ivh_takes_of_the_iph_is_told(larger, doubted, read):
    ivh = ball(places(), (30, -8, 4), (9 * larger**0.5, 9 * larger**0.5, 12 * larger**0.5))
    raw = read(ivh=ivh & IPH)
    share = (ivh & IPH).sum() / IPH.sum()
    said = raw.warnings if doubted else raw.notes
    assert said == (
        f"IVH mask takes {share * IPH.sum() * 0.1386:.1f} mL ({share:.0%}) of the IPH mask",
    )
    assert (share > 0.3) == doubted
    assert raw.scan.iph.data.sum() == IPH.sum() - (ivh & IPH).sum()


def test_no_ivh_means_no_voxel_of_it(files, limits):
    raw = read_raw_scan("P7", "baseline", files["ct"], files["iph"], None, limits)
    assert (raw.ivh_ml, raw.notes, raw.warnings) == (0, (), ())
    assert not raw.scan.ivh.data.any() and raw.scan.iph.data.sum() == IPH.sum()


# ---- grids that coincide


def test_a_cropped_and_turned_mask_keeps_every_voxel():
    ct = Volume(CT, AFFINE)
    box = tuple(
        slice(low - 1, high + 2)
        for low, high in zip(np.argwhere(IVH).min(0), np.argwhere(IVH).max(0), strict=True)
    )
    affine = AFFINE.copy()
    affine[:3, 3] = (AFFINE @ [*(side.start for side in box), 1])[:3]
    cropped = Volume(IVH[box], affine)
    assert np.array_equal(copy_voxels(cropped, ct).data, IVH)
    turn = np.array(
        [[0, 0, 1, 0], [-1, 0, 0, cropped.data.shape[0] - 1], [0, 1, 0, 0], [0, 0, 0, 1]]
    )
    back = np.linalg.inv(turn)
    turned = np.flip(cropped.data.transpose(2, 0, 1), axis=1)
    assert np.array_equal(copy_voxels(Volume(turned, affine @ back), ct).data, IVH)


def test_other_voxels_are_not_copied():
    ct = Volume(CT, AFFINE)
    moved, finer = AFFINE.copy(), AFFINE @ np.diag([0.5, 1, 1, 1])
    moved[0, 3] += 0.5
    for affine in (moved, finer, AFFINE @ np.diag([2, 1, 1, 1])):
        mask = Volume(IVH, affine)
        assert copy_voxels(mask, ct) is mask
