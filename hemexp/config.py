"""Where settings come from: a preset with the overrides of `config/config.yaml` laid on top."""

import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from hemexp import Fault, HemexpError
from hemexp.settings import Section, Settings

PRESETS = Path(__file__).parents[1] / "config" / "presets"


class SettingsError(HemexpError):
    """A configuration that cannot be used as it is."""


def load_settings(config: dict[str, Any]) -> Settings:
    """Lays overrides on their preset and checks the whole.

    Args:
        config: The content of `config/config.yaml`: `preset` and any overrides.

    Returns:
        The run's settings.

    Raises:
        SettingsError: Every unknown key, missing key and wrong value, in one message.
    """
    preset = str(config.get("preset", "demo"))
    path = PRESETS / f"{preset}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(found.stem for found in PRESETS.glob("*.yaml")))
        raise SettingsError(
            Fault("config, key preset", repr(preset), f"one of {known}", "Correct `preset`.")
        )
    merged = overlay(yaml.safe_load(path.read_text(encoding="utf-8")), config)
    return _validated(Settings, merged | {"preset": preset}, f"config (preset {preset})")


def load_section(name: str, text: str) -> Any:  # noqa: ANN401 - the class that `name` says
    """Reads one room's settings from JSON text, as rules pass them, or from a config file.

    Args:
        name: Section, such as `sampling`, or a part of one, such as `preprocess.grid`.
        text: A JSON object with just this section, or the path of a config file to take it from.
    """
    parts = name.split(".")
    if text.lstrip().startswith("{"):
        section: type[BaseModel] = Settings
        for part in parts:
            section = section.model_fields[part].annotation
        return _validated(section, json.loads(text), f"settings of {name}")
    value: Any = load_settings(read_config(text))
    for part in parts:
        value = getattr(value, part)
    return value


def read_config(path: Path | str) -> dict[str, Any]:
    """Reads a config file such as `config/config.yaml`."""
    try:
        config = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise SettingsError(
            Fault(
                str(path),
                f"no readable config ({error})",
                "a YAML file of settings",
                "Name the config file, or give the settings as JSON.",
            )
        ) from error
    return config or {}


def overlay(base: dict[str, Any], top: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Lays a config on another, section by section; `prefix` is the section's name in errors."""
    merged = dict(base)
    for key, value in top.items():
        if isinstance(base.get(key), dict):
            if not isinstance(value, dict | None):
                raise SettingsError(
                    Fault(
                        f"config, key {prefix}{key}",
                        repr(value),
                        "a section of keys",
                        "Indent the section's keys below it.",
                    )
                )
            merged[key] = overlay(base[key], value or {}, f"{prefix}{key}.")
        else:
            merged[key] = value
    return merged


def _validated(section: type[Section], values: dict[str, Any], where: str) -> Any:  # noqa: ANN401
    try:
        return section.model_validate(values)
    except ValidationError as error:
        faults = [_fault(where, detail) for detail in error.errors()]
        raise SettingsError(*faults) from error


def _fault(where: str, detail: Any) -> Fault:  # noqa: ANN401 - pydantic's error dictionary
    key = ".".join(map(str, detail["loc"]))
    where = f"{where}, key {key}" if key else where
    if detail["type"] == "extra_forbidden":
        return Fault(
            where,
            "an unknown key",
            "a known one",
            "Correct its spelling; the preset lists every key.",
        )
    if detail["type"] == "missing":
        return Fault(where, "no value", "a value", "Add the key; the presets show it.")
    if detail["type"] == "value_error":
        return Fault(
            where,
            "settings that do not fit together",
            str(detail["ctx"]["error"]),
            "Change one of them.",
        )
    return Fault(where, repr(detail["input"]), detail["msg"], "Correct the value.")
