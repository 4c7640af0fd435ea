"""The denoiser: closed forms, honest nulls, a start that drowns the truth."""

import math
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from tiny_models import BASELINE
from tiny_training import place

from hemexp import HemexpError
from hemexp.anatomy.blood import shell_mm
from hemexp.diffusion.condition import (
    Condition,
    ConditionEncoder,
    build_condition,
    clinical_vector,
    growth_features,
    ivh_features,
    outward_drift,
)
from hemexp.diffusion.dataset import (
    HeldLatents,
    StackLatents,
    Stacks,
    draw_copies,
    draw_patients,
    load_stacks,
    make_stacks,
)
from hemexp.diffusion.drift import DriftModel, fit_drift
from hemexp.diffusion.network import (
    Denoiser,
    DiffusionModel,
    Guidance,
    context_stack,
    context_stride,
    load_diffusion,
    show_stack,
)
from hemexp.diffusion.objective import diffusion_loss, draw_batch
from hemexp.diffusion.schedule import (
    Schedule,
    alpha_sigma,
    check_start,
    choose_lambda_min,
    clean_from_v,
    min_snr_weight,
    sigmoid_alpha_bar,
    to_v,
)
from hemexp.diffusion.train import make_network
from hemexp.latents.scale import Scale
from hemexp.layout import Layout
from hemexp.provenance import write_json

Z, C, H, W = 5, 4, 8, 12


@pytest.fixture(scope="module")
def tiny(settings):
    """A denoiser small enough to train in seconds."""
    update = {"channels": [8, 16], "steps": 6, "batch_stacks": 2, "checkpoint_every": 2}
    return settings.diffusion.model_copy(update=update)


@pytest.fixture(scope="module")
def stacks():
    """Six patients; two expanders with a sparse difference."""
    generator = torch.Generator().manual_seed(0)
    baseline = torch.randn(6, 2, Z, C, H, W, generator=generator)
    delta = 0.1 * torch.randn(6, 2, Z, C, H, W, generator=generator)
    delta[:2, :, 2, :, 2:5, 3:6] += 6
    growth = torch.tensor([12.0, 8, 0.1, -0.2, 0.4, 0])
    clinical = torch.rand(6, 8, generator=generator)
    request = growth_features(growth, torch.full((6,), 15.0))
    condition = Condition(
        *(part[:, None].expand(6, 2, -1) for part in (clinical, request)),
        *(part.expand(6, 2, -1) for part in place(Z, H, W)),
    )
    held = HeldLatents(StackLatents(baseline, None, delta))
    return Stacks(held, condition, torch.zeros(6, 3), growth > 5)


def wake(network):
    """Gives zero-initialised layers weights, as training would."""
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)


def test_published_schedule_at_four_points():
    """Alpha-bar at steps 250 / 500 / 750 / 999 (method.md 6)."""
    alpha_bar = sigmoid_alpha_bar(torch.tensor([250.0, 500, 750, 999]))
    assert alpha_bar[:3].tolist() == pytest.approx([0.850, 0.498, 0.148], abs=1e-3)
    assert alpha_bar[3].item() == pytest.approx(3e-7, rel=0.2)


def test_v_and_clean_are_inverse_and_weights_have_their_closed_form():
    lam = torch.tensor(0.7)
    alpha, sigma = alpha_sigma(lam)
    assert (alpha**2 + sigma**2).item() == pytest.approx(1)
    assert torch.log(alpha / sigma).item() == pytest.approx(0.7, abs=1e-6)
    clean, noise = torch.randn(3, 4), torch.randn(3, 4)
    noisy = alpha * clean + sigma * noise
    assert torch.allclose(clean_from_v(noisy, to_v(clean, noise, lam), lam), clean, atol=1e-6)
    snr = math.exp(1.4)
    assert min_snr_weight(lam, 1.0).item() == pytest.approx(1 / (snr + 1))
    assert min_snr_weight(lam, 100.0).item() == pytest.approx(snr / (snr + 1))
    assert min_snr_weight(lam, None).item() == 1


