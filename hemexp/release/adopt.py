"""Verbs `adopt-...`: a released model taken over into a run's results as it is."""

import shutil
import time
from pathlib import Path

from hemexp.layout import Layout
from hemexp.provenance import describe, write_atomically, write_json, write_sidecars, write_text
from hemexp.release.models import models_layout, part_files, read_record, without_patients
from hemexp.statistics.calibration_columns import COLUMNS as CALIBRATION

COMPARISON = (
    "model",
    "n",
    "events",
    "auc",
    "auc_low",
    "auc_high",
    "brier",
    *CALIBRATION,
    "crps_ml",
    "crps_low",
    "crps_high",
    "note",
)

NOT_OF_IVH = ("brier", *CALIBRATION)
IVH_COMPARISON = tuple(name for name in COMPARISON if name not in NOT_OF_IVH)


def empty_tables(layout: Layout, part: str) -> dict[Path, tuple[str, ...]]:
    """Tables that a training writes, with their columns.

    They are of other patients, so only their header is written.
    """
    if part == "scale":
        return {}
    if part == "expansion":
        return {
            layout.growth("training"): ("patient_id", "model", "p_expansion", "p_ivh_growth"),
            layout.growth("training_forecasts"): ("patient_id", "draw", "growth_ml"),
            layout.growth("comparison"): COMPARISON,
            layout.growth("ivh_comparison"): IVH_COMPARISON,
        }
    return {layout.network(part).history: ("step",)}


def run_adopt(part: str, folder: Path, layout: Layout) -> None:
    """Takes a released model over into a run's results, where all later steps find it.

    Of the people it learned from nothing is copied: no list of inputs, no table.

    Args:
        part: `autoencoder`, `scale`, `diffusion`, `expansion` or `segmentation`.
        folder: Results of a run, or a bundle.
        layout: Of the run.
    """
    started, verb = time.perf_counter(), f"adopt-{part}"
    released = models_layout(folder, part)
    sources = part_files(released, part)
    # By their own names they would be taken for this run's own models.
    named = {f"released/{source.relative_to(released.root)}": source for source in sources}
    for source, target in zip(sources, part_files(layout, part), strict=True):
        if source.suffix == ".json":
            record = without_patients(read_record(source))
            origin = {name: record.get(name) for name in ("git", "versions", "seed", "device")}
            now = describe(
                verb=verb,
                settings=record.get("settings", {}),
                inputs=named,
                started=started,
                seed=record.get("seed"),
            )
            write_json(target, record | now | {"released": origin})
            continue
        with write_atomically(target) as temporary:
            shutil.copyfile(source, temporary)
    tables = empty_tables(layout, part)
    for path, columns in tables.items():
        write_text(path, "\t".join(columns) + "\n")
    write_sidecars(tables, verb=verb, settings={}, inputs=named, started=started)
