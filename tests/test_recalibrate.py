"""Released models recalibrated on a new centre: what changes, what is refused, what is written."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from scipy.stats import binom, truncnorm

from hemexp import HemexpError
from hemexp.evaluation.cohort.conformal import recalibrated_pit
from hemexp.expansion.model import ExpansionModel, Linear, load_expansion, patient_distribution
from hemexp.layout import Layout
from hemexp.provenance import hash_file, write_json, write_text
from hemexp.release.adopt import run_adopt
from hemexp.release.local_patients import read_local
from hemexp.release.models import BundleLayout, models_layout, part_files
from hemexp.release.recalibrate import run_recalibrate
from hemexp.release.recalibration import (
    LN_FACTOR_SD,
    SHIFT_SD,
    Change,
    Update,
    fit_change,
    fit_line,
    fit_update,
    update_model,
)
from hemexp.release.recalibration_table import compare_stages

BENCHMARKS = str(Path(__file__).parents[1] / "benchmarks")
sys.path.insert(0, BENCHMARKS)
from recalibrate import LOCAL, draw_center, release, trials  # noqa: E402

sys.path.remove(BENCHMARKS)

MODEL = ExpansionModel(
    "four_variable",
    logit=Linear(("ln_iph_ml",), (2.5,), (0.8,), (1.0,), -1.0),
    log_growth=Linear(("ln_iph_ml",), (2.5,), (0.8,), (0.4,), 2.0),
    log_sd=0.5,
    stable=tuple(np.linspace(-0.9, 1.1, 101).tolist()),
    stable_power=0.4,
)
UPDATE = Update(0.7, 0.8, Change(0.6, 1.3), Change(-0.5, 1.5))
PATIENT = pd.Series({"patient_id": "X1", "baseline_iph_ml": 20.0})


# what is learned


def test_many_patients_tell_intercept_and_slope():
    rng = np.random.default_rng(1)
    told = rng.normal(-1, 1.2, size=20_000)
    line = fit_line(told, rng.random(20_000) < expit(0.7 + 0.6 * told))
    assert line == pytest.approx((0.7, 0.6), abs=0.06)


def test_few_patients_move_the_logit_little_and_none_not_at_all():
    told, expands = np.full(4, -1.0), np.array([True, True, False, False])
    intercept, slope = fit_line(told, expands)
    # Their own rate would ask for a change of 1; all have one logit, so nothing speaks of slope.
    assert slope == pytest.approx(1) and 0.1 < intercept < 0.5
    # At the peak, what the patients pull balances what the prior pulls.
    pull = (expands - expit(told + intercept)).sum()
    assert pull == pytest.approx(intercept / np.log(2) ** 2, abs=1e-3)


def test_a_law_that_is_seen_from_a_threshold_on_is_found():
    rng = np.random.default_rng(2)
    begin = rng.uniform(-1, 1, size=20_000)
    law = {"loc": 0.8, "scale": 1.3}
    away = truncnorm.rvs((begin - 0.8) / 1.3, np.inf, **law, random_state=rng)
    assert fit_change(away, begin) == pytest.approx((0.8, 1.3), abs=0.05)
    # Without the cut both would be wrong.
    assert fit_change(away).shift > 1.2


def test_one_patient_is_weighed_against_the_prior():
    shift, factor = fit_change(np.array([1.0]))
    # d/dshift and d/dln(factor) of the posterior are 0 at its peak.
    assert (1 - shift) / factor**2 == pytest.approx(shift / SHIFT_SD**2, abs=1e-4)
    pull = ((1 - shift) / factor) ** 2 - 1
    assert pull == pytest.approx(np.log(factor) / LN_FACTOR_SD**2, abs=1e-4)


def test_an_update_stands_in_the_numbers_of_the_model():
    new = update_model(MODEL, UPDATE)
    table = pd.DataFrame({"baseline_iph_ml": [5.0, 40.0]})
    assert new.logit(table) == pytest.approx(0.7 + 0.8 * MODEL.logit(table))
    assert new.log_growth(table) == pytest.approx(MODEL.log_growth(table) + 0.6 * 0.5)
    assert new.log_sd == pytest.approx(1.3 * 0.5)
    assert np.std(new.stable) == pytest.approx(1.5 * np.std(MODEL.stable))
    assert np.mean(new.stable) == pytest.approx(0.1 - 0.5 * np.std(MODEL.stable))
    nothing = Update(0.0, 1.0, Change(0.0, 1.0), Change(0.0, 1.0))
    assert update_model(MODEL, nothing).stable == pytest.approx(MODEL.stable)


def test_the_update_of_a_model_from_patients_drawn_of_its_update():
    table = drawn_from(update_model(MODEL, UPDATE), 4000)
    found = fit_update(MODEL, table)
    assert (found.intercept, found.slope) == pytest.approx((0.7, 0.8), abs=0.12)
    assert found.expanders == pytest.approx(UPDATE.expanders, abs=0.12)
    assert found.stable == pytest.approx(UPDATE.stable, abs=0.12)
    # A patient whose HE is half certain says half as much of who expands.
    doubtful = pd.concat([table, table]).assign(label_certainty=0.5)
    again = fit_update(MODEL, doubtful)
    assert (again.intercept, again.slope) == pytest.approx(
        (found.intercept, found.slope), abs=1e-3
    )


def drawn_from(model, n, seed=3):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"baseline_iph_ml": np.exp(rng.normal(2.5, 0.8, size=n))})
    u, v = rng.random((2, n))
    given = model.distributions(table)
    growth = [float(one.quantile(*at)) for one, *at in zip(given, u, v, strict=True)]
    return table.assign(growth_ml=growth, he=(u < model.probability(table)).astype(float))


# what it is worth


@pytest.fixture(scope="module")
def cohorts():
    """Means over three cohorts of 200 new patients, before (n = 0) and after recalibration."""
    rows = [row for cohort in range(3) for row in trials(cohort, 200)]
    return pd.DataFrame(rows).groupby(["center", "n"]).mean()


def band(level, n=600):
    return [end / n for end in binom.ppf([0.025, 0.975], n, level)]


@pytest.mark.slow
def test_a_centre_that_differs_comes_back_into_the_band(cohorts):
    before, after = (cohorts.loc[("odds x 2, growth x 1.5", n)] for n in (0, 60))
    assert before["coverage50"] < band(0.5)[0] and before["coverage90"] < band(0.9)[0]
    assert before["in_the_large"] > 0.4
    for level in (50, 90):
        low, high = band(level / 100)
        assert low <= after[f"coverage{level}_conformal"] <= high + 1 / 61
    assert abs(after["in_the_large"]) < 0.2
    assert after["gain"] > 0.3


@pytest.mark.slow
def test_a_centre_that_does_not_differ_loses_less_than_its_simulation_error(cohorts):
    rows = cohorts.loc["as the training cohort"]
    crps = np.array([rows.loc[n, "crps_ml"] for n in LOCAL])
    # SD of a patient's CRPS is about 4 mL; three cohorts of 200.
    assert (crps - rows.loc[0, "crps_ml"] < 4 / np.sqrt(600)).all()


def test_the_table_is_of_patients_held_out():
    released = release("table")
    local = draw_center("table", 60, 2.0, 1.5)
    found, pit = compare_stages(released, local, 200, 1)
    rows = found.set_index("measure")
    assert rows.loc["crps_ml", "difference_high"] < 0
    assert rows.loc["crps_ml", "difference"] == pytest.approx(
        rows.loc["crps_ml", "recalibrated"] - rows.loc["crps_ml", "released"]
    )
    # In sample it would look better than it is.
    seen, _ = compare_stages(update_model(released, fit_update(released, local)), local, 2, 1)
    assert (
        rows.loc["crps_ml", "recalibrated"] > seen.set_index("measure").loc["crps_ml", "released"]
    )
    assert len(pit) == 60 and rows.loc["coverage90_conformal", "note"]
    assert found.drop(columns="note").iloc[[0, 1, 2, 3, 6, 7, 8]].notna().all(axis=None)


# the verb


def write_local(layout, names, expanders, center="E", start=0):
    """What preprocess and `measure-bleed` leave of a centre's patients, and their sheet."""
    rows = []
    for number, name in enumerate(names, start):
        growth = 9.0 + number % 7 if number - start < expanders else 0.3 * (number % 5 - 2)
        for session, iph in (("baseline", 20.0 + number), ("followup", 20.0 + number + growth)):
            row = {
                "patient_id": name,
                "iph_ml": iph,
                "ivh_ml": 0.0,
                "voxels": f"{session}{number}",
            }
            save(layout.native(name, session).volumes, row)
        save(layout.features(name), {"patient_id": name, "irregularity": 0.2})
        rows.append({"patient_id": name, "center": center, "split": "test"})
    return pd.DataFrame(rows).set_index("patient_id", drop=False)


