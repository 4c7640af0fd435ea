"""The sample sheet: every fault told at once, nothing dropped, unknown stays unknown."""

import types

import numpy as np
import pandas as pd
import pytest

from hemexp import HemexpError
from hemexp.cohort import digest_rows, read_sheet
from hemexp.columns import CENTER_ONSET, REQUIRED
from hemexp.desk.check import run_check
from hemexp.outcomes import expansion_outcomes
from hemexp.sheet import SheetError, read_left_out, read_patient_row
from hemexp.verbs.options import chosen_patients

GOOD = {
    "center": "A",
    "split": "train",
    "onset_to_ct_h": "2.5",
    "anticoagulant": "1",
    "antiplatelet": "",
    "age": "70",
    "gcs": "14",
    "sbp": "180",
}


def row(folder, patient_id, **changes):
    """A good row with its own (empty) files, then changed."""
    values = GOOD | {"patient_id": patient_id}
    for session in ("baseline", "followup"):
        for image in ("ct", "iph", "ivh"):
            name = f"{patient_id}_{session}_{image}.nii.gz".replace("/", "_").replace(" ", "_")
            (folder / name).touch()
            values[f"{session}_{image}"] = name
    return values | changes


def write(folder, rows, columns=REQUIRED, sep="\t"):
    path = folder / "samples.tsv"
    pd.DataFrame(rows)[list(columns)].to_csv(path, sep=sep, index=False)
    return path


def test_a_good_sheet_is_read_with_unknown_values_as_nan(tmp_path):
    path = write(tmp_path, [row(tmp_path, "P1"), row(tmp_path, "P2", split="val", age="")])
    samples = read_sheet(path)
    assert list(samples.index) == ["P1", "P2"]
    assert samples.loc["P1", "onset_to_ct_h"] == 2.5
    assert np.isnan(samples.loc["P1", "antiplatelet"]) and np.isnan(samples.loc["P2", "age"])
    assert samples.loc["P1", "baseline_ct"] == str(tmp_path / "P1_baseline_ct.nii.gz")


def test_who_was_evacuated_or_died_is_left_out_and_needs_no_scan(tmp_path):
    gone = {name: "" for name in REQUIRED if name.startswith("followup")}
    rows = [
        row(tmp_path, "P1", evacuated="0", died=""),
        row(tmp_path, "P2", evacuated="1", died="0"),
        row(tmp_path, "P3", evacuated="", died="1") | gone,
    ]
    path = write(tmp_path, rows, [*REQUIRED, "evacuated", "died"])
    assert list(read_sheet(path).index) == ["P1"]
    assert read_left_out(path) == {"P2": "evacuated", "P3": "died"}
    everyone = read_sheet(path, everyone=True)
    assert [*everyone.index] == ["P1", "P2", "P3"] and everyone.loc["P3", "died"] == 1.0
    assert run_check(path, None).endswith("left out: 1 evacuated, 1 died, ok")
    with pytest.raises(SheetError, match="P2.*evacuated.*nothing is made"):
        read_patient_row(path, "P2")
    rows[0]["evacuated"] = "1"
    with pytest.raises(SheetError, match="no training patient"):
        read_sheet(write(tmp_path, rows, [*REQUIRED, "evacuated", "died"]))


def test_an_unknown_onset_is_nan(tmp_path, caplog):
    path = write(tmp_path, [row(tmp_path, "P1", onset_to_ct_h="")])
    assert np.isnan(read_sheet(path).loc["P1", "onset_to_ct_h"])
    run_check(path, None)
    assert "onset_to_ct_h is empty for all patients" in caplog.text


def center_onsets(folder, known, *, stated=None, patient_id=None):
    """`center_onset_h` of patients with known onsets, and last of one without."""
    stated = {} if stated is None else {CENTER_ONSET: stated}
    onsets = enumerate([*known, ""])
    rows = [row(folder, f"k{i}", onset_to_ct_h=onset, **stated) for i, onset in onsets]
    path = write(folder, rows, (*REQUIRED, *stated))
    return read_sheet(path, patient_id)[CENTER_ONSET]


def test_a_centre_with_enough_known_onsets_tells_its_hours(tmp_path):
    known = ["3"] * 9 + ["4.26"] * 2 + ["9"] * 9
    assert (center_onsets(tmp_path, known) == 4.3).all()
    assert center_onsets(tmp_path, known, patient_id="k20").tolist() == [4.3]
    assert center_onsets(tmp_path, known[1:]).isna().all()
    assert center_onsets(tmp_path, known, stated="7").iloc[-1] == 4.3
    assert center_onsets(tmp_path, known[1:], stated="7").iloc[-1] == 7


def test_sex_is_kept_as_one_word_and_may_be_missing(tmp_path):
    words = {"P1": "F", "P2": "male", "P3": ""}
    rows = [row(tmp_path, name, sex=word) for name, word in words.items()]
    samples = read_sheet(write(tmp_path, rows, (*REQUIRED, "sex")))
    assert samples["sex"].tolist() == ["female", "male", ""]
    assert "sex" not in read_sheet(write(tmp_path, rows))


