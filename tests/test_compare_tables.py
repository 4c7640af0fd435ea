"""Tables of two runs, cell by cell."""

import subprocess

import pytest

from hemexp import HemexpError
from hemexp.cli import main
from hemexp.desk.compare_tables import compare_folders, is_equal

TABLE = "model\tcrps\tnote\nours\t3.14159\t\ntheirs\t1e-5\tnone\n"


@pytest.fixture
def folders(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub/scores.tsv").write_text(TABLE)
        (tmp_path / name / "tables.csv").write_text('a,b\n"1,5",2\n')
        (tmp_path / name / "notes.json").write_text(name)
    return tmp_path / "one", tmp_path / "two"


def change(folder, old, new):
    path = folder / "sub/scores.tsv"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_equal_folders_do_not_differ(folders):
    assert compare_folders(*folders, 0.0) == []


def test_a_changed_number_is_named_unless_within_the_tolerance(folders):
    change(folders[1], "3.14159", "3.14500")
    (line,) = compare_folders(*folders, 1e-3)
    assert line == "scores.tsv, row 1, crps: '3.14159' and '3.14500'"
    assert compare_folders(*folders, 2e-3) == []


def test_words_and_empty_cells_have_no_tolerance(folders):
    change(folders[1], "\tnone", "\t")
    change(folders[1], "theirs", "his")
    assert len(compare_folders(*folders, 1.0)) == 2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [("crps", "crsp", "columns"), ("theirs\t1e-5\tnone\n", "", "2 and 1 rows")],
)
def test_other_columns_and_rows_are_told_once(folders, old, new, said):
    change(folders[1], old, new)
    (line,) = compare_folders(*folders, 0.1)
    assert said in line


def test_a_table_that_only_one_folder_has_is_a_difference(folders):
    (folders[0] / "tables.csv").unlink()
    (line,) = compare_folders(*folders, 0.1)
    assert "tables.csv: only in" in line and str(folders[1]) in line


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("0.36", "0.37", True),
        ("0.36", "0.38", False),
        ("5.4 [1.2, 9.0]", "5.5 [1.2, 9.1]", True),
        ("9", "10", False),
        ("4/9 (44 %)", "4/9 (45 %)", True),
        ("4/9 (44 %)", "3/9 (44 %)", False),
        ("2e-1", "3e-1", False),
    ],
)
def test_rounding_may_turn_a_last_digit_but_no_count(one, other, equal):
    assert is_equal(one, other, 1e-3) == equal
    assert not is_equal(one, other, 0.0)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("1e-4", "3e-4", True),
        ("1000", "1000.9", True),
        ("1000", "1002", False),
        ("0.1", "0.102", False),
        ("nan", "0", False),
        ("inf", "1", False),
        ("nan", "nan", True),
        ("3.3600 [2.3000, -4.4]", "3.3601 [2.3001, -4.4]", True),
        ("3.36 [2.30, -4.4]", "3.36 [2.30, -4.6]", False),
        ("3.36 [2.30, 4.4]", "3.36", False),
        ("0.5 mL", "0.5 mm", False),
        ("P1000", "P1001", False),
    ],
)
def test_tolerance_is_relative_above_one_and_absolute_below(one, other, equal):
    assert is_equal(one, other, 1e-3) == equal


def test_the_verb_says_what_differs_by_its_exit_code(folders, capsys):
    main(["compare-tables", *map(str, folders)])
    assert capsys.readouterr().out == "same within tolerance 0.01\n"
    change(folders[1], "3.14159", "3.2")
    with pytest.raises(SystemExit) as end:
        main(["compare-tables", *map(str, folders), "--tolerance", "0.001"])
    assert end.value.code == 1
    line, last = capsys.readouterr().out.splitlines()
    assert "row 1, crps" in line and last == "not the same within tolerance 0.001: 1 differences"
    main(["compare-tables", *map(str, folders), "--tolerance", "0.1"])


def test_folders_without_tables_are_an_error_not_a_success(tmp_path):
    with pytest.raises(HemexpError, match="no table"):
        compare_folders(tmp_path, tmp_path, 0.0)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository that holds the tables of a run, where one stands now."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "results" / "tables" / "forecasts.csv"
    path.parent.mkdir(parents=True)
    path.write_text("Model,CRPS\nours,3.36 [2.30; 4.40]\n")
    who = ("-c", "user.name=reviewer", "-c", "user.email=reviewer@example.org")
    for arguments in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "tables"]):
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True)
    return path


def test_a_run_is_compared_with_the_tables_of_the_last_commit(checkout, capsys):
    checkout.with_name("patients.csv").write_text("patient_id\nA1\n")  # git never keeps it
    main(["compare-tables"])
    assert capsys.readouterr().out.startswith("same within tolerance")
    checkout.write_text(checkout.read_text().replace("2.30", "3.30"))
    with pytest.raises(SystemExit) as end:
        main(["compare-tables"])
    assert end.value.code == 1
    line, last = capsys.readouterr().out.splitlines()
    assert line.startswith("forecasts.csv, row 1, CRPS: '3.36 [3.30; 4.40]' and '3.36 [2.30")
    assert last.endswith("1 differences")
    checkout.unlink()
    with pytest.raises(SystemExit):
        main(["compare-tables"])
    assert "last_commit" in capsys.readouterr().out.splitlines()[0]


def test_without_a_commit_to_compare_with_it_says_so(folders, caplog):
    with pytest.raises(SystemExit) as end:
        main(["compare-tables", str(folders[0])])
    assert end.value.code == 2
    assert "no committed tables" in caplog.text and "git" in caplog.text
