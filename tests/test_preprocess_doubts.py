"""What is seen of a scan beyond its files: cut off, noisy, on two levels of HU, another's copy."""

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage
from tiny_head import AFFINE, SHAPE, ball, head, places, save, write_head

from hemexp import HemexpError
from hemexp.columns import SESSIONS
from hemexp.layout import Layout
from hemexp.preprocess.brain_hu import brain_faults
from hemexp.preprocess.collect import judge_baseline
from hemexp.preprocess.identity import (
    find_twins,
    hash_voxels,
    leak_faults,
    same_pair_faults,
    twin_words,
)
from hemexp.preprocess.levels import mend_slices, slice_steps
from hemexp.preprocess.quality import scan_warnings
from hemexp.preprocess.register import run_register_followup
from hemexp.preprocess.rows import read_row, write_row
from hemexp.preprocess.scan_noise import calm_copy, measure_noise, noise_remarks
from hemexp.preprocess.slices import compactness, end_shares, slice_areas
from hemexp.preprocess.strip import measure_brain, run_strip_skull
from hemexp.sheet_faults import id_faults
from hemexp.volumes import ImageError, Volume

FINE = np.array([[2.0, 0, 0, -80], [0, 2.0, 0, -90], [0, 0, 3.0, -60], [0, 0, 0, 1]])
FINE_SHAPE = (81, 91, 41)
BRAIN = ball(places(FINE_SHAPE, FINE), (0, 0, 0), (70, 82, 57))


def ct(noise_hu=0.0, seed=2):
    data = head(places())[0] + np.random.default_rng(seed).normal(0, noise_hu or 1e-9, SHAPE)
    return Volume(data.astype(np.float32), AFFINE)


def strip(files, out, settings, session="baseline"):
    room, layout = settings.preprocess, Layout(out)
    run_strip_skull(layout, "P7", session, files, room.skull_strip, room.raw)
    return read_row(layout.native("P7", session).volumes, "P7")


# ---- a brain that is cut off


def test_areas_run_from_the_lowest_slice_up_whichever_way_they_are_stored():
    mask = np.zeros((4, 5, 6), dtype=bool)
    mask[:, :, 0], mask[:2, :, 1] = True, True
    affine = np.diag([10.0, 20.0, 3.0, 1.0])
    assert slice_areas(Volume(mask, affine)) == pytest.approx([40, 20, 0, 0, 0, 0])
    affine[2, 2] = -3.0
    assert slice_areas(Volume(mask, affine)) == pytest.approx([0, 0, 0, 0, 20, 40])
    turned = Volume(mask.transpose(2, 0, 1), affine[:, [2, 0, 1, 3]])
    assert slice_areas(turned) == pytest.approx([0, 0, 0, 0, 20, 40])


def test_a_ball_is_narrow_at_both_ends_and_as_compact_as_a_ball_is():
    below, above = end_shares(Volume(BRAIN, FINE))
    # The outermost slices end at 55.5 mm; at the height z an ellipsoid is 1 - (z / c)^2 as wide.
    expected = 1 - ((55.5 - 7.5) / 57) ** 2
    assert [below, above] == pytest.approx([expected, expected], abs=0.005)
    expected = 4 / 3 * 57 / np.sqrt(np.pi * 70 * 82)
    assert compactness(Volume(BRAIN, FINE)) == pytest.approx(expected, rel=0.01)
    empty = Volume(np.zeros_like(BRAIN), FINE)
    assert np.isnan([*end_shares(empty), compactness(empty)]).all()


@pytest.mark.parametrize("part", [0.15, 0.3, 0.5])
@pytest.mark.parametrize("side", ["lower", "upper"])
def test_a_cut_brain_is_wide_where_it_ends(side, part, settings):
    limits, cut = settings.preprocess.quality, BRAIN.copy()
    depth = round(part * 38) + 2
    cut[:, :, slice(0, depth) if side == "lower" else slice(-depth, None)] = False
    whole, lost = ({"rotation_deg": np.nan, "translation_mm": np.nan} for _ in range(2))
    for row, mask in ((whole, BRAIN), (lost, cut)):
        row |= measure_brain(Volume(mask, FINE)) | {"brain_ml": 1400.0}
        row |= {f"{name}_ml": 1.0 for name in ("iph", "ivh", "iph_grid", "ivh_grid")}
    assert scan_warnings(whole, None, limits) == []
    words = scan_warnings(lost, None, limits)
    assert words[0].startswith(f"brain cut off at its {side} end (")
    assert len(words) == (1 if part == 0.15 else 2)


