"""The cluster profile against the rules: nothing runs alone by mistake, or in the wrong place."""

import re

import pytest
import yaml
from mini import REPOSITORY, mini_rows, snakemake, write_sheet


@pytest.fixture(scope="module")
def profile():
    return yaml.safe_load((REPOSITORY / "slurm" / "config.yaml").read_text())


def groups(rules, profile):
    inside = {name: rule.group for name, rule in rules.items() if rule.group}
    return inside | dict(entry.split("=") for entry in profile["groups"])


@pytest.mark.slow
def test_every_run_takes_the_default_profile(tmp_path):
    """From another folder too, and beside the cluster's: scheduling took a third of a run."""
    folder = write_sheet(mini_rows(), tmp_path)
    told = snakemake(folder, "-n", "--profile", REPOSITORY / "slurm")
    assert re.search(r"workflow specific profile \S*profiles/default", told)
    default = yaml.safe_load((REPOSITORY / "profiles/default/config.yaml").read_text())
    assert default == {"scheduler-subsample": 100}


def test_every_rule_of_the_profile_exists(rules, profile):
    assert set(profile["set-resources"]) <= set(rules)
    assert {entry.split("=")[0] for entry in profile["groups"]} <= set(rules)


def test_every_job_of_a_patient_shares_a_submission(rules, profile):
    of_a_patient = {name for name, rule in rules.items() if "patient" in rule.wildcards}
    assert len(of_a_patient) > 6
    grouped = groups(rules, profile)
    assert set(grouped) == of_a_patient
    sizes = dict(entry.split("=") for entry in profile["group-components"])
    # `unmasked`: the same jobs of patients whose masks are made.
    assert set(sizes) == {*grouped.values(), "unmasked"}
    resources = profile["set-resources"]
    assert {name for name in resources if "slots" in resources[name]} == of_a_patient


def test_gpu_rules_and_no_others_go_to_the_gpu_partition(rules, profile):
    on_gpu = {name for name, rule in rules.items() if "gpu" in rule.resources[0]}
    assert "train_diffusion" in on_gpu
    sent = {name for name, own in profile["set-resources"].items() if "slurm_partition" in own}
    assert sent == on_gpu


def test_jobs_of_one_group_go_to_one_partition(rules, profile):
    places = {}
    for name, group in groups(rules, profile).items():
        place = profile["set-resources"][name].get("slurm_partition")
        assert places.setdefault(group, place) == place, group


def test_every_submitted_rule_asks_for_memory_and_time_that_grow(rules):
    for name, rule in rules.items():
        first, second = rule.resources
        for resource in ("mem_mb", "runtime"):
            assert second[resource] == 2 * first[resource] > 0, f"{name}: {resource}"


@pytest.mark.slow
@pytest.mark.parametrize(("partitions", "chosen"), [("cpu\ngpu\n", "gpu"), ("batch\nlong\n", "")])
def test_gpu_rules_go_to_the_default_partition_where_there_is_no_gpu_one(
    tmp_path, monkeypatch, partitions, chosen
):
    sinfo = tmp_path / "bin" / "sinfo"
    sinfo.parent.mkdir()
    sinfo.write_text(f"#!/bin/sh\nprintf '{partitions}'\n")
    sinfo.chmod(0o755)
    # Where Slurm is not installed its plugin still asks whether there is a way to ask for jobs.
    (sinfo.parent / "squeue").symlink_to("/bin/true")
    monkeypatch.setenv("PATH", f"{sinfo.parent}:/usr/bin:/bin")
    folder = write_sheet(mini_rows(), tmp_path)
    text = snakemake(folder, "--dry-run", "--profile", REPOSITORY / "slurm")
    found = re.findall(r"gpu=1, slurm_partition=(\w*)", text)
    assert len(found) == 11 and set(found) == {chosen}