def save(path, row):
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame([row]).to_csv(path, sep="\t", index=False)


@pytest.fixture
def bundle(tmp_path):
    """A bundle whose networks nobody opens."""
    bundle = BundleLayout(tmp_path / "M")
    for part in ("autoencoder", "scale", "diffusion"):
        for path in part_files(bundle.models, part):
            write_text(path, part)
    models = {"four_variable": MODEL.as_json()}
    record = {"chosen": "four_variable", "models": models, "settings": {"folds": 5}, "seed": 1}
    write_json(bundle.models.growth_models, record)
    write_json(bundle.metadata, {"hemexp": {"models": {"expansion/model.json": "0"}}})
    for path in (bundle.inference, bundle.preprocess, bundle.license, bundle.readme):
        write_text(path, "as it was\n")
    write_text(bundle.root / "eval/sub-X/volumes.tsv", "of a patient")
    return bundle.root


@pytest.fixture
def local(tmp_path):
    layout = Layout(tmp_path / "results")
    return layout, write_local(layout, [f"E{n}" for n in range(40)], 32)


def test_what_is_written_is_a_release_that_holds_the_update(bundle, local, tmp_path, caplog):
    out = tmp_path / "M2"
    run_recalibrate(*local, bundle, out, seed=1)
    old, new = (load_expansion(models_layout(f, "expansion").growth_models) for f in (bundle, out))
    path = BundleLayout(out).models.growth_models
    entry = json.loads(path.read_text())["recalibrated"][0]
    update = entry["updates"]["four_variable"]
    # What `predict` and sampling ask: most of the centre expand, the released model says less.
    before, after = (patient_distribution(model, PATIENT) for model in (old, new))
    line = update["intercept"] + update["slope"] * logit(before.p_expansion)
    assert logit(after.p_expansion) == pytest.approx(line)
    assert after.p_expansion > before.p_expansion + 0.05
    assert (entry["center"], entry["patients"], entry["expanders"]) == ("E", 40, 32)
    assert entry["from"] == hash_file(bundle / "models/expansion/model.json")
    assert entry["pit"] == sorted(entry["pit"]) and len(entry["pit"]) == 40
    assert entry["conformal"]["0.5"] == [entry["pit"][9], entry["pit"][30]]
    told = json.loads(BundleLayout(out).metadata.read_text())["hemexp"]
    assert told["models"]["expansion/model.json"] == hash_file(path)
    assert told["recalibrated"][0]["patients"] == 40
    assert "40 patients of centre E" in BundleLayout(out).readme.read_text()
    assert BundleLayout(out).recalibration.exists() and not (out / "eval").exists()
    assert not any(f"E{n}" in path.read_text() for n in range(40))
    assert "keeps no list of the patients" in caplog.text


