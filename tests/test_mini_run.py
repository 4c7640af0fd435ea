"""The whole workflow on phantom patients: its numbers against what the phantom knows."""

import json
import re

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from mini import CONFIG, MINI, run, snakemake

from hemexp.reporting.catalogue import FIGURES, TABLES
from hemexp.reporting.report.contents import ALL_PAGES

PATIENTS = [patient for patients in MINI.values() for patient in patients]
PAIRS = MINI["train"] + MINI["val"] + MINI["test"]


def truth(folder, patient):
    path = folder / f"results/phantom/sub-{patient}/sub-{patient}_truth.json"
    return json.loads(path.read_text())


def table(folder, name):
    return pd.read_csv(folder / "results" / name, sep="\t")


def image(folder, room, patient, ending):
    return nib.load(folder / f"results/{room}/sub-{patient}/sub-{patient}_{ending}")


def grid_mask(folder, patient, session, name):
    ending = f"ses-{session}_space-grid_desc-{name}_mask.nii.gz"
    return np.asarray(image(folder, "preprocess", patient, ending).dataobj) > 0


def test_a_second_run_does_nothing(mini_run):
    # Without a lock: another process may be copying the run.
    assert "Nothing to be done" in snakemake(mini_run, "--cores", "2", "--nolock")


def test_native_volumes_are_the_phantoms(mini_run):
    outcomes = table(mini_run, "cohort/outcomes.tsv").set_index("patient_id")
    known = table(mini_run, "phantom/truth.tsv").set_index("patient_id")
    assert list(outcomes.index) == PATIENTS
    for name in ("baseline_iph_ml", "baseline_ivh_ml"):
        assert np.allclose(outcomes[name], known.loc[PATIENTS, name], rtol=1e-4, atol=1e-4)
    growth = known.loc[PAIRS, "followup_iph_ml"] - known.loc[PAIRS, "baseline_iph_ml"]
    assert np.allclose(outcomes.loc[PAIRS, "growth_ml"], growth, atol=1e-3)
    assert outcomes.loc[MINI["predict"], "growth_ml"].isna().all()


@pytest.mark.parametrize("patient", PAIRS)
def test_registration_finds_the_known_motion(mini_run, patient):
    known = table(mini_run, "phantom/truth.tsv").set_index("patient_id").loc[patient]
    matrix = np.eye(4)
    matrix[:3] = (
        known[[f"motion_{i}{j}" for i in range(3) for j in range(4)]].to_numpy(float).reshape(3, 4)
    )
    brain = image(
        mini_run, "preprocess", patient, "ses-baseline_space-native_desc-brain_mask.nii.gz"
    )
    voxels = np.argwhere(np.asarray(brain.dataobj) > 0)[::5000]
    points = nib.affines.apply_affine(brain.affine, voxels)
    folder = mini_run / f"results/preprocess/sub-{patient}"
    name = f"sub-{patient}_from-followup_to-baseline_mode-image_xfm.tfm"
    transform = sitk.ReadTransform(str(folder / name))
    lps = np.array([-1, -1, 1])
    found = np.array([transform.TransformPoint(tuple(point * lps)) for point in points]) * lps
    error_mm = np.linalg.norm(found - nib.affines.apply_affine(matrix, points), axis=1)
    moved_mm = np.linalg.norm(points - nib.affines.apply_affine(matrix, points), axis=1)
    assert error_mm.mean() < 1.0
    assert error_mm.mean() < 0.5 * max(moved_mm.mean(), 2.0)


def test_grid_masks_keep_their_volume_and_overlap_after_registration(mini_run):
    qc = table(mini_run, "preprocess/qc.tsv").set_index(["patient_id", "session"])
    assert (qc["status"].isin(["ok", "warning"])).all()
    large = qc[qc["iph_ml"] > 10]
    assert np.allclose(large["iph_grid_ml"], large["iph_ml"], rtol=0.04)
    for patient in PAIRS:
        masks = [
            grid_mask(mini_run, patient, session, "iph") for session in ("baseline", "followup")
        ]
        overlap = (masks[0] & masks[1]).sum() / masks[0].sum()
        assert overlap > 0.8, patient


def test_the_autoencoder_gives_masks_back(mini_run):
    scores = pd.concat(
        table(mini_run, f"latents/sub-{p}/sub-{p}_reconstruction.tsv") for p in PATIENTS
    )
    assert len(scores) == 2 * len(PAIRS) + len(MINI["predict"])
    assert scores["iph_dice"].mean() > 0.7
    assert scores["psnr_db"].mean() > 18


def test_samples_are_finite_brought_to_their_target_and_unlike(mini_run):
    for patient in MINI["test"] + MINI["predict"]:
        volumes = table(mini_run, f"samples/sub-{patient}/volumes.tsv")
        assert list(volumes["sample"]) == [0, 1]
        assert np.isfinite(volumes[["iph_ml", "iph_raw_ml", "ivh_ml", "logit_offset"]]).all().all()
        baseline = truth(mini_run, patient)["baseline"]["iph_ml"]
        voxel_ml = 6 * 6 * 12 / 1000
        miss = volumes["iph_ml"] - baseline - volumes["target_growth_ml"]
        assert (miss.abs() <= voxel_ml / 2 + 1e-3).all()
        one, two = (
            image(mini_run, "samples", patient, f"sample-{k}_ct.nii.gz").get_fdata()
            for k in (0, 1)
        )
        assert np.isfinite(one).all() and not np.array_equal(one, two)


