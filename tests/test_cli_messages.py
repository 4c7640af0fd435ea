"""What the command line itself says: of settings that it is given, and of files it cannot open."""

import logging

import pytest
from mini import CONFIG, demo_rows, write_sheet
from tiny_head import write_head

from hemexp.cli import main
from hemexp.columns import FILES, IMAGES


def said(caplog, *options):
    """The one sentence with which a verb stops."""
    with caplog.at_level(logging.ERROR), pytest.raises(SystemExit) as stopped:
        main([*map(str, options)])
    assert stopped.value.code == 2
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    return record.message


def test_one_config_file_is_enough_to_strip(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = demo_rows(["D09"])
    files = write_head(tmp_path)
    for image in IMAGES:
        rows[f"baseline_{image}"] = str(files[image])
    write_sheet(rows, tmp_path)
    main(["strip-skull", "--patient", "D09", "--session", "baseline", "--settings", str(CONFIG)])
    assert len([*tmp_path.glob("results/preprocess/sub-D09/*_mask.nii.gz")]) == 3


@pytest.mark.parametrize(
    ("settings", "found"),
    [("{broken", "no JSON"), ("nowhere.yaml", "no readable config"), ("l1.yaml", "utf-8")],
)
def test_settings_that_cannot_be_read_are_told(settings, found, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "l1.yaml").write_bytes("preset: für".encode("latin-1"))
    assert found in said(caplog, "write-qc", "--settings", settings)


def test_an_ablation_wants_its_settings_as_json(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    write_sheet(demo_rows(["D09"]).assign(**dict.fromkeys(FILES[3:], "")), tmp_path)
    assert "no JSON" in said(caplog, "run-ablation", "--ablation", "no_shell")


def test_a_folder_of_results_that_is_a_file_is_told(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").write_text("")
    message = said(caplog, "write-qc", "--settings", CONFIG)
    assert "Not a directory" in message and "results/preprocess/qc.tsv" in message


def test_an_error_of_a_file_that_no_option_leads_to_is_the_programs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("hemexp.verbs.data.section", lambda *_: open("/no/such/file"))  # noqa
    with pytest.raises(FileNotFoundError):
        main(["write-qc", "--settings", str(CONFIG)])
