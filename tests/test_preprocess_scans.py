"""Raw scans that are right, or can be mended with certainty, are read as they are."""

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import inv_ornt_aff
from scipy.spatial.transform import Rotation
from test_bad_inputs import edit, put, values, write_sheet
from tiny_head import AFFINE, SHAPE, ball, head, places, save, write_head

from hemexp.desk.check import run_check
from hemexp.layout import Layout
from hemexp.preprocess.brain_hu import brain_faults, vessel_share
from hemexp.preprocess.grid import lay_grid
from hemexp.preprocess.masks.checks import hu_inside
from hemexp.preprocess.raw import read_given_brain, read_raw_scan
from hemexp.preprocess.resample import resample_scan
from hemexp.preprocess.skull import delineate_brain
from hemexp.preprocess.strip import run_strip_skull
from hemexp.settings import Grid
from hemexp.sheet import SheetError
from hemexp.volumes import ImageError, Volume, volume_ml

BRAIN = ball(places(), (0, 0, 0), (62, 78, 52))


@pytest.fixture
def files(tmp_path):
    (tmp_path / "study").mkdir()
    return write_head(tmp_path / "study")


@pytest.fixture
def read(settings):
    return lambda files: read_raw_scan("P7", "baseline", *files.values(), settings.preprocess.raw)


def strip(files, out, settings):
    room, layout = settings.preprocess, Layout(out)
    run_strip_skull(layout, "P7", "baseline", files, room.skull_strip, room.raw)
    return layout.native("P7", "baseline")


def row(path):
    header, cells = (line.split("\t") for line in path.read_text().splitlines())
    return dict(zip(header, cells, strict=True))


# ---- values


def test_a_right_scan_is_read_as_it_is(files, read):
    save(files["ivh"], values(files["ivh"]) * 255, dtype=np.uint8)
    ct = values(files["ct"])
    raw = read(files)
    assert raw.notes == ()
    assert np.array_equal(raw.scan.ct.data, ct) and raw.scan.iph.data.dtype == bool
    voxel_ml = 4.5 * 4.4 * 7 / 1000
    assert raw.iph_ml == pytest.approx(values(files["iph"]).sum() * voxel_ml)
    assert raw.ivh_ml == pytest.approx(values(files["ivh"]).sum() / 255 * voxel_ml)


@pytest.mark.parametrize("padding", [-1024, -2000, -3024])
def test_padding_is_raised_and_said_only_where_there_is_much(padding, files, read):
    around = np.hypot(*np.moveaxis(places()[..., :2], -1, 0)) > 95
    edit(lambda data: np.where(around, padding, data))(files["ct"])
    raw = read(files)
    assert raw.scan.ct.data.min() == -1024
    assert (raw.scan.ct.data[around] == -1024).all()
    share = f"{np.mean(around):.0%}"
    said = (f"padding below -1024 HU raised to it ({share} of the voxels)",)
    assert raw.notes == (() if padding == -1024 else said)


def test_a_few_padded_voxels_are_not_worth_a_note(files, read):
    put((0, 0, 0), -3024)(files["ct"])
    raw = read(files)
    assert (raw.scan.ct.data.min(), raw.notes) == (-1024, ())


@pytest.mark.parametrize("padding", [None, -2000])
def test_a_missing_intercept_is_mended_where_air_and_brain_agree(padding, files, read):
    expected = read(files).scan.ct.data
    around = np.hypot(*np.moveaxis(places()[..., :2], -1, 0)) > 98
    edit(lambda data: data + 1024)(files["ct"])
    if padding:
        edit(lambda data: np.where(around, padding, data))(files["ct"])
    raw = read(files)
    assert raw.notes[0] == "missing intercept of -1024 applied"
    seen = ~around if padding else np.ones(SHAPE, dtype=bool)
    assert np.array_equal(raw.scan.ct.data[seen], np.maximum(expected, -1024)[seen])


@pytest.mark.parametrize("shift", [1000, 1060, 900])
def test_another_shift_is_not_taken_for_a_missing_intercept(shift, files, read):
    edit(lambda data: data + shift)(files["ct"])
    with pytest.raises(ImageError, match=r"air \(the darkest 1 %\)"):
        read(files)


@pytest.mark.parametrize("shift", [0, 1024])
def test_wrapped_values_are_mended_with_or_without_an_intercept(shift, files, read):
    put(np.s_[:2, :2], -2000 - shift)(files["ct"])
    expected = read(files).scan.ct.data
    edit(lambda data: (data + shift) % 65536)(files["ct"])
    raw = read(files)
    assert raw.notes[0] == "values above 32767 wrapped back to negative HU"
    assert raw.notes[1:] == (("missing intercept of -1024 applied",) if shift else ())
    assert np.array_equal(raw.scan.ct.data, expected)