@pytest.mark.parametrize("kind", ["cosine", "sigmoid"])
def test_schedule_runs_between_its_ends(kind):
    schedule = Schedule(kind, -2.0, -6.5, 4.0)
    lam = schedule.lam(torch.linspace(0, 1, 50, dtype=torch.float64))
    assert (lam.diff() <= 1e-6).all()
    assert lam[-1].item() == pytest.approx(-6.5, abs=1e-3)
    assert lam[0].item() == pytest.approx(4.0, abs=0.2)


def test_start_is_chosen_so_that_growth_is_drowned(stacks):
    norms = stacks.expander_norms()
    deltas = stacks.latents.every.target[stacks.expands, 0]
    assert torch.allclose(norms, deltas.flatten(1).norm(dim=1))
    lam = choose_lambda_min(norms)
    share = (norms * math.exp(lam) <= 0.25 + 1e-6).float().mean()
    assert share >= 0.5  # of two expanders the 90 % quantile lies between them
    check_start(lam, norms)
    with pytest.raises(HemexpError, match=r"lambda_min.*drowned"):
        check_start(lam + 0.1, norms)


def test_growth_features_and_clinical_vector():
    features = growth_features(torch.tensor([10.0, -20.0]), torch.tensor([10.0, 12.0]))
    assert features[0].tolist() == pytest.approx([1, math.log(11), 3 * math.log(2)])
    assert torch.isfinite(features).all() and (features[1] < 0).all()
    row = {"onset_to_ct_h": 6.0, "baseline_iph_ml": 25.0, "age": 50.0, "gcs": 15.0, "sbp": 400.0}
    row |= {"anticoagulant": 1.0, "antiplatelet": np.nan}
    vector = clinical_vector(pd.Series(row), "growth")
    assert vector[:6].tolist() == pytest.approx([0.25, 0.1, 0.5, 1, 1, 1])
    assert torch.isnan(vector[6:]).all() and len(vector) == 8
    timed = pd.Series(row | {"followup_interval_h": 18.0})
    assert clinical_vector(timed, "growth")[7].item() == pytest.approx(0.25)
    assert torch.isnan(clinical_vector(timed, "flag")[7])


def test_a_drift_is_shown_where_it_leads(stacks):
    """5 mm along z, x and y: most in that corner, least in the other; or nothing at all."""
    condition = stacks.condition[:2, 0]
    shown = outward_drift(condition)
    assert shown.shape == (2, Z, 1, H, W)
    away_mm = torch.stack(torch.meshgrid(*place(Z, H, W)[1:], indexing="ij"))
    expected = away_mm.sum(dim=0) / (5 + away_mm.norm(dim=0))
    assert torch.allclose(shown[0, :, 0], expected, atol=1e-5)
    assert not outward_drift(condition.without(request=True)).any()
    only_one = outward_drift(condition.without(request=torch.tensor([True, False])))
    assert not only_one[0].any() and torch.equal(only_one[1], shown[1])


@pytest.mark.parametrize(("kind", "aims"), [("growth", True), ("flag", False)])
def test_growth_is_told_where_to_and_a_flag_is_not(tiny, stacks, kind, aims):
    torch.manual_seed(0)
    network = Denoiser(tiny.model_copy(update={"condition": kind}), C, Z)
    wake(network)
    here = replace(stacks.condition[:1, 0], request=torch.ones(1, {"growth": 3, "flag": 1}[kind]))
    there = replace(here, drift_mm=-here.drift_mm)
    context, noisy = (
        context_stack(stacks.latents.every.baseline[:1, 0], 3, 1),
        torch.randn(1, Z, C, H, W),
    )
    with torch.no_grad():
        one, other = (network(noisy, torch.tensor([0.5]), context, c) for c in (here, there))
    assert torch.equal(one, other) != aims


