"""Settings: one base, presets say what differs, overrides on top, nonsense refused by name."""

import json
import re

import pytest
from mini import REPOSITORY

from hemexp.config import (
    CONFIG,
    SettingsError,
    load_section,
    load_settings,
    preset_files,
    read_config,
)
from hemexp.settings import Settings
from hemexp.settings.page import FIRST, settings_page
from hemexp.settings.section import is_section

BASE = read_config(CONFIG / "base.yaml")


def leaves(values, *way):
    """Every value of a config by its dotted key."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, *way, key)
        else:
            yield ".".join([*way, key]), value


def fields(section=Settings):
    """Every field that is no section, with the class it stands in."""
    for name, field in section.model_fields.items():
        if is_section(field.annotation):
            yield from fields(field.annotation)
        else:
            yield section, name, field


def test_every_key_stands_in_the_base_in_the_order_of_the_classes():
    assert ["preset", *dict(leaves(BASE))] == [*Settings.dotted_keys()]


@pytest.mark.parametrize("preset", preset_files())
def test_a_preset_is_whole_on_the_base_and_says_only_what_differs(preset):
    assert load_settings({"preset": preset}).preset == preset
    changed, base = leaves(read_config(preset_files()[preset])), dict(leaves(BASE))
    assert not [key for key, value in changed if base[key] == value]


def test_an_override_changes_its_key_alone():
    plain = load_settings({"preset": "demo"})
    changed = load_settings({"preset": "demo", "sampling": {"samples": 7}, "latents": None})
    assert changed.sampling.samples == 7
    assert changed.model_copy(update={"sampling": plain.sampling}) == plain


BASELINE = {"reference": {"shell": "none", "warp": False, "ivh": False}}
"""Of `latents`: nothing but the baseline is the reference, as published."""

BAD = {
    "unknown key": (
        {"diffusion": {"stepz": 3}},
        "^config, key diffusion.stepz: found an unknown key; expected diffusion.steps. ",
    ),
    "unknown key, deep": (
        {"preprocess": {"skull_strip": {"methd": "provided"}}},
        "skull_strip.methd: found an unknown key; expected preprocess.skull_strip.method",
    ),
    "unknown section": ({"difusion": {}}, "difusion: found an unknown key; expected diffusion. "),
    "wrong place": (
        {"batch_stacks": 1, "latents": {"expander_share": 0.4}},
        "expected diffusion.expander_share(.|\n)*expected diffusion.batch_stacks",
    ),
    "in two places": ({"stepz": 3}, "expected segmentation.steps or autoencoder.steps or diff"),
    "like nothing": (
        {"xyzzy": 3},
        "xyzzy: found an unknown key; expected one of docs/reference/settings",
    ),
    "no text": ({3: 4}, "config, key 3: found 3"),
    "wrong type": ({"diffusion": {"steps": "many"}}, "diffusion.steps.*'many'"),
    "wrong word": ({"device": "gpu"}, "device: found 'gpu'; expected 'auto', 'cpu' or 'cuda'"),
    "section as value": ({"diffusion": 3}, "diffusion.*section of keys"),
    "negative": ({"sampling": {"samples": 0}}, "sampling.samples"),
    "share above one": ({"diffusion": {"expander_share": 1.5}}, "expander_share.*1.5"),
    "even context": ({"diffusion": {"context_slices": 2}}, "context_slices must be odd"),
    "grid": ({"preprocess": {"grid": {"shape": [60, 64, 24]}}}, "60 x 64 is not divisible by 8"),
    "noise with growth": ({"sampling": {"noise_length_mm": 25}}, "noise_length_mm must be 0"),
    "reference of a flag": (
        {"diffusion": {"condition": "flag"}, "sampling": {"finish": False}},
        "latents.reference other than.*needs diffusion.condition 'growth': it is made of a growth",
    ),
    "warp of a flag": (
        {
            "latents": {"reference": {"shell": "none", "ivh": False}},
            "diffusion": {"condition": "flag"},
            "sampling": {"finish": False},
        },
        "latents.reference other than.*needs diffusion.condition 'growth'",
    ),
    "reference of nothing": (
        {"sampling": {"indicator": "free"}},
        "latents.reference other than.*condition_dropout 0 and no sampling.indicator 'free'",
    ),
    "reference that is hidden": (
        {"diffusion": {"condition_dropout": 0.1}},
        "latents.reference other than.*condition_dropout 0 and no sampling.indicator 'free'",
    ),
    "finish of a flag": (
        {"latents": BASELINE, "diffusion": {"condition": "flag"}},
        "sampling.finish needs diffusion.condition 'growth'",
    ),
    "untrained drive": ({"sampling": {"guidance": 1.4}}, "guidance.*condition_dropout 0 nev"),
    "untrained free": (
        {"latents": BASELINE, "sampling": {"indicator": "free"}},
        "sampling.indicator .free..*condition_dropout 0 never",
    ),
    "untrained clinical": (
        {"diffusion": {"clinical_dropout": 0}, "sampling": {"clinical_guidance": 2}},
        "sampling.clinical_guidance .2.0.*clinical_dropout 0 never trains",
    ),
    "crop": ({"segmentation": {"crop": [60, 62, 8]}}, "segmentation.crop 60 x 62 is not divis"),
    "command without places": (
        {"segmentation": {"method": "command", "command": "blast-ct --input {input}"}},
        "needs segmentation.command with .*, and segmentation.command_labels",
    ),
    "no such preset": ({"preset": "dmo"}, "preset.*'dmo'.*demo"),
}


@pytest.mark.parametrize("name", BAD)
def test_nonsense_is_refused_by_name(name):
    config, message = BAD[name]
    with pytest.raises(SettingsError, match=message):
        load_settings({"preset": "demo"} | config)


def test_what_only_the_baseline_as_reference_allows():
    for config in (
        {"diffusion": {"condition": "flag"}, "sampling": {"finish": False}},
        {"diffusion": {"condition_dropout": 0.1}, "sampling": {"guidance": 1.4}},
        {"diffusion": {"condition_dropout": 0.1}, "sampling": {"indicator": "free"}},
    ):
        assert load_settings({"preset": "demo", "latents": BASELINE} | config).latents
        with pytest.raises(SettingsError):
            load_settings({"preset": "demo"} | config)


def test_all_faults_at_once_and_where_each_stands(tmp_path):
    (tmp_path / "presets").mkdir()
    lines = (CONFIG / "base.yaml").read_text().splitlines(keepends=True)
    (tmp_path / "base.yaml").write_text(
        "".join(line for line in lines if not line.startswith("seed:"))
    )
    (tmp_path / "presets/mine.yaml").write_text("sampling: {samples: 0, sampels: 3}\nreporting: 1")
    given = {"preset": "mine", "a": 1, "diffusion": {"b": 1, "steps": "x"}}
    with pytest.raises(SettingsError) as caught:
        load_settings(given, tmp_path)
    assert sorted(fault.where for fault in caught.value.faults) == [
        "config, key a",
        "config, key diffusion.b",
        "config, key diffusion.steps",
        "config, key seed",
        "config/presets/mine.yaml, key reporting",
        "config/presets/mine.yaml, key sampling.sampels",
        "config/presets/mine.yaml, key sampling.samples",
    ]


def test_a_section_is_read_from_json_or_from_a_config_file(tmp_path):
    grid = load_settings({"preset": "demo"}).preprocess.grid
    assert load_section("preprocess.grid", json.dumps(grid.as_json())) == grid
    config = tmp_path / "config.yaml"
    config.write_text("preset: demo\npreprocess: {grid: {shape: [32, 64, 12]}}\n")
    assert load_section("preprocess.grid", str(config)).shape == (32, 64, 12)
    with pytest.raises(SettingsError, match="of preprocess.grid, key shap:.*expected shape"):
        load_section("preprocess.grid", json.dumps(grid.as_json() | {"shap": 1}))
    with pytest.raises(SettingsError, match="no readable config"):
        read_config(tmp_path / "none.yaml")
    config.write_text("preset demo\n")
    with pytest.raises(SettingsError, match="no readable config"):
        read_config(config)


def test_every_field_says_what_it_is_and_every_number_what_raising_it_does():
    for section, name, field in fields():
        words, where = (field.description or "").split(), f"{section.__name__}.{name}"
        assert words and words[-1].endswith("."), f"{where}: no description below it"
        if {"int", "float"} & set(re.findall(r"\w+", str(field.annotation))):
            raised = {"More:", "more:", "Wider:", "Another", "same"} & set(words)
            assert raised, f"{where}: what does raising it do?"


def test_the_page_of_settings_is_not_stale():
    page = (REPOSITORY / "docs" / "reference" / "settings.md").read_text()
    assert page == settings_page(), "docs/reference/settings.md is stale: run `make settings`"
    known = {*Settings.dotted_keys(), *Settings.model_fields}
    assert len(FIRST) == 10 and set(FIRST) <= known