def test_a_mask_that_can_be_no_brain_is_refused(settings):
    limits, blood = settings.preprocess.raw, np.zeros(SHAPE, dtype=bool)
    speck = ball(places(), (0, 0, 0), (30, 30, 30))
    (fault,) = brain_faults(ct(), speck, blood, limits)
    assert fault.found == "a brain mask of 112 mL"
    assert fault.expected == "400 to 3000 mL (preprocess.raw.brain_ml)"


def test_a_single_scan_is_judged_as_the_cohort_is(tmp_path, settings):
    layout = Layout(tmp_path)
    native = {"patient_id": "P7", "session": "baseline", "iph_ml": 20.0, "ivh_ml": 0.0}
    native |= {"brain_ml": 850.0, "lowest_share": 0.1, "highest_share": 0.1, "compactness": 0.6}
    native |= {"voxels": "0", "warnings": "seen", "notes": "padding raised"}
    write_row(layout.native("P7", "baseline").volumes, native)
    gridded = {"patient_id": "P7", "session": "baseline", "iph_grid_ml": 23.0, "ivh_grid_ml": 0.0}
    write_row(layout.grid("P7", "baseline").volumes, gridded)
    warnings, notes = judge_baseline(layout, "P7", settings.preprocess.quality)
    expected = "seen; brain 850 mL outside 900-2200 mL; IPH 20.00 mL is 23.00 mL on the grid"
    assert (warnings, notes) == (expected, "padding raised")


# ---- noise


@pytest.mark.parametrize("noise_hu", [5.0, 20.0, 45.0])
def test_noise_is_measured_in_hu(noise_hu):
    noise = measure_noise(ct(noise_hu))
    assert noise.noise_hu == pytest.approx(np.hypot(noise_hu, 4), rel=0.15)
    assert not noise.sharp


def test_a_bone_kernel_is_told_from_noise(settings):
    noise = np.random.default_rng(3).normal(0, 40, SHAPE)
    sharpened = noise - ndimage.gaussian_filter(noise, (1, 1, 0))
    noise = measure_noise(Volume(ct().data + sharpened.astype(np.float32), AFFINE))
    assert noise.sharp and noise.neighbours < -0.1
    (remark,) = noise_remarks(noise, settings.preprocess.raw.noisy_hu, given=False)
    assert remark.doubtful and "bone kernel" in remark.words and "very noisy (SD 3" in remark.words


def test_the_calm_copy_keeps_bone_and_loses_noise():
    noisy = ct(40.0)
    calm = calm_copy(noisy, 300.0)
    bone = noisy.data > 300
    assert np.array_equal(calm.data[bone], noisy.data[bone])
    deep = ball(places(), (0, -40, 0), (30, 25, 30))
    assert calm.data[deep].std() < 0.35 * noisy.data[deep].std()


def test_a_noisy_scan_is_read_with_its_noise_named(tmp_path, settings):
    files = write_head(tmp_path)
    quiet = strip(files, tmp_path / "quiet", settings)
    noisy = head(places())[0] + np.random.default_rng(5).normal(0, 30, SHAPE)
    save(files["ct"], np.rint(noisy), dtype=np.int16)
    row = strip(files, tmp_path / "noisy", settings)
    assert quiet["warnings"] == "" and "very noisy (SD 28 HU" in row["warnings"]
    assert "take the soft-tissue series" in row["warnings"]
    assert row["brain_ml"] == pytest.approx(quiet["brain_ml"], rel=0.03)


def test_noise_is_blamed_before_contrast(tmp_path, settings):
    files = write_head(tmp_path)
    noisy = head(places())[0] + np.random.default_rng(5).normal(0, 30, SHAPE)
    noisy[ball(places(), (0, 0, 0), (62, 78, 52))] += 40
    save(files["ct"], np.rint(noisy), dtype=np.int16)
    save(files["iph"], head(places())[1] & (noisy < 95), dtype=np.uint8)
    with pytest.raises(ImageError) as error:
        strip(files, tmp_path / "out", settings)
    (fault,) = error.value.faults
    assert fault.found.startswith("a scan that is very noisy (SD 28 HU")
    assert fault.cure.startswith("Take the soft-tissue series of the scan.")


