"""Where things lie: block means, transforms, the grid, resampling, midline shift.

Linear functions of place are reproduced exactly by averaging and linear interpolation, so half a
voxel, a swapped axis or a mirrored convention shows as a wrong number.
"""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from scipy.spatial.transform import Rotation

from hemexp import HemexpError
from hemexp.anatomy.midline import midline_shift_mm
from hemexp.preprocess.coarse import block_factors, coarsen, crop, mask_box, refine
from hemexp.preprocess.grid import lay_grid
from hemexp.preprocess.interpolate import average, resample_blood, sigma_voxels
from hemexp.preprocess.resample import resample_scan
from hemexp.preprocess.scans import NativeScan
from hemexp.preprocess.transforms import read_transform, to_itk, write_transform
from hemexp.volumes import Volume, volume_ml


def rigid(angles_deg, shift_mm):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", angles_deg, degrees=True).as_matrix()
    matrix[:3, 3] = shift_mm
    return matrix


def placed(shape, spacing_mm, turn=(0, 0, 0), order=(0, 1, 2), flip=(1, 1, 1)):
    """An affine whose array axes are the RAS axes in any order and direction, turned a little."""
    axes = np.eye(3)[:, list(order)] * flip * spacing_mm
    affine = np.eye(4)
    affine[:3, :3] = rigid(turn, 0)[:3, :3] @ axes
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2) + (3, -7, 11)
    return affine


def points(shape, affine):
    index = np.moveaxis(np.indices(shape), 0, -1)
    return index @ affine[:3, :3].T + affine[:3, 3]


def ramp(where_mm):
    return where_mm @ (2.0, -3.0, 5.0) + 7


OBLIQUE = placed((21, 24, 12), (1.1, 0.9, 4.0), turn=(12, -5, 8))


def test_block_means_lie_at_the_centres_of_their_blocks():
    image = Volume(ramp(points((21, 24, 12), OBLIQUE)).astype(np.float32), OBLIQUE)
    factors = block_factors(image.spacing_mm, 2.9)
    assert factors.tolist() == [3, 3, 1]
    small = coarsen(crop(image, (slice(1, 21), slice(0, 23), slice(2, 11))), factors)
    assert small.data.shape == (6, 7, 9)
    np.testing.assert_allclose(small.data, ramp(points(small.data.shape, small.affine)), atol=1e-3)
    back = refine(np.arange(6)[:, None, None], np.array([3, 1, 1]), (20, 1, 1)).ravel()
    assert back.tolist() == [*np.repeat(np.arange(6), 3), 5, 5]


def test_a_mask_box_keeps_its_margin_and_stays_inside():
    mask = np.zeros((9, 8, 7), dtype=bool)
    mask[4, 1, 2:5] = True
    box = mask_box(mask, 3.0, np.array([1.5, 2.0, 3.0]))
    assert box == (slice(2, 7), slice(0, 4), slice(1, 6))


def test_transform_files_mean_to_itk_what_they_mean_here(tmp_path):
    """ITK, given the file, fetches for each baseline point the value at the follow-up point."""
    matrix = rigid((8, -4, 15), (5, -3, 2))
    write_transform(tmp_path / "x.tfm", matrix, np.array([10.0, -20.0, 30.0]))
    np.testing.assert_allclose(read_transform(tmp_path / "x.tfm"), matrix, atol=1e-9)

    moving = Volume(ramp(points((21, 24, 12), OBLIQUE)).astype(np.float32), OBLIQUE)
    fixed = Volume(np.zeros((6, 5, 4), np.float32), placed((6, 5, 4), (1, 2, 3), turn=(0, 9, 0)))
    transform = sitk.ReadTransform(str(tmp_path / "x.tfm"))
    found = sitk.Resample(to_itk(moving), to_itk(fixed), transform, sitk.sitkLinear, -1e4)
    found = sitk.GetArrayFromImage(found).T
    there = points((6, 5, 4), matrix @ fixed.affine)
    inside = found > -1e4
    assert inside.sum() > 60
    np.testing.assert_allclose(found[inside], ramp(there)[inside], atol=1e-2)

    (tmp_path / "bad.tfm").write_text("no transform")
    with pytest.raises(HemexpError, match=r"bad\.tfm"):
        read_transform(tmp_path / "bad.tfm")