def test_another_word_for_sex_is_told(tmp_path):
    rows = [row(tmp_path, "P1", sex="f"), row(tmp_path, "P2", sex="w")]
    message = "row 3, patient 'P2', column sex.*'w'.*female, male, f or m"
    with pytest.raises(SheetError, match=message):
        read_sheet(write(tmp_path, rows, (*REQUIRED, "sex")))


def test_files_below_the_working_directory_are_relative(tmp_path, monkeypatch):
    path = write(tmp_path, [row(tmp_path, "P1")])
    monkeypatch.chdir(tmp_path)
    assert read_sheet(path).loc["P1", "baseline_ct"] == "P1_baseline_ct.nii.gz"


def test_phantom_files_need_not_exist_yet(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = {f"baseline_{i}": f"results/phantom/sub-P1/{i}.nii.gz" for i in ("ct", "iph", "ivh")}
    samples = read_sheet(write(tmp_path, [row(tmp_path, "P1", **files)]))
    assert samples.loc["P1", "baseline_ct"] == "results/phantom/sub-P1/ct.nii.gz"


# What is changed in the second of two rows, and what the message must say.
FAULTS = {
    "path as id": ({"patient_id": "../x"}, r"row 3.*patient_id.*'\.\./x'.*letters and digits"),
    "space in id": ({"patient_id": "P 2"}, "row 3.*patient_id.*letters and digits"),
    "empty center": ({"center": ""}, "row 3.*center.*''.*letters and digits"),
    "same patient": ({"patient_id": "P1"}, "row 3.*the patient again.*first in row 2"),
    "two splits": ({"patient_id": "P1", "split": "test"}, "two splits .test and train."),
    "unknown split": (
        {"split": "training"},
        "row 3.*split.*'training'.*train, val, test, predict",
    ),
    "age too high": ({"age": "170"}, "row 3.*age.*'170'.*0 to 120.*years"),
    "age in words": ({"age": "old"}, "row 3.*age.*'old'.*number from 0 to 120"),
    "NaN in words": ({"age": "nan"}, "row 3.*age.*'nan'"),
    "infinite": ({"sbp": "inf"}, "row 3.*sbp.*'inf'.*40 to 300"),
    "negative onset": ({"onset_to_ct_h": "-1"}, "row 3.*onset_to_ct_h.*'-1'.*0 to 24.*hours"),
    "evacuated in words": ({"evacuated": "yes"}, "row 3.*evacuated.*'yes'"),
    "onset in minutes": ({"onset_to_ct_h": "95"}, "row 3.*onset_to_ct_h.*'95'"),
    "half a flag": ({"anticoagulant": "0.5"}, "row 3.*anticoagulant.*whole number from 0 to 1"),
    "flag in words": ({"antiplatelet": "yes"}, "row 3.*antiplatelet.*'yes'"),
    "gcs of 2": ({"gcs": "2"}, "row 3.*gcs.*3 to 15"),
    "decimal comma": ({"sbp": "151,5"}, "row 3.*sbp.*'151,5'.*Write a point, not a comma"),
    "underscore": ({"age": "7_0"}, "row 3.*age.*'7_0'"),
    "long": ({"split": "x" * 999}, r"row 3.*split.*'x{60}\.\.\.'"),
    "missing file": ({"baseline_ct": "nowhere.nii.gz"}, "row 3.*baseline_ct.*does not exist"),
    "no follow-up": ({"followup_ct": ""}, "row 3.*followup_ct.*nothing.*'predict'"),
    "no baseline": ({"baseline_ivh": ""}, "row 3.*baseline_ivh.*nothing.*a file"),
    "predict with follow-up": (
        {"split": "predict"},
        "row 3.*followup_ct.*nothing for a 'predict'",
    ),
    "same file twice": ({"baseline_ct": "P1_baseline_ct.nii.gz"}, "already used in row 2.*P1"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_names_row_column_found_expected(tmp_path, name):
    changes, message = FAULTS[name]
    rows = [row(tmp_path, "P1"), row(tmp_path, "P2") | changes]
    path = write(tmp_path, rows, [*REQUIRED, *(changes.keys() - {*REQUIRED})])
    with pytest.raises(SheetError, match=message) as caught:
        read_sheet(path)
    assert all(part for fault in caught.value.faults for part in fault)


def test_all_faults_come_in_one_message(tmp_path):
    rows = [row(tmp_path, "P1", age="x"), row(tmp_path, "P2", split="?", gcs="99", sbp="1")]
    with pytest.raises(SheetError, match=r"4 fault\(s\)") as caught:
        read_sheet(write(tmp_path, rows))
    assert [fault.where.split(",")[0] for fault in caught.value.faults] == ["row 2"] + 3 * [
        "row 3"
    ]


def test_no_training_patient(tmp_path):
    with pytest.raises(SheetError, match="no training patient"):
        read_sheet(write(tmp_path, [row(tmp_path, "P1", split="test")]))


def test_a_misspelt_split_is_told_beside_what_it_leaves_missing(tmp_path):
    with pytest.raises(SheetError, match=r"(?s)2 fault\(s\).*no training.*'trian'"):
        read_sheet(write(tmp_path, [row(tmp_path, "P1", split="trian")]))


def test_rows_are_numbered_as_in_the_file_blank_ones_too(tmp_path):
    path = write(tmp_path, [row(tmp_path, "P1"), row(tmp_path, "P2", age="x")])
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], "", lines[1], "\t" * lines[0].count("\t"), lines[2]]))
    with pytest.raises(SheetError, match="row 5, patient 'P2', column age"):
        read_sheet(path)
    path.write_text(lines[0] + "\n\n")
    with pytest.raises(SheetError, match="1 line.*at least one patient"):
        read_sheet(path, need_training=False)


