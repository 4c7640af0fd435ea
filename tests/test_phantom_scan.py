"""Scans of the phantom: volumes, motion, mass effect, ventricles, files."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mini import REPOSITORY

from hemexp import HemexpError
from hemexp.cohort import read_sheet
from hemexp.columns import REQUIRED, SESSIONS
from hemexp.layout import Layout
from hemexp.phantom.bleed import draw_direction, draw_shape, redraw_direction
from hemexp.phantom.centers import CENTERS, MOTION_DEG, MOTION_MM, find_center, scanner_grid
from hemexp.phantom.collect_truth import run_collect_truth
from hemexp.phantom.draw import draw_scans, run_draw_patient
from hemexp.phantom.draw_cohort import Size, list_patients, run_draw_cohort
from hemexp.phantom.head import cavity_mm, draw_head, ventricle_distance_mm
from hemexp.phantom.mass_effect import displacement_mm, largest_shift_mm, mean_shift_mm
from hemexp.phantom.model import draw_case, draw_growth, generator, growth_quantile
from hemexp.phantom.redraw import redraw_followups, show_blood
from hemexp.phantom.tissue import Session, locate_voxels
from hemexp.volumes import Volume, read_volume, volume_ml


@pytest.fixture(scope="module")
def coarse(settings):
    return settings.phantom.model_copy(update={"spacing_factor": 2.0})


@pytest.fixture(scope="module")
def spilled(coarse):
    """A patient whose bleed expands and reaches a ventricle at the oblique centre."""
    return draw_scans("C02", find_center("C"), coarse)


def undeformed(patient_id, session, scans, affine, truth, seed):
    """Head, its voxels' flat indices, head coordinates, and where their tissue came from."""
    case = draw_case(seed, patient_id)
    head, bleed = draw_head(seed, patient_id, case.age), draw_shape(seed, case)
    pose = np.array(truth["head_to_baseline"])
    if session == "followup":
        pose = np.array(truth["baseline_to_followup"]) @ pose
    index, points = locate_voxels(scans[session].ct.shape, affine, pose)
    cavity = cavity_mm(head, points)
    iph_ml = truth[session]["model_iph_ml"]
    material = points - displacement_mm(head, points, cavity, bleed.center_mm, iph_ml)
    return head, index, points, material


@pytest.mark.parametrize("patient_id", ["A01", "B03", "C02", "D08"])
def test_masks_have_the_volume_of_the_model(patient_id, coarse):
    scans, affine, truth = draw_scans(patient_id, find_center(patient_id[0]), coarse)
    baseline_ml = draw_case(coarse.seed, patient_id).baseline_iph_ml
    for session, expected in (
        ("baseline", baseline_ml),
        ("followup", baseline_ml + truth["growth_ml"]),
    ):
        measured = volume_ml(Volume(scans[session].iph, affine))
        assert measured == pytest.approx(expected, rel=0.005)
        assert measured == truth[session]["iph_ml"]
        assert not np.any(scans[session].iph & scans[session].ivh)


def test_head_looks_like_a_ct(spilled):
    scans, affine, _ = spilled
    scan = scans["baseline"]
    brain = scan.brain.astype(bool)
    assert 1200 < volume_ml(Volume(scan.brain, affine)) < 1500
    assert 25 < np.median(scan.ct[brain]) < 40
    assert 55 < np.median(scan.ct[scan.iph == 1]) < 72
    assert 45 < np.median(scan.ct[scan.ivh == 1]) < 65
    assert np.median(scan.ct[0]) == pytest.approx(-1000, abs=10)
    assert 1000 < np.percentile(scan.ct, 99.5) < 1400
    assert np.all(scan.ct[:2, :, :] < -900) and np.all(scan.ct[:, :2, :] < -900)


def test_known_motion_lays_one_skull_on_the_other(spilled):
    scans, affine, truth = spilled
    motion = np.array(truth["baseline_to_followup"])
    assert truth["rotation_deg"] <= MOTION_DEG and truth["translation_mm"] <= MOTION_MM
    bone = scans["baseline"].ct > 500
    voxels = np.indices(bone.shape).reshape(3, -1)
    homogeneous = np.vstack([voxels, np.ones(voxels.shape[1])])

    def dice(matrix):
        moved = np.rint(np.linalg.inv(affine) @ matrix @ affine @ homogeneous)[:3].astype(int)
        limits = np.array(bone.shape)[:, None]
        known = np.all((moved >= 0) & (moved < limits), axis=0)
        one = bone.ravel()[known]
        other = scans["followup"].ct[tuple(moved[:, known])] > 500
        return 2 * np.sum(one & other) / (one.sum() + other.sum())

    assert dice(motion) > 0.88
    assert dice(motion) > dice(np.eye(4)) + 0.1
    assert dice(motion) > dice(np.linalg.inv(motion)) + 0.1


