"""The verbs of the room on a small folder: what they write, and what they leave alone."""

import json
from shutil import copytree

import numpy as np
import pandas as pd
import pytest

from hemexp.expansion.features import BleedScan, measure_bleed
from hemexp.expansion.fit import GROWTH_MODELS
from hemexp.expansion.ivh import IVH_EVENT_ML, load_ivh
from hemexp.expansion.measure import run_measure_bleed
from hemexp.expansion.model import load_expansion
from hemexp.expansion.predict import run_predict_expansion
from hemexp.expansion.predictors import FREE_COLUMNS
from hemexp.expansion.train import run_fit_expansion
from hemexp.expansion.what_if import run_answer_what_if
from hemexp.layout import Layout
from hemexp.release.adopt import IVH_COMPARISON
from hemexp.volumes import write_volume

FEATURES = (
    "sphericity",
    "irregularity",
    "hu_mean",
    "hu_sd",
    "hu_skew",
    "dark_share",
    "dark_hu",
    "dark_spots",
    "ventricle_mm",
    "abc2_ml",
    *FREE_COLUMNS,
)
OUTSIDE = "P041"


def write_table(path, **row):
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame([row]).to_csv(path, sep="\t", index=False)


@pytest.fixture(scope="module")
def settings(settings):
    few = {"folds": 2, "image_penalties": [10], "bootstrap": 50}
    return settings.expansion.model_copy(update=few)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, settings):
    """40 training and 5 test patients, fitted and forecast; an outside probability for one."""
    root, rng, rows = tmp_path_factory.mktemp("run"), np.random.default_rng(0), []
    layout = Layout(root)
    for number in range(45):
        name, grows = f"P{number:03d}", number % 3 == 0
        volume = float(np.exp(rng.normal(2.6, 0.5)))
        rows.append(
            {
                "patient_id": name,
                "split": "train" if number < 40 else "test",
                "onset_to_ct_h": rng.uniform(0.5, 4 if grows else 12),
                "anticoagulant": number % 2,
                "antiplatelet": np.nan,
                "age": 70.0,
                "gcs": 14.0,
                "sbp": 170.0,
                "expansion_prob": 0.9 if name == OUTSIDE else np.nan,
                "sphericity": "the sheet's own column",
            }
        )
        for session, extra in (("baseline", 0.0), ("followup", 9.0 if grows else 0.2)):
            path = layout.native(name, session).volumes
            spilled = 2.0 * (session == "followup" and number % 6 == 0)
            write_table(path, iph_ml=volume + extra, ivh_ml=spilled)
        drawn = dict(zip(FEATURES, rng.uniform(1, 2, len(FEATURES)), strict=True))
        path = layout.features(name)
        write_table(path, patient_id=name, iph_ml=volume, ivh_ml=0.0, **drawn)
    sheet = pd.DataFrame(rows).set_index("patient_id", drop=False)
    train = sheet[sheet["split"] == "train"]
    run_fit_expansion(layout, train, settings, seed=1)
    run_predict_expansion(layout, sheet)
    run_answer_what_if(layout, sheet[40:])
    return root, sheet


def table(folder, name):
    return pd.read_csv(folder[0] / "expansion" / name, sep="\t")


@pytest.mark.slow
def test_fitting_writes_models_and_honest_forecasts(folder):
    training = table(folder, "training.tsv")
    assert len(training) == len(GROWTH_MODELS) * 40 and set(training["he"]) == {0, 1}
    record = json.loads((folder[0] / "expansion/model.json").read_text())
    best = "four_variable_published"  # 14 expand: too few for the lowest CRPS
    assert record["chosen"] == best and len(record["models"]) == len(GROWTH_MODELS)
    assert record["patients"] == 40 and record["expanders"] == training["he"].sum() / len(
        GROWTH_MODELS
    )
    forecasts = table(folder, "training_forecasts.tsv")
    assert list(forecasts.columns) == ["patient_id", "draw", "growth_ml"]
    assert len(forecasts) == 40 * 199
    scored = training[training["model"] == best].set_index("patient_id")
    quantiles = forecasts.query("patient_id == 'P000'")["growth_ml"].to_numpy()
    crps = (
        np.abs(quantiles - 9).mean() - np.abs(np.subtract.outer(quantiles, quantiles)).mean() / 2
    )
    assert scored.loc["P000", "crps_ml"] == pytest.approx(crps, abs=1e-4)