# ---- slices on another level


@pytest.mark.parametrize("block", [slice(0, 6), slice(8, 13), slice(15, 21)])
@pytest.mark.parametrize("shift_hu", [-1024, 1024, -1000])
def test_slices_an_intercept_off_are_mended_and_named(shift_hu, block):
    right = ct()
    off = right.data.copy()
    off[:, :, block] += shift_hu
    mended, (remark,) = mend_slices("ct", right.with_data(off))
    np.testing.assert_allclose(mended.data, right.data, atol=1e-3)
    side = "high" if shift_hu > 0 else "low"
    named = f"slices {block.start + 1} to {block.stop} of 21 {abs(shift_hu)} HU too {side}"
    assert remark.doubtful and remark.words.startswith(named)


def test_slices_off_by_no_intercept_are_refused_by_number():
    off = ct()
    off.data[:, :, 12:] += 500
    with pytest.raises(ImageError, match=r"\+500 HU from slice 12 to 13, of 21"):
        mend_slices("ct", off)


def test_the_ends_of_the_head_and_padding_are_no_step():
    right = ct()
    assert not slice_steps(np.moveaxis(right.data, 2, 0)).any()
    for air in (right.data, np.where(right.data < -900, -1000, right.data)):
        cut = air.copy()
        cut[:, :, :9] = -1000
        assert not slice_steps(np.moveaxis(cut, 2, 0)).any()
    padded = right.data.copy()
    for k in range(6):
        padded[:, : 40 - 6 * k, k] = -2000
    assert not slice_steps(np.moveaxis(padded, 2, 0)).any()
    same, remarks = mend_slices("ct", right)
    assert same is right and remarks == []


# ---- one scan under two names


def test_a_copy_is_known_in_another_order_with_other_margins_and_a_second_scan_is_not():
    scan = ct()
    copy = np.flip(scan.data.transpose(2, 0, 1), 1)
    wider = np.pad(copy, 3, constant_values=-1024)
    assert hash_voxels(scan) == hash_voxels(Volume(copy, AFFINE))
    assert hash_voxels(scan) == hash_voxels(Volume(wider, AFFINE))
    again = Volume(head(places(), seed=7)[0].astype(np.float32), AFFINE)
    assert hash_voxels(scan) != hash_voxels(again)
    assert same_pair_faults("patient P7, a and b", scan, again) == []
    (fault,) = same_pair_faults("patient P7, a and b", scan, Volume(copy, AFFINE))
    assert fault.found == "the same voxels in both scans"


def test_a_baseline_given_as_followup_is_refused(tmp_path, settings):
    files = write_head(tmp_path)
    for session in SESSIONS:
        strip(files, tmp_path / "out", settings, session)
    with pytest.raises(HemexpError, match=r"patient P7, .* the same voxels in both scans"):
        run_register_followup(
            Layout(tmp_path / "out"), "P7", settings.preprocess.registration, "baseline"
        )


def test_one_scan_in_two_splits_is_refused_and_elsewhere_told():
    rows = pd.DataFrame(
        [
            ("A", "baseline", "x"),
            ("B", "baseline", "y"),
            ("C", "followup", "x"),
            ("D", "baseline", ""),
        ],
        columns=["patient_id", "session", "voxels"],
    ).to_dict("records")
    twins = find_twins(rows)
    assert twins == {
        ("A", "baseline"): [("C", "followup")],
        ("C", "followup"): [("A", "baseline")],
    }
    assert twin_words(twins["A", "baseline"]) == "the same voxels as the followup of patient C"
    assert leak_faults(twins, {"A": "train", "C": "train"}) == []
    assert leak_faults(twins, {"A": "train", "C": "predict"}) == []
    (fault,) = leak_faults(twins, {"A": "train", "C": "test"})
    assert fault.where == "patient A, baseline (train)"
    assert fault.found == "the same voxels as patient C, followup (test)"


def test_names_that_differ_by_case_alone_are_one_folder():
    rows = {
        line: {"patient_id": name, "center": "A", "split": "train"}
        for line, name in ((2, "a12"), (3, "A12"), (4, "A13"))
    }
    (fault,) = id_faults(rows)
    assert fault.found == "'A12', which is 'a12' of row 2 but for case"