def test_a_bleed_that_was_operated_on_or_swapped_is_in_no_update(local, caplog):
    layout, sheet = local
    save(layout.native("E3", "followup").volumes, {"iph_ml": 4.0, "ivh_ml": 0.0})
    table = read_local(layout, sheet)
    assert set(sheet.index) - set(table.index) == {"E3"}
    assert "Patient E3: an IPH of 23.0 mL at baseline and 4.0 mL" in caplog.text
    with pytest.raises(HemexpError, match="29 patients whose bleed did not shrink"):
        read_local(layout, sheet.iloc[:30])


def test_a_run_that_takes_it_over_keeps_update_and_limits(bundle, local, tmp_path):
    run_recalibrate(*local, bundle, tmp_path / "M2", seed=1)
    run = Layout(tmp_path / "run" / "results")
    run_adopt("expansion", tmp_path / "M2", run)
    source = models_layout(tmp_path / "M2", "expansion").growth_models
    assert load_expansion(run.growth_models) == load_expansion(source)
    record = json.loads(run.growth_models.read_text())
    assert recalibrated_pit(record) == pytest.approx(record["recalibrated"][0]["pit"])
    assert recalibrated_pit({}) is None


def test_a_second_recalibration_needs_other_patients_and_is_listed(
    bundle, local, tmp_path, caplog
):
    run_recalibrate(*local, bundle, tmp_path / "M2", seed=1)
    with pytest.raises(HemexpError, match="E0, E1.*has learned from"):
        run_recalibrate(*local, tmp_path / "M2", tmp_path / "M3", seed=1)
    others = write_local(local[0], [f"N{n}" for n in range(30)], 15, "N", start=100)
    run_recalibrate(local[0], others, tmp_path / "M2", tmp_path / "M3", seed=1)
    history = json.loads((tmp_path / "M3/models/expansion/model.json").read_text())["recalibrated"]
    assert [one["center"] for one in history] == ["E", "N"]
    assert "centre E, 40 patients" in caplog.text


