"""Scans without masks: what the sheet may leave empty, what is then planned, and how it ends."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from mini import CONFIG, jobs, mini_rows, run, snakemake, write_sheet
from test_cohort import row, write
from tiny_models import save_segmenter

from hemexp import HemexpError
from hemexp.cohort import read_sheet
from hemexp.columns import SESSIONS
from hemexp.desk.check import run_check
from hemexp.desk.missing_masks import check_masks, unmasked_scans
from hemexp.layout import Layout
from hemexp.outcomes import read_volumes
from hemexp.phantom.hard import DIFFICULTIES, draw_hard_head
from hemexp.preprocess.exclude import NothingFound
from hemexp.preprocess.rows import read_row, write_row
from hemexp.preprocess.scans import NativeScan
from hemexp.preprocess.skull import delineate_brain
from hemexp.preprocess.unmasked import run_complete_scan, run_strip_unmasked
from hemexp.segmentation.train import run_train_segmentation
from hemexp.sheet import SheetError
from hemexp.verbs.options import training_stripped
from hemexp.volumes import Volume, read_volume, write_volume

BASELINE = {"baseline_iph": "", "baseline_ivh": ""}
FOLLOWUP = {"followup_iph": "", "followup_ivh": ""}


# The sheet


def test_scans_whose_two_mask_cells_are_empty_are_for_the_workflow(tmp_path):
    rows = [
        row(tmp_path, "P1"),
        row(tmp_path, "P2", split="test", **BASELINE, **FOLLOWUP),
        row(tmp_path, "P3", **FOLLOWUP),
        row(tmp_path, "P4", baseline_ivh="none"),
        row(tmp_path, "P5", split="predict", followup_ct="", **BASELINE, **FOLLOWUP),
    ]
    sheet = read_sheet(write(tmp_path, rows))
    assert unmasked_scans(sheet) == [
        ("P2", "baseline"),
        ("P2", "followup"),
        ("P3", "followup"),
        ("P5", "baseline"),
    ]
    said = run_check(tmp_path / "samples.tsv", None)
    assert said.endswith("centres A, 4 scans without masks will be segmented, ok")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"baseline_iph": ""}, "baseline_iph: found nothing beside an IVH cell that is filled in"),
        ({"followup_iph": "", "followup_ivh": "none"}, "followup_iph: found nothing beside an"),
        ({"followup_ivh": ""}, "followup_ivh: found nothing; expected a file or none"),
    ],
)
def test_half_of_a_scans_masks_is_refused(tmp_path, changes, message):
    path = write(tmp_path, [row(tmp_path, "P1", **changes)])
    with pytest.raises(SheetError, match=message) as caught:
        read_sheet(path)
    assert len(caught.value.faults) == 1


def test_a_missing_followup_is_one_fault(tmp_path):
    path = write(tmp_path, [row(tmp_path, "P1", followup_ct="", **FOLLOWUP)])
    with pytest.raises(SheetError, match="followup_ct: found nothing") as caught:
        read_sheet(path)
    assert len(caught.value.faults) == 1


def test_a_network_needs_enough_patients_a_program_none_and_provided_asks_for_all(
    tmp_path, settings
):
    rows = [row(tmp_path, f"P{n}") for n in range(4)]
    rows += [row(tmp_path, "T1", split="test"), row(tmp_path, "U1", **FOLLOWUP)]
    sheet = read_sheet(write(tmp_path, rows))

    def by(**changes):
        return settings.segmentation.model_copy(update=changes)

    assert check_masks(sheet, by(least_masked=4)) == [("U1", "followup")]
    # Neither the test patient nor the one whose follow-up has no masks counts.
    with pytest.raises(HemexpError, match="and 4 patients.*expected 5 or more.*masks of 1 more"):
        check_masks(sheet, by(least_masked=5))
    with pytest.raises(HemexpError, match="patient U1, columns followup_iph and followup_ivh"):
        check_masks(sheet, by(method="provided"))
    assert check_masks(sheet, by(method="command", least_masked=99)) == [("U1", "followup")]
    given = sheet.drop(index="U1")
    assert check_masks(given, by(method="provided", least_masked=99)) == []


# The plan

FEW = ("--config", "segmentation={least_masked: 4, folds: 2}")
ROOM = ("strip_unmasked", "train_segmentation", "train_segmentations", "crossfit_masks")
ROOM = (*ROOM, "score_segmentation", "segment_scan")


def without_masks():
    """The mini cohort: a `val` patient, a follow-up of `train` and one to predict have none."""
    rows = mini_rows().set_index("patient_id", drop=False)
    rows.loc["B10", [*BASELINE, *FOLLOWUP]] = ""
    rows.loc["A02", [*FOLLOWUP]] = ""
    rows.loc["D09", [*BASELINE]] = ""
    return rows


@pytest.mark.slow
def test_all_trainings_start_from_the_released_network_that_is_named(tmp_path, settings):
    released = Layout(tmp_path / "theirs")
    save_segmenter(released, settings.segmentation, ["X1"])
    start = f"segmentation={{least_masked: 4, folds: 2, start_from: {released.root}}}"
    folder = write_sheet(without_masks(), tmp_path / "few")
    text = snakemake(folder, "--dry-run", "--printshellcmds", "--config", start)
    told = re.findall(r"hemexp train-segmentation( --fold .)? +--start-from (\S+)", text)
    assert sorted(told) == [(fold, str(released.root)) for fold in ("", " --fold 0", " --fold 1")]
    assert text.count("theirs/segmentation/model.safetensors") >= 3


@pytest.mark.slow
def test_masks_are_made_where_there_are_none_and_nothing_else_changes(tmp_path):
    given = jobs(snakemake(write_sheet(mini_rows(), tmp_path / "given"), "--dry-run", *FEW))
    planned = jobs(snakemake(write_sheet(without_masks(), tmp_path / "few"), "--dry-run", *FEW))
    assert not set(given) & set(ROOM) and given["strip_skull"] == 17
    made = {name: planned.pop(name) for name in ROOM}
    assert tuple(made.values()) == (4, 1, 2, 2, 1, 4)
    assert planned == given | {"strip_skull": 13}


@pytest.mark.slow
def test_a_program_trains_nothing(tmp_path):
    labels = "command_labels: {iph: [1], ivh: [2]}"
    config = f"segmentation={{method: command, command: 'tool {{input}} {{output}}', {labels}}}"
    folder = write_sheet(without_masks(), tmp_path)
    text = snakemake(folder, "--dry-run", "--config", config)
    assert {name for name in jobs(text) if name in ROOM} == {"strip_unmasked", "segment_scan"}


@pytest.mark.slow
def test_too_few_masks_stop_before_any_job(tmp_path):
    text = snakemake(write_sheet(without_masks(), tmp_path), "--dry-run", check=False)
    assert re.search(
        "and 4 patients of split `train`.*expected 20 or more.*masks of 16 more", text
    )
    assert "Job stats" not in text


# The jobs

SHAPE = (24, 24, 8)
AFFINE = np.diag([8.0, 8.0, 20.0, 1.0])


@pytest.fixture
def stripped(tmp_path, settings, monkeypatch):
    """A scan that `strip-unmasked` leaves: raw files, layout and what was run."""
    from hemexp.preprocess import strip

    layout, raw = Layout(tmp_path / "results"), {"ct": tmp_path / "ct.nii.gz"}
    ct = np.full(SHAPE, -1000, dtype=np.int16)
    ct[4:20, 4:20, 1:7], ct[8:12, 8:12, 3:5] = 30, 65
    write_volume(raw["ct"], ct, AFFINE, np.int16)
    monkeypatch.setattr(strip, "delineate_brain", lambda scan, settings: scan.ct.data > -100)
    limits = settings.preprocess.raw
    run_strip_unmasked(layout, "P1", "baseline", raw, settings.preprocess.skull_strip, limits)
    return layout, ct


@pytest.mark.parametrize("case", ["bleed at skull", "craniotomy, holder, bleed at skull"])
def test_blood_beside_the_skull_is_kept_without_masks(settings, case):
    drawn, affine = draw_hard_head(DIFFICULTIES[case], "A", 2.0, "A01")
    ct = Volume(drawn.ct.astype(np.float32), affine)
    blank = ct.with_data(np.zeros(ct.data.shape, dtype=bool))
    found = delineate_brain(NativeScan(ct, blank, blank), settings.preprocess.skull_strip)
    blood = (drawn.iph > 0) | (drawn.ivh > 0)
    assert blood.sum() * ct.voxel_ml > 20 and found[blood].all()
    assert found.sum() * ct.voxel_ml < 1500


def write_masks(layout, iph):
    native = layout.native("P1", "baseline")
    for path, mask in {native.iph: iph, native.ivh: np.zeros(SHAPE)}.items():
        write_volume(path, mask, AFFINE, np.uint8)


def test_a_scan_is_stripped_without_masks_and_measured_once_it_has_some(stripped):
    layout, ct = stripped
    native = layout.native("P1", "baseline")
    assert not native.iph.exists() and not native.volumes.exists()
    assert (read_volume(native.brain).data == (ct > -100)).all()
    before = read_row(layout.stripped("P1", "baseline"), "P1")
    assert "iph_ml" not in before
    write_masks(layout, ct == 65)
    run_complete_scan(layout, "P1", "baseline")
    row = read_row(native.volumes, "P1")
    assert row["iph_ml"] == pytest.approx(32 * 1.28) and row["ivh_ml"] == 0
    assert row["brain_ml"] == before["brain_ml"] == pytest.approx(16 * 16 * 6 * 1.28, rel=1e-5)
    assert [*row][:5] == ["patient_id", "session", "iph_ml", "ivh_ml", "brain_ml"]
    record = json.loads(native.volumes.with_suffix(".json").read_text())
    assert record["verb"] == "segment-scan" and "skull_strip" in record["settings"]
    assert native.picture.exists()


def test_no_bleed_found_is_refused_in_words(stripped):
    layout, _ = stripped
    write_masks(layout, np.zeros(SHAPE))
    with pytest.raises(NothingFound, match="patient P1, baseline: found no IPH in the masks"):
        run_complete_scan(layout, "P1", "baseline")


def segment(folder, *arguments):
    where = ("--results", folder / "results", "--patient", "P1", "--session", "baseline")
    settings = ("--settings", CONFIG, "--device", "cpu")
    return run("hemexp", folder, "segment-scan", *where, *settings, *arguments)


def test_a_scan_that_was_not_stripped_keeps_the_reason(tmp_path):
    layout = Layout(tmp_path / "results")
    reason = {"patient_id": "P1", "failure": "found no head"}
    write_row(layout.stripped("P1", "baseline"), reason)
    segment(tmp_path, "--on-failure", "exclude")
    native = layout.native("P1", "baseline")
    assert read_row(native.volumes, "P1") == reason
    assert native.iph.read_bytes() == layout.segmentation("P1", "baseline").read_bytes() == b""


def test_a_training_patient_who_was_not_stripped_teaches_nothing(tmp_path):
    layout, rows = Layout(tmp_path / "results"), [row(tmp_path, f"P{n}") for n in range(3)]
    path = write(tmp_path, [*rows, row(tmp_path, "T1", split="test")])
    for patient_id, reason in {"P0": {}, "P1": {"failure": "found no head"}, "P2": {}}.items():
        for session in SESSIONS:
            table = layout.native(patient_id, session).volumes
            write_row(table, {"patient_id": patient_id, "iph_ml": 5.0} | reason)
    arguments = SimpleNamespace(samples=path, results=layout.root)
    assert list(training_stripped(arguments).index) == ["P0", "P2"]


@pytest.mark.slow
def test_segment_scan_ends_in_what_given_masks_end_in(stripped, settings, tmp_path):
    layout, ct = stripped
    small = {"width": 8, "blocks": [1, 1], "crop": (8, 8, 4), "steps": 60, "batch_crops": 4}
    few = {"least_masked": 2, "checkpoint_every": 99, "learning_rate": 1e-2, "ema_decay": 0.5}
    tiny = settings.segmentation.model_copy(update=small | few)
    for patient_id in ("T1", "T2"):
        for session in SESSIONS:
            native = layout.native(patient_id, session)
            images = (ct, ct == 65, np.zeros(SHAPE), ct > -100)
            for path, data in zip(native.images, images, strict=True):
                write_volume(path, data, AFFINE, np.int16)
    run_train_segmentation(layout, ["T1", "T2"], None, tiny, 1, "cpu")
    segment(tmp_path)
    patients = pd.DataFrame({"split": ["train"]}, index=["P1"])
    found = read_volumes(layout, patients, ("baseline",)).loc["P1"]
    mask = read_volume(layout.native("P1", "baseline").iph).data > 0
    assert found["baseline_iph_ml"] == pytest.approx(mask.sum() * 1.28, rel=1e-5)
    assert 2 * (mask & (ct == 65)).sum() / (mask.sum() + 32) > 0.7
