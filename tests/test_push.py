"""Mass effect: the field of a push, the warp it makes, and the fit of its strength."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from tiny_head import ball

from hemexp.anatomy.push import (
    LARGEST_MM,
    LEAK_PER_MM2,
    back_map,
    midline_plane,
    solve_push,
    spline_source,
    warp,
)
from hemexp.anatomy.push_fit import (
    PRIOR_AMPLITUDE,
    SINKS_PER_MM2,
    PushModel,
    PushPairs,
    fit_push,
    unit_effects,
)
from hemexp.phantom.bleed import draw_shape
from hemexp.phantom.head import CAVITY_BOTTOM_MM, draw_head
from hemexp.phantom.model import draw_case
from hemexp.phantom.tissue import Session, deform, fill_head

SPACING = (4.0, 4.0, 6.0)
SHAPE = (38, 46, 26)
BLEED = (28, 2, 6)


def places(shape=SHAPE, spacing=SPACING):
    """RAS mm of voxel centres (x, y, z, 3), the origin in the middle."""
    index = np.moveaxis(np.indices(shape), 0, -1)
    return (index - (np.array(shape) - 1) / 2) * spacing


def head(shape=SHAPE, spacing=SPACING, bleed=BLEED, radii=(13, 16, 13)):
    """IPH, ventricles and brain of a head that is its own mirror image but for the bleed."""
    where = places(shape, spacing)
    brain = ball(where, (0, 0, 0), (66, 83, 68))
    ventricles = ball(where, (11, 4, 10), (7, 26, 9)) | ball(where, (-11, 4, 10), (7, 26, 9))
    iph = ball(where, bleed, radii)
    return iph, ventricles & ~iph, brain


@pytest.fixture(scope="module")
def field():
    return solve_push(*head(), SPACING, 3e-3)


def determinants(back):
    """Of the map from a pushed voxel to what it shows, away from the brain's surface."""
    at = np.full((3, *back.brain.shape), np.nan)
    at[:, back.brain] = back.coordinates
    slopes = np.stack([np.gradient(at, axis=axis + 1) for axis in range(3)])
    slopes = np.moveaxis(slopes, (0, 1), (-1, -2))
    return np.linalg.det(slopes[np.isfinite(slopes).all(axis=(-1, -2))])


def point_push(r):
    """Displacement by a screened point source of 1 mL in free space, at distances in mm."""
    k = np.sqrt(LEAK_PER_MM2)
    return 1000 * (1 + k * r) * np.exp(-k * r) / (4 * np.pi * r**2)


def block_push(*voxel):
    """The field of a bleed of one voxel in a brain that fills a block of 41 voxels of 6 mm."""
    bleed = np.zeros((41, 41, 41), dtype=bool)
    bleed[voxel] = True
    return solve_push(bleed, bleed & False, bleed | True, (6.0, 6.0, 6.0), 0).u_mm


def test_a_push_of_one_ml_moves_one_ml():
    assert block_push(20, 20, 20)[1][20, 26, 20] == pytest.approx(point_push(36.0), rel=0.06)


def test_nothing_passes_the_skull(field):
    """A plane wall without flux is a mirror: the source 33 mm before it has an image behind."""
    u = block_push(5, 20, 20)
    far = np.hypot(66.0, 48.0)
    known = point_push(48.0) + point_push(far) * 48 / far
    assert u[1][5, 28, 20] == pytest.approx(known, rel=0.06)
    assert np.abs(u[0][0]).max() < 0.2 * np.abs(u[0]).max()
    assert not field.u_mm[:, ~field.inside].any()


def test_the_mirrored_head_is_pushed_the_mirrored_way(field):
    mirrored = solve_push(*(mask[::-1] for mask in head()), SPACING, 3e-3)
    turned = mirrored.u_mm[:, ::-1] * np.reshape([-1, 1, 1], (3, 1, 1, 1))
    np.testing.assert_allclose(turned, field.u_mm, atol=1e-5)
    iph, _, brain = head()
    plane = midline_plane(brain, iph, SPACING)
    shift, other = field.mean_shift_mm(plane), mirrored.mean_shift_mm(plane[::-1])
    assert shift < -0.02 and other == pytest.approx(-shift, rel=1e-4)


def test_tissue_far_away_moves_little(field):
    where = places()
    size = np.linalg.norm(field.u_mm, axis=0)
    box = where[field.box]
    far = field.inside & (np.linalg.norm(box - np.array(BLEED), axis=-1) > 90)
    assert size[far].max() < 0.1 * size[field.inside].max()


