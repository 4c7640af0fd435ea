"""The exported bundle: MONAI runs it, and it draws what the verb draws."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from results_folder import Grid, bleeds, save, write_scan
from tiny_models import ERROR, IVH, PUSH, WHOLE, save_segmenter

from hemexp import HemexpError
from hemexp.autoencoder.network import MultiHeadVae
from hemexp.config import load_settings
from hemexp.diffusion.network import Denoiser
from hemexp.expansion.measure import run_measure_bleed
from hemexp.expansion.model import ExpansionModel, Linear
from hemexp.latents.encode import run_encode_patients
from hemexp.layout import Layout
from hemexp.mask_error import read_volume_errors
from hemexp.provenance import write_json
from hemexp.release.bundle import OPTIONS, inference_config, run_export_bundle
from hemexp.release.forecast import draw_followups, patient_row
from hemexp.release.models import read_recipe
from hemexp.sampling.run import run_sample_followups
from hemexp.segmentation.network import load_segmenter
from hemexp.training import save_weights

pytestmark = pytest.mark.usefixtures("one_thread")

REPOSITORY = Path(__file__).parents[1]
GRID = Grid((16, 24, 5), (9.0, 7.0, 20.0))
NATIVE = Grid((48, 56, 20), (3.0, 3.0, 5.0))
PATIENT = {
    "patient_id": "007",
    "onset_to_ct_h": 2.5,
    "anticoagulant": 1,
    "antiplatelet": None,
    "age": 71,
    "gcs": 14,
    "sbp": None,
    "baseline_iph_ml": 31.4,
    "baseline_ivh_ml": 2.5,
}
LEARNED_FROM = "A01"


TINY = {
    "preset": "demo",
    "preprocess": {"grid": {"shape": list(GRID.shape), "spacing_mm": list(GRID.spacing_mm)}},
    "autoencoder": {"channels": [8, 16]},
    "latents": {"batch_slices": 2},
    "diffusion": {"channels": [8, 16]},
    "sampling": {"samples": 2, "evaluations": 3, "batch_slices": 10},
}


@pytest.fixture(scope="module")
def settings():
    return load_settings(TINY)


def random_network(network):
    """Random weights everywhere: layers that start at zero would hide a wrong input."""
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return network


def save_models(root, settings):
    torch.manual_seed(0)
    latents, slices = settings.autoencoder.latent_channels, settings.preprocess.grid.shape[2]
    facts = {"inputs": {f"sub-{LEARNED_FROM}/scan.nii.gz": "0"}, "seed": 1}
    vae = random_network(MultiHeadVae(settings.autoencoder))
    save_weights(root / "autoencoder/model.safetensors", vae)
    record = {"settings": settings.autoencoder.as_json()}
    write_json(root / "autoencoder/model.json", record | facts)
    shown = {"reference": True, "ivh": True}
    denoiser = random_network(Denoiser(settings.diffusion, latents, slices, **shown))
    save_weights(root / "diffusion/model.safetensors", denoiser)
    schedule = {"kind": "cosine", "shift": -2.0, "lambda_min": -6.0, "lambda_max": 4.0}
    record = {
        "settings": settings.diffusion.as_json(),
        "schedule": schedule,
        "context_stride": 1,
        "n_slices": slices,
        "latent_channels": latents,
        "patients": 26,
        "drift": {"coefficients": [[0.1] * 3] * 4, "residuals": [[0.5, -0.2, 0.3]]},
    }
    write_json(root / "diffusion/model.json", record | facts)
    scale = {
        "latent_mean": [0.1] * latents,
        "latent_sd": [1.2] * latents,
        "delta_mean": [0.0] * latents,
        "delta_sd": [0.3 + 0.1 * (k % 4) for k in range(latents)],
    }
    reference = WHOLE.as_json() | {"push": PUSH.as_json()}
    write_json(root / "latents/scale.json", {"scale": scale, "reference": reference} | facts)
    names = ("ln_onset", "antiplatelet", "sphericity", "hu_sd")
    chance = Linear(
        names, (1.0, 0.2, 0.7, 4.0), (0.5, 0.4, 0.1, 2.0), (-1.0, 0.3, -1.0, 1.0), -0.5
    )
    growth = Linear(("ln_iph_ml",), (2.5,), (0.7,), (0.35,), 2.2)
    model = ExpansionModel("image_clinical", chance, growth, 0.4, (-0.4, 0.1, 1.5), 0.2)
    models = {"chosen": "image_clinical", "models": {"image_clinical": model.as_json()}}
    write_json(root / "expansion/model.json", models | {"ivh": IVH.as_json()} | facts)


def image_files(root, space="grid"):
    layout = Layout(root)
    scan = {"grid": layout.grid, "native": layout.native}[space]("007", "baseline")
    return {name: str(path) for name, path in scan.images._asdict().items()}


@pytest.fixture(scope="module")
def sheet():
    """The patient's row of a sample sheet."""
    row = {k: np.nan if v is None else v for k, v in PATIENT.items() if "_ml" not in k}
    return pd.DataFrame([row | {"split": "predict"}]).set_index("patient_id", drop=False)


