"""Training shared by processes that the workflow starts: same weights, nothing trained again."""

import json
import shutil

import pytest
from mini import mini_rows, snakemake, write_sheet
from safetensors.torch import load_file

from hemexp.config import SettingsError, load_settings

SHARED = ["--config", "processes={diffusion: 2}"]


@pytest.mark.slow
def test_a_rule_starts_as_many_processes_as_it_has_gpus(tmp_path):
    folder = write_sheet(mini_rows(), tmp_path)
    text = snakemake(folder, "--dry-run", *SHARED)
    for rule, count in (("train_autoencoder", 1), ("train_diffusion", 2)):
        job = text.split(f"rule {rule}:")[1].split("rule ")[0]
        assert f"gpu={count}," in job


def test_shared_or_not_nothing_is_trained_again(mini_run):
    assert "Nothing to be done" in snakemake(mini_run, "--dry-run", *SHARED)


def test_two_processes_of_the_rule_learn_what_one_learned(mini_run, tmp_path):
    """Weights part by rounding alone, which 60 steps of Adam make larger."""
    folder = shutil.copytree(mini_run, tmp_path / "run")
    snakemake(
        folder,
        "--cores",
        "2",
        "--forcerun",
        "train_diffusion",
        "--until",
        "train_diffusion",
        # The device is a param of other trainings too, which are not asked here.
        "--rerun-triggers",
        "mtime",
        *SHARED,
        "device=cpu",
    )
    log = (folder / "results/logs/train_diffusion.log").read_text()
    assert log.count("60 steps in") == 1 and "2 processes train together" in log
    one, two = (
        load_file(root / "results/diffusion/model.safetensors") for root in (mini_run, folder)
    )
    assert one.keys() == two.keys()
    distance = sum((one[k] - two[k]).square().sum() for k in one).sqrt()
    assert distance < 1e-3 * sum(value.square().sum() for value in one.values()).sqrt()
    settings = [
        json.loads((root / "results/diffusion/model.json").read_text())["settings"]
        for root in (mini_run, folder)
    ]
    assert settings[0] == settings[1]


@pytest.mark.parametrize("room", ["autoencoder", "diffusion"])
def test_processes_that_cannot_share_a_step_are_refused(room):
    given = {"preset": "demo", "processes": {room: 2}, room: {"accumulate": 3}}
    message = rf"{room}\.accumulate \(3\) must be a multiple of processes\.{room} \(2\)"
    with pytest.raises(SettingsError, match=message):
        load_settings(given)
    assert load_settings(given | {room: {"accumulate": 4}})


def test_a_study_can_use_four_gpus():
    settings = load_settings({"preset": "full", "processes": {"autoencoder": 4, "diffusion": 4}})
    assert settings.autoencoder.batch_slices * settings.autoencoder.accumulate == 16
    assert settings.diffusion.batch_stacks * settings.diffusion.accumulate == 8
