"""Settings: presets complete, overrides laid on top, nonsense refused by name."""

import json

import pytest

from hemexp.config import PRESETS, SettingsError, load_section, load_settings, read_config


@pytest.mark.parametrize("preset", sorted(path.stem for path in PRESETS.glob("*.yaml")))
def test_every_preset_is_complete(preset):
    assert load_settings({"preset": preset}).preset == preset


def test_an_override_changes_its_key_alone():
    plain = load_settings({"preset": "demo"})
    changed = load_settings({"preset": "demo", "sampling": {"samples": 7}, "latents": None})
    assert changed.sampling.samples == 7
    assert changed.model_copy(update={"sampling": plain.sampling}) == plain


BAD = {
    "unknown key": ({"diffusion": {"stepz": 3}}, "diffusion.stepz.*unknown key"),
    "unknown section": ({"difusion": {}}, "difusion.*unknown key"),
    "wrong type": ({"diffusion": {"steps": "many"}}, "diffusion.steps.*'many'"),
    "section as value": ({"diffusion": 3}, "diffusion.*section of keys"),
    "negative": ({"sampling": {"samples": 0}}, "sampling.samples"),
    "share above one": ({"diffusion": {"expander_share": 1.5}}, "expander_share.*1.5"),
    "even context": ({"diffusion": {"context_slices": 2}}, "context_slices must be odd"),
    "grid": ({"preprocess": {"grid": {"shape": [60, 64, 24]}}}, "60 x 64 is not divisible by 8"),
    "noise with growth": ({"sampling": {"noise_length_mm": 25}}, "noise_length_mm must be 0"),
    "no such preset": ({"preset": "dmo"}, "preset.*'dmo'.*demo"),
}


@pytest.mark.parametrize("name", BAD)
def test_nonsense_is_refused_by_name(name):
    config, message = BAD[name]
    with pytest.raises(SettingsError, match=message):
        load_settings({"preset": "demo"} | config)


def test_all_faults_at_once():
    with pytest.raises(SettingsError) as caught:
        load_settings({"preset": "demo", "a": 1, "diffusion": {"b": 1, "steps": "x"}})
    assert len(caught.value.faults) == 3


def test_a_section_is_read_from_json_or_from_a_config_file(tmp_path):
    grid = load_settings({"preset": "demo"}).preprocess.grid
    assert load_section("preprocess.grid", json.dumps(grid.as_json())) == grid
    config = tmp_path / "config.yaml"
    config.write_text("preset: demo\npreprocess: {grid: {shape: [32, 64, 12]}}\n")
    assert load_section("preprocess.grid", str(config)).shape == (32, 64, 12)
    with pytest.raises(SettingsError, match="no readable config"):
        read_config(tmp_path / "none.yaml")
