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
from hemexp.columns import FILES, NO_IVH, OPTIONAL_MASKS
from hemexp.config import load_settings, overlay, read_config
from hemexp.layout import RESULTS, Layout, is_phantom
from hemexp.provenance import PACKAGE, sidecar_path, write_atomically, write_json, write_sidecars
from hemexp.settings import Settings

SHEET = "config/samples.tsv"
"""The sheet of a run, below its folder."""

KEPT = ("forecasts", "consistency")
"""Tables of `evaluation` that are kept of an ablation."""

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


def link_rooms(main: Layout, own: Layout, shared: Iterable[str]) -> None:
    """Links the shared rooms of the main run into an ablation's own results.

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
            if room in shared:
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
        HemexpError: A job of it failed.
    """
    path = folder.absolute() / "config" / "config.json"
    write_json(path, config | {"samples": SHEET})
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
    layout: Layout,
    name: str,
    sheet: pd.DataFrame,
    settings: dict[str, Any],
    shared: list[str],
    cores: int,
) -> None:
    """Runs one ablation and keeps its scores in `results/ablations/NAME/`.

    Args:
        layout: Of the finished main run.
        name: Of the ablation.
        sheet: The whole sheet.
        settings: Of the ablation, as JSON values; what is missing comes from its preset.
        shared: Rooms that are the main run's; with `evaluation` nothing is left to run.
        cores: That its jobs may use at a time.
    """
    started, scored = time.perf_counter(), layout
    products = [layout.ablation(name, table) for table in KEPT]
    if "evaluation" not in shared:
        folder = products[0].parent
        scored = Layout(folder / RESULTS)
        link_rooms(layout, scored, shared)
        move_sheet(sheet, folder / SHEET)
        run_workflow(folder, settings, cores)
    sources = [scored.evaluation(table) for table in KEPT]
    for source, product in zip(sources, products, strict=True):
        with write_atomically(product) as temporary:
            shutil.copyfile(source, temporary)
    write_sidecars(
        products,
        verb="run-ablation",
        settings=settings,
        inputs=sources,
        started=started,
        seed=settings["seed"],
        shared=shared,
    )
