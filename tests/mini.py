"""The mini cohort of phantom patients, and how to run the workflow on it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import yaml

from hemexp.config import load_settings

REPOSITORY = Path(__file__).parents[1]
CONFIG = REPOSITORY / "tests" / "configs" / "mini.yaml"
MINI = {
    "train": ["A01", "A02", "A07", "B01", "B04"],
    "val": ["B10"],
    "test": ["D02", "D06"],
    "predict": ["D09"],
}


def demo_rows(patients):
    """Rows of the demo's sheet, as text."""
    path = REPOSITORY / "config" / "samples.tsv"
    sheet = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    return sheet.set_index("patient_id").loc[patients].reset_index()


def mini_rows():
    """The mini cohort: enough of every split to run every rule."""
    return demo_rows([patient for patients in MINI.values() for patient in patients])


def write_sheet(rows, folder):
    """Writes `config/samples.tsv` below a folder and gives the folder."""
    (folder / "config").mkdir(parents=True, exist_ok=True)
    rows.to_csv(folder / "config" / "samples.tsv", sep="\t", index=False)
    return folder


def run(program, folder, *arguments, check=True, repository=REPOSITORY):
    """Runs a Python program (`snakemake`, `hemexp`) in a folder; gives what it printed.

    It has to succeed, or with `check=False` to fail. `repository` holds the code that runs.
    """
    paths = [str(Path(sys.executable).parent), os.environ["PATH"]]
    # One thread, as the workflow gives its sampling jobs: sums in another order end in other bits.
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(repository)}
    # Threads of several jobs share the cores: one that waits must not spin.
    environment["OMP_WAIT_POLICY"] = "PASSIVE"
    environment["PATH"] = ":".join(paths)
    command = [sys.executable, "-m", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)
    text = done.stdout + done.stderr
    assert (done.returncode == 0) == check, text[-4000:]
    return text


def snakemake(folder, *arguments, check=True, config=CONFIG, repository=REPOSITORY):
    """Runs the workflow in a folder with the mini settings; gives what it printed."""
    common = ["--snakefile", repository / "Snakefile", "--directory", folder, "--nocolor"]
    arguments = [*common, "--configfile", config, *arguments]
    return run("snakemake", folder, *arguments, check=check, repository=repository)


def jobs(text):
    """Planned jobs by rule, from a dry run's table."""
    table = text.split("Job stats:")[-1].split("Reasons:")[0]
    found = {name: int(n) for name, n in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}
    return {name: n for name, n in found.items() if name not in ("total", "all")}


KEYS = (("autoencoder", "model"), ("diffusion", "model"), ("expansion", "model_file"))
"""Where a config names a released model."""


def frozen(folder, released, *rooms, **changes):
    """A config file with the mini settings that names released models for some rooms."""
    config = yaml.safe_load(CONFIG.read_text())
    for room, key in KEYS:
        if room in rooms:
            config.setdefault(room, {})[key] = str(released)
    for room, values in changes.items():
        config[room] = config.get(room, {}) | values
    path = folder / "frozen.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def write_bundle(root):
    """A bundle of the mini settings as far as a plan reads it; gives its folder."""
    settings = load_settings(yaml.safe_load(CONFIG.read_text()))
    reference = settings.latents.reference.as_json()
    contents = {
        "models/autoencoder/model.json": {"settings": settings.autoencoder.as_json()},
        "models/diffusion/model.json": {"settings": settings.diffusion.as_json()},
        "models/latents/scale.json": {"reference": reference | {"push": None}},
        "models/expansion/model.json": {},
        "configs/inference.json": {"grid": settings.preprocess.grid.as_json()},
    }
    for name, content in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(json.dumps(content))
    for room in ("autoencoder", "diffusion"):
        (root / "models" / room / "model.safetensors").write_text(room)
    return root
