"""What a large cohort costs before any work: planning it, checking its sheet, starting a job.

python benchmarks/scale.py [--patients 1000 10000]

Planning is a dry run of the whole workflow over empty raw files, beside one of `bare.smk`: the
same rules and files without any of this package. Times are seconds of the processor.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from hemexp.cohort import read_sheet
from hemexp.columns import FILES
from hemexp.config import load_settings

REPOSITORY = Path(__file__).parents[1]
SPLITS = ["train"] * 14 + ["val"] + ["test"] * 4 + ["predict"]
"""In turn: 70 % to learn from, 5 % to choose by, 20 % to score, 5 % to predict."""


def make_cohort(folder: Path, patients: int) -> Path:
    """Writes a sheet of so many patients with empty raw files; gives the sheet."""
    raw = folder / "raw"
    raw.mkdir(parents=True)
    rows = []
    for number in range(patients):
        name, split = f"P{number:05d}", SPLITS[number % len(SPLITS)]
        row = {"patient_id": name, "center": "ABCD"[number % 4], "split": split}
        for column in FILES:
            wanted = split != "predict" or column.startswith("baseline")
            row[column] = f"raw/{name}_{column}.nii.gz" if wanted else ""
            if wanted:
                (folder / row[column]).touch()
        rows.append(
            row
            | {
                "onset_to_ct_h": 2.5,
                "anticoagulant": number % 2,
                "antiplatelet": "",
                "age": 60 + number % 30,
                "gcs": 3 + number % 13,
                "sbp": 170,
            }
        )
    sheet = pd.DataFrame(rows)
    sheet.to_csv(folder / "samples.tsv", sep="\t", index=False)
    sheet[["patient_id", "split"]].to_csv(
        folder / "patients.txt", sep=" ", index=False, header=False
    )
    return folder / "samples.tsv"


def measure(folder: Path, *command: object, code: int = 0) -> dict[str, float]:
    """Runs a Python module in a folder; gives its processor and wall seconds and peak memory."""
    started = time.perf_counter()
    with (folder / "out.txt").open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", *map(str, command)],
            cwd=folder,
            stdout=out,
            stderr=out,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        )
        _, status, used = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != code:
        raise RuntimeError((folder / "out.txt").read_text()[-3000:])
    return {
        "cpu_s": used.ru_utime + used.ru_stime,
        "wall_s": time.perf_counter() - started,
        "peak_mb": used.ru_maxrss / 1024,
    }


def plan(folder: Path, snakefile: Path, *config: str) -> tuple[dict[str, float], dict[str, str]]:
    """Cost of a dry run, and the jobs it plans, by rule."""
    found = measure(
        folder,
        "snakemake",
        "--snakefile",
        snakefile,
        "--directory",
        folder,
        "--dry-run",
        "--quiet",
        "rules",
        "--config",
        *config,
    )
    return found, dict(
        re.findall(r"^(\w+) +(\d+)$", (folder / "out.txt").read_text(), re.MULTILINE)
    )


def planning(folder: Path, patients: int, preset: str) -> list[dict[str, object]]:
    """The dry run of a cohort, ours and the bare one."""
    sheet = make_cohort(folder, patients)
    samples = load_settings({"preset": preset}).sampling.kept
    given = f"patients={folder / 'patients.txt'}", f"samples={samples}"
    bare, bare_jobs = plan(folder, REPOSITORY / "benchmarks" / "bare.smk", *given)
    ours, jobs = plan(folder, REPOSITORY / "Snakefile", f"preset={preset}", f"samples={sheet}")
    if jobs != bare_jobs:
        raise RuntimeError(
            f"bare.smk has other jobs: {set(jobs.items()) ^ set(bare_jobs.items())}"
        )
    return [
        {
            "patients": patients,
            "which": which,
            "jobs": jobs["total"],
            **found,
            "ms_a_patient": 1000 * found["cpu_s"] / patients,
            "cpu_ratio": found["cpu_s"] / bare["cpu_s"],
            "memory_ratio": found["peak_mb"] / bare["peak_mb"],
        }
        for which, found in (("bare", bare), ("hemexp", ours))
    ]


def small_costs(folder: Path) -> list[dict[str, object]]:
    """The check of a sheet, and how long a job runs until it reads its first scan.

    The scan is an empty file: the verb fails where its work would begin.
    """
    sheet = folder / "samples.tsv"
    started = time.process_time()
    rows = len(read_sheet(sheet))
    checked = time.process_time() - started
    start = measure(
        folder,
        "hemexp",
        "strip-skull",
        "--patient",
        "P00000",
        "--session",
        "baseline",
        "--samples",
        sheet,
        "--settings",
        REPOSITORY / "config" / "config.yaml",
        "--raw",
        REPOSITORY / "config" / "config.yaml",
        code=2,
    )
    return [
        {"what": f"sheet check, {rows} rows", "cpu_s": checked},
        {"what": f"strip-skull to its first work, sheet of {rows} rows", **start},
    ]


def main() -> None:
    """Measures and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--preset", default="full")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows, small = [], []
        for patients in args.patients:
            place = Path(folder) / str(patients)
            rows += planning(place, patients, args.preset)
            small += small_costs(place)
    print(pd.DataFrame(rows).round(2).to_string(index=False), end="\n\n")
    print(pd.DataFrame(small).round(2).to_string(index=False))


if __name__ == "__main__":
    main()
