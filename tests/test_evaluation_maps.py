"""Probability maps, their climatology and their true map against known answers."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from results_folder import Grid, make_results

from hemexp.config import load_settings
from hemexp.evaluation.cohort.maps import tabulate_maps
from hemexp.evaluation.cohort.reliability import tabulate_reliability
from hemexp.evaluation.patient import distance_climatology as distance
from hemexp.evaluation.patient.map_sums import SUMS, map_sums
from hemexp.grid_scan import read_grid_scan
from hemexp.layout import Layout
from hemexp.phantom.centers import CLINICAL_CENTERS, draw_motion, draw_pose, find_center
from hemexp.phantom.draw import draw_scans
from hemexp.phantom.model import generator
from hemexp.phantom.redraw import redraw_followups
from hemexp.phantom.truth_map import Gridding, grid_to_baseline, run_draw_truth_map
from hemexp.preprocess.interpolate import resample_blood
from hemexp.statistics.bootstrap import Resampling
from hemexp.tables import read_table
from hemexp.volumes import Volume, read_volume, write_volume

SHAPE = (30, 30, 12)


def rng(seed=0):
    return np.random.default_rng(seed)


def sums_of(forecast, truth, region=None, least=0.01):
    region = np.ones(forecast.shape, dtype=bool) if region is None else region
    return pd.DataFrame(map_sums(forecast, truth, region, least))


def table_of(**forecasts):
    """Sums of one patient's maps against one outcome drawn from `true`."""
    rows = []
    for patient in "abcd":
        happened = rng(ord(patient)).random(SHAPE) < forecasts["true"]
        for model, forecast in forecasts.items():
            for reference, truth in (("outcome", happened), ("true_map", forecasts["true"])):
                head = {
                    "patient_id": patient,
                    "model": model,
                    "indicator": "none",
                    "region": "brain",
                    "reference": reference,
                    "split": "test",
                    "center": "D",
                }
                rows.append(sums_of(forecast, truth).assign(**head))
    return pd.concat(rows, ignore_index=True)


def test_sums_give_brier_and_likelihood():
    forecast, truth = rng().random(SHAPE), rng(1).random(SHAPE) < 0.3
    region = rng(2).random(SHAPE) < 0.5
    total = sums_of(forecast, truth, region)[list(SUMS)].sum()
    assert total["n"] == region.sum()
    squared = ((forecast - truth)[region] ** 2).sum()
    assert total["pp"] - 2 * total["py"] + total["yy"] == pytest.approx(squared)
    cut = np.clip(forecast, 0.01, 0.99)
    nll = -np.where(truth, np.log(cut), np.log(1 - cut))[region].sum()
    assert total["nll"] == pytest.approx(nll)


def test_bins_hold_the_forecasts_they_name():
    forecast = np.float32([0.0, 0.1, 0.3, 0.3, 1.0])
    found = sums_of(forecast, np.array([0, 0, 1, 0, 1]))
    assert found["bin"].tolist() == [0, 1, 3, 9]
    assert found.set_index("bin").loc[3, ["n", "y"]].tolist() == [2, 1]


def test_map_table_tells_a_reliable_map_from_a_sure_one():
    true = rng().random(SHAPE) ** 3
    sure = np.clip(2 * true - true.mean(), 0, 1)
    flat = np.full(SHAPE, true.mean())
    table = tabulate_maps(
        table_of(true=true, sure=sure, climatology_distance=flat), Resampling(200, 1)
    )
    rows = table.query("region == 'brain'").set_index(["model", "reference"])
    assert (rows["n"] == 4).all()
    assert rows.loc[("true", "outcome"), "slope"] == pytest.approx(1, abs=0.03)
    assert rows.loc[("true", "outcome"), "intercept"] == pytest.approx(0, abs=0.01)
    assert rows.loc[("sure", "outcome"), "slope"] < 0.8
    assert rows.loc[("true", "true_map"), ["brier", "skill", "slope"]].tolist() == pytest.approx(
        [0, 1, 1]
    )
    expected = 1 - ((sure - true) ** 2).mean() / ((flat - true) ** 2).mean()
    assert rows.loc[("sure", "true_map"), "skill"] == pytest.approx(expected, rel=1e-6)
    assert np.isnan(rows.loc[("climatology_distance", "outcome"), "slope"])
    low, high = rows.loc[("true", "outcome"), ["slope_low", "slope_high"]]
    assert low < rows.loc[("true", "outcome"), "slope"] < high


def test_reliability_bins_are_pooled_over_patients():
    true = np.full(SHAPE, 0.25)
    table = tabulate_reliability(table_of(true=true))
    row = table.query("reference == 'outcome'").iloc[0]
    assert row["n_voxels"] == 4 * np.prod(SHAPE)
    assert row["forecast"] == pytest.approx(0.25)
    assert row["observed"] == pytest.approx(0.25, abs=0.01)


def test_climatology_counts_new_blood_by_distance():
    distance_mm = np.array([0.0, 3.0, 3.0, 7.0, 7.0, 300.0, np.inf])
    brain = np.array([1, 1, 1, 1, 0, 1, 1], dtype=bool)
    new = np.array([0, 1, 0, 0, 1, 0, 1], dtype=bool)
    counts = distance.count_by_distance(distance_mm, new, brain)
    assert counts.sum(axis=0).tolist() == [5, 2]
    place = list(distance.EDGES_MM).index
    assert counts[place(2.0)].tolist() == [2, 1]
    assert counts[place(6.0)].tolist() == [1, 0]
    assert counts[-1].tolist() == [2, 1]
    p = np.linspace(1, 0.5, len(distance.EDGES_MM))
    found = distance.map_by_distance(distance_mm, p)
    assert found[0] == 0 and found[1] == p[1] and found[-1] == p[-1]