def head_and_bleed(patient_id, seed):
    case = draw_case(seed, patient_id)
    return draw_head(seed, patient_id, case.age), draw_shape(seed, case)


def test_midline_moves_away_from_the_bleed_and_the_skull_stays(coarse):
    head, bleed = head_and_bleed("A01", coarse.seed)
    shifts = [largest_shift_mm(head, bleed.center_mm, volume) for volume in (5, 20, 60, 100)]
    assert np.all(-bleed.side * np.diff([0, *shifts]) > 0)
    assert 2.5 < abs(shifts[2]) < 8
    axis = np.linspace(-15, 15, 3001, dtype=np.float32)
    crossings = []
    for y in (-10, 0, 10, 20, 30):
        points = np.stack([axis, np.full_like(axis, y), np.full_like(axis, 10)])
        cavity = cavity_mm(head, points)
        moved = displacement_mm(head, points, cavity, bleed.center_mm, 60)
        crossings.append(axis[np.argmin(np.abs(points[0] - moved[0]))])
    assert max(np.abs(crossings)) == pytest.approx(abs(shifts[2]), abs=0.3)
    mean_mm = mean_shift_mm(head, bleed.center_mm, 60)
    assert 0.5 < mean_mm / shifts[2] < 0.95
    skull = np.array([[80, 0, 10], [-80, 0, 10], [0, 90, 5]], np.float32).T
    held = displacement_mm(head, skull, cavity_mm(head, skull), bleed.center_mm, 60)
    assert np.all(held == 0)


def test_midline_shift_has_the_stated_size():
    patients = [head_and_bleed(f"P{k}", 1) for k in range(24)]
    shifts = [
        [abs(largest_shift_mm(h, b.center_mm, v)) for v in (5, 30, 100)] for h, b in patients
    ]
    assert np.median(shifts, axis=0) == pytest.approx([0.8, 3.6, 7.9], rel=0.15)


def lattice(head, step_mm):
    """Points inside the skull on a regular grid, (3, n)."""
    axes = (np.arange(-side, side + 1, step_mm) for side in (72, 90, 76))
    points = np.stack(np.meshgrid(*axes, indexing="ij")).reshape(3, -1).astype(np.float32)
    return points[:, cavity_mm(head, points) < -1]


def jacobian(head, bleed, points, volume_ml, step_mm=0.5):
    """Volume of material per volume seen at each point, by central differences, (n,)."""

    def material(at):
        return at - displacement_mm(head, at, cavity_mm(head, at), bleed.center_mm, volume_ml)

    steps = np.float32(step_mm / 2) * np.eye(3, dtype=np.float32)[:, :, None]
    slopes = [(material(points + step) - material(points - step)) / step_mm for step in steps]
    return np.linalg.det(np.moveaxis(np.array(slopes, dtype=float), 2, 0))


@pytest.mark.parametrize("patient_id", ["P17", "P1", "P0", "P8"])
@pytest.mark.parametrize("volume_ml", [2, 30, 110])
def test_mass_effect_folds_nothing_and_the_skull_keeps_its_volume(patient_id, volume_ml, coarse):
    head, bleed = head_and_bleed(patient_id, 1)
    volumes = jacobian(head, bleed, lattice(head, 4.0), volume_ml)
    assert volumes.min() > 0.05
    assert volumes.mean() == pytest.approx(1, abs=0.005)
    assert volumes.max() > 1.03


def ventricles_ml(head, bleed, volume_ml, step_mm=2.0):
    """Volume on the bleed's side and on the other, (2,)."""
    points = lattice(head, step_mm)
    if volume_ml:
        cavity = cavity_mm(head, points)
        points -= displacement_mm(head, points, cavity, bleed.center_mm, volume_ml)
    side = bleed.side * points[0][ventricle_distance_mm(head, points) < 0]
    return np.array([np.sum(side >= 0), np.sum(side < 0)]) * step_mm**3 / 1000