@pytest.mark.parametrize(
    ("order", "flip"), [((0, 1, 2), (1, 1, 1)), ((0, 1, 2), (-1, -1, 1)), ((2, 0, 1), (1, -1, -1))]
)
def test_the_grid_follows_the_scan_planes_and_is_centred_on_the_brain(settings, order, flip):
    shape = tuple(np.array((30, 36, 12))[list(order)])
    spacing = np.array((2.0, 2.0, 5.0))[list(order)]
    affine = placed(shape, spacing, turn=(12, 0, 0), order=order, flip=flip)
    brain = np.zeros(shape, dtype=bool)
    inner = [slice(3, n - 4) for n in shape]
    brain[tuple(inner)] = True
    brain[inner[0].start, inner[1].start, inner[2].start] = False
    limits = settings.preprocess.grid.model_copy(
        update={"shape": (31, 32, 9), "spacing_mm": (2.5, 2.25, 6.0)}
    )
    grid = lay_grid(Volume(brain, affine), limits)
    assert grid.data.shape == (31, 32, 9)
    axes = rigid((12, 0, 0), 0)[:3, :3]
    np.testing.assert_allclose(grid.affine[:3, :3], axes * limits.spacing_mm, atol=1e-9)
    middle_of_grid = grid.affine @ [15, 15.5, 4, 1]
    middle_of_brain = affine @ [*((np.array(shape) - 2) / 2), 1]
    np.testing.assert_allclose(middle_of_grid, middle_of_brain, atol=1e-9)


def test_a_brain_larger_than_the_grid_is_never_cropped(settings):
    limits = settings.preprocess.grid.model_copy(
        update={"shape": (10, 10, 8), "spacing_mm": (3.0, 3.0, 5.0)}
    )
    brain = np.zeros((20, 16, 12), dtype=bool)
    brain[2:17, 3:12, 1:11] = True
    lay_grid(Volume(brain[:, :, 2:10], np.diag([2.0, 3.0, 5.0, 1])), limits)
    with pytest.raises(HemexpError, match=r"Missing: 10\.0 mm along z") as error:
        lay_grid(Volume(brain, np.diag([2.0, 3.0, 5.0, 1])), limits)
    cure = error.value.faults[0].cure
    assert "a shape of at least [10, 10, 10]" in cure
    assert "a spacing_mm of at least [3.0, 3.0, 6.25]" in cure


def test_a_brain_off_by_nothing_fits_and_what_is_missing_is_never_zero(settings):
    limits = settings.preprocess.grid.model_copy(
        update={"shape": (10, 9, 8), "spacing_mm": (3.0, 3.0, 5.0)}
    )
    brain = np.ones((15, 9, 8), dtype=bool)
    grid = lay_grid(Volume(brain, np.diag([2.06, 3.0, 5.0, 1])), limits)
    first = (np.linalg.inv(grid.affine) @ [0, 0, 0, 1])[:3]
    assert np.all(first > -0.5), "30.9 mm on 30: the outermost voxels' centres are on the grid"
    with pytest.raises(HemexpError, match=r"Missing: 1\.2 mm along x\. "):
        lay_grid(Volume(brain, np.diag([2.08, 3.0, 5.0, 1])), limits)


@pytest.mark.parametrize("spacing_mm", [(0.7, 0.8, 2.0), (3.0, 2.5, 6.0)])
def test_averaging_onto_finer_and_coarser_grids_moves_nothing(spacing_mm):
    shape = (60, 60, 30)
    affine = placed(shape, (1.1, 0.9, 4.0), turn=(12, -5, 8), order=(1, 0, 2), flip=(1, -1, 1))
    image = Volume(ramp(points(shape, affine)).astype(np.float32), affine)
    matrix = rigid((6, 3, -9), (2, 4, -3))
    there = np.linalg.inv(matrix) @ [*(image.affine @ [29.5, 29.5, 14.5, 1])[:3], 1]
    target = placed((6, 5, 4), spacing_mm, turn=(0, 0, 5))
    target[:3, 3] = there[:3] - target[:3, :3] @ (2.5, 2, 1.5)
    grid = Volume(np.zeros((6, 5, 4), bool), target)
    expected = ramp(points((6, 5, 4), matrix @ target))
    np.testing.assert_allclose(average(image, grid, matrix), expected, atol=2e-2)


