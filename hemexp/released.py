"""Released models: a finished run's results folder or an exported bundle, taken over as they are.

Both hold the same files under the same names; a bundle keeps them below `models/`, and what they
were made with in `configs/`, where a run has sidecars.
"""

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hemexp import Fault, HemexpError
from hemexp.config import load_section
from hemexp.provenance import describe, hash_file, write_atomically, write_json, write_sidecars
from hemexp.settings import Grid, Latents, RawInput, Sampling, Settings, SkullStrip

KEYS = {
    "autoencoder": "autoencoder.model",
    "diffusion": "diffusion.model",
    "expansion": "expansion.model_file",
}
"""Room and the key of the config that names its released model."""

NETWORKS = {
    "autoencoder": (
        "stem_factor",
        "channels",
        "res_blocks",
        "norm_groups",
        "latent_channels",
        "feature_channels",
    ),
    "diffusion": (
        "denoiser",
        "condition",
        "target",
        "channels",
        "res_blocks",
        "norm_groups",
        "attention_levels",
        "context_slices",
    ),
    "expansion": (),
}
"""Settings that say what a network is; how it was trained need not agree."""

FILES = {
    "autoencoder": ("autoencoder/model.safetensors", "autoencoder/model.json"),
    "scale": ("latents/scale.json",),
    "diffusion": ("diffusion/model.safetensors", "diffusion/model.json"),
    "expansion": ("expansion/model.json",),
}
"""What has to be there of each model, below the folder of models."""

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


@dataclass(frozen=True)
class Recipe:
    """What a scan has to go through before released models can read it, and how they draw."""

    raw: RawInput
    skull_strip: SkullStrip
    grid: Grid
    latents: Latents
    sampling: Sampling


def models_folder(folder: Path | str, *parts: str) -> Path:
    """The folder that holds `autoencoder/`, `diffusion/`, `latents/` and `expansion/`.

    Args:
        folder: Results of a run, or a bundle.
        *parts: Keys of `FILES`: what has to be there.

    Raises:
        HemexpError: A file of them is missing.
    """
    folder = Path(folder)
    models = folder / "models" if (folder / "models").is_dir() else folder
    wanted = [name for part in parts for name in FILES[part]]
    missing = [name for name in wanted if not (models / name).is_file()]
    if missing:
        raise HemexpError(
            Fault(
                str(folder),
                f"no {missing[0]}",
                "a results folder of a finished run, or a bundle of `hemexp export-bundle`",
                "Correct the path.",
            )
        )
    return models


def read_grid(folder: Path) -> Grid:
    """The grid that released models were trained on."""
    if (folder / "models").is_dir():
        values = _read(folder / "configs" / "inference.json")["grid"]
    else:
        values = _settings(folder, "preprocess/sub-*/*_ses-baseline_space-grid_volumes.json")
    return _section("preprocess.grid", values)


def read_recipe(folder: Path) -> Recipe:
    """Settings for a new patient of released models, from the records beside them.

    Raises:
        HemexpError: A model or a record is missing.
    """
    models_folder(folder, *FILES)
    if (folder / "models").is_dir():
        prepared = _read(folder / "configs" / "preprocess.json")
        inference = _read(folder / "configs" / "inference.json")
        sampling = inference["sampling"]
        latents = {
            "posterior": "mean",
            "moved": 0,
            "batch_slices": inference["draw"]["batch_slices"],
        }
    else:
        prepared = _settings(folder, "preprocess/sub-*/*_ses-baseline_space-native_volumes.json")
        sampling = _settings(folder, "samples/sub-*/volumes.json")
        latents = _settings(folder, "latents/sub-*/*_latents.json")
    return Recipe(
        raw=_section("preprocess.raw", prepared["raw"]),
        skull_strip=_section("preprocess.skull_strip", prepared["skull_strip"]),
        grid=read_grid(folder),
        latents=_section("latents", latents),
        sampling=_section("sampling", sampling),
    )


def recipe_of(settings: Settings) -> Recipe:
    """The same from a config."""
    prepared = settings.preprocess
    return Recipe(
        prepared.raw, prepared.skull_strip, prepared.grid, settings.latents, settings.sampling
    )


def check_released(settings: Settings, results: Path) -> None:
    """Compares the released models that a config names with its settings, before any work.

    Args:
        settings: Of the run.
        results: The run's own results folder, which no key may name.

    Raises:
        HemexpError: Every folder that holds no such model, or one of another grid or network.
    """
    faults = [
        fault
        for room, folder in settings.released().items()
        for fault in _faults(room, Path(folder), settings, results)
    ]
    if not faults and settings.diffusion.model:
        faults = _latent_faults(settings)
    if faults:
        raise HemexpError(*faults)


def _faults(room: str, folder: Path, settings: Settings, results: Path) -> list[Fault]:
    where = f"config, key {KEYS[room]}"
    if folder.resolve() == results.resolve():
        return [
            Fault(
                where,
                f"{folder}, this run's own results",
                "a folder elsewhere",
                "Move the released run, or give this one another folder (--directory).",
            )
        ]
    try:
        parts = [room, "scale"] if room == "diffusion" else [room]
        models = models_folder(folder, *parts)
        if room == "expansion":
            return []
        grid = read_grid(folder)
    except HemexpError as error:
        return [fault._replace(where=f"{where}, {fault.where}") for fault in error.faults]
    told = _read(models / room / "model.json")["settings"]
    wanted = getattr(settings, room).as_json()
    pairs = [(f"{room}.{key}", told.get(key), wanted[key]) for key in NETWORKS[room]]
    mine = settings.preprocess.grid
    pairs += [
        (f"preprocess.grid.{key}", getattr(grid, key), getattr(mine, key))
        for key in ("shape", "spacing_mm")
    ]
    return [
        Fault(
            f"{where}, {folder}",
            f"a model of {key} {_shown(theirs)}",
            f"the config's {_shown(own)}",
            f"Set {key} to {_shown(theirs)}, or name another model.",
        )
        for key, theirs, own in pairs
        if theirs != own
    ]


def _latent_faults(settings: Settings) -> list[Fault]:
    """A denoiser draws in the latents of the autoencoder it was trained with, and no other."""
    named = settings.autoencoder.model or ""
    if named == settings.diffusion.model:
        return []
    name = "autoencoder/model.safetensors"
    files = [
        models_folder(folder, "autoencoder") / name for folder in (named, settings.diffusion.model)
    ]
    if hash_file(files[0]) == hash_file(files[1]):
        return []
    return [
        Fault(
            "config, key autoencoder.model",
            f"{named}, another autoencoder than the one of "
            f"diffusion.model ({settings.diffusion.model})",
            "the autoencoder that the denoiser was trained with",
            "Name one folder in both keys.",
        )
    ]


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
            record = _read(source)
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


def _shown(value: Any) -> str:  # noqa: ANN401 - a setting
    return " x ".join(f"{side:g}" for side in value) if isinstance(value, tuple) else str(value)


def _section(name: str, values: dict[str, Any]) -> Any:  # noqa: ANN401 - the class `name` says
    return load_section(name, json.dumps(values))


def _settings(folder: Path, pattern: str) -> dict[str, Any]:
    """Settings in any one sidecar that fits a pattern: a run has the same in all."""
    found = next(iter(folder.glob(pattern)), None)
    return _read(found if found else folder / pattern)["settings"]


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HemexpError(
            Fault(
                str(path),
                "no such record",
                "the record that a finished run or a bundle keeps",
                "Name a results folder or a bundle of this version, or give the config of "
                "that run with --config.",
            )
        ) from error