def test_ivh_growth_is_told_in_three_views_beside_the_growth():
    """mL over 5, signed log, and what was there before."""
    told, before = torch.tensor([10.0, -1.0, 0.0]), torch.tensor([0.0, 3.0, 7.0])
    features = ivh_features(told, before)
    assert features[:, 0].tolist() == pytest.approx([2, -0.2, 0])
    logs = [1.5 * math.log(11), -1.5 * math.log(2), 0]
    assert features[:, 1].tolist() == pytest.approx(logs)
    assert features[:, 2].tolist() == pytest.approx([0, math.log(4), math.log(8)])


def patients_of(count):
    """Rows of the sheet with native volumes, and where their bleeds lie, for `build_condition`."""
    clinical = {"onset_to_ct_h": 3.0, "age": 60.0, "gcs": 12.0, "sbp": 150.0}
    clinical |= {"anticoagulant": 0.0, "antiplatelet": 1.0}
    volumes = {"baseline_iph_ml": 15.0, "baseline_ivh_ml": 2.0}
    rows = [pd.Series(clinical | volumes)] * count
    names = ("drift_mm", "offset_z_mm", "offset_x_mm", "offset_y_mm")
    parts = (part.expand(count, 2, -1) for part in place(Z, H, W))
    return rows, dict(zip(names, parts, strict=True))


def test_a_denoiser_that_is_told_ivh_growth_heeds_it_and_no_other_has_room_for_it(tiny, stacks):
    rows, where = patients_of(2)
    growth, flag = torch.tensor([8.0, 8.0]), torch.ones(2)
    plain = build_condition("growth", rows, growth, flag, where)
    told = build_condition("growth", rows, growth, flag, where, torch.tensor([0.0, 6.0]))
    assert plain.request.shape == (2, 2, 3) and told.request.shape == (2, 2, 6)
    assert torch.equal(told.request[..., :3], plain.request)
    assert not torch.equal(told.request[0, :, 3:], told.request[1, :, 3:])
    torch.manual_seed(0)
    network = Denoiser(tiny, C, Z, ivh=True)
    wake(network)
    context, noisy = (
        context_stack(stacks.latents.every.baseline[:1, 0], 3, 1),
        torch.randn(1, Z, C, H, W),
    )
    with torch.no_grad():
        none, much = (
            network(noisy, torch.tensor([0.5]), context, told[k : k + 1, 0]) for k in (0, 1)
        )
    assert not torch.allclose(none, much, atol=1e-3)
    data = replace(stacks, condition=told)
    assert (
        make_network(data, tiny, 1, torch.device("cpu"))
        .unet.class_embedding.request[0]
        .in_features
        == 7
    )
    assert ConditionEncoder("growth", 8).null_request.shape == (3,)
    assert ConditionEncoder("growth", 8, ivh=True).null_request.shape == (6,)


def test_unevenness_is_learned_from_place_and_drawn_for_any_growth():
    """Bleeds low in the head grow upwards by their own shell's thickness, others to one side."""
    rng = np.random.default_rng(0)
    position = rng.normal(size=(200, 3)) * [30, 15, 15]
    thickness = shell_mm(rng.uniform(6, 40, 200), rng.uniform(5, 50, 200))
    uneven = np.column_stack([-position[:, 0] / 30, rng.normal(0, 0.5, (200, 2))])
    model = fit_drift(position, uneven * thickness[:, None], thickness)
    assert np.array(model.coefficients)[1] == pytest.approx([-1, 0, 0], abs=0.1)
    assert np.array(model.coefficients)[:, 1] == pytest.approx(
        [0, 0, model.coefficients[2][1], 0], abs=1e-12
    )  # left and right are alike
    drawn = model.draw([-30, 0, 0], np.full(4000, 2.0), rng.uniform(size=4000))
    assert drawn.mean(axis=0) == pytest.approx([2, 0, 0], abs=0.25)
    assert drawn.std(axis=0)[1:] == pytest.approx([1, 1], abs=0.15)
    assert not model.draw([-30, 0, 0], [0.0], [0.5]).any()
    assert np.isnan(DriftModel([], []).draw([0, 0, 0], [1.0], [0.5])).all()
    assert np.isnan(fit_drift(position, uneven * np.nan, thickness).draw([0] * 3, [1], [0])).all()


