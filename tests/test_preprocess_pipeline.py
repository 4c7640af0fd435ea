"""A head of ellipsoids through the room: skull strip, registration, grid, quality control."""

import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from scipy import ndimage
from scipy.spatial.transform import Rotation

from hemexp import HemexpError
from hemexp.cohort import read_sheet
from hemexp.columns import REQUIRED
from hemexp.layout import Layout
from hemexp.preprocess.collect import run_collect_qc
from hemexp.preprocess.quality import scan_warnings
from hemexp.preprocess.register import register, run_register_followup
from hemexp.preprocess.resample import run_resample_scan
from hemexp.preprocess.scans import NativeScan
from hemexp.preprocess.skull import delineate_brain
from hemexp.preprocess.strip import run_strip_skull
from hemexp.preprocess.transforms import read_transform
from hemexp.volumes import Volume, read_volume, write_volume

BRAIN_MM = np.array([62.0, 78.0, 60.0])


def ball(where, centre, radii):
    return np.sum(((where - centre) / radii) ** 2, axis=-1) < 1


def head_hu(where):
    """HU at head coordinates (..., 3): no symmetry, a spinal canal, a neck, a nose."""
    ct = np.full(where.shape[:-1], -1000.0)
    ct[ball(where, (0, 0, 0), BRAIN_MM + 11) | ball(where, (0, -5, -90), (45, 45, 32))] = 45
    ct[ball(where, (4, 86, -20), (12, 12, 14)) | ball(where, (0, 0, 0), BRAIN_MM + 7)] = 950
    aside = np.hypot(where[..., 0], where[..., 1] + 8)
    canal = (where[..., 2] < -45) & (where[..., 2] > -112)
    ct[canal & (aside < 16)] = 700
    inside = ball(where, (0, 0, 0), BRAIN_MM)
    inside &= ~ball(where, (34, -16, -44), (13, 11, 13)) & ~ball(
        where, (-36, -20, -40), (11, 13, 11)
    )
    ct[inside | (canal & (aside < 9))] = 34
    ct[ball(where, (10, 12, 6), (6, 26, 14)) | ball(where, (-11, 14, 5), (8, 30, 15))] = 6
    return ct, inside


def rigid(angles_deg, shift_mm):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", angles_deg, degrees=True).as_matrix()
    matrix[:3, 3] = shift_mm
    return matrix


def take(shape, spacing_mm, pose, bleed_mm, ivh_mm, seed, turn=(0, 0, 0)):
    """A scan of the head in a pose (head to scanner RAS mm), each voxel a mean of 8 points."""
    affine = rigid(turn, 0) @ np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2) + (2, -3, -12)
    to_head = np.linalg.inv(pose) @ affine
    ct, inside = np.zeros(shape), np.zeros(shape)
    for corner in np.ndindex(2, 2, 2):
        index = np.moveaxis(np.indices(shape), 0, -1) + (np.array(corner) - 0.5) / 2
        values, brain = head_hu(index @ to_head[:3, :3].T + to_head[:3, 3])
        ct, inside = ct + values / 8, inside + brain / 8
    where = np.moveaxis(np.indices(shape), 0, -1) @ to_head[:3, :3].T + to_head[:3, 3]
    ivh = ball(where, (10, 5, 8), (4, 14, 6)) & (ivh_mm > 0)
    iph = ball(where, (30, 5, 4), (bleed_mm, bleed_mm * 1.3, bleed_mm)) & ~ivh
    ct[iph | ivh] = 62
    ct += np.random.default_rng(seed).normal(0, 4, shape)
    volume = Volume(ct.astype(np.float32), affine)
    return NativeScan(volume, volume.with_data(iph), volume.with_data(ivh)), inside > 0.5


POSE = rigid((4, -2, 3), (1, 2, -1))
MOTION = rigid((8, 3, -6), (4, -6, 3))
"""Takes a baseline point to the follow-up point."""