def test_ventricles_give_way_to_the_bleed():
    loss = []
    for k in range(12):
        head, bleed = head_and_bleed(f"P{k}", 1)
        before, *after = (ventricles_ml(head, bleed, volume) for volume in (0, 20, 100))
        assert 0.45 * before.sum() < after[1].sum() < after[0].sum() < before.sum()
        loss.append([before - after[0], before - after[1]])
    (near_ml, far_ml), (near_large_ml, far_large_ml) = np.mean(loss, axis=0)
    assert near_ml > 1.3 * far_ml > 0
    small_ml, large_ml = near_ml + far_ml, near_large_ml + far_large_ml
    assert small_ml / 20 == pytest.approx(0.25, abs=0.03)
    assert large_ml / 100 == pytest.approx(0.15, abs=0.02)


def test_the_mass_effect_of_a_mirrored_bleed_is_mirrored(coarse):
    head, bleed = head_and_bleed("A01", coarse.seed)
    points, mirror = lattice(head, 8.0), np.array([[-1], [1], [1]], np.float32)
    cavity = cavity_mm(head, points)
    one = displacement_mm(head, points, cavity, bleed.center_mm, 30)
    other = displacement_mm(head, points * mirror, cavity, bleed.center_mm * mirror[:, 0], 30)
    np.testing.assert_allclose(other * mirror, one, atol=1e-4)
    shift_mm = mean_shift_mm(head, bleed.center_mm, 30)
    assert mean_shift_mm(head, bleed.center_mm * mirror[:, 0], 30) == pytest.approx(-shift_mm)


def test_septum_in_the_image_moves_by_the_true_shift(coarse):
    """Of the tissue seen in the followup, what lay in the midline is displaced as told."""
    scans, affine, truth = draw_scans("D08", find_center("D"), coarse)
    _, _, points, material = undeformed("D08", "followup", scans, affine, truth, coarse.seed)
    told, largest = (truth["followup"][f"midline_{name}_mm"] for name in ("shift", "largest"))
    assert told > truth["baseline"]["midline_shift_mm"] > 1
    middle = (np.abs(material[0]) < 0.5) & (points[2] > -16) & (points[2] < 26)
    middle &= np.abs(points[1]) < 40
    away = -truth["side"] * points[0][middle]
    assert away.mean() == pytest.approx(told, abs=0.3)
    assert away.max() == pytest.approx(largest, abs=1.0)


def test_truth_tells_the_ventricles_volume(spilled, coarse):
    scans, affine, truth = spilled
    for session, scan in scans.items():
        head, index, _, material = undeformed("C02", session, scans, affine, truth, coarse.seed)
        inside = np.zeros(scan.ct.shape, np.uint8)
        inside.ravel()[index] = ventricle_distance_mm(head, material) < 0
        assert not np.any(scan.ivh & ~inside)
        told_ml = truth[session]["ventricle_ml"]
        assert volume_ml(Volume(inside, affine)) == pytest.approx(told_ml, rel=0.05)
    assert truth["followup"]["ventricle_ml"] < truth["baseline"]["ventricle_ml"] - 1


def test_ivh_lies_in_ventricles_and_iph_outside(spilled, coarse):
    scans, affine, truth = spilled
    assert truth["baseline"]["ivh_ml"] > 0.3
    for session, scan in scans.items():
        head, index, _, material = undeformed("C02", session, scans, affine, truth, coarse.seed)
        ventricle = ventricle_distance_mm(head, material)
        assert ventricle[scan.ivh.ravel()[index] == 1].max() < 0
        assert ventricle[scan.iph.ravel()[index] == 1].min() > 0


def in_scan(mask, shape, affine):
    """A mask of a part of a scan, in the whole scan."""
    low = np.rint((np.linalg.inv(affine) @ mask.affine[:, 3])[:3]).astype(int)
    whole = np.zeros(shape, np.uint8)
    whole[tuple(slice(a, a + n) for a, n in zip(low, mask.data.shape, strict=True))] = mask.data
    return whole


def test_blood_alone_is_that_of_the_scans_to_the_voxel(coarse, spilled):
    """What a redraw shows is what a scanner would: the same bleed, growth and motion, in a box."""
    scans, affine, truth = spilled
    case = draw_case(coarse.seed, "C02")
    head, bleed = draw_head(coarse.seed, "C02", case.age), draw_shape(coarse.seed, case)
    rng = generator(coarse.seed, "C02", "followup")
    growth_ml, direction = float(draw_growth(case, rng)[0]), draw_direction(bleed, rng)
    pose, motion = (np.array(truth[name]) for name in ("head_to_baseline", "baseline_to_followup"))
    grid, first_ml = scanner_grid(find_center("C"), coarse.spacing_factor), case.baseline_iph_ml
    blood, *before = show_blood(head, bleed, Session(pose, first_ml), grid)
    later = Session(motion @ pose, first_ml + growth_ml, before=blood.extent, direction=direction)
    _, *after = show_blood(head, bleed, later, grid)
    for session, masks in {"baseline": before, "followup": after}.items():
        for name, mask in zip(("iph", "ivh"), masks, strict=True):
            whole = getattr(scans[session], name)
            assert mask.data.size < whole.size / 4
            assert np.array_equal(in_scan(mask, whole.shape, affine), whole)
    assert after[1].data.any()