def test_every_model_forecasts_every_patient_once(folder):
    predictions, forecasts = table(folder, "predictions.tsv"), table(folder, "forecasts.tsv")
    assert (
        len(predictions) == len(GROWTH_MODELS) * 45
        and not predictions[["patient_id", "model"]].duplicated().any()
    )
    chosen = load_expansion(folder[0] / "expansion/model.json").name
    assert set(predictions.loc[predictions["chosen"] == 1, "model"]) == {chosen}
    assert len(forecasts) == len(GROWTH_MODELS) * 5 * 199
    assert set(forecasts["patient_id"]) == {f"P{number:03d}" for number in range(40, 45)}
    sources = predictions.groupby("split")["source"].agg(set)
    assert sources["train"] == {"cross-fitted"} and sources["test"] == {"fitted", "sheet"}
    outside = predictions[predictions["patient_id"] == OUTSIDE]
    assert (outside["p_expansion"] == 0.9).all() and (outside["source"] == "sheet").all()
    honest = table(folder, "training.tsv").set_index(["patient_id", "model"])["p_expansion"]
    trained = predictions[predictions["split"] == "train"]
    assert np.allclose(
        trained["p_expansion"],
        [honest[key] for key in zip(trained["patient_id"], trained["model"], strict=True)],
    )


def test_ivh_growth_is_fitted_compared_and_forecast(folder):
    ivh = load_ivh(folder[0] / "expansion/model.json")
    assert (ivh.patients, ivh.events) == (40, 7)
    compared = table(folder, "ivh_comparison.tsv").set_index("model")
    assert list(compared.reset_index().columns) == list(IVH_COMPARISON)
    assert (compared["n"] == 40).all() and (compared["events"] == 7).all()
    assert compared.loc["copied_baseline", "crps_ml"] == pytest.approx(7 * 2 / 40)
    predictions, forecasts = table(folder, "predictions.tsv"), table(folder, "forecasts.tsv")
    assert predictions["p_ivh_growth"].between(0, 1, inclusive="neither").all()
    assert predictions["p_ivh_growth"].mean() == pytest.approx(7 / 40, abs=0.05)
    keys = ["patient_id", "model"]
    honest = table(folder, "training.tsv").set_index(keys)["p_ivh_growth"]
    trained = predictions[predictions["split"] == "train"].set_index(keys)["p_ivh_growth"]
    pd.testing.assert_series_equal(trained.sort_index(), honest.sort_index())
    drawn = forecasts.groupby(keys)["ivh_growth_ml"]
    share = drawn.agg(lambda ml: np.mean(ml >= IVH_EVENT_ML))
    tested = predictions[predictions["split"] == "test"].set_index(keys)["p_ivh_growth"]
    assert np.allclose(share.sort_index(), tested.sort_index(), atol=0.01)
    assert (
        drawn.agg(lambda ml: ml.is_monotonic_increasing).all() and forecasts["draw"].max() == 198
    )


def test_too_few_with_ivh_growth_are_said(folder, settings, tmp_path, caplog):
    root, sheet = folder
    (tmp_path / "expansion").mkdir()
    for path in root.glob("expansion/sub-*"):
        (tmp_path / "expansion" / path.name).symlink_to(path)
    (tmp_path / "preprocess").symlink_to(root / "preprocess")
    run_fit_expansion(Layout(tmp_path), sheet[:12], settings, seed=1)
    assert "IVH grew by 0.3 mL or more in 2 of 12 training patients" in caplog.text
    record = json.loads((tmp_path / "expansion/model.json").read_text())
    assert record["ivh"]["events"] == 2 and record["ivh_cross_fitted"][0]["model"] == "hurdle"


