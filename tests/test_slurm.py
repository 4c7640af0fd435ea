"""The workflow on a real Slurm of one machine: the same tables, and what faults do to a run.

Skipped, with the reason, where Slurm cannot start (`tests/slurm_node.py`).
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import slurm_node as slurm
from mini import CONFIG, MINI, REPOSITORY, mini_rows, snakemake, write_sheet

pytestmark = pytest.mark.slurm

PROFILE = [
    "--profile",
    REPOSITORY / "slurm",
    "--slurm-status-command",
    "squeue",
    "--slurm-init-seconds-before-status-checks",
    1,
    "--seconds-between-status-checks",
    1,
    "--latency-wait",
    5,
]
"""The profile as it is, but that Slurm is asked often."""

BUNDLED = ["--group-components", "patient=4", "forecast=8", "score=50", "measure=50"]
"""As the profile advises where no broken scan breaks a job; it spares starts of Snakemake."""

ON_GPU = {
    "train_autoencoder",
    "encode_patients",
    "encode_patient",
    "train_diffusion",
    "sample_followups",
}
AUTOENCODER = "results/autoencoder/model.safetensors"


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    # Threads of several jobs share two cores: one that waits must not spin.
    patch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    try:
        with slurm.running(tmp_path_factory.mktemp("slurm")):
            yield
    except slurm.NoSlurm as reason:
        pytest.skip(f"no Slurm here: {reason}")
    finally:
        patch.undo()


@pytest.fixture
def done(mini_run, tmp_path):
    """A copy of the finished local run, with the file times that Snakemake goes by."""
    return shutil.copytree(mini_run, tmp_path / "run", copy_function=shutil.copy2)


def submissions(known=()):
    """Jobs that Slurm has seen, the last first, but those known before."""
    text = slurm.ask("squeue", "--states=all", "-h", "-o", "%i|%P|%T|%m|%l|%k")
    names = ("id", "partition", "state", "memory", "limit", "comment")
    jobs = [dict(zip(names, line.split("|"), strict=True)) for line in text.splitlines()]
    return sorted((job for job in jobs if job["id"] not in known), key=lambda job: -int(job["id"]))


@pytest.fixture
def known():
    """Numbers of the jobs of earlier tests."""
    return {job["id"] for job in submissions()}


def start(folder, *arguments):
    """Starts Snakemake and leaves it running."""
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        REPOSITORY / "Snakefile",
        "--directory",
        folder,
        "--configfile",
        CONFIG,
        "--nocolor",
        *PROFILE,
        *arguments,
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    out = (folder / "snakemake.out").open("w")
    return subprocess.Popen(list(map(str, command)), stdout=out, stderr=out, env=environment)


def wait_for(happens, process=None, seconds=300):
    """Waits until something is so; a process must not end before."""
    for _ in range(seconds * 10):
        if happens():
            return
        assert process is None or process.poll() is None, "Snakemake ended first"
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s")


def same_tables(here, there):
    """Asserts that two runs ended in the same tables, to the byte."""
    tables = sorted(path.relative_to(there) for path in there.glob("results/tables/*.csv"))
    tables += sorted(path.relative_to(there) for path in there.glob("results/evaluation/*.tsv"))
    assert len(tables) > 8
    for table in tables:
        assert (here / table).read_bytes() == (there / table).read_bytes(), table


def test_the_mini_cohort_ends_in_the_tables_of_a_local_run(request, tmp_path, known):
    folder = write_sheet(mini_rows(), tmp_path)
    text = snakemake(folder, *PROFILE, *BUNDLED)
    # Asked for when it is needed: it mostly waits, and another process makes the local run.
    mini_run = request.getfixturevalue("mini_run")
    same_tables(folder, mini_run)
    weights = [(run / AUTOENCODER).read_bytes() for run in (folder, mini_run)]
    assert weights[0] == weights[1]

    seen = submissions(known)
    assert {job["state"] for job in seen} == {"COMPLETED"}
    for job in seen:
        rules = set(re.findall("|".join(sorted(ON_GPU, key=len, reverse=True)), job["comment"]))
        assert (job["partition"] == "gpu") == bool(rules), job
    planned = max(map(int, re.findall(r"^total +(\d+)$", text, re.MULTILINE)))
    assert planned > 60 and len(seen) <= planned / 4, (planned, len(seen))


@pytest.mark.faults
def test_a_cancelled_training_resumes_and_ends_in_the_same_weights(mini_run, done, known):
    (done / AUTOENCODER).unlink()
    process = start(done, AUTOENCODER)
    wait_for((done / "results/autoencoder/last.ckpt").exists, process)
    slurm.ask("scancel", submissions(known)[0]["id"])
    assert process.wait(300) == 0, (done / "snakemake.out").read_text()[-3000:]
    log = (done / "results/logs/train_autoencoder.log").read_text()
    assert int(re.search(r"resuming from .* at step (\d+)", log)[1]) >= 100
    assert (done / AUTOENCODER).read_bytes() == (mini_run / AUTOENCODER).read_bytes()
    second, first = submissions(known)
    assert (first["state"], second["state"]) == ("CANCELLED", "COMPLETED")
    assert (first["memory"], second["memory"]) == ("6000M", "12000M")
    assert (first["limit"], second["limit"]) == ("1-00:00:00", "2-00:00:00")


@pytest.mark.faults
def test_a_job_over_its_memory_is_given_more(done, known):
    (done / "results/expansion/model.json").unlink()
    grow = "fit_expansion:mem_mb=100 * 20 ** (attempt - 1)"
    snakemake(done, *PROFILE, "--set-resources", grow, "--", "results/expansion/model.json")
    second, first = submissions(known)
    assert (first["memory"], second["memory"]) == ("100M", "2000M")
    assert first["state"] in ("FAILED", "OUT_OF_MEMORY", "CANCELLED")
    assert second["state"] == "COMPLETED"


@pytest.mark.faults
def test_a_drained_node_only_delays(done, known):
    node = slurm.ask("sinfo", "-h", "-o", "%n").strip()
    (done / "results/expansion/model.json").unlink()
    slurm.ask("scontrol", "update", f"nodename={node}", "state=drain", "reason=test")
    process = start(done, "results/expansion/model.json")
    wait_for(lambda: [job["state"] for job in submissions(known)] == ["PENDING"], process)
    slurm.ask("scontrol", "update", f"nodename={node}", "state=resume")
    assert process.wait(300) == 0
    assert [job["state"] for job in submissions(known)] == ["COMPLETED"]


def scans_of(patient, session="baseline"):
    return f"results/preprocess/sub-{patient}/sub-{patient}_ses-{session}_space-grid_ct.nii.gz"


def when(path):
    return path.stat().st_mtime_ns if path.exists() else None


@pytest.mark.faults
def test_a_killed_snakemake_loses_nothing_and_repeats_nothing(mini_run, done, known):
    patients = MINI["test"] + MINI["predict"]
    scans = {patient: done / scans_of(patient) for patient in patients}
    for patient in patients:
        shutil.rmtree(done / f"results/preprocess/sub-{patient}")
    process = start(done, "--jobs", "1", *map(scans_of, patients))
    said = done / "snakemake.out"
    wait_for(lambda: " of 6 steps" in said.read_text(), process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = int(re.findall(r"(\d+) of 6 steps", said.read_text())[-1]) // 2
    slurm.ask("scancel", *(job["id"] for job in submissions(known)))
    wait_for(lambda: not slurm.ask("squeue", "-h"))
    before, seen = {scan: when(scan) for scan in scans.values()}, len(submissions(known))
    missing = list(before.values()).count(None)

    refused = snakemake(done, *PROFILE, "--", *map(scans_of, patients), check=False)
    assert "cannot be locked" in refused
    snakemake(done, *PROFILE, "--unlock")
    snakemake(done, *PROFILE, "--", *map(scans_of, patients))
    again = len(submissions(known)) - seen
    assert finished >= 1 and 1 <= missing <= again <= 3 - finished
    assert sum(when(scan) == before[scan] for scan in scans.values()) == 3 - again
    for patient, scan in scans.items():
        assert scan.read_bytes() == (mini_run / scans_of(patient)).read_bytes()


@pytest.mark.faults
def test_one_broken_scan_stops_its_patient_alone(mini_run, done):
    broken, well = MINI["test"][0], MINI["predict"][0]
    for patient in (broken, well):
        shutil.rmtree(done / f"results/preprocess/sub-{patient}")
    scan = done / f"results/phantom/sub-{broken}/sub-{broken}_ses-baseline_ct.nii.gz"
    scan.write_bytes(scan.read_bytes()[:2000])
    wanted = [scans_of(patient) for patient in (broken, well)]
    text = snakemake(done, *PROFILE, "--retries", "0", "--", *wanted, check=False)
    log = done / f"results/logs/strip_skull/{broken}_baseline.log"
    last = log.read_text().splitlines()[-1]
    assert f"patient {broken}" in last and scan.name in last and "cannot be read" in last
    assert last in text
    assert not (done / scans_of(broken)).exists()
    assert (done / scans_of(well)).read_bytes() == (mini_run / scans_of(well)).read_bytes()
