"""Verbs `adopt-...`: a released model taken over into a run's results as it is."""

import shutil
import time
from pathlib import Path

from hemexp.provenance import describe, write_atomically, write_json, write_sidecars
from hemexp.release.models import FILES, models_folder, read_record

EMPTY_TABLES = {
    "autoencoder": {"history.tsv": ("step",)},
    "scale": {},
    "diffusion": {"history.tsv": ("step",)},
    "expansion": {
        "training.tsv": ("patient_id", "model", "p_expansion"),
        "training_forecasts.tsv": ("patient_id", "draw", "growth_ml"),
        "comparison.tsv": (
            "model",
            "n",
            "events",
            "auc",
            "auc_low",
            "auc_high",
            "brier",
            "calibration_slope",
            "calibration_intercept",
            "crps_ml",
            "crps_low",
            "crps_high",
            "note",
        ),
    },
}
"""Tables that a training writes: they are of other patients, so only their header is written."""


def run_adopt(part: str, folder: Path, results: Path) -> None:
    """Takes a released model over into a run's results, where all later steps find it.

    Of the people it learned from nothing is copied: no list of inputs, no table.

    Args:
        part: `autoencoder`, `scale`, `diffusion` or `expansion`.
        folder: Results of a run, or a bundle.
        results: Folder of the run's results.
    """
    started = time.perf_counter()
    models = models_folder(folder, part)
    sources = [models / name for name in FILES[part]]
    # By their own names they would be taken for this run's own models.
    named = {f"released/{name}": models / name for name in FILES[part]}
    verb, out = f"adopt-{part}", (results / FILES[part][0]).parent
    for source in sources:
        target = out / source.name
        if source.suffix == ".json":
            record = read_record(source)
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
    tables = {out / name: columns for name, columns in EMPTY_TABLES[part].items()}
    for path, columns in tables.items():
        with write_atomically(path) as temporary:
            temporary.write_text("\t".join(columns) + "\n", encoding="utf-8")
    write_sidecars(tables, verb=verb, settings={}, inputs=named, started=started)