def test_a_sink_shrinks_the_ventricles():
    iph, ventricles, brain = head()
    mask = ventricles.astype(np.float32)
    plane = midline_plane(brain, iph, SPACING)

    def change_ml(back):
        return (warp(mask, back) - mask).sum() * np.prod(SPACING) / 1000

    shifts, changes = unit_effects(iph, ventricles, brain, SPACING, plane, change_ml)
    assert np.all(np.diff(changes) < -0.005) and changes[-1] < 2 * changes[2] < 0
    assert np.all(np.diff(shifts) > 0) and shifts[-1] < 0


def misses_mm(field, back, spacing):
    """Distance from each voxel to where the tissue that it shows comes to lie."""
    start = np.reshape([side.start for side in field.box], (3, 1))
    at = (back.coordinates - start + 0.5) / np.reshape(field.factors, (3, 1)) - 0.5
    u = [ndimage.map_coordinates(part, at, order=1, mode="nearest") for part in field.u_mm]
    read = np.reshape(spacing, (3, 1)) * (back.coordinates - np.nonzero(back.brain))
    return np.linalg.norm(read + back.push_ml * np.stack(u), axis=0)


@pytest.mark.parametrize("push_ml", [-8.0, 4.0, 25.0, 90.0])
def test_back_and_forth_is_nowhere(field, push_ml):
    back = back_map(field, push_ml)
    assert back.push_ml == push_ml
    assert misses_mm(field, back, SPACING).max() < 0.05


def test_a_finer_grid_is_pushed_alike(field):
    """Voxels of 1 x 1 x 5 mm are solved on 6 x 6 x 5 mm, and read between those."""
    shape, spacing = (150, 180, 32), (1.0, 1.0, 5.0)
    iph, ventricles, brain = head(shape, spacing)
    fine = solve_push(iph, ventricles, brain, spacing, 3e-3)
    assert fine.factors == (6, 6, 1)
    unit = field.mean_shift_mm(midline_plane(field.brain, head()[0], SPACING))
    plane = midline_plane(brain, iph, spacing)
    assert fine.mean_shift_mm(plane) == pytest.approx(unit, rel=0.05)
    back = back_map(fine, 20.0)
    assert np.quantile(misses_mm(fine, back, spacing), 0.99) < 0.1
    sideways = np.zeros(shape, np.float32)
    sideways[brain] = np.nonzero(brain)[0] - back.coordinates[0]
    assert sideways[plane].mean() == pytest.approx(20 * unit, rel=0.1)


def test_the_midline_moves_as_foretold_and_in_proportion(field):
    iph, _, brain = head()
    plane = midline_plane(brain, iph, SPACING)
    sheet = np.exp(-((places()[..., 0] / 8) ** 2)).astype(np.float32)
    rows = plane.any(axis=0)
    x = places()[..., 0][:, rows]

    def sheet_mm(push_ml):
        moved = warp(sheet, back_map(field, push_ml), spline_source(sheet, brain, SPACING))
        part = moved[:, rows] * (np.abs(x) < 20)
        return float((part * x).sum() / part.sum())

    unit = field.mean_shift_mm(plane)
    for push_ml in (5.0, 20.0):
        assert sheet_mm(push_ml) == pytest.approx(push_ml * unit, rel=0.15)


def test_a_ct_keeps_its_values_at_the_skull_and_beyond(field):
    brain = field.brain
    ct = np.where(brain, 33.0, 0.0).astype(np.float32)
    moved = warp(ct, back_map(field, 30.0), spline_source(ct, brain, SPACING))
    np.testing.assert_allclose(moved, ct, atol=1e-3)


def test_without_a_push_all_stays(field):
    ct = np.random.default_rng(1).normal(30, 5, SHAPE).astype(np.float32)
    stay = back_map(field, 0.0)
    np.testing.assert_array_equal(warp(ct, stay), ct)
    cubic = warp(ct, stay, spline_source(ct, field.brain, SPACING))
    np.testing.assert_allclose(cubic, ct, atol=1e-3)


@pytest.mark.parametrize("push_ml", [-1e4, 1e4])
def test_a_push_is_cut_before_it_folds_tissue(field, push_ml):
    back = back_map(field, push_ml)
    assert abs(back.push_ml) == field.largest_push_ml < 200
    move = (back.coordinates - np.nonzero(back.brain)) * np.reshape(SPACING, (3, 1))
    assert 5 < np.linalg.norm(move, axis=0).max() < LARGEST_MM + 0.5
    assert determinants(back).min() > 0


