"""Where settings come from: the base, a preset's changes, and those of `config/config.yaml`."""

import json
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import reduce
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from hemexp import Fault, HemexpError
from hemexp.settings import Section, Settings

CONFIG = Path(__file__).parent / "shipped" / "config"
"""Folder of `base.yaml` and of `presets`: the repository's `config`, or the wheel's copy of it."""


class SettingsError(HemexpError):
    """A configuration that cannot be used as it is."""


def load_settings(config: dict[str, Any], folder: Path = CONFIG) -> Settings:
    """Lays a preset and a run's overrides on the base and checks the whole.

    Args:
        config: The content of `config/config.yaml`: `preset` and any overrides.
        folder: Where the base and the presets lie.

    Returns:
        The run's settings.

    Raises:
        SettingsError: Every unknown key, missing key and wrong value, in one message; or an
            installation without presets.
    """
    preset, known = str(config.get("preset", "demo")), preset_files(folder)
    if not known:
        cure = "Install hemexp again, or check the repository out with its symbolic links."
        raise SettingsError(Fault(str(folder), "no presets", "presets/*.yaml of hemexp", cure))
    if preset not in known:
        where, expected = "config, key preset", f"one of {', '.join(known)}"
        raise SettingsError(Fault(where, repr(preset), expected, "Correct `preset`."))
    files = folder / "base.yaml", known[preset]
    layers = {f"config/{path.relative_to(folder)}": read_config(path) for path in files}
    return _validated(Settings, layers | {"config": config | {"preset": preset}})


def preset_files(folder: Path = CONFIG) -> dict[str, Path]:
    """Files of the presets by name."""
    return {path.stem: path for path in sorted((folder / "presets").glob("*.yaml"))}


def load_section(name: str, text: str) -> Any:  # noqa: ANN401 - the class that `name` says
    """Reads one room's settings from JSON text, as rules pass them, or from a config file.

    Args:
        name: Section, such as `sampling`, or a part of one, such as `preprocess.grid`.
        text: A JSON object with just this section, or the path of a config file to take it from.
    """
    parts = name.split(".")
    if text.lstrip().startswith("{"):
        return _validated(Settings.below(*parts), {f"settings of {name}": read_json(text)})
    value: Any = load_settings(read_config(text))
    for part in parts:
        value = getattr(value, part)
    return value


def read_config(path: Path | str) -> dict[str, Any]:
    """Reads a config file such as `config/config.yaml`; an empty one holds nothing."""
    try:
        config = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
        if not isinstance(config, dict):
            raise TypeError("no keys with values")
    except (OSError, TypeError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(
            Fault(
                str(path),
                f"no readable config ({error})",
                "a YAML file of settings",
                "Name the config file, or give the settings as JSON.",
            )
        ) from error
    return config


def read_json(text: str) -> dict[str, Any]:
    """Reads settings that are given as a JSON object."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise SettingsError(
            Fault(
                f"--settings {text}",
                f"no JSON ({error})",
                "settings as a JSON object",
                "Quote it whole on the command line, or name a config file.",
            )
        ) from error


def overlay(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    """Lays a config on another, section by section; an empty section changes nothing."""
    merged = dict(base)
    for key, value in top.items():
        below = base.get(key)
        if isinstance(below, dict) and isinstance(value, dict | None):
            merged[key] = overlay(below, value or {})
        else:
            merged[key] = value
    return merged


def nearest_keys(section: type[Section], way: Sequence[str]) -> list[str]:
    """The known keys that an unknown one may be meant to be, the section's own ones first.

    Args:
        section: In which the way begins.
        way: Names of the sections above the key, and the key.

    Returns:
        Dotted keys; none where no key has a name like it.
    """
    *above, wrong = map(str, way)
    own = get_close_matches(wrong, section.below(*above).model_fields, n=1)
    if own:
        return [".".join([*above, *own])]
    known = [*section.dotted_keys()]
    names = get_close_matches(wrong, {key.split(".")[-1] for key in known}, n=1)
    return [key for key in known if key.split(".")[-1] in names]


def _validated(section: type[Section], layers: dict[str, dict[str, Any]]) -> Any:  # noqa: ANN401
    """Checks layers of values, each laid on those before it; their names are for errors."""
    try:
        return section.model_validate(reduce(overlay, layers.values()))
    except ValidationError as error:
        faults = [_fault(section, layers, detail) for detail in error.errors()]
        raise SettingsError(*faults) from error


def _fault(section: type[Section], layers: dict[str, Any], detail: Any) -> Fault:  # noqa: ANN401
    """What is wrong with one key, by pydantic's dictionary, and the layer that it comes from."""
    way = detail["loc"]
    *_, last = layers
    source = next((name for name in reversed(layers) if _holds(layers[name], way)), last)
    where = f"{source}, key {'.'.join(map(str, way))}" if way else source
    match detail["type"]:
        case "extra_forbidden":
            known = " or ".join(nearest_keys(section, way)) or "one of docs/reference/settings.md"
            return Fault(where, "an unknown key", known, "Correct its spelling or its place.")
        case "missing":
            return Fault(where, "no value", "a value", "Add the key; config/base.yaml shows it.")
        case "model_type":
            cure = "Indent the section's keys below it."
            return Fault(where, repr(detail["input"]), "a section of keys", cure)
        case "value_error":
            found, expected = "settings that do not fit together", str(detail["ctx"]["error"])
            return Fault(where, found, expected, "Change one of them.")
    expected = detail["msg"].removeprefix("Input should be ")
    return Fault(where, repr(detail["input"]), expected, "Correct the value.")


def _holds(values: Any, way: Iterable[str | int]) -> bool:  # noqa: ANN401 - any YAML value
    """Whether a layer gives a value at the end of a way of keys and places in lists."""
    for step in way:
        try:
            values = values[step]
        except (KeyError, IndexError, TypeError):
            return False
    return True
