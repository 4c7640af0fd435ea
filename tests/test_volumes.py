"""Images with their geometry: read strictly, written whole, measured in millilitres."""

import nibabel as nib
import numpy as np
import pytest

from hemexp.volumes import (
    ImageError,
    Volume,
    grid_distance_mm,
    read_volume,
    volume_ml,
    write_volume,
)

TILT = np.deg2rad(12)
AFFINE = np.array(
    [
        [-0.9, 0, 0, 80],
        [0, 0.8 * np.cos(TILT), -5 * np.sin(TILT), -70],
        [0, 0.8 * np.sin(TILT), 5 * np.cos(TILT), -40],
        [0, 0, 0, 1],
    ]
)


def test_what_is_written_is_read_with_its_place_and_equal_bytes(tmp_path):
    data = np.random.default_rng(0).normal(size=(5, 7, 4)).astype(np.float32)
    for name in ("a.nii.gz", "b.nii.gz"):
        write_volume(tmp_path / name, data, AFFINE, np.float32)
    volume = read_volume(tmp_path / "a.nii.gz")
    assert np.array_equal(volume.data, data) and np.allclose(volume.affine, AFFINE, atol=1e-5)
    assert np.allclose(volume.spacing_mm, [0.9, 0.8, 5])
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    header = nib.load(tmp_path / "a.nii.gz").header
    assert header["qform_code"] == 1 and header["sform_code"] == 1


def test_integers_are_rounded_not_cut(tmp_path):
    write_volume(tmp_path / "a.nii.gz", np.full((2, 3, 4), 41.7), AFFINE, np.int16)
    assert (read_volume(tmp_path / "a.nii.gz").data == 42).all()


def test_slope_and_intercept_are_applied_once(tmp_path):
    image = nib.Nifti1Image(np.full((2, 3, 4), 100, dtype=np.int16), AFFINE)
    image.header.set_slope_inter(2, -24)
    nib.save(image, tmp_path / "a.nii.gz")
    stored = nib.load(tmp_path / "a.nii.gz").get_fdata()
    assert np.allclose(read_volume(tmp_path / "a.nii.gz").data, stored)


def test_volume_is_the_masks_sum_times_the_voxel_of_the_affine():
    mask = np.zeros((5, 7, 4))
    mask[1:3, 2:5, 1:3] = 1
    assert volume_ml(Volume(mask, AFFINE)) == pytest.approx(12 * 0.9 * 0.8 * 5 / 1000)


def test_grid_distance_sees_a_half_voxel_shift():
    one = Volume(np.zeros((5, 7, 4)), AFFINE)
    shifted = AFFINE.copy()
    shifted[:3, 3] += AFFINE[:3, 0] / 2
    assert grid_distance_mm(one, one) == 0
    assert grid_distance_mm(one, Volume(one.data, shifted)) == pytest.approx(0.45)
    assert grid_distance_mm(one, Volume(np.zeros((5, 7, 5)), AFFINE)) == np.inf


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="Affine"):
        write_volume(tmp_path / "a.nii.gz", np.zeros((2, 3, 4)), np.eye(3), np.uint8)
    assert not list(tmp_path.iterdir())


def stored(path, affine=AFFINE, units="mm", codes=(1, 1), shape=(5, 7, 4)):
    image = nib.Nifti1Image(np.ones(shape, np.float32), affine)
    image.set_qform(affine, code=codes[0])
    image.set_sform(affine, code=codes[1])
    image.header.set_xyzt_units(units)
    nib.save(image, path)
    return nib.load(path)


@pytest.mark.parametrize(("units", "codes"), [("mm", (1, 1)), (0, (1, 0)), ("mm", (0, 2))])
def test_one_placement_is_enough_and_its_unit_may_be_unknown(tmp_path, units, codes):
    stored(tmp_path / "a.nii", units=units, codes=codes)
    assert np.allclose(read_volume(tmp_path / "a.nii").affine, AFFINE, atol=1e-4)


@pytest.mark.parametrize(("shift_mm", "fine"), [(0.4, True), (0.6, False), (40, False)])
def test_qform_and_sform_must_agree(tmp_path, shift_mm, fine):
    image = stored(tmp_path / "a.nii")
    moved = AFFINE.copy()
    moved[1, 3] += shift_mm
    image.set_qform(moved, code=1)
    nib.save(image, tmp_path / "b.nii")
    if fine:
        assert np.allclose(read_volume(tmp_path / "b.nii").affine, AFFINE, atol=1e-4)
        return
    with pytest.raises(ImageError) as error:
        read_volume(tmp_path / "b.nii")
    told = f"differ by {shift_mm:g} mm (first voxel {shift_mm:g} mm, axes"
    assert told in str(error.value) and "deg, voxel sizes" in str(error.value)


def test_quaternions_near_a_half_turn_are_no_disagreement(tmp_path):
    worst = np.diag([-0.45, -0.45, 0.6, 1.0])
    for angle in (1e-4, 3e-4, 1e-3, 3e-3):
        turn = np.eye(4)
        turn[0, 2], turn[2, 0] = np.sin(angle), -np.sin(angle)
        turn[0, 0] = turn[2, 2] = np.cos(angle)
        stored(tmp_path / "a.nii", turn @ worst, shape=(400, 400, 3))
        assert read_volume(tmp_path / "a.nii").data.shape == (400, 400, 3)


def test_the_header_is_judged_before_the_data_are_read(tmp_path):
    """It claims 512 million voxels; the file holds 140, which reading them would find first."""
    stored(tmp_path / "a.nii")
    with (tmp_path / "a.nii").open("r+b") as handle:
        handle.seek(42)  # dim[1] to dim[3]
        handle.write(np.array([1600, 1600, 200], "<i2").tobytes())
    with pytest.raises(ImageError, match=r"an array of shape \(1600, 1600, 200\)"):
        read_volume(tmp_path / "a.nii")


def test_an_error_names_the_file(tmp_path):
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(b"nonsense")
    with pytest.raises(ImageError, match=r"scan\.nii\.gz: found a file that cannot be read"):
        read_volume(path)
