"""Released models: a finished run's results folder or an exported bundle.

Both hold the same files under the same names; a bundle keeps them below `models/`, and what they
were made with in `configs/`, where a run has sidecars.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hemexp import Fault, HemexpError
from hemexp.config import load_section
from hemexp.settings import Grid, Latents, RawInput, Sampling, Settings, SkullStrip

FILES = {
    "autoencoder": ("autoencoder/model.safetensors", "autoencoder/model.json"),
    "scale": ("latents/scale.json",),
    "diffusion": ("diffusion/model.safetensors", "diffusion/model.json"),
    "expansion": ("expansion/model.json",),
}
"""What has to be there of each model, below the folder of models."""


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
        values = read_record(folder / "configs" / "inference.json")["grid"]
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
        prepared = read_record(folder / "configs" / "preprocess.json")
        inference = read_record(folder / "configs" / "inference.json")
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


def _section(name: str, values: dict[str, Any]) -> Any:  # noqa: ANN401 - the class `name` says
    return load_section(name, json.dumps(values))


def _settings(folder: Path, pattern: str) -> dict[str, Any]:
    """Settings in any one sidecar that fits a pattern: a run has the same in all."""
    found = next(iter(folder.glob(pattern)), None)
    return read_record(found if found else folder / pattern)["settings"]


def read_record(path: Path) -> dict[str, Any]:
    """A record of a finished run or a bundle."""
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