@pytest.fixture(scope="module")
def pair():
    """Two scans of one head on different scanners, 10 degrees apart, the bleed grown."""
    baseline = take((74, 86, 44), (2.2, 2.2, 4.0), POSE, 10, 0, seed=1, turn=(9, 0, 0))
    followup = take((84, 96, 36), (2.0, 2.0, 5.0), MOTION @ POSE, 14, 1, seed=2)
    return {"baseline": baseline, "followup": followup}


@pytest.fixture(scope="module")
def settings_here(settings):
    """The demo's, on a grid that holds this head."""
    grid = {"shape": (56, 64, 28), "spacing_mm": (3.0, 3.0, 6.0)}
    room = settings.preprocess
    return room.model_copy(update={"grid": room.grid.model_copy(update=grid)})


@pytest.mark.slow
def test_the_brain_is_found_without_neck_and_with_all_blood(pair, settings_here):
    for scan, truth in pair.values():
        mask = delineate_brain(scan, settings_here.skull_strip)
        dice = 2 * np.count_nonzero(mask & truth) / (mask.sum() + truth.sum())
        assert dice > 0.965
        assert mask.sum() == pytest.approx(truth.sum(), rel=0.05)
        assert mask[scan.blood].all()
        assert ndimage.label(mask)[1] == 1
        beyond = ndimage.distance_transform_edt(~truth, sampling=scan.ct.spacing_mm)[mask].max()
        assert beyond < 1.5 * settings_here.skull_strip.open_mm + 6


def test_the_mask_does_not_depend_on_the_order_of_the_axes(pair, settings_here):
    scan, _ = pair["followup"]
    expected = delineate_brain(scan, settings_here.skull_strip)

    def turned(volume):
        affine = volume.affine[:, [2, 0, 1, 3]].copy()
        last = volume.data.shape[0] - 1
        affine[:3, 3] += affine[:3, 1] * last
        affine[:3, 1] *= -1
        return Volume(np.flip(volume.data, 0).transpose(2, 0, 1), affine)

    images = [turned(image) for image in (scan.ct, scan.iph, scan.ivh)]
    found = delineate_brain(NativeScan(*images), settings_here.skull_strip)
    assert np.array_equal(turned(scan.ct.with_data(expected)).data, found)


def test_bright_blood_at_the_skull_and_calcium_inside_are_kept(pair, settings_here):
    scan, truth = pair["baseline"]
    rim = truth & ~ndimage.binary_erosion(truth)
    rim[:, :, :28] = False
    plexus = (slice(36, 39), slice(43, 46), slice(26, 28))
    ct = scan.ct.with_data(np.where(rim, 120, scan.ct.data))
    ct.data[plexus] = 220
    bright = NativeScan(ct, scan.iph.with_data(rim), scan.ivh)
    mask = delineate_brain(bright, settings_here.skull_strip)
    assert mask[rim].all()
    assert mask[plexus].all()


def mean_error_mm(matrix, truth, brain, affine):
    where = np.argwhere(brain) @ affine[:3, :3].T + affine[:3, 3]
    apart = (matrix - truth)[:3]
    return np.linalg.norm(where @ apart[:, :3].T + apart[:, 3], axis=1).mean()


@pytest.mark.slow
def test_registration_finds_a_known_motion(pair, settings_here):
    (fixed, brain), (moving, moving_brain) = pair.values()
    found = register(fixed, brain, moving, moving_brain, settings_here.registration)
    assert mean_error_mm(np.eye(4), MOTION, brain, fixed.ct.affine) > 8
    assert mean_error_mm(found.matrix, MOTION, brain, fixed.ct.affine) < 0.3
    angle = np.rad2deg(Rotation.from_matrix(MOTION[:3, :3]).magnitude())
    assert found.rotation_deg == pytest.approx(angle, abs=0.3)
    centre = fixed.ct.affine @ [*ndimage.center_of_mass(brain), 1]
    moved = np.linalg.norm((MOTION @ centre - centre)[:3])
    assert found.translation_mm == pytest.approx(moved, abs=0.3)
    assert found.metric < -0.5
    again = register(fixed, brain, moving, moving_brain, settings_here.registration)
    assert np.array_equal(again.matrix, found.matrix)