def test_who_was_evacuated_is_left_out_of_the_models_and_said(folder, settings, tmp_path, caplog):
    """P001 loses 9 of its mL, a tenth of them into the ventricles; P002 hands all to these."""
    root, sheet = folder
    (tmp_path / "expansion").mkdir()
    for path in root.glob("expansion/sub-*"):
        (tmp_path / "expansion" / path.name).symlink_to(path)
    copytree(root / "preprocess", tmp_path / "preprocess")
    layout = Layout(tmp_path)
    for name, spilled_ml in (("P001", 0.9), ("P002", 9.0)):
        write_table(layout.native(name, "baseline").volumes, iph_ml=20.0, ivh_ml=0.0)
        write_table(layout.native(name, "followup").volumes, iph_ml=11.0, ivh_ml=spilled_ml)
    run_fit_expansion(layout, sheet[:19], settings, seed=1)
    assert "Patient P001: an IPH of 20.0 mL at baseline and 11.0 mL at follow-up" in caplog.text
    assert "Patient P002" not in caplog.text
    assert "7 of 18 training patients expand: fewer than 15 of a kind" in caplog.text
    record = json.loads((tmp_path / "expansion/model.json").read_text())
    assert (record["patients"], record["left_out"]) == (18, 1)
    model = load_expansion(tmp_path / "expansion/model.json")
    lost_ml = np.array(model.stable) * 20.0**model.stable_power
    assert lost_ml.min() == pytest.approx(-9.0) and np.sum(lost_ml < 0) == 1  # P002 alone
    training = pd.read_csv(tmp_path / "expansion/training.tsv", sep="\t")
    assert "P001" not in set(training["patient_id"]) and training["crps_ml"].notna().all()


def test_all_onsets_unknown_give_a_sentence_and_numbers(folder, settings, tmp_path, caplog):
    root, sheet = folder
    (tmp_path / "expansion").mkdir()
    for path in root.glob("expansion/sub-*"):
        (tmp_path / "expansion" / path.name).symlink_to(path)
    (tmp_path / "preprocess").symlink_to(root / "preprocess")
    unknown = sheet.assign(onset_to_ct_h=np.nan, anticoagulant=1)[:40]
    run_fit_expansion(Layout(tmp_path), unknown, settings, seed=1)
    assert "nothing is learned of it: ln_onset, anticoagulant, antiplatelet" in caplog.text
    compared = pd.read_csv(tmp_path / "expansion/comparison.tsv", sep="\t")
    assert compared[["auc", "brier", "crps_ml", "crps_low", "crps_high"]].notna().all(axis=None)


def test_another_test_patient_changes_no_forecast_of_the_others(folder, tmp_path):
    root, sheet = folder
    (tmp_path / "expansion").mkdir()
    for path in (root / "expansion").iterdir():
        (tmp_path / "expansion" / path.name).symlink_to(path)
    for name in ("predictions.tsv", "forecasts.tsv"):
        (tmp_path / "expansion" / name).unlink()
    (tmp_path / "preprocess").symlink_to(root / "preprocess")
    run_predict_expansion(Layout(tmp_path), sheet[:44])
    fewer = pd.read_csv(tmp_path / "expansion/forecasts.tsv", sep="\t")
    pd.testing.assert_frame_equal(fewer, table(folder, "forecasts.tsv")[: len(fewer)])


def test_what_if_answers_leave_the_outside_probability_out(folder):
    answers = table(folder, "what_if.tsv").set_index("patient_id")
    assert len(answers) == 5 * 20 and answers.loc[OUTSIDE, "p_expansion"].nunique() > 5
    assert (table(folder, "what_if_summary.tsv")["note"] != "").all()


def test_a_bleed_is_measured_from_its_files(tmp_path):
    grid = np.moveaxis(np.indices((30, 30, 12)), 0, -1) * [3.0, 3.0, 6.0]
    away = np.linalg.norm(grid - [40, 45, 36], axis=-1)
    brain, iph, ct = away < 40, away < 12, np.where(away < 12, 62, 30)
    layout = Layout(tmp_path)
    native = layout.native("P1", "baseline")
    # Slices lie from left to right in the file, and run backwards: z, y, x of the head, x flipped.
    lying = np.array([[0, 0, -3.0, 87], [0, 3.0, 0, 0], [6.0, 0, 0, 0], [0, 0, 0, 1]])
    for path, content in zip(native.images, (ct, iph, 0 * iph, brain), strict=True):
        write_volume(path, np.transpose(content)[:, :, ::-1], lying, np.int16)
    write_table(native.volumes, iph_ml=7.5, ivh_ml=0.0)
    row = pd.DataFrame({"patient_id": ["P1"], "split": "predict"}).set_index("patient_id")
    run_measure_bleed(layout, row)
    written = pd.read_csv(layout.features("P1"), sep="\t").iloc[0]
    known = measure_bleed(BleedScan(ct, iph, iph & False, brain, (3.0, 3.0, 6.0)), 7.5, 0.0)
    assert written.drop("patient_id").to_dict() == known and known["hu_mean"] == 62