def test_maps_are_the_share_of_samples_with_new_blood(mini_run):
    patient = MINI["test"][1]
    labels = [
        np.asarray(image(mini_run, "samples", patient, f"sample-{k}_dseg.nii.gz").dataobj)
        for k in (0, 1)
    ]
    before = grid_mask(mini_run, patient, "baseline", "iph")
    before = before | grid_mask(mini_run, patient, "baseline", "ivh")
    share = np.mean([(one > 0) & ~before for one in labels], axis=0)
    stored = image(mini_run, "samples", patient, "desc-expansion_probseg.nii.gz").get_fdata()
    assert np.allclose(stored, share, atol=1e-6)


def test_sample_k_is_the_same_when_more_are_drawn(mini_run, tmp_path):
    """Two samples by the workflow, four by hand: the first two are equal to the bit."""
    patient = MINI["test"][0]
    results = tmp_path / "results"
    results.mkdir()
    for room in ("preprocess", "latents", "autoencoder", "diffusion", "expansion"):
        (results / room).symlink_to(mini_run / "results" / room)
    settings = json.loads((mini_run / f"results/samples/sub-{patient}/volumes.json").read_text())
    run(
        "hemexp",
        mini_run,
        "sample-followups",
        "--patient",
        patient,
        "--results",
        results,
        "--settings",
        json.dumps(settings["settings"] | {"samples": 4}),
        "--seed",
        settings["seed"],
    )
    first = table(mini_run, f"samples/sub-{patient}/volumes.tsv")
    more = pd.read_csv(results / f"samples/sub-{patient}/volumes.tsv", sep="\t")
    assert len(more) == 4
    pd.testing.assert_frame_equal(first, more[:2])
    for k in (0, 1):
        name = f"samples/sub-{patient}/sub-{patient}_sample-{k}_ct.nii.gz"
        assert (mini_run / "results" / name).read_bytes() == (results / name).read_bytes()


def test_tables_hold_the_forecast_beside_its_yardsticks(mini_run):
    forecasts = table(mini_run, "evaluation/forecasts.tsv")
    models = set(forecasts.loc[forecasts["target"] == "iph_ml", "model"])
    assert {
        "hemexp",
        "hemexp_raw",
        "tabular",
        "climatology",
        "copy_baseline",
        "true_distribution",
    } <= models
    metrics = json.loads((mini_run / "results/evaluation/metrics.json").read_text())
    assert metrics and all(np.isfinite(value) for value in metrics.values() if value is not None)


def test_every_product_says_where_it_came_from(mini_run):
    for product in mini_run.glob("results/**/*"):
        if (
            product.suffix in (".gz", ".tsv", ".png", ".csv", ".safetensors")
            and "benchmarks" not in product.parts
        ):
            stem = product.name.removesuffix(".gz").rsplit(".", 1)[0]
            record = json.loads((product.parent / f"{stem}.json").read_text())
            assert {"verb", "settings", "inputs", "versions", "git", "seconds"} <= set(record), (
                product
            )


def test_the_page_shows_every_figure_and_says_what_it_is_not(mini_run):
    pages = [path.read_text() for path in (mini_run / "results/report").glob("[!s]*.html")]
    assert len(pages) == len(ALL_PAGES) and all("not a medical device" in page for page in pages)
    for figure in (mini_run / "results/figures").glob("*.svg"):
        assert any(f"../figures/{figure.name}" in page for page in pages)


def test_the_report_of_snakemake_shows_every_caption(mini_run, tmp_path):
    snakemake(mini_run, "--report", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    captions = [
        *(figure.caption for figure in FIGURES.values()),
        *(table.caption for table in TABLES if not table.optional),
    ]
    # Between quotes, which are drawn as the page's language has them; other signs are JSON's.
    parts = [json.dumps(part)[1:-1] for text in captions for part in re.split("['`]", text)]
    assert [part for part in parts if part not in page] == []


def test_a_broken_scan_is_named_and_nothing_half_written(mini_run, tmp_path):
    patient = MINI["test"][0]
    raw = tmp_path / "results/phantom"
    raw.mkdir(parents=True)
    (tmp_path / "config").symlink_to(mini_run / "config")
    source = mini_run / f"results/phantom/sub-{patient}"
    (raw / f"sub-{patient}").mkdir()
    for path in source.glob("*.nii.gz"):
        data = path.read_bytes()
        (raw / f"sub-{patient}" / path.name).write_bytes(data[: len(data) // 2])
    text = run(
        "hemexp",
        tmp_path,
        "strip-skull",
        "--patient",
        patient,
        "--session",
        "baseline",
        "--settings",
        CONFIG,
        "--raw",
        CONFIG,
        check=False,
    )
    assert f"patient {patient}" in text and "cannot be read" in text
    assert not list((tmp_path / "results").glob("preprocess/**/*.*"))
