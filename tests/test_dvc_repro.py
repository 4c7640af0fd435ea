"""What a reviewer types, on the finished mini cohort: repro, metrics, plots, one experiment."""

import json
import re
import shutil
import subprocess

import pytest
import yaml
from mini import CONFIG, REPOSITORY, run

STAGES = [*yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]]
CHANGED = "config/config.yaml:reporting.dpi"


@pytest.fixture(scope="module")
def project(mini_run, tmp_path_factory):
    """A repository of its own that holds the mini cohort's results, not yet known to dvc."""
    folder = tmp_path_factory.mktemp("reviewer")
    for name in ("hemexp", "workflow", "config", "docs", "envs"):
        shutil.copytree(
            REPOSITORY / name,
            folder / name,
            symlinks=True,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    for name in ("Snakefile", "dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(REPOSITORY / name, folder)
    settings = folder / "config/config.yaml"
    changed = yaml.safe_load(settings.read_text()) | yaml.safe_load(CONFIG.read_text())
    settings.write_text(yaml.safe_dump(changed))
    shutil.copy(mini_run / "config/samples.tsv", folder / "config/samples.tsv")
    # What Snakemake knows of finished jobs goes along; its locks do not.
    for name in ("results", ".snakemake/metadata"):
        shutil.copytree(mini_run / name, folder / name)
    git(folder, "init", "--quiet")
    run("dvc", folder, "init", "--quiet")
    return folder


def git(folder, *arguments):
    who = ("-c", "user.name=reviewer", "-c", "user.email=reviewer@example.org")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def ran(text):
    """Stages that dvc ran."""
    return re.findall(r"Running stage '(\w+)'", text)


def test_repro_records_metrics_and_one_changed_setting_reruns_what_reads_it(project):
    text = run("dvc", project, "repro")
    assert ran(text) == STAGES and text.count("Nothing to be done") == len(STAGES)
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "as it was")
    assert "up to date" in run("dvc", project, "repro")

    shown = json.loads(run("dvc", project, "metrics", "show", "--json"))
    found = shown["workspace"] if "workspace" in shown else shown[""]
    metrics = found["data"]["results/evaluation/metrics.json"]["data"]
    assert metrics == json.loads((project / "results/evaluation/metrics.json").read_text())
    run("dvc", project, "plots", "show")
    page = (project / "dvc_plots/index.html").read_text()
    assert "Diffusion training" in page

    text = run("dvc", project, "exp", "run", "--set-param", f"{CHANGED}=60")
    assert ran(text) == ["reporting"]
    assert not json.loads(run("dvc", project, "metrics", "diff", "--json"))