@pytest.mark.slow
def test_a_large_turn_is_found_from_the_axes_of_the_brain(settings_here):
    turn = rigid((20, -12, 22), (15, 10, -12))
    fixed, brain = take((60, 70, 36), (2.8, 2.8, 5.0), np.eye(4), 10, 0, seed=3)
    moving, moving_brain = take((64, 74, 40), (2.8, 2.8, 5.0), turn, 13, 0, seed=4)
    found = register(fixed, brain, moving, moving_brain, settings_here.registration)
    assert mean_error_mm(found.matrix, turn, brain, fixed.ct.affine) < 0.3


@pytest.fixture(scope="module")
def cohort(pair, settings_here, tmp_path_factory):
    """Two patients brought through all verbs, the second without follow-up."""
    root = tmp_path_factory.mktemp("cohort")
    layout = Layout(root / "results")
    sheet = [{"patient_id": "P1", "split": "train"}, {"patient_id": "P2", "split": "predict"}]
    for row in sheet:
        sessions = ("baseline", "followup") if row["split"] == "train" else ("baseline",)
        files = {
            session: save_scan(root, row["patient_id"], session, pair) for session in sessions
        }
        row |= {"center": "A", "onset_to_ct_h": "2"}
        row |= {f"{s}_{image}": str(f[image]) for s, f in files.items() for image in FILES}
        bring(layout, row["patient_id"], files, settings_here)
    lines = ["\t".join(REQUIRED)]
    lines += ["\t".join(row.get(name, "") for name in REQUIRED) for row in sheet]
    (root / "samples.tsv").write_text("\n".join(lines) + "\n")
    return root


FILES = ("ct", "iph", "ivh")


def save_scan(root, patient_id, session, pair):
    scan, _ = pair[session]
    files = {image: root / f"{patient_id}_{session}_{image}.nii.gz" for image in FILES}
    for image, path in files.items():
        volume = getattr(scan, image)
        write_volume(path, volume.data, volume.affine, np.int16 if image == "ct" else np.uint8)
    return files


def bring(layout, patient_id, files, settings):
    """What the rules of one patient do."""
    for session, raw in files.items():
        run_strip_skull(layout, patient_id, session, raw, settings.skull_strip, settings.raw)
    if len(files) == 2:
        run_register_followup(layout, patient_id, settings.registration, "baseline")
    for session in files:
        run_resample_scan(layout, patient_id, session, settings.grid, "baseline")


def grid_image(root, name, session="followup"):
    return nib.load(getattr(Layout(root / "results").grid("P1", session), name))


@pytest.mark.slow
def test_both_scans_come_to_lie_on_each_other(cohort, pair):
    """The true place of each grid voxel is known: the follow-up shows the head that lies there."""
    image = grid_image(cohort, "ct")
    assert image.get_data_dtype() == np.int16
    brain = np.asarray(grid_image(cohort, "brain").dataobj) > 0
    ct = image.get_fdata()
    assert not ct[~brain].any()
    baseline = grid_image(cohort, "ct", "baseline")
    np.testing.assert_array_equal(image.affine, baseline.affine)
    to_head = np.linalg.inv(POSE) @ image.affine
    where = np.moveaxis(np.indices(ct.shape), 0, -1) @ to_head[:3, :3].T + to_head[:3, 3]
    offsets = [
        (0, 0, 0),
        (1.5, 0, 0),
        (-1.5, 0, 0),
        (0, 1.5, 0),
        (0, -1.5, 0),
        (0, 0, 3),
        (0, 0, -3),
    ]
    errors = []
    for offset in offsets:
        expected, inside = head_hu(where + offset)
        deep = ndimage.binary_erosion(brain & inside, iterations=2) & (ct < 50)
        errors.append(np.abs(ct - expected)[deep].mean())
    assert np.argmin(errors) == 0
    for session in ("baseline", "followup"):
        iph = np.asarray(grid_image(cohort, "iph", session).dataobj) > 0
        assert np.linalg.norm(where[iph].mean(0) - (30, 5, 4)) < 1.5


