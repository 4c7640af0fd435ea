"""Verb `run-ablation`: the same cohort again with one part of the method changed.

An ablation is a run of its own below `results/ablations/NAME/`, by the same workflow. Rooms that
its settings leave as they are become links to the main run's; so nothing is made twice, and a
later run resumes.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from hemexp import Fault, HemexpError
from hemexp.columns import FILES, OPTIONAL_MASKS
from hemexp.config import load_settings, overlay, read_config
from hemexp.layout import is_phantom
from hemexp.provenance import PACKAGE, write_atomically, write_json, write_sidecars
from hemexp.settings import Settings

AS_DESIGNED = "as_designed"
"""Name of the main run's row: nothing changed."""

UPSTREAM = {
    "phantom": (),
    "preprocess": ("phantom",),
    "autoencoder": ("preprocess",),
    "latents": ("autoencoder",),
    "expansion": ("preprocess",),
    "diffusion": ("latents",),
    "sampling": ("expansion", "diffusion"),
    "evaluation": ("sampling",),
}
"""Rooms whose products a room reads; it is the main run's only where they are."""

FOLDERS = {room: (room,) for room in UPSTREAM if room != "evaluation"} | {
    "preprocess": ("preprocess", "cohort"),
    "sampling": ("samples",),
}
"""Where a room's products lie in `results/`."""

TRUE_MAPS = ("sub-*/*_desc-expansion_truth-probseg.*", "sub-*/*_redraws.*")
"""What the phantom drew again for `evaluation`: true of every run on the same grid."""


def ablated_settings(config: dict[str, Any], overrides: Path | None) -> Settings:
    """The run's settings with an ablation's overrides on top.

    Args:
        config: As `load_settings` takes it.
        overrides: One of `config/ablations/`; None: nothing changes.

    Raises:
        HemexpError: Overrides of something else than a room, or settings that do not fit.
    """
    changed = read_config(overrides) if overrides else {}
    if unknown := sorted(changed.keys() - UPSTREAM.keys()):
        raise HemexpError(
            Fault(
                str(overrides),
                f"the key {unknown[0]}",
                f"one of {', '.join(UPSTREAM)}",
                "An ablation changes the settings of rooms alone, on the cohort as it is.",
            )
        )
    return load_settings(overlay(config, changed))


def shared_rooms(main: Settings, other: Settings) -> list[str]:
    """The rooms whose products two runs of one cohort have in common."""
    shared: list[str] = []
    for room, upstream in UPSTREAM.items():
        same = getattr(main, room) == getattr(other, room)
        if same and set(upstream) <= set(shared):
            shared.append(room)
    return shared


def link_rooms(results: Path, own: Path, shared: Iterable[str]) -> None:
    """Links the shared rooms of `results` into an ablation's own results folder.

    What stood there of other settings goes: a room of its own that is now shared, or the link of
    one that no longer is.
    """
    own.mkdir(parents=True, exist_ok=True)
    for room, folders in FOLDERS.items():
        for folder in folders:
            link = own / folder
            if link.is_symlink():
                link.unlink()
            elif link.is_dir() and room in shared:
                shutil.rmtree(link)
            if room in shared:
                link.symlink_to(os.path.relpath(results / folder, own))
    for pattern in TRUE_MAPS:
        for path in (results / "evaluation").glob(pattern):
            link = own / "evaluation" / path.parent.name / path.name
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                link.unlink(missing_ok=True)
                link.symlink_to(os.path.relpath(path, link.parent))


def move_sheet(samples: pd.DataFrame, path: Path) -> None:
    """Writes the sheet for a run elsewhere: the phantom's files are that run's, others absolute.

    Args:
        samples: As `cohort.read_sheet` gives them.
        path: `FOLDER/config/samples.tsv`; the phantom's files are then `FOLDER/results/phantom`.
    """

    def moved(name: str) -> str:
        return f"../{name}" if is_phantom(name) else name and str(Path(name).absolute())

    columns = [name for name in (*FILES, *OPTIONAL_MASKS) if name in samples]
    sheet = samples.assign(**{name: samples[name].map(moved) for name in columns})
    with write_atomically(path) as temporary:
        sheet.to_csv(temporary, sep="\t", index=False)


def run_workflow(folder: Path, config: dict[str, Any], cores: int) -> None:
    """Runs the workflow up to the tables of `evaluation` in a folder that holds a sheet.

    Raises:
        HemexpError: A job of it failed.
    """
    path = folder.absolute() / "config" / "config.json"
    write_json(path, config | {"samples": "config/samples.tsv"})
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        PACKAGE.parent / "Snakefile",
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


def run_ablation(
    name: str,
    samples: pd.DataFrame,
    results: Path,
    settings: dict[str, Any],
    shared: list[str],
    cores: int,
) -> None:
    """Runs one ablation and keeps its scores as `results/ablations/NAME.tsv`.

    Args:
        name: Of the ablation.
        samples: The whole sheet.
        results: The finished main run's.
        settings: Of the ablation, as JSON values; what is missing comes from its preset.
        shared: Rooms that are the main run's; with `evaluation` nothing is left to run.
        cores: That its jobs may use at a time.
    """
    started, folder = time.perf_counter(), results / "ablations" / name
    scores = Path("evaluation") / "forecasts.tsv"
    if "evaluation" in shared:
        source = results / scores
    else:
        link_rooms(results, folder / "results", shared)
        move_sheet(samples, folder / "config" / "samples.tsv")
        run_workflow(folder, settings, cores)
        source = folder / "results" / scores
    table = results / "ablations" / f"{name}.tsv"
    with write_atomically(table) as temporary:
        shutil.copyfile(source, temporary)
    write_sidecars(
        [table],
        verb="run-ablation",
        settings=settings,
        inputs=[source],
        started=started,
        seed=settings["seed"],
        shared=shared,
    )
