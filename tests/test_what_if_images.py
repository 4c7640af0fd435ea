"""What-ifs that redraw images: the same noise, another value, beside the phantom's truth."""

import numpy as np
import pandas as pd
import pytest
from test_phantom_scan import coarse  # noqa: F401 - a fixture

from hemexp.evaluation.cohort.what_if_images import compare_maps, run_score_what_if, shifts
from hemexp.layout import Layout
from hemexp.phantom.model import (
    PlainGrowth,
    draw_case,
    expansion_probability,
    growth_quantile,
    he_threshold_ml,
    mean_growth_ml,
)
from hemexp.phantom.redraw import redraw_followups
from hemexp.phantom.truth_map import Gridding
from hemexp.phantom.what_if_map import Stratum, changed_cases, mix, run_draw_true_what_if
from hemexp.tables import read_table
from hemexp.volumes import read_volume, volume_ml, write_volume
from hemexp.what_if_cases import AS_IS, other_value

AFFINE = np.diag([6.0, 6.0, 10.0, 1.0])


def test_a_value_is_changed_to_what_is_furthest():
    assert [other_value("anticoagulant", value) for value in (0, 1, np.nan)] == [1, 0, 1]
    assert [other_value("onset", value) for value in (0.5, 3.4, 3.5, 12)] == [12, 12, 1, 1]
    assert other_value("onset", np.nan) == 1


def test_the_phantom_changes_one_value_of_a_case():
    case = draw_case(1, "A03")
    known = {"onset_to_ct_h": case.onset_to_ct_h, "anticoagulant": np.nan}
    cases = changed_cases(case, known)
    assert list(cases) == [AS_IS, "anticoagulant", "onset"] and cases[AS_IS] == case
    assert cases["anticoagulant"].anticoagulant == 1
    assert cases["anticoagulant"].onset_to_ct_h == case.onset_to_ct_h
    assert cases["onset"].onset_to_ct_h == other_value("onset", case.onset_to_ct_h)


def test_a_mixture_of_strata_is_what_is_expected():
    strata = Stratum(np.array([0.0, 0.2]), 0.1), Stratum(np.array([1.0, 0.6]), 2.1)
    chance, ivh_ml = mix(strata, np.array([0.75, 0.25]))
    assert np.allclose(chance, [0.25, 0.3]) and ivh_ml == pytest.approx(0.6)


def test_redraws_between_levels_expand_or_do_not(coarse):  # noqa: F811
    case = draw_case(coarse.seed, "B03")
    stable, limit_ml = 1 - expansion_probability(case), he_threshold_ml(case.baseline_iph_ml)

    def grown_ml(levels):
        drawn = redraw_followups("B03", "B", 3, coarse, levels)
        return [volume_ml(one.iph) - case.baseline_iph_ml for one in drawn]

    largest_stable_ml = growth_quantile(case, np.array([stable * (1 - 1e-9)]))[0]
    assert largest_stable_ml + 1 < limit_ml
    assert max(grown_ml((0.0, stable))) < largest_stable_ml + 0.4
    assert min(grown_ml((stable, 1.0))) > limit_ml - 0.4


def test_true_cases_are_mixtures_of_the_same_maps(coarse, tmp_path):  # noqa: F811
    """Two cases move the map alike, by as much as the probability moves."""
    layout, shape = Layout(tmp_path), (4, 3, 2)
    for path in (layout.grid("B03", "baseline").iph, layout.grid("B03", "baseline").ivh):
        write_volume(path, np.zeros(shape), AFFINE, np.uint8)

    def resample(iph, _ivh, grid, _motion):
        """As many voxels as millilitres."""
        count = int(volume_ml(iph)) % grid.data.size
        mask = (np.arange(grid.data.size) < count).reshape(shape)
        return mask, np.zeros(shape, bool)

    case = draw_case(coarse.seed, "B03")
    row = pd.Series({"patient_id": "B03", "center": "B", "onset_to_ct_h": case.onset_to_ct_h})
    row["anticoagulant"] = case.anticoagulant
    run_draw_true_what_if(layout, row, coarse, 6, Gridding("baseline", resample))
    table = read_table(layout.true_what_if("B03")).set_index("case")
    for name, changed in changed_cases(case, row).items():
        assert table.at[name, "p_expansion"] == pytest.approx(
            expansion_probability(changed), abs=1e-5
        )
        growth_ml = mean_growth_ml(PlainGrowth(changed), coarse.truth_draws)
        assert table.at[name, "iph_growth_ml"] == pytest.approx(growth_ml, rel=1e-4)
    p = table["p_expansion"]
    maps = {name: read_volume(layout.true_what_if_map("B03", name)).data for name in table.index}
    for name in table.index:
        total_ml = maps[name].sum() * 0.36
        assert table.at[name, "map_ml"] == pytest.approx(total_ml, rel=1e-4)
    onset, drug = ((maps[c] - maps[AS_IS]) / (p[c] - p[AS_IS]) for c in p.index[:0:-1])
    assert np.ptp(onset) > 0.1 and np.allclose(onset, drug, atol=1e-3)


def test_maps_that_move_are_compared_where_either_moves():
    true = np.zeros((3, 2, 2))
    true[0] = [[0.1, 0.2], [0.3, 0.4]]
    halved = compare_maps(true / 2, true, voxel_ml=2.0)
    assert halved["map_correlation"].value == pytest.approx(1)
    assert halved["map_moved_ml"].value == pytest.approx(2.0)
    assert halved["map_error_ml"].value == pytest.approx(1.0)
    beside = compare_maps(true[::-1], true, voxel_ml=2.0)
    # Each of eight voxels moves in one map alone: 0.1 to 0.4 in pairs with 0.
    pairs = np.array([[0.1, 0.2, 0.3, 0.4, 0, 0, 0, 0], [0, 0, 0, 0, 0.1, 0.2, 0.3, 0.4]])
    assert beside["map_correlation"].value == pytest.approx(np.corrcoef(pairs)[0, 1])
    assert beside["map_error_ml"].value == pytest.approx(4.0)
    still = compare_maps(np.zeros_like(true), true, voxel_ml=2.0)
    assert still["map_correlation"].value is None and still["map_correlation"].note
    assert still["map_error_ml"] == still["map_moved_ml"]


def table(**values):
    names = ("iph_growth_ml", "ivh_growth_ml", "p_expansion", "map_ml")
    rows = {case: dict.fromkeys(names, value) for case, value in values.items()}
    return pd.DataFrame.from_dict(rows, orient="index")


def test_shifts_are_changed_minus_as_is():
    found = shifts(table(as_is=3.0, onset=1.0), table(as_is=2.0, onset=1.5), "onset")
    assert found["map_ml"] == 3.0 and found["map_ml_shift"] == -2.0
    assert found["map_ml_true_shift"].value == -0.5
    unknown = shifts(table(as_is=3.0, onset=1.0), None, "onset")["p_expansion_true_shift"]
    assert unknown.value is None and "phantom" in unknown.note


def test_without_anyone_asked_about_the_table_is_empty(tmp_path):
    run_score_what_if(Layout(tmp_path), [])
    found = read_table(Layout(tmp_path).evaluation("what_if_images"))
    assert found.empty and {"case", "map_correlation", "note"} <= set(found.columns)