@pytest.mark.slow
def test_redrawn_followups_contain_the_baseline_and_follow_the_truth(coarse):
    scans, affine, truth = draw_scans("B03", find_center("B"), coarse)
    baseline = scans["baseline"]
    bleed = draw_shape(coarse.seed, draw_case(coarse.seed, "B03"))
    drawn = list(redraw_followups("B03", "B", 12, coarse))
    growth = np.array([volume_ml(one.iph) for one in drawn]) - truth["baseline"]["iph_ml"]
    case = draw_case(coarse.seed, "B03")
    low, high = growth_quantile(case, np.array([1e-6, 1 - 1e-6]))
    assert growth.min() > low - 0.05 and growth.max() < high + 0.05
    assert len(set(np.round(growth, 2))) == 12
    pose = np.array(truth["head_to_baseline"])
    index = np.argwhere(baseline.iph)
    scanned = affine @ np.column_stack([index, np.ones(len(index))]).T
    for k in np.flatnonzero(growth >= 6):
        iph, ivh, motion = drawn[k]
        assert not np.allclose(motion, truth["baseline_to_followup"], atol=1e-3)
        to_index = np.linalg.inv(iph.affine) @ motion
        again = np.rint((to_index @ scanned)[:3]).astype(int)
        blood = (iph.data | ivh.data).astype(bool)
        assert np.mean(blood[tuple(again)]) > 0.97
        new = iph.data.astype(bool)
        new[tuple(again)] = False
        middle = np.append(np.argwhere(new).mean(axis=0), 1)
        middle = np.linalg.inv(motion @ pose) @ iph.affine @ middle
        rng = generator(coarse.seed, "B03", "redraw", k)
        draw_growth(case, rng)
        assert (middle[:3] - bleed.center_mm) @ redraw_direction(bleed, rng) > 2.0


def test_a_redraw_knows_what_the_baseline_shows_and_no_more(coarse):
    """Its direction depends on the bleed's place, not on where this patient's bleed went."""
    bleed = draw_shape(coarse.seed, draw_case(coarse.seed, "B03"))
    elsewhere = replace(bleed, direction=-bleed.direction)

    def directions(shape, draw):
        return np.stack([draw(shape, np.random.default_rng(k)) for k in range(200)])

    redrawn = directions(bleed, redraw_direction)
    assert np.array_equal(redrawn, directions(elsewhere, redraw_direction))
    assert np.allclose(np.linalg.norm(redrawn, axis=1), 1)
    resultant = np.linalg.norm(redrawn.mean(axis=0))
    assert 0.4 < resultant < np.linalg.norm(directions(bleed, draw_direction).mean(axis=0)) - 0.1


def test_redraw_does_not_depend_on_how_many(coarse):
    few, more = ([*redraw_followups("A03", "A", n, coarse)] for n in (2, 4))
    for one, other in zip(few, more[:2], strict=True):
        assert np.array_equal(one.iph.data, other.iph.data)
        assert np.array_equal(one.motion, other.motion)


def test_written_patient_is_reproducible_and_readable(tmp_path, coarse):
    coarse = coarse.model_copy(update={"spacing_factor": 3.0})
    layout, other = Layout(tmp_path / "one"), Layout(tmp_path / "two")
    files = run_draw_patient(layout, "D01", "D", coarse)
    run_draw_patient(other, "A09", "A", coarse)
    again = run_draw_patient(other, "D01", "D", coarse)
    assert len(files) == 7
    for one, two in zip(files[:6], again[:6], strict=True):
        assert one.read_bytes() == two.read_bytes()
        assert one.with_name(one.name.replace(".nii.gz", ".json")).is_file()
    truth = json.loads(files[6].read_text())
    mask = read_volume(layout.raw("D01", "followup").iph)
    assert set(np.unique(mask.data)) == {0, 1}
    assert volume_ml(mask) == pytest.approx(truth["followup"]["iph_ml"], rel=1e-5)
    assert volume_ml(mask) - truth["baseline"]["iph_ml"] == pytest.approx(
        truth["growth_ml"], abs=0.1
    )
    run_collect_truth(layout, ["D01"], coarse)
    row = pd.read_csv(layout.truths, sep="\t", index_col="patient_id").loc["D01"]
    assert row["p_expansion"] == pytest.approx(truth["p_expansion"])
    around_median = row[["growth_part100_ml", "growth_part101_ml"]].mean()
    assert around_median == pytest.approx(truth["growth_quantiles_ml"][49], abs=0.01)
    assert row["motion_13"] == pytest.approx(truth["baseline_to_followup"][1][3])
    for name in ("midline_shift_mm", "midline_largest_mm", "ventricle_ml"):
        assert row[f"followup_{name}"] == pytest.approx(truth["followup"][name])


