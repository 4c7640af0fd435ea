"""Products: whole or not at all, said where from; code hashes blind to comments, not to code."""

import json
import shutil
import time

import pytest

from hemexp import provenance
from hemexp.code_hash import hash_code
from hemexp.provenance import seed_for, sidecar_path, write_atomically, write_json, write_sidecars


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    target = tmp_path / "a.nii.gz"
    target.write_text("old")
    with pytest.raises(RuntimeError), write_atomically(target) as temporary:
        assert temporary.name == "a.nii.gz"
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]


def test_sidecar_says_inputs_settings_and_seed(tmp_path):
    source, product = tmp_path / "in.tsv", tmp_path / "x_ct.nii.gz"
    source.write_text("a")
    write_sidecars(
        [product],
        verb="v",
        settings={"k": 1},
        inputs=[source],
        started=time.perf_counter(),
        seed=3,
    )
    assert sidecar_path(product) == tmp_path / "x_ct.json"
    record = json.loads((tmp_path / "x_ct.json").read_text())
    assert record["settings"] == {"k": 1} and record["seed"] == 3
    assert record["inputs"] == {f"{tmp_path.name}/in.tsv": provenance.hash_file(source)}
    assert {"versions", "git", "device", "seconds"} <= set(record)


def test_json_never_holds_nan(tmp_path):
    with pytest.raises(ValueError, match="NaN|nan|JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not (tmp_path / "a.json").exists()


def test_seeds_are_derived_not_shared():
    assert seed_for(1, "P1", 2) == seed_for(1, "P1", 2)
    assert len({seed_for(1, "P1", k) for k in range(50)} | {seed_for(1, "P11", 2)}) == 51


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """An editable copy of the package that `hash_code` looks at."""
    package = tmp_path / "hemexp"
    shutil.copytree(provenance.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(provenance, "PACKAGE", package)

    def edit(name, old, new):
        path = package / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))
        for function in (provenance._syntax, provenance._imported_files, provenance._hash_syntax):
            function.cache_clear()

    yield edit
    edit("__init__.py", "", "")


def hashes():
    rooms = (
        "phantom",
        "preprocess",
        "autoencoder",
        "latents",
        "diffusion",
        "sampling",
        "reporting",
    )
    return {room: hash_code(room) for room in rooms}


def changed(before):
    return {room for room, value in hashes().items() if value != before[room]}


def test_comments_and_docstrings_do_not_change_a_rooms_hash(copy):
    before = hashes()
    copy("diffusion/schedule.py", '"""Half log-SNR at times', '"""Another sentence: at times')
    copy("diffusion/schedule.py", "import math", "import math  # why not")
    assert changed(before) == set()


def test_an_edit_changes_the_rooms_that_reach_it_and_no_other(copy):
    before = hashes()
    copy("diffusion/schedule.py", "START_SIGNAL = 0.25", "START_SIGNAL = 0.3")
    assert changed(before) == {"diffusion", "sampling"}
    copy("phantom/model.py", "import ", "import this\nimport ")
    assert changed(before) == {"diffusion", "sampling", "phantom"}


def test_settings_are_params_of_their_own(copy):
    before = hashes()
    copy("settings/run.py", "preset: str", 'preset: str = "x"')
    assert changed(before) == set()
