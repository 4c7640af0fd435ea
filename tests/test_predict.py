"""One patient without the workflow: the same bytes, one page, mistakes told by option."""

import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from mini import CONFIG, MINI, mini_rows, run

from hemexp.config import load_settings
from hemexp.desk.predict import NewPatient, option_faults
from hemexp.layout import Layout
from hemexp.release.models import read_recipe, recipe_of

PATIENT = MINI["predict"][0]
CLINICAL = ("onset_to_ct_h", "anticoagulant", "antiplatelet", "age", "gcs", "sbp")


def predict(folder, out, model):
    """Runs the verb on the raw baseline of the mini cohort's patient to predict."""
    row = mini_rows().set_index("patient_id").loc[PATIENT]
    raw = f"results/phantom/sub-{PATIENT}/sub-{PATIENT}_ses-baseline_"
    numbers = [
        part
        for name in CLINICAL
        if row[name]
        for part in (f"--{name.replace('_', '-')}", row[name])
    ]
    files = [
        part
        for name in ("ct", "iph", "ivh")
        for part in (f"--baseline-{name}", f"{raw}{name}.nii.gz")
    ]
    return run(
        "hemexp",
        folder,
        "predict",
        *files,
        *numbers,
        "--patient-id",
        PATIENT,
        "--model",
        model,
        "--out",
        out,
    )


def assert_same_products(one, other):
    names = sorted(path.name for path in one.glob("*") if path.suffix in (".gz", ".tsv"))
    assert len(names) == 2 * 2 + 3 + 1
    for name in names:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def numbers_of(page):
    """Every cell of the page's tables."""
    return re.findall(r"<td[^>]*>(.*?)</td>", page)


def test_it_draws_what_the_workflow_draws(mini_run, tmp_path):
    predict(mini_run, tmp_path, "results")
    samples = f"samples/sub-{PATIENT}"
    assert_same_products(mini_run / "results" / samples, tmp_path / samples)
    page = Layout(tmp_path).patient_page(PATIENT).read_text()
    assert "not a medical device" in page and "data:image/png;base64," in page
    assert not re.search(r"""(src|href)=["'](?!data:)""", page)
    volumes = pd.read_csv(tmp_path / samples / "volumes.tsv", sep="\t")
    assert f"<strong>{volumes['iph_ml'].median():.1f}</strong>" in page
    assert str(mini_run) not in page and "Doubtful scan" not in page
    same = Layout(mini_run / "results").patient_page(PATIENT).read_text()
    assert numbers_of(page) == numbers_of(same)


def test_a_bundle_draws_the_same(mini_run, tmp_path):
    run("hemexp", mini_run, "export-bundle", "--settings", CONFIG, "--out", tmp_path / "bundle")
    predict(mini_run, tmp_path / "out", tmp_path / "bundle")
    samples = f"samples/sub-{PATIENT}"
    assert_same_products(mini_run / "results" / samples, tmp_path / "out" / samples)


@pytest.mark.slow
def test_models_that_are_not_there_are_told_in_one_sentence(tmp_path):
    for name in ("ct", "iph", "ivh"):
        (tmp_path / f"{name}.nii.gz").touch()
    files = [
        part
        for name in ("ct", "iph", "ivh")
        for part in (f"--baseline-{name}", tmp_path / f"{name}.nii.gz")
    ]
    text = run(
        "hemexp",
        tmp_path,
        "predict",
        *files,
        "--onset-to-ct-h",
        "2",
        "--model",
        tmp_path,
        "--out",
        tmp_path / "out",
        check=False,
    )
    assert "found no autoencoder/model.safetensors; expected a results folder" in text
    assert "Traceback" not in text and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("patient_id", "values", "message"),
    [
        ("P-1", {}, "--patient-id: found 'P-1'; expected letters and digits"),
        ("P1", {"onset_to_ct_h": 95.0}, "--onset-to-ct-h: found 95.0; expected a number from 0"),
        ("P1", {"gcs": 13.5}, "--gcs: found 13.5; expected a whole number from 3 to 15"),
        ("P1", {"sbp": float("nan")}, "--sbp: found nan"),
    ],
)
def test_an_option_out_of_range_is_named(patient_id, values, message):
    known = dict.fromkeys(CLINICAL) | {"onset_to_ct_h": 2.0} | values
    faults = option_faults(NewPatient(patient_id, {}, known))
    assert len(faults) == 1 and str(faults[0]).startswith(message)


def test_what_is_unknown_is_no_fault_and_a_missing_file_is():
    known = dict.fromkeys(CLINICAL) | {"onset_to_ct_h": 2.0}
    assert option_faults(NewPatient("P1", {"brain": None}, known)) == []
    (fault,) = option_faults(NewPatient("P1", {"ct": Path("nowhere.nii.gz")}, known))
    assert fault.where == "--baseline-ct" and "does not exist" in fault.found


def test_a_recipe_holds_the_limits_of_the_quality_control(settings):
    assert recipe_of(settings).quality == settings.preprocess.quality


@pytest.mark.wet
def test_a_finished_run_and_a_config_give_one_recipe(mini_run):
    settings = load_settings(yaml.safe_load(CONFIG.read_text()))
    found, expected = read_recipe(mini_run / "results"), recipe_of(settings)
    for part in ("raw", "skull_strip", "grid", "quality"):
        assert getattr(found, part) == getattr(expected, part)