def test_contrast_is_seen_in_vessels_and_not_in_calcium_or_bone(settings):
    limits = settings.preprocess.raw
    ct, iph, ivh = head(places())
    ct[BRAIN & (np.linalg.norm(places() / (62, 78, 52), axis=-1) > 0.93)] = 250
    ct[18, 16, 10] = 300
    volume, blood = Volume(ct.astype(np.float32), AFFINE), iph | ivh
    assert brain_faults(volume, BRAIN, blood, limits) == []
    assert 0 < vessel_share(volume, BRAIN & ~blood, 0) < limits.vessel_share
    volume.data[12:29, 22, 8] = volume.data[20, 12:34, 9] = 230
    (fault,) = brain_faults(volume, BRAIN, blood, limits)
    assert "contrast" in fault.found


def test_a_brain_outside_its_range_is_told(settings):
    ct, iph, ivh = head(places())
    volume = Volume(ct.astype(np.float32) + 14, AFFINE)
    (fault,) = brain_faults(volume, BRAIN, iph | ivh, settings.preprocess.raw)
    assert fault.found == "a median of 47 HU" and fault.expected == "20 to 45 HU"


def test_much_blood_does_not_make_the_brain_bright(settings):
    ct = head(places())[0].astype(np.float32)
    blood = BRAIN & (places()[..., 0] > -20)
    ct[blood] = 62
    assert np.median(ct[BRAIN]) > 45
    assert brain_faults(Volume(ct, AFFINE), BRAIN, blood, settings.preprocess.raw) == []


# ---- geometry


def orientations():
    """All 48 axis orders and flips as nibabel writes them."""
    for order in np.array(np.meshgrid(*[range(3)] * 3)).reshape(3, -1).T:
        for flips in np.array(np.meshgrid(*[(1, -1)] * 3)).reshape(3, -1).T:
            if len(set(order)) == 3:
                yield np.column_stack([order, flips])


@pytest.mark.slow
def test_a_scan_in_any_orientation_gives_the_same(files, tmp_path, settings, read):
    grid = Grid(shape=(40, 48, 24), spacing_mm=(4.9, 5.1, 7.3))
    native, grids = set(), []
    for turn in orientations():
        turned = {image: tmp_path / f"{image}.nii" for image in files}
        for image, path in turned.items():
            data = nib.apply_orientation(values(files[image]), turn)
            save(path, data, AFFINE @ inv_ornt_aff(turn, SHAPE))
        raw = read(turned)
        scan = raw.scan
        brain = delineate_brain(scan, settings.preprocess.skull_strip)
        native.add((round(raw.iph_ml, 4), round(raw.ivh_ml, 4), int(brain.sum())))
        place = lay_grid(scan.ct.with_data(brain), grid)
        grids.append((place.affine, resample_scan(scan, brain, place, np.eye(4))))
    assert len(grids) == 48 and native == {(22.176, 2.3562, int(brain.sum()))}
    (first, expected), *others = grids
    for affine, found in others:
        assert np.allclose(affine, first, atol=1e-3)
        assert np.allclose(found["ct"], expected["ct"], atol=0.1)
        for mask in ("iph", "ivh", "brain"):
            assert np.count_nonzero(found[mask] ^ expected[mask]) <= 2


def test_an_oblique_scan_is_read_with_its_place(files, read):
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", (14, -5, 8), degrees=True).as_matrix()
    expected = read(files)
    for path in files.values():
        save(path, values(path), turn @ AFFINE)
    raw = read(files)
    assert np.allclose(raw.scan.ct.affine, turn @ AFFINE, atol=1e-4)
    assert raw.iph_ml == pytest.approx(expected.iph_ml, rel=1e-6)


# ---- masks


def on_grid(path, spacing_mm, which):
    """Draws the head's mask anew on a grid of another spacing in the same space."""
    affine = np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = (-60, -60, -50)
    shape = tuple(np.ceil(120 / np.array(spacing_mm)).astype(int))
    mask = head(places(shape, affine))[which]
    save(path, mask, affine)
    return volume_ml(Volume(mask, affine))


@pytest.mark.parametrize("spacing_mm", [(1.5, 1.5, 2.5), (6.0, 6.0, 9.0)])
def test_a_mask_on_another_grid_is_resampled_and_measured_on_its_own(spacing_mm, files, read):
    iph_ml = on_grid(files["iph"], spacing_mm, 1)
    truth = head(places())[1]
    raw = read(files)
    size = "1.5x1.5x2.5" if spacing_mm[0] == 1.5 else "6x6x9"
    assert raw.notes == (f"IPH mask resampled from {size} mm",)
    assert raw.iph_ml == pytest.approx(iph_ml)
    assert raw.scan.iph.data.shape == SHAPE
    assert volume_ml(raw.scan.iph) == pytest.approx(iph_ml, rel=0.02)
    dice = (
        2 * np.count_nonzero(truth & raw.scan.iph.data) / (truth.sum() + raw.scan.iph.data.sum())
    )
    assert dice > 0.9
    assert not (raw.scan.iph.data & raw.scan.ivh.data).any()
    assert np.array_equal(raw.scan.ivh.data, values(files["ivh"]) > 0)