def test_missing_and_doubled_columns(tmp_path):
    columns = [name for name in REQUIRED if name not in ("gcs", "followup_iph")]
    with pytest.raises(SheetError, match=r"(?s)followup_iph.*no such column.*gcs"):
        read_sheet(write(tmp_path, [row(tmp_path, "P1")], columns))
    with pytest.raises(SheetError, match="column age.*more than once"):
        read_sheet(write(tmp_path, [row(tmp_path, "P1")], [*REQUIRED, "age"]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (",".join(REQUIRED) + "\nP1,A\n", "commas between the columns.*tabs"),
        (";".join(REQUIRED) + "\nP1;A,B\n", "semicolons between the columns.*tabs"),
        ("\t".join([*REQUIRED, "", ""]) + "\nP1" + "\t" * 16, "Remove the tabs behind the last"),
        ("\t".join(REQUIRED) + '\n"P1\tA\n', "row 2.*2 columns.*15 columns"),
        ("\t".join(REQUIRED) + "\n", "1 line.*at least one patient"),
        ("\t".join(REQUIRED) + "\nP1\tA\n", "row 2.*2 columns.*15 columns as in the header"),
        ("", "0 line"),
    ],
)
def test_a_sheet_of_the_wrong_form(tmp_path, text, message):
    path = tmp_path / "samples.tsv"
    path.write_text(text)
    with pytest.raises(SheetError, match=message):
        read_sheet(path)


@pytest.mark.parametrize(
    ("encoding", "message"),
    [
        ("latin-1", "a sign in row 2 is not UTF-8, in Latin-1 it would be 'Köln'"),
        ("utf-16", "a spreadsheet, or text in UTF-16"),
    ],
)
def test_another_encoding_is_told_with_its_place(tmp_path, encoding, message):
    path = tmp_path / "samples.tsv"
    text = "\t".join([*REQUIRED, "note"]) + "\n" + "\t".join(["P1"] + [""] * 14 + ["in Köln"])
    path.write_bytes(text.encode(encoding))
    with pytest.raises(SheetError, match=message):
        read_sheet(path)


def test_no_sheet_at_all(tmp_path):
    with pytest.raises(SheetError, match="no readable text file.*samples"):
        read_sheet(tmp_path / "none.tsv")


def test_one_patients_row_is_read_alone(tmp_path):
    path = write(tmp_path, [row(tmp_path, "P1", age="x"), row(tmp_path, "P2", split="test")])
    assert list(read_sheet(path, "P2").index) == ["P2"]
    with pytest.raises(SheetError, match="row 2.*age"):
        read_sheet(path, "P1")
    with pytest.raises(SheetError, match="'P3'.*no row"):
        read_sheet(path, "P3")


def test_patients_who_are_not_in_the_sheet_are_named(tmp_path):
    path = write(tmp_path, [row(tmp_path, "P1"), row(tmp_path, "P2", split="test")])
    args = types.SimpleNamespace(samples=path, results=tmp_path, splits=["train"], patients=["P2"])
    assert list(chosen_patients(args)[0].index) == ["P1", "P2"]
    args.patients = ["P2", "P3", "Q4"]
    with pytest.raises(HemexpError, match="--patients P3 Q4: found no such patient_id"):
        chosen_patients(args)


def test_digest_changes_with_what_it_covers_and_with_nothing_else(tmp_path):
    samples = read_sheet(write(tmp_path, [row(tmp_path, "P1")]))
    other = samples.assign(age=71.0)
    assert digest_rows(samples, ("gcs", "antiplatelet")) == digest_rows(
        other, ("gcs", "antiplatelet")
    )
    assert digest_rows(samples, ("age",)) != digest_rows(other, ("age",))


def test_expansion_by_its_three_definitions():
    volumes = pd.DataFrame(
        {
            "baseline_iph_ml": [30, 30, 3, 30, 30, 30],
            "baseline_ivh_ml": [0, 0, 0, 0, 2, 0],
            "followup_iph_ml": [36, 35.9, 4, 30, 30, np.nan],
            "followup_ivh_ml": [0, 0, 0, 0.1, 3, np.nan],
        }
    )
    table = expansion_outcomes(volumes)
    assert table["he"].tolist()[:5] == [1, 0, 1, 0, 0]
    assert table["he_6ml"].tolist()[:5] == [1, 0, 0, 0, 0]
    assert table["rhe"].tolist()[:5] == [1, 0, 1, 1, 1]
    assert table.loc[5, ["he", "he_6ml", "rhe", "growth_ml"]].isna().all()