@pytest.mark.slow
@pytest.mark.parametrize("reference", ["baseline", "followup"])
def test_the_transform_file_maps_baseline_to_followup_either_way(
    cohort, pair, settings_here, reference, tmp_path
):
    scan, brain = pair["baseline"]
    layout = Layout(shutil.copytree(cohort / "results", tmp_path / "results"))
    run_register_followup(layout, "P1", settings_here.registration, reference)
    transform = layout.pair("P1").transform
    matrix = read_transform(transform)
    assert mean_error_mm(matrix, MOTION, brain, scan.ct.affine) < 0.3
    point = np.array([10.0, -20.0, 30.0, 1.0])
    lps = np.array([-1, -1, 1])
    moved = sitk.ReadTransform(str(transform)).TransformPoint((point[:3] * lps).tolist())
    np.testing.assert_allclose(np.array(moved) * lps, (MOTION @ point)[:3], atol=0.6)
    other = "followup" if reference == "baseline" else "baseline"
    run_resample_scan(layout, "P1", other, settings_here.grid, reference)
    iph = nib.load(layout.grid("P1", other).iph)
    found = iph.affine @ [*ndimage.center_of_mass(np.asarray(iph.dataobj)), 1]
    pose = POSE if reference == "baseline" else MOTION @ POSE
    expected = pose @ [30, 5, 4, 1]
    assert np.linalg.norm((found - expected)[:3]) < 1.5


def test_qc_and_outcomes_gather_every_scan(cohort, pair, settings_here):
    layout = Layout(cohort / "results")
    sheet = read_sheet(cohort / "samples.tsv")
    run_collect_qc(layout, sheet, cohort / "samples.tsv", settings_here)
    assert layout.excluded.read_text() == "patient_id\tsession\tstep\treason\n"
    assert layout.qc.read_text().splitlines()[0].split("\t") == [
        "patient_id",
        "session",
        "iph_ml",
        "ivh_ml",
        "iph_grid_ml",
        "ivh_grid_ml",
        "brain_ml",
        "lowest_share",
        "highest_share",
        "compactness",
        "rotation_deg",
        "translation_mm",
        "registration_metric",
        "correlation",
        "overlap",
        "status",
        "reason",
        "notes",
    ]
    table = pd.read_csv(layout.qc, sep="\t")
    assert table["session"].tolist() == ["baseline", "followup", "baseline"]
    assert table["rotation_deg"].notna().tolist() == [False, True, False]
    assert table["status"].tolist() == ["warning", "ok", "warning"]
    assert table["reason"][0] == "the same voxels as the baseline of patient P2"
    assert table["reason"][2] == "the same voxels as the baseline of patient P1"
    for (scan, _), row in zip((*pair.values(), pair["baseline"]), table.itertuples(), strict=True):
        iph_ml = scan.iph.data.sum() * np.prod(scan.ct.spacing_mm) / 1000
        assert row.iph_ml == pytest.approx(iph_ml, rel=1e-5)
        assert row.iph_grid_ml == pytest.approx(iph_ml, rel=0.02)
    result = pd.read_csv(layout.outcomes, sep="\t").set_index("patient_id")
    growth = table["iph_ml"][1] - table["iph_ml"][0]
    assert growth > 6
    assert result.loc["P1", "growth_ml"] == pytest.approx(growth, rel=1e-4)
    assert result.loc["P1", ["he", "he_6ml", "rhe"]].tolist() == [1, 1, 1]
    assert result.loc["P2", ["growth_ml", "he"]].isna().all()
    assert result.columns.tolist() == [
        "center",
        "split",
        "baseline_iph_ml",
        "baseline_ivh_ml",
        "followup_iph_ml",
        "followup_ivh_ml",
        "growth_ml",
        "ivh_growth_ml",
        "he",
        "he_6ml",
        "rhe",
    ]