def test_tissue_moves_15_mm_at_most(field):
    even = replace(field, u_mm=np.full_like(field.u_mm, 0.5 / np.sqrt(3)))
    assert even.largest_push_ml == pytest.approx(2 * LARGEST_MM, rel=1e-5)


def strange(case):
    iph, ventricles, brain = head()
    nothing = np.zeros_like(brain)
    one = nothing.copy()
    one[24, 23, 13] = True
    island = brain.copy()
    island[:, :, 20] = False
    return {
        "no bleed": (nothing, ventricles, brain),
        "a bleed of one voxel": (one, ventricles, brain),
        "a bleed at the skull": (head(bleed=(60, 0, 0))[0], ventricles, brain),
        "a bleed outside": (brain ^ True, ventricles, brain),
        "two bleeds": (iph | iph[::-1], ventricles, brain),
        "blood everywhere": (brain, nothing, brain),
        "no ventricle": (iph, nothing, brain),
        "ventricles everywhere": (iph, brain, brain),
        "a brain in two pieces": (iph, ventricles, island),
        "a brain that fills the grid": (iph, ventricles, ~nothing),
        "no brain": (iph, ventricles, nothing),
    }[case]


@pytest.mark.parametrize(
    "case",
    [
        "no bleed",
        "a bleed of one voxel",
        "a bleed at the skull",
        "a bleed outside",
        "two bleeds",
        "blood everywhere",
        "no ventricle",
        "ventricles everywhere",
        "a brain in two pieces",
        "a brain that fills the grid",
        "no brain",
    ],
)
@pytest.mark.parametrize("spacing", [SPACING, (3.0, 3.0, 6.0)])
def test_strange_heads_are_pushed_without_harm(case, spacing):
    iph, ventricles, brain = strange(case)
    field = solve_push(iph, ventricles, brain, spacing, 3e-3)
    assert np.isfinite(field.u_mm).all()
    still = case in ("no bleed", "a bleed outside", "no brain")
    assert (np.abs(field.u_mm).max() < 1e-9) == still
    back = back_map(field, 40.0)
    ct = np.where(brain, 33.0, 0.0)
    moved = warp(ct, back, spline_source(ct, brain, spacing))
    assert np.isfinite(moved).all()
    assert determinants(back).min(initial=1) > 0
    plane = midline_plane(brain, iph, spacing)
    assert np.isfinite(field.mean_shift_mm(plane))


def test_the_plane_keeps_off_blood_unless_blood_is_all_over():
    _, _, brain = head()
    where = places()
    blood = ball(where, (0, 0, 0), (10, 14, 10))
    plane = midline_plane(brain, blood, SPACING)
    near = ndimage.distance_transform_edt(~blood, sampling=SPACING)
    assert plane.any() and near[plane].min() > 8
    assert np.abs(where[..., 0][plane]).max() <= 2
    assert midline_plane(brain, brain, SPACING).any()
    assert not midline_plane(brain & False, blood, SPACING).any()


def pairs(n, seed=1, amplitude=1.6, sd=0.3, oedema=0.0, noise_mm=0.12):
    """Pairs as a law gives them: a third expand, ventricles lose .18 mL per mL of growth."""
    rng = np.random.default_rng(seed)
    expands = rng.random(n) < 0.33
    growth = np.where(expands, np.exp(rng.normal(2.2, 0.6, n)), rng.normal(0, 0.6, n))
    baseline = np.exp(rng.normal(2.6, 0.8, n))
    unit = rng.choice([-1, 1], n) * np.exp(rng.normal(-3, 0.35, n))
    push = rng.normal(amplitude, sd, n) * growth + oedema * baseline
    shift = unit * push + rng.normal(0, noise_mm, n)
    ventricle = np.array([0.03, -0.05, -0.11, -0.2, -0.3])
    return PushPairs(
        growth_ml=growth,
        baseline_ml=baseline,
        shift_mm=shift,
        ventricle_ml=-0.18 * growth + rng.normal(0, 1.5, n),
        unit_shift_mm=np.repeat(unit[:, None], len(SINKS_PER_MM2), axis=1),
        unit_ventricle_ml=np.repeat(ventricle[None], n, axis=0),
    )


def test_the_fit_finds_the_law_of_many_pairs():
    model = fit_push(pairs(240))
    assert model.amplitude == pytest.approx(1.6, abs=0.12)
    assert model.amplitude_sd == pytest.approx(0.3, abs=0.1)
    assert 0.01 < model.amplitude_se < 0.08
    assert model.noise_mm == pytest.approx(0.12, abs=0.03)
    assert (model.oedema, model.sink_per_mm2, model.prior) == (0, 3e-3, None)
    assert model.patients == 240 and model.odd <= 4


