"""Pooled maps: the weights are those that held-out patients ask for, no surer than they are."""

import numpy as np
import pandas as pd
import pytest
from results_folder import Grid, make_results

from hemexp.anatomy.blood import blood_distance_mm
from hemexp.config import load_settings
from hemexp.evaluation.patient import fit_pool, pooled_map
from hemexp.evaluation.patient.distance_climatology import (
    EDGES_MM,
    knows_anybody,
    read_climatology,
)
from hemexp.grid_scan import read_grid_scan
from hemexp.layout import Layout
from hemexp.tables import read_table, write_table
from hemexp.volumes import read_volume

SHAPE = (12, 12, 6)


def patient(seed, asked):
    """Three maps whose weighted sum is the true probability, and what happened."""
    rng = np.random.default_rng(seed)
    maps = rng.uniform(0.05, 0.6, (3, *SHAPE))
    true = np.tensordot(asked, maps, axes=1)
    return maps, rng.random(SHAPE) < true, rng.random(SHAPE) < 0.8


def brier(patients, weights):
    return np.mean(
        [
            np.mean((pooled_map.pool(maps, weights) - happened)[region] ** 2)
            for maps, happened, region in patients
        ]
    )


@pytest.mark.parametrize("asked", [(1, 0, 0), (0.5, 0.3, 0.2), (0, 0.4, 0.6)])
def test_many_patients_get_the_weights_they_ask_for(asked):
    patients = [patient(seed, asked) for seed in range(100)]
    found = np.array([fit_pool.products(*one) for one in patients])
    weights = fit_pool.fit_weights(found)
    np.testing.assert_allclose(weights.mean, asked, atol=0.06)
    assert weights.mean.sum() == pytest.approx(1) and weights.sd.max() < 0.05
    assert fit_pool.mean_brier(found, weights.mean) == pytest.approx(brier(patients, weights.mean))
    assert brier(patients, weights.mean) < min(brier(patients, one) for one in np.eye(3)) + 1e-4


def test_few_patients_leave_the_weights_near_equal():
    # One map is right for every patient, by an amount that differs: the more, the surer.
    found = np.array([fit_pool.products(*patient(seed, (1, 0, 0))) for seed in range(100)])
    sure = [fit_pool.fit_weights(found[:n]) for n in (2, 3, 10, 100)]
    assert sure[0].mean == pytest.approx(np.full(3, 1 / 3))
    assert sure[0].sd.min() > sure[-1].sd.max() and sure[2].sd.max() > sure[3].sd.max()
    assert 1 / 3 < sure[1].mean[0] <= 1 and sure[-1].mean[0] > 0.95


def test_maps_that_are_the_same_share_their_weight():
    patients = [patient(seed, (0.5, 0.3, 0.2)) for seed in range(30)]
    same = [(maps[[0, 0, 2]], *others) for maps, *others in patients]
    weights = fit_pool.fit_weights(np.array([fit_pool.products(*one) for one in same]))
    assert weights.mean[0] == pytest.approx(weights.mean[1], abs=0.02)
    nothing = np.zeros((len(same), 4, 4))
    assert fit_pool.fit_weights(nothing).mean == pytest.approx(np.full(3, 1 / 3))


def test_a_climatology_of_nobody_counts_nothing():
    weights = fit_pool.fit_weights(np.zeros((0, 4, 4)), climatology=False)
    np.testing.assert_allclose(weights.mean, [0.5, 0.5, 0])


def test_the_isotropic_map_keeps_volume_and_distance_and_forgets_direction():
    blood = np.zeros((21, 21, 5), dtype=bool)
    blood[10, 10] = True
    distance_mm = blood_distance_mm(blood, (2.0, 2.0, 5.0))
    brain = np.ones(blood.shape, dtype=bool)
    drawn = np.where((distance_mm > 0) & (distance_mm < 8), 0.6, 0.0)
    drawn[:10] = 0
    one_sided, isotropic, climatology = pooled_map.forecast_maps(
        drawn, distance_mm, brain, np.full(len(EDGES_MM), 0.1)
    )
    np.testing.assert_array_equal(one_sided, drawn)
    assert isotropic.sum() == pytest.approx(drawn.sum()) and not isotropic[blood].any()
    np.testing.assert_allclose(isotropic, isotropic[::-1], atol=1e-12)
    assert set(np.unique(climatology)) == {0.0, 0.1}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    patients = {"007": "train", "V1": "val", "V2": "val", "V3": "val", "P0": "predict"}
    make_results(root, Grid((36, 30, 12), (5.0, 6.0, 10.0)), patients)
    return Layout(root)


def fit(results, patients):
    settings = load_settings({"preset": "demo"}).evaluation
    fit_pool.run_fit_pool(results, patients, settings)
    return read_table(results.pool).set_index("map")


def test_fitted_weights_and_a_pooled_map_of_a_patient_without_followup(results):
    table = fit(results, ["V1", "V2", "V3"])
    weights = table["weight"][[*pooled_map.FORECASTERS]].to_numpy()
    assert (table["patients"] == 3).all() and weights.sum() == pytest.approx(1, abs=1e-5)
    assert table["brier"]["pooled"] <= table["brier"].drop("pooled").max()
    pooled_map.run_pool_map(results, "P0")
    pooled = read_volume(results.pooled_map("P0"))
    baseline = read_grid_scan(results, "P0", "baseline")
    blood, brain, grid = baseline.blood, baseline.brain, baseline.ct
    distance_mm = blood_distance_mm(blood, grid.spacing_mm)
    climatology = read_climatology(results.climatology)
    drawn = read_volume(results.sample_map("P0", "expansion")).data
    maps = pooled_map.forecast_maps(drawn, distance_mm, brain, climatology)
    expected = sum(w * one for w, one in zip(weights, maps, strict=True))
    np.testing.assert_allclose(pooled.data[brain], expected[brain], atol=1e-5)
    assert not pooled.data[blood].any() and not pooled.data[~brain].any()
    np.testing.assert_array_equal(pooled.affine, grid.affine)


def test_without_held_out_patients_the_table_says_so(results):
    table = fit(results, [])
    assert table["weight"][[*pooled_map.FORECASTERS]].to_numpy() == pytest.approx(1 / 3, abs=1e-5)
    assert (table["patients"] == 0).all() and table["note"].str.contains("fewer than 3").all()


def test_a_note_tells_why_held_out_patients_did_not_decide():
    assert fit_pool.note(30, climatology=True) == ""
    assert fit_pool.note(2, climatology=True).endswith("equal weights")
    assert fit_pool.note(30, climatology=False).endswith("the climatology knows nothing")
    assert fit_pool.note(0, climatology=False).endswith("equal weights of the other two")


def test_a_climatology_of_patients_of_whom_none_grew_knows_somebody(tmp_path):
    for voxels, known in ((5, True), (0, False)):
        table = pd.DataFrame({"from_mm": [0.0], "n_voxels": [voxels], "n_new": [0], "p": [0.0]})
        write_table(tmp_path / "climatology.tsv", table)
        assert knows_anybody(tmp_path / "climatology.tsv") == known