def test_centres_differ_and_one_is_oblique(coarse):
    affines = {name: scanner_grid(center, 1.0)[1] for name, center in CENTERS.items()}
    spacings = {tuple(np.linalg.norm(a[:3, :3], axis=0).round(3)) for a in affines.values()}
    assert len(spacings) == len(CENTERS)
    axes = affines["C"][:3, :3] / np.linalg.norm(affines["C"][:3, :3], axis=0)
    assert np.allclose(axes.T @ axes, np.eye(3))
    assert np.degrees(np.arccos(axes[2, 2])) == pytest.approx(14.0)
    with pytest.raises(HemexpError, match="one of A, B, C, D"):
        find_center("Q")


def test_sheet_passes_its_own_check(tmp_path, monkeypatch, settings):
    monkeypatch.chdir(tmp_path)
    run_draw_cohort("config/samples.tsv", settings.phantom, Size())
    sheet = read_sheet("config/samples.tsv")
    assert list(pd.read_csv("config/samples.tsv", sep="\t").columns) == list(REQUIRED)
    counts = sheet["split"].value_counts()
    assert counts.to_dict() == {"train": 26, "val": 4, "test": 8, "predict": 2}
    assert set(sheet["center"][sheet["split"].isin(["test", "predict"])]) == {"D"}
    assert set(sheet["center"][sheet["split"].isin(["train", "val"])]) == {"A", "B", "C"}
    assert (sheet["followup_ct"][sheet["split"] == "predict"] == "").all()
    path = "results/phantom/sub-A01/sub-A01_ses-baseline_ct.nii.gz"
    assert sheet.loc["A01", "baseline_ct"] == path
    unknown = sheet[["antiplatelet", "gcs", "sbp"]].isna()
    assert 1 <= unknown.to_numpy().sum() <= 15
    case = draw_case(settings.phantom.seed, "C05")
    assert sheet.loc["C05", "onset_to_ct_h"] == case.onset_to_ct_h
    assert sheet.loc["C05", "age"] == case.age


def test_larger_cohort_keeps_the_patients(settings):
    small, large = list_patients(Size()), list_patients(Size(12))
    assert set(small["patient_id"]) < set(large["patient_id"])
    assert large["split"].value_counts()["val"] == 4
    wide = list_patients(Size(12, held_out=5))
    assert wide["center"].value_counts().to_dict() == {"A": 12, "B": 12, "C": 12, "D": 5}
    assert wide["split"].value_counts()["test"] == 3


def test_the_demo_leaves_masks_of_three_training_patients_empty(tmp_path, monkeypatch, settings):
    monkeypatch.chdir(tmp_path)
    run_draw_cohort("config/samples.tsv", settings.phantom, Size(unmasked=3))
    drawn = Path("config/samples.tsv").read_text()
    assert drawn == (REPOSITORY / "config" / "samples.tsv").read_text()
    sheet = read_sheet("config/samples.tsv")
    masks = [f"{session}_{mask}" for session in SESSIONS for mask in ("iph", "ivh")]
    empty = (sheet[masks] == "").all(axis=1) & (sheet["split"] != "predict")
    assert sheet.index[empty].tolist() == ["A09", "B09", "C08"]
    assert (sheet.loc[empty, "split"] == "train").all()
    assert (sheet[["baseline_ct"]] != "").all(axis=None)


@pytest.mark.parametrize(
    "counts", [(0, 4, 2), (1, 3, 0), (5, -1, 2), (5, 4, 2, 2), (5, 4, 2, 5, 1, 12)]
)
def test_a_cohort_without_training_or_test_patients_is_refused(counts):
    with pytest.raises(HemexpError, match="draw-cohort"):
        list_patients(Size(*counts))
