"""Products: whole or not at all, said where from; seeds derived from names."""

import json
import time

import pytest

from hemexp import provenance
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
