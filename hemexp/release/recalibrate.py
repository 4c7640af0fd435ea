"""Verb `recalibrate`: released models for a new centre, updated on that centre's own patients.

What is written is a bundle, complete and laid out like any other, whose model of growth holds the
update in its numbers: whatever reads released models draws from the updated one.
"""

import logging
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp import Fault, HemexpError
from hemexp.config import load_settings, read_config
from hemexp.evaluation.cohort.conformal import INTERVAL_LEVELS, conformal_levels
from hemexp.expansion.model import GrowthModel, load_models, outside_probability
from hemexp.layout import Layout
from hemexp.provenance import describe, hash_file, write_atomically, write_json, write_text
from hemexp.release.bundle import run_export_bundle
from hemexp.release.bundle_texts import describe_recalibration
from hemexp.release.local_patients import check_strangers, read_local, scan_hashes
from hemexp.release.models import (
    MODEL_PARTS,
    RECALIBRATED,
    BundleLayout,
    is_bundle,
    models_layout,
    read_record,
)
from hemexp.release.recalibration import TimedUpdate, Update, fit_update, update_model
from hemexp.release.recalibration_table import compare_stages
from hemexp.tables import write_table

log = logging.getLogger(__name__)

BOOTSTRAP = 1000
"""Resamples for the intervals of the table: their ends are steady to a twentieth of a width."""

PASSED_ON = ("models", "configs", "docs", "LICENSE")
"""Of a bundle; what was drawn with it, in `eval`, is of patients."""


def run_recalibrate(
    layout: Layout, patients: pd.DataFrame, folder: Path, out: Path, seed: int
) -> pd.DataFrame:
    """Recalibrates released models on a centre's patients and writes them as a new bundle.

    Args:
        layout: Of the run that preprocessed the patients and measured their bleeds.
        patients: Rows of the centre's patients; those without a follow-up are left out.
        folder: Released models: results of a run, or a bundle.
        out: The new bundle; it must not be there.
        seed: Decides folds and resamples.

    Returns:
        Before and after on patients held out, see `compare_stages`.

    Raises:
        HemexpError: `out` is there, a model is missing, there are too few patients, or patients
            whom the models know already.
    """
    started = time.perf_counter()
    _check_new(out)
    released = models_layout(folder, *MODEL_PARTS).growth_models
    record, table = read_record(released), read_local(layout, patients)
    history, hashes = record.get(RECALIBRATED, []), scan_hashes(layout, list(table.index))
    check_strangers(folder, record, hashes)
    _warn(table, history, folder)
    models = load_models(released)
    updates = {name: fit_update(model, table) for name, model in models.items()}
    found, pit = compare_stages(models[record["chosen"]], table, BOOTSTRAP, seed)
    _warn_of_no_gain(found)
    entry = history_entry(table, updates, pit, hashes) | {"from": hash_file(released)}
    now = describe(
        verb="recalibrate",
        settings=record["settings"],
        inputs={f"released/{released.name}": released},
        started=started,
        seed=seed,
    )
    with write_atomically(out) as temporary:
        copy_release(folder, temporary)
        updated = {name: update_model(models[name], one) for name, one in updates.items()}
        write_update(BundleLayout(temporary), record | now, updated, [*history, entry], found)
    log.info("%s: recalibrated; the table beside it is docs/recalibration.tsv", out)
    return found


def _check_new(out: Path) -> None:
    if out.exists():
        raise HemexpError(
            Fault(str(out), "a folder that is there", "a new folder", "Give another --out.")
        )


def _warn(table: pd.DataFrame, history: list[dict], folder: Path) -> None:
    given = sum(outside_probability(row) is not None for _, row in table.iterrows())
    if given:
        log.warning(
            "%d of %d patients bring an expansion_prob of their own, which wins over the models' "
            "and is not recalibrated",
            given,
            len(table),
        )
    if history:
        log.warning(
            "%s was recalibrated before (%s): this update comes on top of it",
            folder,
            "; ".join(f"centre {one['center']}, {one['patients']} patients" for one in history),
        )


def _warn_of_no_gain(found: pd.DataFrame) -> None:
    """Says so where the centre is forecast no better than before."""
    row = found.set_index("measure").loc["crps_ml"]
    if row["difference"] >= 0:
        log.warning(
            "CRPS of patients held out did not fall (released %.3f mL, recalibrated %.3f mL): "
            "nothing says that this centre needs other models than the released ones",
            row["released"],
            row["recalibrated"],
        )


def history_entry(
    table: pd.DataFrame,
    updates: dict[str, Update | TimedUpdate],
    pit: NDArray[np.float64],
    hashes: dict[str, str],
) -> dict[str, Any]:
    """What `model.json` keeps of one recalibration.

    Args:
        table: The centre's patients.
        updates: By model.
        pit: (n,) of patients held out, under the chosen model; sorted, they are nobody's.
        hashes: Of the patients' baselines, by which nobody is learned from twice.
    """
    limits = zip(INTERVAL_LEVELS, conformal_levels(pit), strict=True)
    return {
        "center": str(table["center"].iloc[0]),
        "patients": len(table),
        "expanders": int(table["he"].sum()),
        "updates": {name: update.as_json() for name, update in updates.items()},
        "conformal": {str(level): list(ends) for level, ends in limits},
        "pit": np.sort(pit).tolist(),
        "scans": sorted(hashes.values()),
        "date": datetime.now(UTC).date().isoformat(),
    }


def copy_release(folder: Path, out: Path) -> None:
    """Writes released models as a bundle: a bundle as it is, a finished run by `export-bundle`."""
    if not is_bundle(folder):
        settings = load_settings(read_config(Layout(folder).settings))
        run_export_bundle(Layout(folder), out, settings)
        return
    for source in (folder / name for name in PASSED_ON):
        copy = shutil.copytree if source.is_dir() else shutil.copyfile
        out.mkdir(exist_ok=True)
        copy(source, out / source.name)


def write_update(
    bundle: BundleLayout,
    record: dict[str, Any],
    models: dict[str, GrowthModel],
    history: list[dict[str, Any]],
    found: pd.DataFrame,
) -> None:
    """Puts updated models of growth into a bundle, and what it says of itself right."""
    path = bundle.models.growth_models
    numbers = {name: model.as_json() for name, model in models.items()}
    write_json(path, record | {"models": numbers, RECALIBRATED: history})
    metadata = read_record(bundle.metadata)
    metadata["hemexp"]["models"][str(path.relative_to(bundle.models.root))] = hash_file(path)
    told = ("center", "patients", "expanders", "date", "from")
    metadata["hemexp"][RECALIBRATED] = [{key: one[key] for key in told} for one in history]
    write_json(bundle.metadata, metadata)
    readme = bundle.readme.read_text(encoding="utf-8")
    write_text(bundle.readme, readme + describe_recalibration(history[-1]))
    write_table(bundle.recalibration, found)
