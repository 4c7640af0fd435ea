"""Verb `run-ablation`: the same cohort again with one part of the method changed.

An ablation is a run of its own below `results/ablations/NAME/`, by the same workflow. Rooms that
its settings leave as they are become links to the main run's; so nothing is made twice, and a
later run resumes.
"""

import shutil
import time
from pathlib import Path
from typing import Any

import pandas as pd

from hemexp import Fault, HemexpError
from hemexp.config import load_settings, overlay, read_config
from hemexp.desk.side_run import SHEET, TOGETHER, UPSTREAM, link_rooms, move_sheet, run_workflow
from hemexp.layout import RESULTS, Layout
from hemexp.provenance import write_atomically, write_sidecars
from hemexp.settings import Settings

KEPT = ("forecasts", "consistency")
"""Tables of `evaluation` that are kept of an ablation."""

AS_DESIGNED = "as_designed"
"""Name of the main run's row: nothing changed."""


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
        read = TOGETHER if room in TOGETHER else {room}
        same = all(getattr(main, one) == getattr(other, one) for one in read)
        if same and set(upstream) <= set(shared):
            shared.append(room)
    return shared


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
