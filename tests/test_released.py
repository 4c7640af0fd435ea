"""Released models: training leaves the plan, what does not fit is refused, nobody's data moves."""

import json
import re
import shutil

import pandas as pd
import pytest
import torch
import yaml
from mini import CONFIG, KEYS, MINI, frozen, jobs, mini_rows, snakemake, write_bundle, write_sheet
from tiny_models import ERROR, save_segmenter

from hemexp import HemexpError
from hemexp.columns import SESSIONS
from hemexp.config import load_settings
from hemexp.desk.missing_masks import check_masks
from hemexp.layout import Layout
from hemexp.mask_error import read_volume_errors
from hemexp.release.adopt import run_adopt
from hemexp.release.check import check_released
from hemexp.segmentation.network import load_segmenter

PATIENT = MINI["predict"][0]


@pytest.fixture
def released(tmp_path):
    """A bundle as far as a plan reads it."""
    return write_bundle(tmp_path / "bundle")


def newcomers():
    rows = mini_rows()
    return rows[rows["split"].isin(["test", "predict"])]


@pytest.mark.slow
def test_a_centre_without_training_patients_runs_with_released_models(tmp_path, released):
    folder = write_sheet(newcomers(), tmp_path)
    config = frozen(tmp_path, released, "autoencoder", "diffusion", "expansion")
    planned = jobs(snakemake(folder, "--dry-run", config=config))
    assert {name: n for name, n in planned.items() if name.startswith("adopt")} == dict.fromkeys(
        ["adopt_autoencoder", "adopt_scale", "adopt_diffusion", "adopt_expansion"], 1
    )
    assert not set(planned) & {
        "train_autoencoder",
        "train_diffusion",
        "fit_push",
        "fit_scale",
        "fit_expansion",
        "encode_patients",
    }
    assert planned["sample_followups"] == 3 and planned["score_patient"] == 2


@pytest.mark.slow
def test_without_them_it_is_refused_with_a_sentence(tmp_path, released):
    folder = write_sheet(newcomers(), tmp_path)
    for rooms in ((), ("autoencoder", "diffusion")):
        config = frozen(tmp_path, released, *rooms)
        text = snakemake(folder, "--dry-run", check=False, config=config)
        assert "no training patient; expected at least one 'train' row" in text
        assert "expansion.model_file" in text and "Job stats" not in text


@pytest.mark.slow
def test_a_frozen_autoencoder_alone_leaves_the_rest_to_train(tmp_path, released):
    folder = write_sheet(mini_rows(), tmp_path)
    config = frozen(tmp_path, released, "autoencoder")
    planned = jobs(snakemake(folder, "--dry-run", config=config))
    assert {"adopt_autoencoder", "fit_scale", "train_diffusion", "fit_expansion"} <= set(planned)
    assert "fit_push" in planned and "train_autoencoder" not in planned


@pytest.mark.slow
def test_a_frozen_denoiser_brings_its_references_with_its_scale(tmp_path, released):
    """No push is fitted, and no reference encoded, of patients on whom nothing is trained."""
    folder = write_sheet(mini_rows(), tmp_path)
    config = frozen(tmp_path, released, "autoencoder", "diffusion")
    text = snakemake(folder, "--dry-run", "--printshellcmds", config=config)
    planned = jobs(text)
    assert planned["encode_patients"] == planned["adopt_scale"] == planned["fit_expansion"] == 1
    assert not {"fit_push", "fit_scale", "train_diffusion"} & set(planned)
    assert "hemexp encode-patients" in text and "--references" not in text


def test_the_keys_of_null_are_in_nothing_that_is_hashed():
    settings = load_settings({"preset": "demo"})
    assert settings.autoencoder.model is None and "model" not in settings.autoencoder.as_json()
    assert "model" not in settings.diffusion.as_json()
    assert "model_file" not in settings.expansion.as_json()