def test_a_shell_has_the_thickness_of_its_growth():
    radius = (3000 * 10 / (4 * math.pi)) ** (1 / 3)
    assert shell_mm(70.0, 10.0) == pytest.approx(radius)  # eight times the volume
    assert shell_mm([-3.0, 0.0, -50.0], 10.0).tolist() == [0, 0, 0]


def test_every_unknown_has_its_own_learned_value(stacks):
    encoder = ConditionEncoder("growth", 16)
    for variable in range(8):
        clinical = stacks.condition.clinical[:1, 0].clone()
        clinical[0, variable] = torch.nan
        hidden = replace(stacks.condition[:1, 0], clinical=clinical)
        out = encoder(hidden)
        assert torch.isfinite(out).all()
        encoder.zero_grad()
        out.sum().backward()
        assert (encoder.unknown_clinical.grad != 0).nonzero().flatten().tolist() == [variable]


@pytest.fixture(scope="module")
def guided(tiny, stacks):
    """Denoises two patients at the asked weights; counts the network's passes."""
    torch.manual_seed(0)
    network = Denoiser(tiny, C, Z)
    wake(network)
    schedule = Schedule("cosine", -2, -6, 4)
    scale = Scale([], [], [], [])
    model = DiffusionModel(network, tiny, schedule, 1, DriftModel([], []), scale, BASELINE)
    noisy, condition = torch.randn(2, Z, C, H, W), stacks.condition[:2, 0]
    context = context_stack(stacks.latents.every.baseline[:2, 0], 3, 1)
    passes = []
    network.register_forward_hook(lambda *_: passes.append(1))

    def denoise(*guidance, **hidden):
        passes.clear()
        with torch.no_grad():
            asked = condition.without(**hidden)
            return model.denoise(noisy, -1.0, context, asked, Guidance(*guidance)), len(passes)

    return denoise


@pytest.mark.slow
@pytest.mark.parametrize("drive", [0, 1])
@pytest.mark.parametrize("clinical", [0, 1])
def test_guidance_ends_are_exact(guided, drive, clinical):
    """0 is the network with it hidden, 1 with it shown, to the bit and in one pass."""
    plain, _ = guided(1, 1, request=not drive, clinical=not clinical)
    found, passes = guided(drive, clinical)
    assert torch.equal(found, plain) and passes == 1
    assert torch.equal(plain, guided(1, 1)[0]) == (drive == clinical == 1)


@pytest.mark.slow
@pytest.mark.parametrize(("drive", "clinical", "passes"), [(1.4, 0, 2), (1, 2, 2), (0.5, 1.6, 4)])
def test_guidance_is_linear_in_either_weight(guided, drive, clinical, passes):
    both, no_drive = guided(1, 1)[0], guided(0, 1)[0]
    no_clinical, null = guided(1, 0)[0], guided(0, 0)[0]
    shown = no_drive + drive * (both - no_drive)
    hidden = null + drive * (no_clinical - null)
    found, asked = guided(drive, clinical)
    assert torch.allclose(found, hidden + clinical * (shown - hidden), atol=1e-4)
    assert asked == passes


def test_a_flag_may_be_a_probability(tiny):
    encoder = ConditionEncoder("flag", 8)
    request = torch.tensor([[0.0], [0.7], [1.0], [torch.nan]])
    clinical = torch.rand(1, 8).expand(4, 8)
    out = encoder(Condition(clinical, request, *(p.expand(4, -1) for p in place(1, H, W))))
    assert len({tuple(row.tolist()) for row in out}) == 4


