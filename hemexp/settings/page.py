"""Writes `docs/reference/settings.md` from the settings' classes, the base and the presets."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hemexp.config import CONFIG, preset_files, read_config
from hemexp.settings import Section, Settings
from hemexp.settings.section import is_section

FIRST = {
    "preset": "the one choice that every run makes: `full` for a study, `demo` to see it work",
    "samples": "where your patients are named",
    "seed": "a second run with another seed shows how much of a result is chance",
    "device": "`cpu` where a GPU must stay free, `cuda` to be refused a run without one",
    "processes": "several GPUs for one training: the way to shorten the longest job",
    "preprocess.on_failure": "one scan that cannot be used need not stop a study of hundreds",
    "preprocess.skull_strip.method": "brain masks of your own, or of SynthStrip",
    "sampling.samples": "how fine maps and intervals are, and what disk and time they cost",
    "evaluation.splits": "`[val]` while you choose, so that `[test]` is looked at once",
    "autoencoder.model": "with `diffusion.model` and `expansion.model_file`: released models "
    "in place of training",
}
"""What a study team may need, and why."""

HEAD = """# Settings

<!-- Made by `make settings` from hemexp/settings/ and config/: edit those, not this page. -->

`config/base.yaml` gives every key a value, the one of the preset `full`. On it lie the preset that
`config/config.yaml` names, then what else stands in `config/config.yaml`, then `--config`:
```
preset: full
preprocess: {on_failure: exclude}
sampling: {samples: 100}
```
An unknown key is refused by name, with the nearest known one. *Changed by* says which presets
differ from the base. What raising a number does follows *More*; words stand
in the [glossary](glossary.md).

## The ten keys that a study team may need
"""

MEMORY = """
When a GPU's memory does not suffice, halve the batch of the job that failed:
`autoencoder.batch_slices`, `latents.batch_slices`, `diffusion.batch_stacks` or
`sampling.batch_slices`. In training double the `accumulate` beside it: a step then sees as many
slices as before.
"""

WORDS = {
    "boolean": "`true`, `false`",
    "integer": "whole number",
    "null": "`null`",
    "number": "number",
    "string": "text",
}
LIMITS = {
    "minimum": "from",
    "exclusiveMinimum": "above",
    "maximum": "to",
    "exclusiveMaximum": "below",
}


def settings_page() -> str:
    """The whole page, Markdown."""
    base = {"preset": "full", **read_config(CONFIG / "base.yaml")}
    presets = {name: read_config(path) for name, path in preset_files().items()}
    lines = [HEAD, "| key | why |", "|---|---|"]
    lines += [f"| `{key}` | {why} |" for key, why in FIRST.items()]
    lines += [MEMORY, *_section(Settings, (), base, presets)]
    return "\n".join(lines) + "\n"


def _section(
    section: type[Section], way: tuple[str, ...], base: dict[str, Any], presets: dict[str, Any]
) -> Iterator[str]:
    """A heading, a table of a section's own keys, and the same of the sections in it."""
    yield f"\n## `{'.'.join(way)}`" if way else "\n## The run"
    yield f"{_line(section.__doc__)}\n"
    inner = [key for key, field in section.model_fields.items() if is_section(field.annotation)]
    schema = section.model_json_schema()["properties"]
    own = [key for key in schema if key not in inner]
    if own:
        yield "| key | value | base | changed by | what it is |"
        yield "|---|---|---|---|---|"
    for key in own:
        changed = [f"{name} {_value(at[key])}" for name, at in presets.items() if key in at]
        cells = allowed(schema[key]), _value(base[key]), ", ".join(changed)
        yield f"| `{key}` | {' | '.join(cells)} | {_line(schema[key]['description'])} |"
    for key in inner:
        changes = {name: at.get(key, {}) for name, at in presets.items()}
        yield from _section(section.below(key), (*way, key), base[key], changes)


def allowed(schema: dict[str, Any]) -> str:
    """The values that a key takes, in words.

    Args:
        schema: Of the key, JSON Schema as pydantic gives it.
    """
    if "anyOf" in schema:
        return " or ".join(map(allowed, schema["anyOf"]))
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "prefixItems" in schema:
        return f"list of {schema['minItems']}: {allowed(schema['prefixItems'][0])}"
    if schema["type"] == "array":
        return f"list: {allowed(schema['items'])}"
    return WORDS[schema["type"]] + "".join(
        f" {word} {schema[limit]:g}" for limit, word in LIMITS.items() if limit in schema
    )


def _value(value: Any) -> str:  # noqa: ANN401 - any YAML value
    """A value as it stands in a config file."""
    return f"`{json.dumps(value)}`".replace('"', "")


def _line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(settings_page(), encoding="utf-8")