@pytest.fixture(scope="module")
def results(tmp_path_factory, settings, sheet):
    """Results of one patient with made-up models, sampled by the verb on one thread."""
    root = tmp_path_factory.mktemp("results")
    masks = bleeds(GRID, PATIENT["baseline_iph_ml"], 20.0)
    write_scan(root, GRID, "007", "baseline", *masks, np.random.default_rng(0))
    finer = bleeds(NATIVE, PATIENT["baseline_iph_ml"], 20.0)
    write_scan(root, NATIVE, "007", "baseline", *finer, np.random.default_rng(1), space="native")
    measured = {f"{name}_ml": [PATIENT[f"baseline_{name}_ml"]] for name in ("iph", "ivh")}
    layout = Layout(root)
    save(pd.DataFrame(measured), layout.native("007", "baseline").volumes)
    save_models(root, settings)
    run_encode_patients(layout, sheet, settings.latents, settings.seed, "cpu")
    run_measure_bleed(layout, sheet)
    run_sample_followups(layout, sheet, settings.sampling, settings.seed, "cpu")
    return root


@pytest.fixture(scope="module")
def bundle(results, settings, tmp_path_factory):
    out = tmp_path_factory.mktemp("bundle")
    run_export_bundle(Layout(results), out, settings)
    return out


def config_of(bundle):
    return json.loads((bundle / "configs/inference.json").read_text())