def test_the_blur_makes_image_voxels_as_wide_as_grid_voxels():
    sigma = sigma_voxels(np.diag([3.0, 1.0, 0.5]))
    np.testing.assert_allclose(sigma, [np.sqrt(8 / 12), 0, 0])
    turned = sigma_voxels(3.0 * rigid((0, 0, 30), 0)[:3, :3])
    np.testing.assert_allclose(turned, np.sqrt(8 / 12))


def ellipsoid(shape, affine, centre, radii):
    return np.sum(((points(shape, affine) - centre) / radii) ** 2, axis=-1) < 1


@pytest.mark.parametrize(
    ("spacing_mm", "shape", "tolerance"),
    [((3.0, 3.0, 6.0), (20, 20, 10), 0.02), ((0.6, 0.6, 4.0), (90, 90, 14), 0.01)],
)
def test_blood_keeps_its_volume_and_place_on_the_grid(spacing_mm, shape, tolerance):
    size = (60, 60, 14)
    affine = placed(size, (0.9, 0.9, 4.5), turn=(10, 0, 4))
    centre = affine[:3, :3] @ (29, 31, 7) + affine[:3, 3]
    iph = Volume(ellipsoid(size, affine, centre, (12, 9, 11)), affine)
    sheet = ellipsoid(size, affine, centre + np.array([14, 0, 0]), (2.5, 14, 13)) & ~iph.data
    ivh = Volume(sheet, affine)
    matrix = rigid((-5, 4, 9), (3, 1, -2))
    target = placed(shape, spacing_mm)
    target[:3, 3] += (np.linalg.inv(matrix) @ [*centre, 1])[:3] - (3, -7, 11)
    grid = Volume(np.zeros(shape, bool), target)
    found = dict(zip(("iph", "ivh"), resample_blood(iph, ivh, grid, matrix), strict=True))
    assert not np.any(found["iph"] & found["ivh"])
    for name, native in (("iph", iph), ("ivh", ivh)):
        kept = grid.with_data(found[name])
        assert volume_ml(native) > 1.5
        assert volume_ml(kept) == pytest.approx(volume_ml(native), rel=tolerance)
        before = points(size, affine)[native.data].mean(0)
        after = points(shape, matrix @ target)[kept.data].mean(0)
        assert np.linalg.norm(after - before) < 0.4


def test_an_unmoved_scan_on_its_own_grid_stays_as_it_is():
    rng = np.random.default_rng(1)
    affine = placed((14, 12, 9), (2, 2, 5), turn=(5, 0, 0))
    brain = np.zeros((14, 12, 9), dtype=bool)
    brain[2:12, 2:10, 2:8] = True
    iph = np.zeros_like(brain)
    iph[4:6, 5:9, 4:6] = True
    ct = Volume(rng.normal(30, 20, brain.shape).astype(np.float32), affine)
    scan = NativeScan(ct, ct.with_data(iph), ct.with_data(np.zeros_like(brain)))
    found = resample_scan(scan, brain, ct.with_data(np.zeros_like(brain)), np.eye(4))
    assert np.array_equal(found["iph"], iph)
    assert not found["ivh"].any()
    assert np.array_equal(found["brain"], brain)
    np.testing.assert_allclose(found["ct"], np.where(brain, ct.data, 0), atol=1e-3)


def test_bone_does_not_spill_into_the_brain_on_a_coarse_grid():
    affine = np.diag([1.0, 1.0, 5.0, 1.0])
    brain = np.zeros((40, 40, 8), dtype=bool)
    brain[8:32, 8:32] = True
    ct = Volume(np.where(brain, 30.0, 1000.0), affine)
    blood = np.zeros_like(brain)
    blood[20, 20, 4] = True
    scan = NativeScan(ct, ct.with_data(blood), ct.with_data(np.zeros_like(brain)))
    grid = Volume(np.zeros((12, 12, 6), bool), np.diag([3.3, 3.3, 6.0, 1.0]))
    found = resample_scan(scan, brain, grid, np.eye(4))
    assert found["brain"].sum() > 200
    np.testing.assert_allclose(found["ct"][found["brain"]], 30, atol=1e-3)
    assert not found["ct"][~found["brain"]].any()


