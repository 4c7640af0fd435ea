"""A run of the workflow in a folder of its own, which may share rooms with another run."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from hemexp import Fault, HemexpError
from hemexp.columns import FILES, NO_IVH, OPTIONAL_MASKS
from hemexp.layout import Layout, is_phantom
from hemexp.provenance import WORKFLOW, sidecar_path, write_atomically, write_json

SHEET = "config/samples.tsv"
"""The sheet of a run, below its folder."""

UPSTREAM = {
    "phantom": (),
    "preprocess": ("phantom",),
    "segmentation": ("phantom",),
    "autoencoder": ("preprocess",),
    "latents": ("autoencoder",),
    "expansion": ("preprocess",),
    "diffusion": ("latents",),
    "sampling": ("expansion", "diffusion"),
    "evaluation": ("sampling",),
}
"""Rooms whose products a room reads; it is the main run's only where they are."""

TOGETHER = {"preprocess", "segmentation"}
"""Each reads the other's products: made masks lie between strip and registration."""


def link_rooms(main: Layout, own: Layout, shared: Iterable[str]) -> None:
    """Links the shared rooms of the main run into another run's own results.

    What stood there of other settings goes: a room of its own that is now shared, or the link of
    one that no longer is. What the phantom drew again for `evaluation` is true of both runs.
    """
    own.root.mkdir(parents=True, exist_ok=True)
    for room in UPSTREAM.keys() - {"evaluation"}:
        for link, folder in zip(own.room(room), main.room(room), strict=True):
            if link.is_symlink():
                link.unlink()
            elif link.is_dir() and room in shared:
                shutil.rmtree(link)
            if room in shared and folder.is_dir():
                link.symlink_to(os.path.relpath(folder, own.root))
    for drawn in (*main.find(main.true_map("*")), *main.find(main.redraws("*"))):
        for path in filter(Path.exists, (drawn, sidecar_path(drawn))):
            _link(path, own.root / path.relative_to(main.root))


def _link(path: Path, link: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.exists():
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(path, link.parent))


def move_sheet(sheet: pd.DataFrame, path: Path) -> None:
    """Writes the sheet for a run elsewhere: the phantom's files are that run's, others absolute.

    Args:
        sheet: As `cohort.read_sheet` gives it.
        path: `FOLDER/config/samples.tsv`; the phantom's files are then `FOLDER/results/phantom`.
    """

    def moved(name: str) -> str:
        if name in ("", NO_IVH):
            return name
        return f"../{name}" if is_phantom(name) else str(Path(name).absolute())

    columns = [name for name in (*FILES, *OPTIONAL_MASKS) if name in sheet]
    here = sheet.assign(**{name: sheet[name].map(moved) for name in columns})
    with write_atomically(path) as temporary:
        here.to_csv(temporary, sep="\t", index=False)


def run_workflow(folder: Path, config: dict[str, Any], cores: int) -> None:
    """Runs the workflow up to the tables of `evaluation` in a folder that holds a sheet.

    Raises:
        HemexpError: A job of it failed, or hemexp is installed without the workflow.
    """
    if not WORKFLOW.is_file():
        cure = "Call `hemexp` in a clone of the repository: a wheel holds the package alone."
        raise HemexpError(Fault(str(WORKFLOW), "no file", "the workflow of hemexp", cure))
    path = folder.absolute() / "config" / "config.json"
    write_json(path, config | {"samples": SHEET})
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        WORKFLOW,
        "--directory",
        folder.absolute(),
        "--configfile",
        path,
        "--cores",
        str(cores),
        "--rerun-incomplete",
        "--nocolor",
        "evaluation",
    ]
    # Its jobs run here, inside this one: a profile that submits jobs is the outer workflow's.
    outside = {k: v for k, v in os.environ.items() if k != "SNAKEMAKE_PROFILE"}
    code = subprocess.run(command, check=False, env=outside).returncode
    if code:
        raise HemexpError(
            Fault(
                str(folder),
                f"a workflow that ended with exit code {code}",
                "all of its jobs",
                f"See {folder}/results/logs, mend the cause and run again: it resumes.",
            )
        )