def test_a_missing_table_is_told_with_its_patient(cohort, settings_here, tmp_path):
    layout, sheet = Layout(tmp_path), cohort / "samples.tsv"
    with pytest.raises(HemexpError) as error:
        run_collect_qc(layout, read_sheet(sheet), sheet, settings_here)
    lost = layout.native("P1", "baseline").volumes
    assert f"patient P1, {lost}" in str(error.value)
    assert not layout.qc.exists()


@pytest.fixture
def native(cohort, tmp_path):
    """A folder with P1's native baseline alone."""
    layout = Layout(tmp_path)
    layout.native("P1", "baseline").ct.parent.mkdir(parents=True)
    for path in Layout(cohort / "results").native("P1", "baseline").images:
        shutil.copy(path, layout.native("P1", "baseline").ct.parent)
    return layout


def test_a_brain_larger_than_the_grid_is_told_with_its_patient(native, settings_here):
    layout, small = native, settings_here.grid.model_copy(update={"shape": (56, 64, 10)})
    with pytest.raises(HemexpError, match=r"patient P1, .*mm along z"):
        run_resample_scan(layout, "P1", "baseline", small, "baseline")
    assert not any(path.exists() for path in layout.grid("P1", "baseline"))


def test_a_bleed_too_small_for_the_grid_ends_the_patient_here(native, settings_here):
    path = native.native("P1", "baseline").iph
    mask = read_volume(path)
    one = np.zeros_like(mask.data)
    one[tuple(np.argwhere(mask.data)[0])] = 1
    write_volume(path, one, mask.affine, np.uint8)
    with pytest.raises(HemexpError, match=r"patient P1, .*no voxel of IPH on the grid"):
        run_resample_scan(native, "P1", "baseline", settings_here.grid, "baseline")
    assert not any(path.exists() for path in native.grid("P1", "baseline"))


def test_every_limit_gives_a_reason_in_words(settings_here):
    right = pd.Series(
        {
            "brain_ml": 1400.0,
            "lowest_share": 0.2,
            "highest_share": 0.25,
            "compactness": 0.6,
            "rotation_deg": np.nan,
            "translation_mm": np.nan,
            "iph_ml": 20.0,
            "iph_grid_ml": 20.4,
            "ivh_ml": 0.6,
            "ivh_grid_ml": 0.8,
        }
    )
    limits = settings_here.quality
    assert scan_warnings(right, None, limits) == []
    assert scan_warnings(right, 1420.0, limits) == []
    wrong = {
        "brain_ml": (500.0, "brain 500 mL outside"),
        "lowest_share": (0.4, "brain cut off at its lower end (40% of its widest slice there"),
        "highest_share": (0.5, "brain cut off at its upper end (50% of its widest slice there"),
        "compactness": (0.4, "compactness 0.40, limit 0.5"),
        "rotation_deg": (41.0, "turned by 41.0"),
        "translation_mm": (77.0, "moved by 77.0"),
        "iph_grid_ml": (23.0, "IPH 20.00 mL is 23.00"),
        "ivh_grid_ml": (1.2, "IVH 0.60 mL is 1.20"),
    }
    for name, (value, words) in wrong.items():
        row = right.copy()
        row[name] = value
        (reason,) = scan_warnings(row, None, limits)
        assert words in reason
    (reason,) = scan_warnings(right, 1700.0, limits)
    assert "1700 mL in the other scan" in reason