def test_climatology_is_learned_from_the_patients_named(tmp_path):
    make_results(tmp_path, grid=Grid((36, 30, 12), (5.0, 6.0, 10.0)))
    layout = Layout(tmp_path)
    distance.run_fit_climatology(layout, ["R1", "R3"])
    found = read_table(layout.climatology)
    expected = 0
    for name in ("R1", "R3"):
        one, two = (read_grid_scan(layout, name, s) for s in ("baseline", "followup"))
        expected += int((two.blood & ~one.blood & one.brain & two.brain).sum())
    assert expected > 20 and found["n_new"].sum() == expected
    p = distance.read_climatology(layout.climatology)
    assert p[2:5].max() > 0.02 and p[-1] == 0
    assert layout.climatology.with_suffix(".json").is_file()


PHANTOM = load_settings({"preset": "demo"}).phantom.model_copy(update={"spacing_factor": 1.5})


@pytest.fixture(scope="module")
def seen():
    """A patient's masks by session, the truth, a 4 x 4 x 6 mm grid, the baseline's masks on it."""
    scans, affine, truth = draw_scans("D02", find_center("D"), PHANTOM)
    middle = affine @ [*np.argwhere(scans["baseline"].iph).mean(axis=0), 1]
    grid = np.diag([4.0, 4.0, 6.0, 1.0])
    grid[:3, 3] = middle[:3] - grid.diagonal()[:3] * 12
    grid = Volume(np.zeros((25, 25, 25), bool), grid)
    native = {
        session: [Volume(getattr(scan, name), affine) for name in ("iph", "ivh")]
        for session, scan in scans.items()
    }
    return native, truth, grid, resample_blood(*native["baseline"], grid, np.eye(4))


def test_the_true_map_is_the_share_of_redraws_with_new_blood(tmp_path, seen):
    _, _, grid, (iph0, ivh0) = seen
    layout, gridding = Layout(tmp_path), Gridding("baseline", resample_blood)
    for name, mask in (("iph", iph0), ("ivh", ivh0)):
        path = getattr(layout.grid("D02", "baseline"), name)
        write_volume(path, mask, grid.affine, np.uint8)

    def draw():
        return run_draw_truth_map(layout, "D02", "D", PHANTOM, 8, gridding)

    found = draw()
    drawn = [
        resample_blood(one.iph, one.ivh, grid, one.motion)
        for one in redraw_followups("D02", "D", 8, PHANTOM)
    ]
    expected = np.mean([(iph | ivh) & ~(iph0 | ivh0) for iph, ivh in drawn], axis=0)
    assert expected.max() > 0.3
    assert np.allclose(read_volume(found[0]).data, expected, atol=1e-6)
    table = read_table(found[1])
    growth = [(iph.sum() - iph0.sum()) * grid.voxel_ml for iph, _ in drawn]
    assert table["iph_growth_ml"].tolist() == pytest.approx(growth, abs=1e-4)
    areas = table.filter(regex="^slice_").sum(axis=1) - iph0.sum() * grid.voxel_ml
    assert areas.tolist() == pytest.approx(growth, abs=1e-3)
    first = found[0].read_bytes()
    assert draw()[0].read_bytes() == first


def test_a_redraw_lies_where_the_baseline_does_whatever_the_head_did(seen):
    """On the grid the baseline's blood is blood again, but for voxels of the margin."""
    _, _, grid, (iph0, ivh0) = seen
    kept = {"led back": [], "as it lies": []}
    for one in redraw_followups("D02", "D", 8, PHANTOM):
        for name, matrix in (("led back", one.motion), ("as it lies", np.eye(4))):
            iph, ivh = resample_blood(one.iph, one.ivh, grid, matrix)
            kept[name].append(np.mean((iph | ivh)[iph0 | ivh0]))
    assert min(kept["led back"]) > 0.85
    assert min(kept["as it lies"]) < 0.6


def test_a_head_lies_where_the_centre_of_its_own_world_has_it(monkeypatch):
    """A clinical centre may scan elsewhere than the plain one of the same letter."""
    place = replace(CLINICAL_CENTERS["D"], offset_mm=(0.0, 0.0, 90.0))
    monkeypatch.setitem(CLINICAL_CENTERS, "D", place)
    clinical = PHANTOM.model_copy(update={"world": "clinical"})
    pose = draw_pose(place, generator(PHANTOM.seed, "D02", "pose"))
    motion = draw_motion(pose, generator(PHANTOM.seed, "D02", "motion"))
    there = grid_to_baseline("D02", "D", clinical, "followup")
    assert np.allclose(there @ motion, np.eye(4), atol=1e-6)


def test_a_grid_laid_on_the_followup_is_led_back_to_the_baseline(seen):
    _, truth, _, _ = seen
    there = grid_to_baseline("D02", "D", PHANTOM, "followup")
    assert np.allclose(there @ np.array(truth["baseline_to_followup"]), np.eye(4), atol=1e-6)
    assert np.array_equal(grid_to_baseline("D02", "D", PHANTOM, "baseline"), np.eye(4))