def test_masks_on_two_other_grids_stay_disjoint(files, read):
    save(files["iph"], values(files["iph"]) + values(files["ivh"]))
    on_grid(files["ivh"], (1.5, 1.5, 2.5), 2)
    ivh = values(files["ivh"]).sum() * 1.5 * 1.5 * 2.5 / 1000
    raw = read(files)
    taken = "IVH mask takes 1.8 mL (7%) of the IPH mask"
    assert raw.notes == (taken, "IVH mask resampled from 1.5x1.5x2.5 mm")
    assert raw.ivh_ml == pytest.approx(ivh)
    assert not (raw.scan.iph.data & raw.scan.ivh.data).any()
    assert raw.iph_ml == pytest.approx(head(places())[1].sum() * 0.1386, abs=0.7)


def test_where_masks_overlap_the_voxel_is_ivh(files, read):
    iph, ivh = values(files["iph"]), values(files["ivh"])
    save(files["iph"], iph + ivh)
    scan = read(files).scan
    assert (scan.iph.data.sum(), scan.ivh.data.sum()) == (iph.sum(), ivh.sum())
    assert scan.blood.sum() == iph.sum() + ivh.sum()


def test_a_mask_is_turned_round_on_the_spot():
    ct, iph, _ = head(places())
    for axis in range(3):
        found, inside = hu_inside(Volume(iph, AFFINE), Volume(ct, AFFINE), flip=axis)
        assert inside.all()
        assert np.array_equal(np.sort(found), np.sort(ct[np.flip(iph, axis)]))


def test_odd_masks_pass(files, read):
    whole = head(places())[1]
    speck, half, striped = np.zeros(SHAPE), whole.copy(), whole.copy()
    speck[12:15, 19:22, 10] = 1
    half[:, :, :9] = 0
    striped[::2] = 0
    for mask in (speck, half, striped):
        save(files["iph"], mask)
        assert read(files).scan.iph.data.sum() == mask.sum() > 0


def test_a_given_brain_mask_is_used_with_the_blood(files, tmp_path, settings, read):
    given = BRAIN.copy()
    given[tuple(np.argwhere(values(files["iph"]))[0])] = False
    save(tmp_path / "brain.nii.gz", given)
    outputs = strip(files | {"brain": tmp_path / "brain.nii.gz"}, tmp_path / "out", settings)
    assert values(outputs.brain).sum() == BRAIN.sum()
    told = row(outputs.volumes)
    assert list(told) == [
        "patient_id",
        "session",
        "iph_ml",
        "ivh_ml",
        "brain_ml",
        "lowest_share",
        "highest_share",
        "compactness",
        "voxels",
        "warnings",
        "notes",
    ]
    assert float(told["brain_ml"]) == pytest.approx(BRAIN.sum() * 0.1386, rel=1e-5)
    affine = np.diag([3.0, 3, 4, 1])
    affine[:3, 3] = (-70, -85, -60)
    save(
        tmp_path / "brain.nii.gz",
        ball(places((47, 57, 31), affine), (0, 0, 0), (62, 78, 52)),
        affine,
    )
    moved = read_given_brain("P7", "baseline", tmp_path / "brain.nii.gz", read(files).scan)
    assert np.count_nonzero(moved.data ^ BRAIN) < 0.03 * BRAIN.sum()


# ---- all at once


def test_all_faults_of_a_scan_are_told_at_once(files, read):
    files["ct"].write_bytes(b"not an image at all")
    put((0, 0, 0), 3)(files["iph"])
    with pytest.raises(ImageError) as error:
        read(files)
    assert len(error.value.faults) == 2


def test_check_tells_the_faults_of_all_scans_in_one_message(
    files, tmp_path, monkeypatch, settings
):
    monkeypatch.chdir(tmp_path)
    write_sheet(tmp_path / "samples.tsv", files)
    limits = settings.preprocess
    assert run_check(tmp_path / "samples.tsv", limits).endswith("1 scans read, ok")
    files["ct"].write_bytes(b"not an image at all")
    save(files["iph"], np.full(SHAPE, 2))
    assert run_check(tmp_path / "samples.tsv", None).endswith("centres A, ok")
    with pytest.raises(SheetError) as error:
        run_check(tmp_path / "samples.tsv", limits)
    assert "2 fault(s)" in str(error.value)
    assert "patient P7, baseline ct, study/ct.nii.gz" in str(error.value)
    assert "patient P7, baseline iph, study/iph.nii.gz" in str(error.value)