@pytest.mark.slow
def test_monai_runs_the_bundle_and_it_draws_what_the_verb_draws(bundle, results):
    pytest.importorskip("fire", reason="`python -m monai.bundle` needs the package fire")
    given = {f"patient#{key}": value for key, value in PATIENT.items() if value is not None}
    for part, space in (("images", "grid"), ("native", "native")):
        given |= {f"{part}#{key}": path for key, path in image_files(results, space).items()}
    (bundle / "patient.json").write_text(json.dumps(given))
    paths = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    command = [
        sys.executable,
        "-m",
        "monai.bundle",
        "run",
        "--config_file",
        "['configs/inference.json', 'patient.json']",
        "--device",
        "cpu",
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    done = subprocess.run(command, cwd=bundle, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    wanted = sorted((results / "samples/sub-007").glob("*.nii.gz"))
    assert len(wanted) == 7
    for path in [*wanted, results / "samples/sub-007/volumes.tsv"]:
        assert path.read_bytes() == (bundle / "eval/sub-007" / path.name).read_bytes(), path.name


def draw(bundle, out, images, results, **sampling):
    """What the bundle draws of some images on the grid."""
    native = image_files(results, "native")
    config = config_of(bundle) | {"device": "cpu"}
    options = {name: config[name] for name in OPTIONS}
    options["sampling"] |= sampling
    inputs = {"patient": PATIENT, "images": images, "native": native}
    return draw_followups(str(bundle / "models"), str(out), inputs, options)


def test_sample_k_of_a_bundle_does_not_depend_on_how_many_are_drawn(bundle, results, tmp_path):
    table = draw(bundle, tmp_path, image_files(results), results, samples=3)
    verb = pd.read_csv(results / "samples/sub-007/volumes.tsv", sep="\t")
    assert table["iph_raw_ml"][:2].round(4).tolist() == verb["iph_raw_ml"].tolist()
    assert table["iph_ml"].std() > 0


def test_models_without_a_network_for_masks_are_handed_on_as_before(bundle):
    assert read_recipe(bundle).segmentation is None
    assert not (bundle / "models" / "segmentation").exists()
    assert "No masks" not in (bundle / "docs/README.md").read_text()


def test_a_network_that_makes_masks_is_handed_on_without_names(results, settings, tmp_path):
    run = Layout(tmp_path / "run")
    for room in ("latents", "autoencoder", "diffusion", "expansion"):
        (run.root / room).parent.mkdir(exist_ok=True)
        (run.root / room).symlink_to(results / room)
    save_segmenter(run, settings.segmentation, [LEARNED_FROM])
    run_export_bundle(run, tmp_path / "bundle", settings)
    recipe, models = read_recipe(tmp_path / "bundle"), Layout(tmp_path / "bundle" / "models")
    assert recipe.segmentation == settings.segmentation
    ours, theirs = (load_segmenter(one, None, torch.device("cpu")) for one in (run, models))
    assert ours.hash == theirs.hash and ours.patients == {LEARNED_FROM} and not theirs.patients
    assert read_volume_errors(models)["ivh"] == ERROR
    for path in models.segmenter().weights.parent.iterdir():
        assert LEARNED_FROM.encode() not in path.read_bytes(), path
    metadata = json.loads((tmp_path / "bundle/configs/metadata.json").read_text())
    assert metadata["hemexp"]["models"]["segmentation/model.safetensors"] == ours.hash
    assert "No masks" in (tmp_path / "bundle/docs/README.md").read_text()
    run.error_model.unlink()
    with pytest.raises(HemexpError, match=r"segmentation/error_model.json: found no such file"):
        run_export_bundle(run, tmp_path / "again", settings)
    models.error_model.unlink()
    with pytest.raises(HemexpError, match=r"found no segmentation/error_model.json"):
        read_recipe(tmp_path / "bundle")


def test_a_bundle_says_how_a_new_patient_is_prepared_and_drawn(bundle, settings):
    recipe = read_recipe(bundle)
    assert recipe.sampling == settings.sampling and recipe.grid == settings.preprocess.grid
    assert recipe.latents.batch_slices == settings.latents.batch_slices
    assert recipe.latents.posterior == "mean"


def test_models_of_a_version_without_references_are_refused(bundle, results, tmp_path):
    older = shutil.copytree(bundle, tmp_path / "older")
    for room, file, part in (("latents", "scale", "reference"), ("expansion", "model", "ivh")):
        path = older / "models" / room / f"{file}.json"
        whole = path.read_text()
        path.write_text(json.dumps({k: v for k, v in json.loads(whole).items() if k != part}))
        with pytest.raises(HemexpError, match=f"{room}/{file}.json.*with this version"):
            draw(older, tmp_path / "out", image_files(results), results)
        path.write_text(whole)


def test_a_bundle_keeps_the_precision_of_its_run(bundle, settings):
    assert config_of(bundle)["sampling"]["precision"] == "fp32"
    full = load_settings({"preset": "full"})
    assert inference_config(full)["sampling"]["precision"] == "bf16"


def files_of(folder):
    return sorted(path.name for path in folder.iterdir())


def test_fewer_samples_leave_none_of_an_earlier_run(results, sheet, settings, tmp_path, caplog):
    for room in ("preprocess", "latents", "autoencoder", "diffusion", "expansion"):
        (tmp_path / room).symlink_to(results / room)
    shutil.copytree(results / "samples", tmp_path / "samples")
    folder = tmp_path / "samples/sub-007"
    other = tmp_path / "samples/sub-0070/sub-0070_sample-1_ct.nii.gz"
    other.parent.mkdir()
    for kept in (other, folder / "sub-007_sample-notes.txt"):
        kept.write_text("of somebody else")
    before = files_of(folder)
    caplog.set_level("INFO", "hemexp.sampling")
    fewer = settings.sampling.model_copy(update={"samples": 1})
    run_sample_followups(Layout(tmp_path), sheet, fewer, settings.seed, "cpu")
    gone = [
        f"sub-007_sample-1_{kind}.{end}" for kind in ("ct", "dseg") for end in ("json", "nii.gz")
    ]
    assert set(gone) < set(before)
    assert files_of(folder) == sorted(set(before) - set(gone))
    assert other.exists()
    assert "007: removed 4 files of an earlier run that kept more than 1 samples" in caplog.text
    first = "samples/sub-007/sub-007_sample-0_ct.nii.gz"
    assert (tmp_path / first).read_bytes() == (results / first).read_bytes()


def test_metadata_has_what_the_specification_asks_for(bundle):
    """MONAI's own check downloads a schema; these are its required keys."""
    metadata = json.loads((bundle / "configs/metadata.json").read_text())
    for key in (
        "schema",
        "version",
        "changelog",
        "monai_version",
        "pytorch_version",
        "task",
        "numpy_version",
        "required_packages_version",
        "description",
        "authors",
        "copyright",
        "intended_use",
        "network_data_format",
    ):
        assert metadata[key], key
    assert "hemexp" in metadata["required_packages_version"]
    assert "not a medical device" in metadata["intended_use"]
    for way, names in (("inputs", {"image"}), ("outputs", {"ct", "labels"})):
        formats = metadata["network_data_format"][way]
        assert set(formats) == names
        for one in formats.values():
            assert {
                "type",
                "format",
                "num_channels",
                "spatial_shape",
                "dtype",
                "value_range",
                "is_patch_data",
                "channel_def",
            } <= set(one)
            assert one["spatial_shape"] == list(GRID.shape)
            assert len(one["channel_def"]) == one["num_channels"]


def test_a_bundle_names_no_patient_and_holds_no_pickle(bundle):
    files = [p for p in bundle.rglob("*") if p.is_file() and "eval" not in p.parts]
    files = [p for p in files if p.name != "patient.json"]
    assert {p.suffix for p in files} == {".json", ".md", ".safetensors", ""}
    for path in files:
        assert f"sub-{LEARNED_FROM}".encode() not in path.read_bytes(), path
    readme = (bundle / "docs/README.md").read_text()
    assert "not a medical device" in readme
    assert "16 x 24 x 5 voxels" in readme
    assert "learned from 26 patients" in readme


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patient_id": 7}, "patient_id: found 7; expected text"),
        ({"gcs": 99}, "gcs: found 99; expected a whole number from 3 to 15"),
        ({"anticoagulant": 0.5}, "anticoagulant: found 0.5"),
        ({"age": "71"}, "age: found '71'"),
        ({"baseline_iph_ml": 0}, "baseline_iph_ml: found 0; expected"),
        ({"sbp": float("nan")}, "sbp: found nan"),
        ({"glucose": 133}, "glucose: found an unknown key"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(change, message):
    with pytest.raises(HemexpError, match=message):
        patient_row(PATIENT | change)


def test_unknown_values_stay_unknown():
    row = patient_row(PATIENT)
    outcome = [row["followup_iph_ml"], row["followup_ivh_ml"]]
    assert np.isnan([row["antiplatelet"], row["sbp"], *outcome]).all()
    assert row["age"] == 71


def test_images_of_another_grid_or_without_a_bleed_are_refused(bundle, results, tmp_path):
    def draw_with(**changed):
        draw(bundle, tmp_path, image_files(results) | changed, results)

    other = Grid((16, 24, 5), (9.0, 7.0, 18.0))
    write_scan(tmp_path, other, "007", "baseline", *bleeds(other, 30, 0), np.random.default_rng(0))
    with pytest.raises(HemexpError, match=r"image brain: found .*18.0.* expected .*20.0"):
        draw_with(brain=image_files(tmp_path)["brain"])
    with pytest.raises(HemexpError, match=r"image ct: found .*18.0.* expected .*20.0"):
        draw_with(**image_files(tmp_path))
    nothing = np.zeros(GRID.shape, dtype=bool)
    write_scan(tmp_path, GRID, "007", "baseline", nothing, nothing, np.random.default_rng(0))
    with pytest.raises(HemexpError, match="empty mask"):
        draw_with(iph=image_files(tmp_path)["iph"])
    assert not (tmp_path / "sub-007" / "volumes.tsv").exists()


def test_export_refuses_missing_models_and_other_settings(results, settings, tmp_path):
    with pytest.raises(HemexpError, match=r"expansion/model.json: found no such file"):
        run_export_bundle(Layout(tmp_path), tmp_path / "out", settings)
    diffusion = settings.diffusion.model_copy(update={"context_mm": 9.0})
    with pytest.raises(HemexpError, match="diffusion: found a model made with other context_mm"):
        changed = settings.model_copy(update={"diffusion": diffusion})
        run_export_bundle(Layout(results), tmp_path / "out", changed)
    assert not (tmp_path / "out").exists()


def test_a_bundle_never_looks_at_outcomes():
    assert inference_config(load_settings({"preset": "paper"}))["sampling"]["indicator"] == (
        "predicted"
    )