def test_too_few_patients_or_events_are_refused_with_the_reason(bundle, local, tmp_path):
    layout, sheet = local
    out = tmp_path / "M2"

    def refusal(patients):
        with pytest.raises(HemexpError) as error:
            run_recalibrate(layout, patients, bundle, out, seed=1)
        assert not out.exists()
        return str(error.value)

    assert "29 patients with a follow-up; expected 30" in refusal(sheet.iloc[:29])
    gone = sheet.assign(split=["predict"] * 11 + ["test"] * 29)
    assert "29 patients with a follow-up" in refusal(gone)
    layout = Layout(tmp_path / "others")
    few = write_local(layout, [f"F{n}" for n in range(40)], 4)
    assert "4 patients with expansion; expected 5" in refusal(few)
    most = write_local(layout, [f"G{n}" for n in range(40)], 36)
    assert "4 patients without expansion; expected 5" in refusal(most)
    mixed = most.assign(center=["A"] * 20 + ["B"] * 20)
    assert "the centres A, B" in refusal(mixed)


def test_what_is_there_is_not_written_over(bundle, local):
    with pytest.raises(HemexpError, match="a folder that is there"):
        run_recalibrate(*local, bundle, bundle, seed=1)


def test_patients_of_the_training_cohort_are_refused_by_scan_or_else_by_name(local, tmp_path):
    run = Layout(tmp_path / "trained")
    for part in ("autoencoder", "scale", "diffusion"):
        for path in part_files(run, part):
            write_text(path, part)
    write_local(run, ["OLD", "E1"], 1, start=3)  # scans of E3 and E4
    named = {f"sub-{name}/sub-{name}_features.tsv": "0" for name in ("OLD", "E1", "E7")}
    write_json(run.growth_models, {"chosen": "x", "models": {}, "inputs": named})
    with pytest.raises(HemexpError, match="patients E3, E4, E7: found") as error:
        run_recalibrate(*local, run.root, tmp_path / "M2", seed=1)
    # E1 of the training cohort is somebody else: another scan.
    assert "E1," not in str(error.value)