def test_stack_starts_as_independent_slices_and_then_joins_them(tiny, stacks):
    def run(network):
        noisy = torch.zeros(1, Z, C, H, W)
        noisy[0, 0] = 1
        context = context_stack(stacks.latents.every.baseline[:1, 0], 3, 1)
        with torch.no_grad():
            return network(noisy, torch.tensor([0.5]), context, stacks.condition[:1, 0])

    torch.manual_seed(0)
    network = Denoiser(tiny, C, Z)
    torch.nn.init.normal_(network.unet.out[-1].conv.weight)
    before = run(network)
    mixers = [m.conv for m in network.modules() if hasattr(m, "n_slices")]
    assert len(mixers) == 5
    for conv in mixers:
        assert not conv.weight.any()
        torch.nn.init.normal_(conv.weight, std=0.1)
    after = run(network)
    assert not torch.allclose(before[0, 1], after[0, 1])
    flat = Denoiser(tiny.model_copy(update={"denoiser": "2.5d"}), C, Z)
    assert not [m for m in flat.modules() if hasattr(m, "n_slices")]


def test_the_condition_scales_features_of_the_stack(tiny, stacks):
    """Beside being added to them, which MONAI's blocks do."""
    torch.manual_seed(0)
    network = Denoiser(tiny, C, Z)
    joined = network.unet.middle_block.resnet_2
    embedding = torch.randn(Z, joined.film[1].in_features)
    features = torch.randn(Z, tiny.channels[-1], 2, 3)
    with torch.no_grad():
        assert torch.equal(joined(features, embedding), joined.block(features, embedding))
        joined.film[1].bias[: tiny.channels[-1]] = 1.0
        assert torch.allclose(joined(features, embedding), 2 * joined.block(features, embedding))


def test_context_repeats_the_last_slice_and_steps_in_mm():
    baseline = torch.arange(4.0).reshape(1, 4, 1, 1, 1)
    context = context_stack(baseline, 3, 2)[0, :, :, 0, 0]
    assert context.tolist() == [[0, 0, 2], [0, 1, 3], [0, 2, 3], [1, 3, 3]]
    assert context_stride(5, 5) == 1 and context_stride(5, 1.5) == 3 and context_stride(5, 30) == 1


def looking(stacks, **update):
    """The same stacks with other latents."""
    return replace(stacks, latents=HeldLatents(stacks.latents.every._replace(**update)))


@pytest.fixture(scope="module")
def relative(stacks):
    """The same stacks, relative to a reference that is a number of its own for each copy."""
    number = torch.arange(12.0).reshape(6, 2, 1, 1, 1, 1)
    return looking(stacks, reference=number.expand_as(stacks.latents.every.target))


def test_a_denoiser_sees_its_reference_and_without_one_has_no_room_for_it(tiny, relative):
    torch.manual_seed(0)
    network = Denoiser(tiny, C, Z, reference=True)
    wake(network)
    baseline, noisy = relative.latents.every.baseline[:1, 0], torch.randn(1, Z, C, H, W)

    def run(reference):
        context = show_stack(baseline, reference, tiny.context_slices, 1)
        with torch.no_grad():
            return network(noisy, torch.tensor([0.5]), context, relative.condition[:1, 0])

    one, other = run(torch.zeros_like(baseline)), run(torch.ones_like(baseline))
    assert not torch.allclose(one, other, atol=1e-3)
    plain = Denoiser(tiny, C, Z)
    channels = [one.unet.conv_in.conv.in_channels for one in (network, plain)]
    assert channels == [C * 5 + 1, C * 4 + 1]  # noise, 3 slices, perhaps the reference; the drift
    for data, shown in ((relative, 5), (looking(relative, reference=None), 4)):
        made = make_network(data, tiny, 1, torch.device("cpu"))
        assert made.unet.conv_in.conv.in_channels == C * shown + 1
    assert torch.equal(show_stack(baseline, None, 3, 2), context_stack(baseline, 3, 2))
    with pytest.raises(RuntimeError, match="channels"):
        plain(
            noisy,
            torch.tensor([0.5]),
            show_stack(baseline, torch.zeros_like(baseline), 3, 1),
            relative.condition[:1, 0],
        )


