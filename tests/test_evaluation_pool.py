"""Pooled maps: the weight is the best one, and it is learned from held-out patients alone."""

import numpy as np
import pytest
from results_folder import Grid, make_results

from hemexp.config import load_settings
from hemexp.evaluation import pool
from hemexp.evaluation.distance import map_by_distance, read_climatology
from hemexp.evaluation.images import blood_distance_mm
from hemexp.evaluation.scans import read_maps, read_scan
from hemexp.evaluation.tidy import read_table
from hemexp.volumes import read_volume

SHAPE = (12, 12, 6)


def patient(seed, sharpness):
    """A drawn map that exaggerates a true one, the flat climatology, and what happened."""
    rng = np.random.default_rng(seed)
    true = rng.uniform(0.05, 0.45, SHAPE)
    climatology = np.full(SHAPE, 0.25)
    drawn = np.clip(climatology + sharpness * (true - climatology), 0, 1)
    return drawn, climatology, rng.random(SHAPE) < true, rng.random(SHAPE) < 0.8


def brier(weight, patients):
    return np.mean([
        np.mean((pool.pool(drawn, flat, weight) - happened)[region] ** 2)
        for drawn, flat, happened, region in patients
    ])  # fmt: skip


@pytest.mark.parametrize(("sharpness", "expected"), [(1.0, 1.0), (2.0, 0.5), (4.0, 0.25)])
def test_the_weight_takes_back_what_a_map_is_too_sure_of(sharpness, expected):
    patients = [patient(seed, sharpness) for seed in range(40)]
    sums = np.array([pool.pool_sums(*one) for one in patients])
    weight = pool.fit_weight(sums)
    assert weight == pytest.approx(expected, abs=0.06)
    for other in (weight - 0.05, weight + 0.05, 0, 1):
        assert brier(weight, patients) <= brier(np.clip(other, 0, 1), patients)
        assert pool.mean_brier(sums, other) == pytest.approx(brier(other, patients))


def test_a_map_that_says_the_opposite_counts_nothing():
    drawn, climatology, happened, region = patient(0, -2.0)
    assert pool.fit_weight(np.array([pool.pool_sums(drawn, climatology, happened, region)])) == 0


def test_nobody_held_out_leaves_the_map_as_drawn():
    assert pool.fit_weight(np.zeros((0, 3))) == 1
    flat = np.full(SHAPE, 0.25)
    assert pool.fit_weight(np.array([pool.pool_sums(flat, flat, flat > 1, flat > 0)])) == 1


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    patients = {"007": "train", "V1": "val", "V2": "val", "P0": "predict"}
    make_results(root, Grid((36, 30, 12), (5.0, 6.0, 10.0)), patients)
    return root


def fit(results, patients):
    settings = load_settings({"preset": "demo"}).evaluation
    folders = (results / "samples", results / "preprocess", results / "evaluation")
    pool.run_fit_pool(patients, *folders, settings)
    return read_table(results / "evaluation/pool.tsv").iloc[0]


def test_fitted_weight_and_a_pooled_map_of_a_patient_without_followup(results):
    row = fit(results, ["V1", "V2"])
    assert row["patients"] == 2 and 0 <= row["weight"] <= 1
    assert row["brier_pooled"] <= min(row["brier_drawn"], row["brier_climatology"])
    path = pool.run_pool_map("P0", results / "samples", results / "preprocess",
                             results / "evaluation")  # fmt: skip
    pooled = read_volume(path)
    baseline, brain, grid = read_scan(results / "preprocess", "P0", "baseline")
    blood = baseline.iph | baseline.ivh
    distance_mm = blood_distance_mm(blood, grid.spacing_mm)
    flat = map_by_distance(distance_mm, read_climatology(results / "evaluation/climatology.tsv"))
    drawn = read_maps(results / "samples", "P0").expansion
    expected = row["weight"] * drawn + (1 - row["weight"]) * flat
    np.testing.assert_allclose(pooled.data[brain], expected[brain], atol=1e-6)
    assert not pooled.data[blood].any() and not pooled.data[~brain].any()
    np.testing.assert_array_equal(pooled.affine, grid.affine)


def test_without_held_out_patients_the_table_says_so(results):
    row = fit(results, [])
    assert (row["patients"], row["weight"], row["note"]) == (0, 1, pool.NOBODY)
