"""Verb `score-models`: released models on a sheet of their own, a run of the workflow for each.

Models of several training seeds are scored on the same patients: what does not hang on the models
is made in the first run and linked into the others. A run that was stopped goes on where it was.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hemexp.config import overlay
from hemexp.desk.side_run import SHEET, link_rooms, move_sheet, run_workflow
from hemexp.layout import RESULTS, Layout
from hemexp.release.models import MODEL_PARTS, models_layout

SAME = ("phantom", "preprocess", "segmentation")
"""Rooms that do not read a model: the same whichever is scored."""


def released_config(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A config with all models taken from one folder.

    Args:
        config: Of the run, as `load_settings` takes it.
        folder: Results of a run, or a bundle.

    Raises:
        HemexpError: A model is missing there.
    """
    models_layout(folder, *MODEL_PARTS)
    model = str(folder.absolute())
    named = {"autoencoder": {"model": model}, "diffusion": {"model": model}}
    return overlay(config, named | {"expansion": {"model_file": model}})


def run_score_models(
    layout: Layout, models: Sequence[Path], sheet: pd.DataFrame, config: dict[str, Any], cores: int
) -> None:
    """Runs the workflow up to the scores once for each folder of released models.

    Training patients of the sheet train nothing; climatology and pooled maps are made of them.

    Args:
        layout: Below it, in `scored_models(N)`, the runs lie.
        models: Results folders or bundles; number N is the Nth.
        sheet: As `cohort.read_sheet` gives it.
        config: Settings of the runs, as `load_settings` takes them.
        cores: That jobs may use at a time.

    Raises:
        HemexpError: A folder without models, found before any work, or a job that failed.
    """
    configs = [released_config(config, folder) for folder in models]
    first = Layout(layout.scored_models(1) / RESULTS)
    for number, own in enumerate(configs, start=1):
        folder = layout.scored_models(number)
        link_rooms(first, Layout(folder / RESULTS), SAME if number > 1 else ())
        move_sheet(sheet, folder / SHEET)
        run_workflow(folder, own, cores)