def test_a_batch_takes_the_reference_of_its_own_patient_and_copy(tiny, relative):
    schedule = Schedule("cosine", -2, -6, 4)
    known = {
        tuple(relative.latents.every.target[i, k].flatten().tolist()): 2 * i + k
        for i in range(6)
        for k in range(2)
    }
    seen = set()
    for step in range(8):
        batch = draw_batch(relative, schedule, tiny, 1, step, 0)
        for clean, reference in zip(batch.clean, batch.reference, strict=True):
            number = known[tuple(clean.flatten().tolist())]
            assert (reference == number).all()
            seen.add(number % 2)
    assert seen == {0, 1}


def test_the_loss_shows_the_reference_to_the_network(tiny, relative):
    asked = []

    def network(noisy, time, context, condition):
        asked.append(context)
        return torch.zeros_like(noisy)

    schedule = Schedule("cosine", -2, -6, 4)
    batch = draw_batch(relative, schedule, tiny, 1, 0, 0)
    diffusion_loss(network, batch, schedule, tiny, 1)
    diffusion_loss(network, batch._replace(reference=None), schedule, tiny, 1)
    assert torch.equal(asked[0][:, :, -C:], batch.reference)
    assert torch.equal(asked[0][:, :, :-C], asked[1])


def test_stacks_are_relative_to_the_reference_where_there_is_one():
    generator = torch.Generator().manual_seed(0)
    scans = torch.randn(3, 2, 2, Z, C, H, W, generator=generator)
    rows, where = patients_of(2)
    encoded = dict(zip(("baseline", "followup", "reference"), scans, strict=True))
    encoded |= where | {"position_mm": torch.zeros(2, 3)}
    table = pd.DataFrame(rows).assign(growth_ml=[8.0, 0.0], he=[1.0, 0.0], followup_ivh_ml=5.0)
    scale = Scale([1.0] * C, [2.0] * C, [0.5] * C, [4.0] * C)
    made = make_stacks(table, encoded, scale, "growth", "difference", tells_ivh=True)
    baseline, followup, reference = scans
    assert torch.allclose(made.latents.every.target, (followup - reference - 0.5) / 4, atol=1e-5)
    assert torch.allclose(made.latents.every.reference, (reference - baseline) / 4, atol=1e-5)
    assert torch.allclose(made.latents.every.baseline, (baseline - 1) / 2, atol=1e-5)
    assert made.condition.request.shape == (2, 2, 6)
    expected = ivh_features(torch.tensor([3.0]), torch.tensor([2.0]))[0]
    assert torch.equal(made.condition.request[0, 0, 3:], expected)
    del encoded["reference"]
    plain = make_stacks(table, encoded, scale, "growth", "difference")
    assert plain.latents.every.reference is None and plain.condition.request.shape == (2, 2, 3)
    assert torch.allclose(plain.latents.every.target, (followup - baseline - 0.5) / 4, atol=1e-5)


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("target", ["difference", "followup"])
def test_stacks_left_in_their_files_are_those_held_in_memory(target, relative, tmp_path):
    layout, generator = Layout(tmp_path), torch.Generator().manual_seed(0)
    rows, where = patients_of(3)
    table = (
        pd.DataFrame(rows).set_axis(["A", "B", "C"]).assign(growth_ml=[8.0, 0, 9], he=[1, 0, 1])
    )
    table["followup_ivh_ml"] = 5.0
    names = ["baseline", "followup", *(["reference"] if relative else [])]
    encoded = {name: torch.randn(3, 2, Z, C, H, W, generator=generator) for name in names}
    encoded |= {name: part.expand(3, *part.shape[1:]) for name, part in where.items()}
    encoded |= {"position_mm": torch.randn(3, 3, generator=generator)}
    for i, patient_id in enumerate(table.index):
        layout.latents(patient_id).parent.mkdir(parents=True)
        one = {name: part[i].contiguous() for name, part in encoded.items()}
        save_file(one, layout.latents(patient_id))
    scale = Scale([1.0] * C, [2.0] * C, [0.5] * C, [4.0] * C)
    kind = {"shell": "even" if relative else "none", "warp": False, "ivh": relative, "push": None}
    write_json(layout.scale, {"scale": asdict(scale), "reference": kind})

    stored = load_stacks(table, layout, "growth", target)
    held = make_stacks(table, encoded, scale, "growth", target, tells_ivh=relative)
    assert stored.latents.shape == held.latents.shape == (3, 2, Z, C, H, W)
    assert stored.latents.has_reference == held.latents.has_reference == relative
    chosen = torch.tensor([2, 0, 1, 2]), torch.tensor([1, 0, 1, 0])
    for one, other in zip(*(s.latents.choose(*chosen) for s in (stored, held)), strict=True):
        assert one is other is None or torch.equal(one, other)
    for one, other in zip(*(vars(s.condition).values() for s in (stored, held)), strict=True):
        assert torch.equal(one.nan_to_num(-1), other.nan_to_num(-1))
    assert torch.equal(stored.position_mm, held.position_mm)
    assert torch.equal(stored.expander_norms(), held.expander_norms())


