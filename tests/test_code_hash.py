"""Hashes of code: blind to words, not to code, and to what a module cannot reach."""

import shutil

import pytest

from hemexp.code_hash import hash_code, reached
from hemexp.provenance import PACKAGE

MODULES = ("phantom.draw", "preprocess.strip", "diffusion.train", "sampling.run", "reporting.page")


@pytest.fixture
def changed_by(tmp_path):
    """What an edit changes: the modules of `MODULES` whose hash is another one after it."""

    def edit(name, old, new):
        package = tmp_path / "hemexp"
        shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
        text = (package / name).read_text()
        assert old in text
        (package / name).write_text(text.replace(old, new, 1))
        return {one for one in MODULES if hash_code(one) != hash_code(one, package=package)}

    return edit


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Half log-SNR at times', '"""Another sentence: at times'),
        ('"""At the start of sampling', '"""Said of a constant'),
        ("import math", "import math  # why not"),
        ("START_SIGNAL = 0.25", "START_SIGNAL = (\n    0.25\n)"),
    ],
)
def test_words_and_format_change_no_hash(changed_by, old, new):
    assert changed_by("diffusion/schedule.py", old, new) == set()


def test_an_edit_changes_the_modules_that_reach_it_and_no_other(changed_by):
    found = changed_by("diffusion/schedule.py", "START_SIGNAL = 0.25", "START_SIGNAL = 0.3")
    assert found == {"diffusion.train", "sampling.run"}


def test_settings_are_params_of_their_own(changed_by):
    assert changed_by("settings/run.py", "preset: str", 'preset: str = "x"') == set()


def test_imports_inside_functions_count():
    assert PACKAGE / "evaluation/cohort/conformal.py" in reached("evaluation.cohort.summarise")


def test_a_module_that_is_not_there_is_no_empty_hash():
    with pytest.raises(FileNotFoundError):
        hash_code("preprocess.stripp")


def test_what_checks_the_sheet_is_reached_by_nothing_that_computes():
    for module in MODULES:
        assert not {PACKAGE / name for name in ("sheet.py", "sheet_faults.py", "cohort.py")} & (
            reached(module)
        ), module