def settings_with(released, **changes):
    config = yaml.safe_load(CONFIG.read_text())
    for room, key in KEYS:
        config.setdefault(room, {})[key] = str(released)
    for room, values in changes.items():
        config[room] = config.get(room, {}) | values
    return load_settings(config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"autoencoder": {"latent_channels": 3}},
            "autoencoder.model.*autoencoder.latent_channels 8; expected the config's 3",
        ),
        (
            {"preprocess": {"grid": {"shape": [32, 32, 15], "spacing_mm": [6, 6, 12]}}},
            "grid.shape 32 x 32 x 14; expected the config's 32 x 32 x 15",
        ),
        ({"diffusion": {"denoiser": "2.5d"}}, "diffusion.denoiser stack"),
        (
            {"latents": {"reference": {"shell": "even"}}},
            "diffusion.model.*latents.reference.shell tilted; expected the config's even",
        ),
        ({"latents": {"reference": {"ivh": False}}}, "latents.reference.ivh True; expected"),
        ({"expansion": {"model_file": "nowhere"}}, "expansion.model_file.*no expansion/model"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_by_key(released, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        check_released(settings_with(released, **changes), tmp_path / "results")


def test_a_denoiser_of_a_version_without_references_is_refused_by_key(released, tmp_path):
    (released / "models/latents/scale.json").write_text("{}")
    with pytest.raises(ValueError, match="key diffusion.model.*nothing about the reference"):
        check_released(settings_with(released), tmp_path / "results")


def test_models_that_fit_and_how_they_were_trained_is_free(released, tmp_path):
    fitting = settings_with(released, autoencoder={"steps": 7})
    assert check_released(fitting, tmp_path / "results") is None


def test_a_runs_own_results_are_no_release(released):
    with pytest.raises(ValueError, match="this run's own results"):
        check_released(settings_with(released), released)


def test_two_autoencoders_are_told_apart(released, tmp_path):
    other = tmp_path / "other"
    (other / "models").mkdir(parents=True)
    for name in ("autoencoder", "diffusion", "latents", "expansion"):
        (other / "models" / name).symlink_to(released / "models" / name)
    (other / "configs").symlink_to(released / "configs")
    check_released(settings_with(released, autoencoder={"model": str(other)}), tmp_path / "r")
    (other / "models" / "autoencoder").unlink()
    (other / "models" / "autoencoder").mkdir()
    record = (released / "models/autoencoder/model.json").read_text()
    (other / "models/autoencoder/model.json").write_text(record)
    (other / "models/autoencoder/model.safetensors").write_text("another")
    with pytest.raises(ValueError, match="another autoencoder than the one of diffusion.model"):
        check_released(settings_with(released, autoencoder={"model": str(other)}), tmp_path / "r")


def test_a_released_denoiser_is_asked_for_no_null_that_it_never_learned(released, tmp_path):
    """Its own record counts, not the dropout that this run's config gives."""
    other = tmp_path / "other"
    shutil.copytree(released, other)
    file = other / "models" / "diffusion" / "model.json"
    record = json.loads(file.read_text())
    record["settings"] |= {"condition_dropout": 0, "clinical_dropout": 0}
    file.write_text(json.dumps(record))
    plain = {"guidance": 1, "clinical_guidance": 1}
    check_released(settings_with(other, sampling=plain), tmp_path / "r")
    asked = {"diffusion": {"clinical_dropout": 0.5}, "sampling": plain | {"clinical_guidance": 2}}
    with pytest.raises(ValueError, match="sampling.clinical_guidance.*trained with clinical_dr"):
        check_released(settings_with(other, **asked), tmp_path / "r")


def test_a_denoiser_needs_its_autoencoder():
    with pytest.raises(ValueError, match=r"diffusion.model needs autoencoder.model"):
        load_settings({"preset": "demo", "diffusion": {"model": "x"}})


def test_what_is_taken_over_names_nobody_it_learned_from(tmp_path):
    source = tmp_path / "theirs/diffusion"
    source.mkdir(parents=True)
    record = {
        "settings": {"steps": 3},
        "seed": 4,
        "git": "abc",
        "n_slices": 14,
        "inputs": {"sub-SECRET/scan.nii.gz": "0"},
    }
    (source / "model.json").write_text(json.dumps(record))
    (source / "model.safetensors").write_text("weights")
    (source / "history.tsv").write_text("step\tloss\n10\t0.5\n")
    run_adopt("diffusion", tmp_path / "theirs", Layout(tmp_path / "mine"))
    mine = tmp_path / "mine/diffusion"
    assert (mine / "model.safetensors").read_text() == "weights"
    assert (mine / "history.tsv").read_text() == "step\n"
    told = json.loads((mine / "model.json").read_text())
    assert told["verb"] == "adopt-diffusion" and told["n_slices"] == 14 and told["seed"] == 4
    assert told["released"]["git"] == "abc"
    assert set(told["inputs"]) == {
        "released/diffusion/model.safetensors",
        "released/diffusion/model.json",
    }
    assert not any("SECRET" in path.read_text() for path in mine.iterdir())


@pytest.fixture
def finds_masks(tmp_path, settings):
    """Released models that hold a network for masks, and its error."""
    layout = Layout(tmp_path / "theirs")
    save_segmenter(layout, settings.segmentation, ["SECRET"])
    return layout.root


def test_a_network_for_masks_is_taken_over_with_its_error_and_names_nobody(finds_masks, tmp_path):
    run_adopt("segmentation", finds_masks, Layout(tmp_path / "mine"))
    mine = Layout(tmp_path / "mine")
    assert load_segmenter(mine, None, torch.device("cpu")).patients == frozenset()
    assert read_volume_errors(mine)["iph"] == ERROR
    files = list((tmp_path / "mine/segmentation").iterdir())
    assert len(files) == 5 and not any(b"SECRET" in path.read_bytes() for path in files)


def test_a_release_without_a_network_for_masks_is_refused_by_key(finds_masks, released, tmp_path):
    config = {"preset": "demo", "segmentation": {"model": str(released)}}
    with pytest.raises(ValueError, match="key segmentation.model, .*no segmentation/model.safet"):
        check_released(load_settings(config), tmp_path / "results")
    config["segmentation"]["model"] = str(finds_masks)
    settings = load_settings(config)
    assert check_released(settings, tmp_path / "results") is None
    assert settings.need_training and "model" not in settings.segmentation.as_json()


def test_with_a_released_network_no_masks_are_needed_to_learn_from(finds_masks):
    columns = {f"{session}_{image}": "" for session in SESSIONS for image in ("iph", "ivh")}
    row = columns | {"split": "train", "baseline_ct": "a.nii", "followup_ct": "b.nii"}
    sheet = pd.DataFrame.from_dict({"P1": row}, orient="index")
    own = load_settings({"preset": "demo"}).segmentation
    with pytest.raises(HemexpError, match="0 patients of split `train`"):
        check_masks(sheet, own)
    named = own.model_copy(update={"model": str(finds_masks)})
    assert check_masks(sheet, named) == [("P1", "baseline"), ("P1", "followup")]


@pytest.mark.slow
def test_a_released_network_marks_scans_and_none_is_trained(tmp_path, released, finds_masks):
    rows = mini_rows()
    rows.loc[:, ["baseline_iph", "baseline_ivh", "followup_iph", "followup_ivh"]] = ""
    folder = write_sheet(rows, tmp_path / "run")
    config = yaml.safe_load(CONFIG.read_text()) | {"segmentation": {"model": str(finds_masks)}}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    planned = jobs(snakemake(folder, "--dry-run", config=path))
    assert planned["adopt_segmentation"] == 1 and planned["segment_scan"] > len(rows)
    assert not {"train_segmentation", "crossfit_masks", "score_segmentation"} & set(planned)


def test_released_models_draw_what_they_drew_at_home(mini_run, tmp_path):
    rows = newcomers()
    folder = write_sheet(rows[rows["patient_id"] == PATIENT], tmp_path)
    config = frozen(tmp_path, mini_run / "results", "autoencoder", "diffusion", "expansion")
    volumes = f"results/samples/sub-{PATIENT}/volumes.tsv"
    text = snakemake(folder, "--cores", "1", volumes, config=config)
    assert not re.search(r"rule (train|fit)_", text)
    assert (folder / volumes).read_bytes() == (mini_run / volumes).read_bytes()