def test_batches_are_balanced_and_repeatable(tiny, stacks):
    drawn = [
        draw_patients(stacks.expands, 3, 0.5, torch.Generator().manual_seed(i)) for i in range(200)
    ]
    share = torch.cat([stacks.expands[index].float() for index in drawn]).mean()
    assert share == pytest.approx(0.5, abs=0.03)
    schedule = Schedule("cosine", -2, -6, 4)
    one, two = (draw_batch(stacks, schedule, tiny, 1, 7, 0) for _ in range(2))
    other = draw_batch(stacks, schedule, tiny, 1, 8, 0)
    assert torch.equal(one.noise, two.noise) and not torch.equal(one.noise, other.noise)


@pytest.mark.parametrize("dropout", [0.3, 1.0])
def test_stacks_without_request_expand_at_the_natural_share(tiny, stacks, dropout):
    """One of six patients expands; half of those who are told do."""
    one, n = torch.arange(6) == 0, 400
    # What a stack shows is who it is of.
    shown = one.float().reshape(-1, *[1] * 5).expand_as(stacks.latents.every.target)
    of_six = replace(looking(stacks, target=shown), expands=one)
    room = tiny.model_copy(
        update={"batch_stacks": n, "condition_dropout": dropout, "expander_share": 0.5}
    )
    schedule = Schedule("cosine", -2, -6, 4)
    batches = [draw_batch(of_six, schedule, room, 1, step, 0) for step in range(5)]
    expands = torch.cat([batch.clean[:, 0, 0, 0, 0] for batch in batches])
    hidden = torch.cat([batch.condition.request[:, 0].isnan() for batch in batches])
    assert hidden.float().mean() == pytest.approx(dropout, abs=0.03)
    assert expands[hidden].mean() == pytest.approx(1 / 6, abs=0.04)
    if dropout < 1:
        assert expands[~hidden].mean() == pytest.approx(0.5, abs=0.05)


def test_copies_are_taken_as_often_as_asked_and_all_of_them():
    generator = torch.Generator().manual_seed(0)
    taken = draw_copies(6000, 5, 0.6, generator)
    shares = torch.bincount(taken, minlength=5) / 6000
    assert shares.tolist() == pytest.approx([0.4] + 4 * [0.15], abs=0.02)
    assert not draw_copies(50, 5, 0.0, generator).any()
    assert (draw_copies(50, 2, 1.0, generator) == 1).all()


def test_a_model_of_another_version_is_refused_with_what_it_lacks(tmp_path):
    record = {"settings": {}, "latent_channels": 4, "n_slices": 5, "schedule": {}}
    write_json(Layout(tmp_path).network("diffusion").model, record)
    with pytest.raises(HemexpError, match=r"model\.json.*nothing about context_stride, drift"):
        load_diffusion(Layout(tmp_path), torch.device("cpu"))