def test_noise_is_no_spread_between_patients():
    assert fit_push(pairs(240, sd=0.02)).amplitude_sd < 0.15


def test_oedema_is_found_where_there_is_some():
    assert fit_push(pairs(240, oedema=0.15)).oedema == pytest.approx(0.15, abs=0.04)


def test_few_pairs_or_an_odd_one_do_no_harm():
    few = pairs(3)
    odd = few.shift_mm.copy()
    odd[0] = 15.0
    for some in (few, replace(few, shift_mm=odd)):
        assert 0.8 < fit_push(some).amplitude < 2
    many = pairs(60)
    odd = many.shift_mm.copy()
    odd[np.argsort(np.abs(many.growth_ml))[-1]] = -15.0
    clean, spoilt = fit_push(many), fit_push(replace(many, shift_mm=odd))
    assert spoilt.odd == clean.odd + 1
    assert spoilt.amplitude == pytest.approx(clean.amplitude, abs=0.15)


@pytest.mark.parametrize("n", [0, 1, 12])
def test_without_a_shift_that_can_be_seen_the_prior_stands_and_is_named(n):
    some = pairs(n)
    calm = replace(some, growth_ml=0.01 * some.growth_ml, shift_mm=0 * some.shift_mm)
    model = fit_push(calm)
    assert model.amplitude == pytest.approx(PRIOR_AMPLITUDE, abs=0.15)
    assert model.oedema == 0 and model.sink_per_mm2 == 3e-3
    assert "amplitude" in model.prior and "ventricles" in model.prior


def test_heads_without_ventricles_leave_the_sink_alone():
    none = pairs(60)
    blind = replace(none, unit_ventricle_ml=0 * none.unit_ventricle_ml, ventricle_ml=np.zeros(60))
    assert fit_push(blind).sink_per_mm2 == 3e-3


def test_a_number_that_is_none_is_refused():
    some = pairs(5)
    some.shift_mm[2] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        fit_push(some)


def test_a_push_is_drawn_round_the_mean_and_never_turns_round():
    model = PushModel(1.5, 0.3, 0.4, 0.1, 3e-3, 0.1, 50, 0, None)
    assert model.push_ml(10.0, 20.0) == pytest.approx(17)
    drawn = model.push_ml(10.0, 20.0, np.array([-9.0, -1, 1, 9]))
    np.testing.assert_allclose(drawn, [7, 12, 22, 27])
    wild = replace(model, amplitude_sd=3.0)
    assert wild.push_ml(10.0, 0.0, -1.0) == 0
    assert PushModel.from_json(json.loads(json.dumps(model.as_json()))) == model


GRID = ((36, 44, 26), np.array([[4.0, 0, 0, -70], [0, 4, 0, -86], [0, 0, 6, -63], [0, 0, 0, 1]]))


def phantom_pair(number, growth_ml):
    """A phantom's baseline masks, its bleed's side, and its true displacement along x."""
    shape, _ = GRID
    case = draw_case(11, f"P{number}")
    anatomy, bleed = draw_head(11, case.patient_id, case.age), draw_shape(11, case)
    first_ml = case.baseline_iph_ml
    filled = fill_head(anatomy, bleed, Session(np.eye(4), first_ml), GRID)
    first = filled.tissue
    later = deform(
        anatomy, bleed, first.points, filled.cavity[filled.inside], first_ml + growth_ml
    )
    sideways = np.zeros(shape, np.float32)
    sideways.ravel()[filled.index[filled.inside]] = (first.material - later.material)[0]
    brain, ventricles = (
        filled.mask(shape, where) > 0
        for where in (first.points[2] > CAVITY_BOTTOM_MM, first.ventricle < 0)
    )
    return filled.mask(shape, filled.blood.iph) > 0, ventricles, brain, bleed.side, sideways


def test_phantoms_move_as_the_field_foretells():
    growths = np.linspace(4, 25, 8)
    foretold, true = [], []
    for number, growth_ml in enumerate(growths):
        iph, ventricles, brain, side, sideways = phantom_pair(number, growth_ml)
        plane = midline_plane(brain, iph, SPACING)
        field = solve_push(iph, ventricles, brain, SPACING, 3e-3)
        foretold.append(-side * growth_ml * field.mean_shift_mm(plane))
        true.append(-side * sideways[plane].mean())
    amplitude = np.dot(foretold, true) / np.dot(foretold, foretold)
    assert 0.8 < amplitude < 2.5
    assert np.corrcoef(foretold, true)[0, 1] > 0.8
