"""Draft rows: what a name says, nothing that it does not say, and what is left to do."""

from pathlib import Path

import pandas as pd
import pytest

from hemexp import HemexpError
from hemexp.cohort import read_sheet
from hemexp.desk.name_patterns import column_of, compile_pattern
from hemexp.desk.new_center import draft_lines, run_new_center
from hemexp.ranges import NUMBERS
from hemexp.sheet import SheetError


def make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


FLAT = [
    f"007_{session}_{image}.nii.gz"
    for session in ("baseline", "FU")
    for image in ("ct", "iph", "ivh")
]


def read(path):
    return pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)


def test_rows_hold_the_files_and_no_invented_value(tmp_path):
    make(tmp_path / "scans", *FLAT, "012_base_ct.nii", "notes.txt")
    out = tmp_path / "rows.tsv"
    draft = run_new_center(tmp_path / "scans", [], "E", out)
    sheet = read(out).set_index("patient_id")
    assert list(sheet.index) == ["007", "012"]
    assert list(sheet["split"]) == ["test", "predict"] and set(sheet["center"]) == {"E"}
    assert sheet.loc["007", "followup_ct"] == "scans/007_FU_ct.nii.gz"
    assert (sheet[list(NUMBERS)] == "").all(axis=None)
    assert draft.unmatched == ["notes.txt"]
    assert draft.missing == ["012: no baseline_iph", "012: no baseline_ivh"]
    told = "\n".join(draft_lines(draft, out))
    assert "fits no pattern: notes.txt" in told and "missing: 012: no baseline_iph" in told
    assert told.endswith(
        "copy the rows into your sheet and check that: hemexp check --samples config/samples.tsv"
    )


def test_the_check_says_what_is_left_and_then_takes_the_rows(tmp_path):
    make(tmp_path, *FLAT)
    out = tmp_path / "rows.tsv"
    run_new_center(tmp_path, [], "E", out)
    with pytest.raises(SheetError, match="no training patient"):
        read_sheet(out)
    filled = read(out)
    filled["onset_to_ct_h"], filled["split"] = "2", "train"
    filled.to_csv(out, sep="\t", index=False)
    assert read_sheet(out)["baseline_ct"].str.endswith("007_baseline_ct.nii.gz").all()


def test_a_folder_of_dicom_is_one_file_of_the_sheet(tmp_path):
    make(tmp_path, "P1/baseline_iph.nii.gz", "P1/baseline_ivh.nii.gz", "P1/baseline_ct/0002.dcm")
    (tmp_path / "P1/baseline_ct/0001").write_bytes(b"\0" * 128 + b"DICM")
    run_new_center(tmp_path, [], "E", tmp_path / "rows.tsv")
    assert read(tmp_path / "rows.tsv")["baseline_ct"].tolist() == ["P1/baseline_ct"]


@pytest.mark.parametrize(
    ("pattern", "path", "found"),
    [
        ("{patient}_{session}_{image}", "A_1_t0_NCCT.nii.gz", ("A_1", "baseline_ct")),
        ("{patient}_baseline_ct.nii.gz", "A1_baseline_ct.nii.gz", ("A1", "baseline_ct")),
        ("{patient}_baseline_ct.nii.gz", "A1_followup_ct.nii.gz", None),
        ("{session}/{patient}/*_{image}", "fu/A1/x_seg_ich.nii", ("A1", "followup_iph")),
        ("{patient}/ct", "A1/ct.nii", None),
        ("{patient}_{session}_{image}", "A1_base_ct.txt", None),
    ],
)
def test_patterns(pattern, path, found):
    assert column_of(path, compile_pattern(pattern)) == found


@pytest.mark.parametrize("pattern", ["base_ct.nii.gz", "{patient}_{sesion}", "{patient}{patient}"])
def test_a_pattern_that_says_too_little_is_refused(pattern):
    with pytest.raises(HemexpError, match="in braces"):
        compile_pattern(pattern)


def test_nothing_is_overwritten_and_nothing_doubled(tmp_path):
    make(tmp_path / "s", "A1_baseline_ct.nii.gz", "A1_base_ct.nii")
    with pytest.raises(HemexpError, match="a second baseline_ct of 'A1'"):
        run_new_center(tmp_path / "s", [], "E", tmp_path / "rows.tsv")
    (tmp_path / "s/A1_base_ct.nii").unlink()
    make(tmp_path / "s", "A-1_baseline_iph.nii.gz")
    with pytest.raises(HemexpError, match="who would be A1 like 'A-1'|who would be A1 like 'A1'"):
        run_new_center(tmp_path / "s", [], "E", tmp_path / "rows.tsv")
    (tmp_path / "rows.tsv").write_text("mine")
    with pytest.raises(HemexpError, match="there already"):
        run_new_center(tmp_path / "s", [], "E", tmp_path / "rows.tsv")
    assert (tmp_path / "rows.tsv").read_text() == "mine"


def test_no_file_that_fits_is_told_with_an_example(tmp_path):
    make(tmp_path / "s", "x/scan1.nii.gz")
    with pytest.raises(HemexpError, match=r"none of which fits .*such as x/scan1.nii.gz"):
        run_new_center(tmp_path / "s", [], "E", tmp_path / "rows.tsv")
    assert not (tmp_path / "rows.tsv").exists()


def test_a_folder_above_and_links_in_it_are_read(tmp_path, monkeypatch):
    make(tmp_path / "scans é", *FLAT, ".hidden/008_baseline_ct.nii.gz")
    make(tmp_path / "elsewhere", "P 1/baseline_ct.nii.gz")
    (tmp_path / "scans é" / "P 1").symlink_to(tmp_path / "elsewhere" / "P 1")
    (tmp_path / "scans é" / "round").symlink_to(tmp_path / "scans é")
    (tmp_path / "study").mkdir()
    monkeypatch.chdir(tmp_path / "study")
    draft = run_new_center(Path("../scans é"), [], "E", Path("rows.tsv"))
    assert list(draft.sheet["patient_id"]) == ["007", "P1"] and draft.unmatched == []
    (linked,) = draft.sheet.loc[draft.sheet["patient_id"] == "P1", "baseline_ct"]
    assert Path(linked).is_file()


def test_a_name_without_letters_or_digits_is_refused(tmp_path):
    make(tmp_path / "s", "ü_baseline_ct.nii.gz")
    with pytest.raises(HemexpError, match="found the patient 'ü'.*letters from A to Z"):
        run_new_center(tmp_path / "s", [], "E", tmp_path / "rows.tsv")