def picture(shape, spacing_mm, shift_mm, rng):
    """Brain with ventricles, third ventricle and falx; the first two moved along x."""
    x, y, z = np.moveaxis(points(shape, placed(shape, spacing_mm)) - (3, -7, 11), -1, 0)
    ct = np.zeros(shape)
    for part in (-0.3, 0, 0.3):
        moved = x + part * spacing_mm[0] - shift_mm
        horns = ((np.abs(moved) - 9) / 5) ** 2 + ((y - 8) / 30) ** 2 + ((z - 4) / 22) ** 2 < 1
        third = (moved / 3) ** 2 + ((y + 8) / 14) ** 2 + ((z + 8) / 12) ** 2 < 1
        ct += np.where(horns | third, 6, 32) / 3
    brain = (x / 66) ** 2 + (y / 84) ** 2 + (z / 66) ** 2 < 1
    falx = (np.abs(x) < 2) & (np.abs(y) > 48)
    return np.where(brain, np.where(falx, 55, ct) + rng.normal(0, 3, shape), 0), brain


@pytest.mark.parametrize("shift_mm", [-6.0, -1.3, 0.0, 0.7, 4.2])
@pytest.mark.parametrize("spacing_mm", [(3.0, 3.0, 6.0), (1.5, 1.2, 5.0)])
def test_midline_shift_is_found_to_half_a_millimetre(shift_mm, spacing_mm):
    shape = tuple(int(side / step) for side, step in zip((150, 186, 144), spacing_mm, strict=True))
    rng = np.random.default_rng(3)
    before, brain = picture(shape, spacing_mm, 0, rng)
    after, _ = picture(shape, spacing_mm, shift_mm, rng)
    blood = np.zeros(shape, dtype=bool)
    middle = np.array(shape) // 2
    blood[middle[0] + 4 : middle[0] + 9, middle[1] - 4 : middle[1] + 4, middle[2]] = True
    after[blood] = 65
    after[brain] += 2
    found = midline_shift_mm(before, after, blood, brain, spacing_mm)
    assert found == pytest.approx(shift_mm, abs=0.5)
    no_blood = np.zeros(shape, dtype=bool)
    assert midline_shift_mm(before, before, no_blood, brain, spacing_mm) == pytest.approx(
        0, abs=0.01
    )
    everywhere = np.ones(shape, dtype=bool)
    assert np.isfinite(midline_shift_mm(before, after, everywhere, brain, spacing_mm))


def test_midline_leaves_out_the_widest_margin_round_blood_that_it_can(monkeypatch):
    """8 mm, 3 mm when little is left then, or none."""
    spacing_mm, shape = (3.0, 3.0, 6.0), (50, 62, 24)
    rng = np.random.default_rng(3)
    before, brain = picture(shape, spacing_mm, 0, rng)
    after, _ = picture(shape, spacing_mm, 1.3, rng)

    def shift_mm(blood, margins_mm):
        monkeypatch.setattr("hemexp.anatomy.midline.BLOOD_MM", margins_mm)
        return midline_shift_mm(before, after, blood, brain, spacing_mm)

    some, wide = np.zeros(shape, dtype=bool), np.ones(shape, dtype=bool)
    some[29:34, 27:35, 11:13] = True
    wide[23:28] = False
    full, usual = np.ones(shape, dtype=bool), (8.0, 3.0, 0.0)
    assert shift_mm(some, usual) == shift_mm(some, (8.0,)) != shift_mm(some, (3.0,))
    assert shift_mm(wide, usual) == shift_mm(wide, (3.0, 0.0)) != shift_mm(wide, (0.0,))
    assert shift_mm(full, usual) == shift_mm(full, (0.0,))
    # Wherever blood lies, the transform of the whole volume leaves the same voxels.
    for row in range(0, 62, 2):
        here = np.zeros(shape, dtype=bool)
        here[20:26, row, row // 3] = True
        widened = ndimage.distance_transform_edt(~here, sampling=spacing_mm) <= 8
        assert shift_mm(widened, (1e-3,)) == shift_mm(here, usual)
