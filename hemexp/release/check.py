"""Do the released models that a config names fit its settings? Asked before any work."""

from pathlib import Path
from typing import Any

from hemexp import Fault, HemexpError
from hemexp.layout import Layout
from hemexp.provenance import hash_file
from hemexp.release.models import models_layout, read_grid, read_record
from hemexp.settings import Reference, Settings
from hemexp.settings.run import untrained_nulls

KEYS = {
    "autoencoder": "autoencoder.model",
    "diffusion": "diffusion.model",
    "expansion": "expansion.model_file",
    "segmentation": "segmentation.model",
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
        "nonlocal_attention",
        "linear_path",
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
}
"""Settings that say what a network is; how it was trained need not agree.

Models of growth, and the network for masks, are used as they are, whatever the config says.
"""


def check_released(settings: Settings, results: Path) -> None:
    """Compares the released models that a config names with its settings, before any work.

    Args:
        settings: Of the run.
        results: The run's own results folder, which no key may name.

    Raises:
        HemexpError: Every folder that holds no such model, one of another grid or network, or a
            denoiser that never learned the null which sampling asks for.
    """
    named = [(room, KEYS[room], folder) for room, folder in settings.released().items()]
    if settings.segmentation.start_from:
        named.append(("segmentation", "segmentation.start_from", settings.segmentation.start_from))
    faults = [
        fault
        for room, key, folder in named
        for fault in _faults(room, key, Path(folder), settings, results)
    ]
    if not faults and settings.diffusion.model:
        faults = _latent_faults(settings)
    if faults:
        raise HemexpError(*faults)


def _faults(room: str, key: str, folder: Path, settings: Settings, results: Path) -> list[Fault]:
    where = f"config, key {key}"
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
        models = models_layout(folder, *parts)
        if room not in NETWORKS:
            return []
        grid = read_grid(folder)
        kind = _reference_of(models) if room == "diffusion" else None
    except HemexpError as error:
        return [fault._replace(where=f"{where}, {fault.where}") for fault in error.faults]
    theirs = read_record(models.network(room).model)["settings"]
    wanted = getattr(settings, room).as_json()
    pairs = [(f"{room}.{key}", theirs.get(key), wanted[key]) for key in NETWORKS[room]]
    mine = settings.preprocess.grid
    pairs += [
        (f"preprocess.grid.{key}", getattr(grid, key), getattr(mine, key))
        for key in ("shape", "spacing_mm")
    ]
    nulls = _null_faults(settings, theirs) if room == "diffusion" else []
    if kind:
        asked = settings.latents.reference
        pairs += [(f"latents.reference.{key}", value, getattr(asked, key)) for key, value in kind]
    return nulls + [
        Fault(
            f"{where}, {folder}",
            f"a model of {key} {_shown(released)}",
            f"the config's {_shown(own)}",
            f"Set {key} to {_shown(released)}, or name another model.",
        )
        for key, released, own in pairs
        if released != own
    ]


def _reference_of(models: Layout) -> Reference:
    # Imported here: every job reads the rules, and SciPy would double what they load of this.
    from hemexp.anatomy.reference_model import load_reference

    return load_reference(models.scale).kind


def _null_faults(settings: Settings, theirs: dict[str, Any]) -> list[Fault]:
    """Settings `theirs` of a released denoiser say which nulls it learned."""
    asked = settings.sampling
    dropouts = theirs["condition_dropout"], theirs["clinical_dropout"]
    return [
        Fault(
            f"config, key sampling.{key}",
            f"{getattr(asked, key)}, which asks for a learned null",
            f"what a denoiser can do that was trained with {hidden} 0",
            f"Set it to {'predicted' if key == 'indicator' else 1}, or name another model.",
        )
        for key, hidden in untrained_nulls(asked, *dropouts)
    ]


def _latent_faults(settings: Settings) -> list[Fault]:
    """A denoiser draws in the latents of the autoencoder it was trained with, and no other."""
    named = settings.autoencoder.model or ""
    if named == settings.diffusion.model:
        return []
    folders = (named, settings.diffusion.model)
    files = [models_layout(one, "autoencoder").network("autoencoder").weights for one in folders]
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


def _shown(value: Any) -> str:  # noqa: ANN401 - a setting
    return " x ".join(f"{side:g}" for side in value) if isinstance(value, tuple) else str(value)
