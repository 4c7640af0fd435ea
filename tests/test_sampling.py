"""Samplers on an exact score, noise that keeps its promises, volumes brought to their target."""

import contextlib
import math
import os
import subprocess
import sys
from dataclasses import replace
from functools import partialmethod
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_models import BASELINE, IVH, NOTHING, PUSH, WHOLE, FixedReferences, draw_latents
from tiny_training import place

from hemexp import HemexpError
from hemexp.anatomy.blood import shell_mm
from hemexp.anatomy.reference import Told
from hemexp.anatomy.reference_model import ReferenceModel
from hemexp.autoencoder.network import MultiHeadVae
from hemexp.compiling import LEAST_PASSES, compile_sampling
from hemexp.config import load_settings
from hemexp.diffusion.condition import CLINICAL_SCALE, OFFSETS, REQUEST_SIZE, Condition
from hemexp.diffusion.dataset import make_stacks
from hemexp.diffusion.drift import DriftModel
from hemexp.diffusion.network import Denoiser, DiffusionModel
from hemexp.diffusion.schedule import Schedule, alpha_sigma
from hemexp.expansion.distribution import LogisticLognormal
from hemexp.expansion.predictors import IVH_COLUMNS
from hemexp.latents.scale import Scale
from hemexp.sampling.draw import condition_samples, slices_that_may_change
from hemexp.sampling.models import Models
from hemexp.sampling.noise import PatientSeed, correlate_slices, white_noise
from hemexp.sampling.requests import Requests, draw_requests, draw_told, how_drawn
from hemexp.sampling.sample import LatentSampler, Start, decode_stack
from hemexp.sampling.samplers import ddim, dpm_solver, lambda_grid
from hemexp.sampling.volume import OUTSIDE, iph_margin, matching_offset
from hemexp.training import autocast_for

TESTS = Path(__file__).parent
MEAN = 0.7
RANGE = Schedule("cosine", -2.0, -6.5, 5.0)


def gaussian_denoiser(sd):
    """Exact expected clean value when the data are N(MEAN, sd^2)."""

    def denoise(noisy, lam):
        alpha, sigma = (float(v) for v in alpha_sigma(torch.tensor(lam, dtype=torch.float64)))
        gain = alpha * sd**2 / (alpha**2 * sd**2 + sigma**2)
        return MEAN + gain * (noisy - alpha * MEAN)

    return denoise


EVALUATIONS = 11
"""Of the presets with our own design: the fewest that pass the next test."""


def dpm_gaussian(sd, lambda_min, evaluations):
    """Mean and SD ratio of the default sampler on an exact Gaussian."""
    noise = torch.randn(20000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noise = (noise - noise.mean()) / noise.std()
    grid = lambda_grid(Schedule("cosine", -2.0, lambda_min, 5.0), "logsnr", evaluations)
    drawn = dpm_solver(gaussian_denoiser(sd), noise, grid)
    return drawn.mean().item(), drawn.std().item() / sd


@pytest.mark.parametrize("lambda_min", [-6.0, -6.5, -7.3, -8.0])
@pytest.mark.parametrize("sd", [0.1, 0.3, 0.6])
def test_dpm_solver_keeps_mean_and_spread_of_an_exact_gaussian(sd, lambda_min):
    """A sampler that loses spread makes every interval too narrow.

    `lambda_min` is chosen from the training latents: -7.3 in the demo.
    """
    mean, ratio = dpm_gaussian(sd, lambda_min, EVALUATIONS)
    assert mean == pytest.approx(MEAN, abs=0.01)
    assert 0.97 < ratio < 1.03


def test_presets_take_the_fewest_evaluations_that_keep_the_spread():
    for name in ("demo", "full", "validation"):
        sampling = load_settings({"preset": name}).sampling
        assert (sampling.sampler, sampling.spacing) == ("dpm", "logsnr")
        assert sampling.evaluations == EVALUATIONS, name
    assert dpm_gaussian(0.1, -8.0, EVALUATIONS - 1)[1] < 0.97


def ddim_spread(eta, spacing, evaluations):
    """Mean and SD ratio of DDIM on an exact Gaussian of SD 0.3."""
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(20000, generator=generator, dtype=torch.float64)
    drawn = ddim(
        gaussian_denoiser(0.3),
        noise,
        lambda_grid(RANGE, spacing, evaluations),
        eta,
        lambda _: torch.randn(20000, generator=generator, dtype=torch.float64),
    )
    return drawn.mean().item(), drawn.std().item() / 0.3


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_ddim_converges_with_many_steps(eta):
    mean, ratio = ddim_spread(eta, "logsnr", 300)
    assert mean == pytest.approx(MEAN, abs=0.01)
    assert ratio == pytest.approx(1, abs=0.03)


def test_steps_uniform_in_time_lose_spread():
    """Why the default is uniform in log-SNR: the published spacing makes intervals too narrow."""
    assert ddim_spread(0.0, "time", 100)[1] < ddim_spread(0.0, "logsnr", 100)[1] - 0.03


def test_correlated_noise_keeps_its_marginals_and_has_the_asked_correlation():
    white = torch.randn((6, 1, 100, 200), generator=torch.Generator().manual_seed(0))
    noise = correlate_slices(white, 25.0, 5.0)
    assert noise.std(dim=(1, 2, 3)).tolist() == pytest.approx([1] * 6, abs=0.02)
    pairs = torch.corrcoef(noise.flatten(1))
    assert pairs[0, 1].item() == pytest.approx(math.exp(-0.2), abs=0.02)
    assert pairs[0, 3].item() == pytest.approx(math.exp(-0.6), abs=0.02)
    assert torch.equal(correlate_slices(white, 0.0, 5.0), white)


def test_noise_depends_on_seed_patient_and_sample_alone():
    shape = (3, 2, 4, 4)
    one = white_noise(PatientSeed(1, "P1"), 0, shape)
    assert torch.equal(one, white_noise(PatientSeed(1, "P1"), 0, shape))
    for run, patient_id, sample in [(2, "P1", 0), (1, "P2", 0), (1, "P1", 1)]:
        assert not torch.equal(one, white_noise(PatientSeed(run, patient_id), sample, shape))
    for again in ({"step": 1}, {"attempt": 1}, {"step": 1, "attempt": 1}):
        assert not torch.equal(one, white_noise(PatientSeed(1, "P1"), 0, shape, **again))


@pytest.mark.parametrize("sd", [3.0, 30.0, 300.0])
def test_a_mode_of_growth_keeps_its_spread(sd):
    """Standardised, growth is sparse: a stack's norm, and its spread, reach hundreds of SDs.

    The published steps, uniform in time, lose nearly half of it and more.
    """
    noise = torch.randn(20000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    wide = Schedule("cosine", -2.0, -7.3, 5.0)
    drawn = dpm_solver(gaussian_denoiser(sd), noise, lambda_grid(wide, "logsnr", EVALUATIONS))
    assert drawn.std().item() / sd == pytest.approx(1, abs=0.05)
    published = lambda_grid(Schedule("sigmoid", 0.0, -7.5, 4.0), "time", 100)
    lost = ddim(gaussian_denoiser(sd), noise, published).std().item() / sd
    assert lost < {3.0: 0.99, 30.0: 0.6, 300.0: 0.3}[sd]


@pytest.fixture(scope="module")
def model(settings):
    return make_model(settings)


@pytest.fixture(scope="module")
def relative(settings):
    """A denoiser whose differences are relative to a reference."""
    return make_model(settings, ReferenceModel(WHOLE.model_copy(update={"ivh": False}), PUSH))


def make_model(settings, reference=BASELINE):
    """An untrained small denoiser with a live output layer."""
    torch.manual_seed(0)
    small = settings.diffusion.model_copy(update={"channels": [8, 16]})
    network = Denoiser(small, 4, 5, reference=reference != BASELINE).eval()
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    scale = Scale([0.0] * 4, [1.0] * 4, [0.0] * 4, [1.0] * 4)
    schedule = Schedule("cosine", -2, -6.5, 4)
    return DiffusionModel(network, small, schedule, 1, DriftModel([], []), scale, reference)


def made_references(count, size=8):
    """A reference of its own for every sample."""
    generator = torch.Generator().manual_seed(9)
    return torch.randn((count, 5, 4, size, 12), generator=generator)


def stream(*asked):
    """The samples one by one, with what they are relative to."""
    return LatentSampler(*asked).stream()


def draw(model, settings, count, patient="P1", seed=1, how=draw_latents, size=8, **update):
    update = {"evaluations": 4, "batch_slices": 15, "guidance": 1.0} | update
    requests = torch.arange(count, dtype=torch.float32)[:, None].expand(count, 3) / 10
    condition = Condition(
        torch.full((count, 8), 0.3),
        requests,
        *(part.expand(count, -1) for part in place(5, size, 12)),
    )
    baseline = torch.randn((5, 4, size, 12), generator=torch.Generator().manual_seed(5))
    free = torch.ones(5, dtype=torch.bool)
    free[0] = False
    chosen = settings.sampling.model_copy(update=update)
    latents = [baseline] if model.reference == BASELINE else made_references(count, size)
    start = Start(PatientSeed(seed, patient), baseline, 5.0, free, FixedReferences(*latents))
    drawn = how(model, start, condition, chosen)
    return baseline, drawn


@pytest.mark.slow
def test_a_compiled_denoiser_draws_the_same_in_batches_of_any_size(settings, monkeypatch):
    plain, compiled, graphs = make_model(settings), make_model(settings), []
    patched = partialmethod(
        torch.nn.Module.compile, backend=lambda graph, _: graphs.append(graph) or graph.forward
    )
    monkeypatch.setattr(torch.nn.Module, "compile", patched)
    with torch._dynamo.config.patch(suppress_errors=False):
        compile_sampling(compiled.network, True, 1, torch.device("cpu"))
        one, other = (draw(model, settings, 5)[1] for model in (plain, compiled))  # 3 and 2 stacks
    torch._dynamo.reset()
    assert 1 <= len(graphs) <= 2
    assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize(
    ("asked", "passes", "device", "done"),
    [
        ("auto", LEAST_PASSES, "cuda", True),
        ("auto", LEAST_PASSES - 1, "cuda", False),
        ("auto", 10**6, "cpu", False),
        (True, 1, "cpu", True),
        (False, 10**6, "cuda", False),
    ],
)
def test_sampling_compiles_where_it_gains_or_is_asked(asked, passes, device, done):
    network = torch.nn.Linear(1, 1)
    with torch._dynamo.config.patch(suppress_errors=False):
        compile_sampling(network, asked, passes, torch.device(device))
    assert (network._compiled_call_impl is not None) == done


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model", "relative"])
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("bf16", 0.05)])
def test_sample_k_is_the_same_for_any_k(request, name, settings, precision, tolerance):
    model = request.getfixturevalue(name)
    _, two = draw(model, settings, 2, precision=precision)
    _, seven = draw(model, settings, 7, precision=precision)
    assert torch.equal(two, seven[:2])
    assert torch.isfinite(seven).all()
    _, other_batch = draw(model, settings, 7, batch_slices=35, precision=precision)
    assert torch.allclose(seven, other_batch, atol=tolerance)
    _, other_patient = draw(model, settings, 2, patient="P2", precision=precision)
    assert not torch.allclose(two, other_patient)


def test_a_sample_drawn_again_has_other_noise_and_the_same_bits_for_any_k(relative, settings):
    def samplers(*asked):
        return LatentSampler(*asked)

    def again(sampler, numbers):
        return sampler.draw(numbers, before=dict(enumerate(sampler.stream())))

    (_, two), (_, seven) = (draw(relative, settings, count, how=samplers) for count in (2, 7))
    one, first = again(two, [1])[1], list(two.stream())[1]
    both = again(seven, [0, 1])
    assert torch.equal(one.latents, again(seven, [1])[1].latents)
    assert torch.equal(both[0].latents, again(two, [0, 1])[0].latents)
    assert torch.equal(one.reference, first.reference)
    assert not torch.allclose(one.latents[1:], first.latents[1:], atol=1e-2)
    assert not torch.allclose(both[0].latents[1:], one.latents[1:], atol=1e-2)
    _, other = draw(relative, settings, 2, patient="P2", how=samplers)
    assert not torch.allclose(again(other, [1])[1].latents[1:], one.latents[1:], atol=1e-2)


def test_a_sample_is_drawn_relative_to_its_own_reference(relative, settings):
    """What is added does not hang on which references the other samples of a batch have."""
    drawn = list(draw(relative, settings, 3, how=stream)[1])
    for one, reference in zip(drawn, made_references(3), strict=True):
        assert torch.equal(one.reference, reference)
        assert torch.equal(one.latents[0], reference[0])  # a slice that may not change
        assert not torch.allclose(one.latents[1], reference[1], atol=1e-3)


def test_the_network_sees_the_reference_in_units_of_what_it_draws(relative, settings):
    asked = []
    hook = relative.network.register_forward_pre_hook(lambda _, args: asked.append(args[2]))
    wide = replace(relative, scale=replace(relative.scale, delta_sd=[0.5] * 4))
    baseline, _ = draw(wide, settings, 3, evaluations=1)
    hook.remove()
    context, shown = asked[0].split([12, 4], dim=2)
    assert torch.allclose(shown, (made_references(3) - baseline) / 0.5)
    assert torch.equal(context[:, :, 4:8], baseline.expand(3, -1, -1, -1, -1))


@pytest.mark.parametrize("name", ["model", "relative"])
def test_without_a_network_a_sample_is_its_reference(request, name, settings):
    model, asked = request.getfixturevalue(name), []
    hook = model.network.register_forward_hook(lambda *_: asked.append(1))
    baseline, drawn = draw(model, settings, 4, network=False)
    hook.remove()
    wanted = made_references(4) if name == "relative" else baseline.expand(4, -1, -1, -1, -1)
    assert torch.equal(drawn, wanted) and not asked


def test_a_baseline_that_is_the_reference_stays_one_object(model, settings):
    """By this the decoder knows that it has decoded it before."""
    drawn = list(draw(model, settings, 4, how=stream)[1])
    assert all(one.reference is drawn[0].reference for one in drawn)


@pytest.mark.slow
def test_bf16_moves_samples_a_little_and_fp32_not_at_all(model, settings, monkeypatch):
    _, fp32 = draw(model, settings, 3, precision="fp32", evaluations=EVALUATIONS)
    baseline, bf16 = draw(model, settings, 3, precision="bf16", evaluations=EVALUATIONS)
    assert bf16.dtype == torch.float32
    assert 1e-4 < ((bf16 - fp32).std() / (fp32 - baseline).std()).item() < 0.02
    monkeypatch.setattr("hemexp.sampling.sample.autocast_for", lambda *_: contextlib.nullcontext())
    plain = draw(model, settings, 3, precision="bf16", evaluations=EVALUATIONS)[1]
    assert torch.equal(plain, fp32)


@pytest.fixture(scope="module")
def decoding(settings):
    """An untrained decoder and latents of five slices."""
    torch.manual_seed(0)
    vae = MultiHeadVae(settings.autoencoder.model_copy(update={"channels": [8, 16]})).eval()
    return vae, torch.randn(5, settings.autoencoder.latent_channels, 8, 8)


def test_a_stack_is_decoded_as_the_autoencoder_does_it(decoding):
    vae, latents = decoding
    with torch.inference_mode():
        plain = vae.decode(latents)
    for autocast in (None, autocast_for("fp32", torch.device("cpu"))):
        decoded = decode_stack(vae, latents, 5, autocast)
        assert np.array_equal(decoded.ct_hu, 100 * np.moveaxis(plain.ct.numpy(), 0, 2))
        assert np.array_equal(decoded.iph_logit, np.moveaxis(plain.iph_logit.numpy(), 0, 2))
        assert np.array_equal(decoded.ivh_logit, np.moveaxis(plain.ivh_logit.numpy(), 0, 2))


def test_logits_of_bf16_can_still_be_told_apart(decoding):
    """Voxels of one logit cross 0 together: no offset then gives just the wanted volume."""
    vae, latents = decoding
    fp32 = decode_stack(vae, latents, 5).iph_logit
    bf16 = decode_stack(vae, latents, 5, autocast_for("bf16", torch.device("cpu"))).iph_logit
    assert bf16.dtype == np.float32
    assert 1e-4 < np.std(bf16 - fp32) / np.std(fp32) < 0.05
    margin = iph_margin(bf16, np.full_like(bf16, -9), np.ones(bf16.shape, dtype=bool))
    for wanted in range(0, margin.size, 41):
        assert np.count_nonzero(margin + matching_offset(margin, wanted) > 0) == wanted


def test_patients_do_not_depend_on_the_order_they_are_drawn_in(model, settings):
    first = {name: draw(model, settings, 3, patient=name)[1] for name in ("P1", "P2")}
    torch.randn(7)
    for name in ("P2", "P1"):
        assert torch.equal(draw(model, settings, 3, patient=name)[1], first[name])


@pytest.mark.slow
def test_only_one_batch_is_held_and_drawn_at_a_time(model, settings, monkeypatch):
    """Memory does not grow with K: a sample can be finished before the next batch is begun."""
    calls = []
    forward = Denoiser.forward
    monkeypatch.setattr(
        Denoiser,
        "forward",
        lambda self, noisy, *rest: calls.append(len(noisy)) or forward(self, noisy, *rest),
    )
    drawn = draw(model, settings, 40, how=stream)[1]
    assert calls == []
    first = next(drawn)
    assert calls == [3] * 4
    assert torch.equal(first.latents, draw(model, settings, 2)[1][0])
    assert sum(1 for _ in drawn) == 39


@pytest.mark.slow
def test_guidance_acts_only_in_the_noise(model, settings, monkeypatch):
    asked = []
    denoise = DiffusionModel.denoise

    def watched(self, noisy, lam, context, condition, guidance):
        asked.append((lam < -1, guidance))
        return denoise(self, noisy, lam, context, condition, guidance)

    monkeypatch.setattr(DiffusionModel, "denoise", watched)
    weights = {"guidance": 1.4, "clinical_guidance": 2.0}
    guided = draw(model, settings, 1, **weights, guidance_below=-1.0)[1]
    assert set(asked) == {(True, (1.4, 2)), (False, (1, 1))}
    plain = draw(model, settings, 1)[1]
    always = draw(model, settings, 1, **weights, guidance_below=None)[1]
    assert set(asked[-4:]) == {(True, (1.4, 2)), (False, (1.4, 2))}
    assert not torch.allclose(guided, plain) and not torch.allclose(guided, always)


DRAW_IN_THREADS = """
import sys, torch
torch.set_num_threads(int(sys.argv[1]))
from hemexp.config import load_settings
from test_sampling import draw, make_model
settings = load_settings({"preset": "demo"})
torch.save(draw(make_model(settings), settings, 3, size=32, evaluations=11)[1], sys.argv[2])
"""


@pytest.mark.slow
def test_samples_are_the_same_for_any_number_of_threads(tmp_path):
    """Sums in another order end in other last bits, no more."""
    drawn = []
    for threads in ("1", "2"):
        file = tmp_path / f"{threads}.pt"
        command = [sys.executable, "-c", DRAW_IN_THREADS, threads, str(file)]
        environment = os.environ | {"PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}"}
        subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
        drawn.append(torch.load(file, weights_only=True))
    assert drawn[0].std() > 0.1
    assert torch.allclose(drawn[0], drawn[1], rtol=0, atol=1e-4)


def test_slices_that_may_not_change_keep_the_baseline(model, settings):
    baseline, drawn = draw(model, settings, 3)
    assert torch.equal(drawn[:, 0], baseline[0].expand(3, -1, -1, -1))
    assert not torch.allclose(drawn[:, 1], baseline[1].expand(3, -1, -1, -1))
    iph = np.zeros((4, 4, 6), dtype=bool)
    iph[1, 1, 2] = True
    assert slices_that_may_change(iph, 5.0, 10.0).tolist() == [True] * 5 + [False]
    assert slices_that_may_change(iph, 5.0, None).all()


DISTRIBUTION = LogisticLognormal(0.4, math.log(8), 0.5, (-0.5, 0.0, 0.7), 3.0)


@pytest.mark.parametrize(
    ("kind", "indicator", "drawn"),
    [
        ("growth", "predicted", "even"),
        ("growth", "free", "independent"),
        ("growth", "oracle", "independent"),
        ("flag", "predicted", "independent"),
    ],
)
def test_volumes_are_even_only_where_a_drawn_growth_makes_them(settings, kind, indicator, drawn):
    sampling = settings.sampling.model_copy(update={"indicator": indicator})
    assert how_drawn(kind, sampling) == drawn


@pytest.fixture
def ask(settings):
    """Requests of a patient who grew by 9 mL."""

    def draw(kind, indicator, count, patient_id="P1", true_growth_ml=9.0):
        update = {"indicator": indicator, "samples": count}
        sampling = settings.sampling.model_copy(update=update)
        seed = PatientSeed(1, patient_id)
        return draw_requests(kind, sampling, DISTRIBUTION, true_growth_ml, seed)

    return draw


def test_requests_are_forecasts_unless_asked_for_the_truth(ask):
    two, many = (ask("growth", "predicted", count) for count in (2, 400))
    assert (many.growth_ml[:2] == two.growth_ml).all()
    assert np.mean(many.growth_ml > 2) == pytest.approx(0.4, abs=0.08)
    assert (many.flag == ((many.growth_ml >= 6) | (many.growth_ml >= 0.99))).all()
    assert (ask("growth", "oracle", 2).growth_ml == 9).all()
    with pytest.raises(HemexpError, match="patient P1.*no follow-up"):
        ask("growth", "oracle", 2, true_growth_ml=np.nan)
    assert np.isnan(ask("growth", "free", 2).growth_ml).all()
    flags = ask("flag", "predicted", 400, true_growth_ml=np.nan).flag
    assert np.mean(flags) == pytest.approx(0.4, abs=0.08)


def test_the_share_of_samples_that_expand_is_nearly_its_probability(ask):
    # 50 independent samples would miss by an SD of .07.
    shares = [ask("flag", "predicted", 50, f"P{i}").flag.mean() for i in range(100)]
    assert np.std(shares) < 0.02
    assert np.mean(shares) == pytest.approx(0.4, abs=0.01)


DRIFTS = DriftModel([[0.0] * 3] * 4, [[1.0, 0, 0], [-1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]])
SEEN = dict.fromkeys(IVH_COLUMNS, 5.0) | {"baseline_iph_ml": 20.0, "baseline_ivh_ml": 0.0}


def tell(growth_ml, kind=WHOLE, patient_id="P1", ivh_growth_ml=np.nan):
    """What is told of samples of a patient with a bleed of 20 mL: arrays of K by name."""
    reference = ReferenceModel(kind, PUSH if kind.warp else None)
    models = Models(None, SimpleNamespace(drift=DRIFTS, reference=reference), None, IVH)
    patient = SimpleNamespace(
        row=pd.Series(SEEN),
        baseline=SimpleNamespace(iph_ml=20.0),
        encoded={"position_mm": torch.zeros(3)},
    )
    growth = np.array(growth_ml, dtype=float)
    requests = Requests(growth, growth > 6, ivh_growth_ml)
    told = draw_told(models, patient, requests, PatientSeed(1, patient_id))
    assert all(isinstance(one, Told) for one in told)
    return SimpleNamespace(
        **{name: np.array([getattr(one, name) for one in told]) for name in Told._fields}
    )


def test_every_sample_has_a_drift_of_its_own_in_proportion_to_its_growth():
    many = tell([10.0] * 400).drift_mm
    assert np.linalg.norm(many, axis=1) == pytest.approx(float(shell_mm(10.0, 20.0)))
    assert (many != 0).mean(axis=0) == pytest.approx([0.5, 0.25, 0.25], abs=0.08)
    assert np.array_equal(tell([10.0, 10.0]).drift_mm, many[:2])
    assert not np.array_equal(tell([10.0] * 400, patient_id="P2").drift_mm, many)
    grown, none, unknown = tell([10.0, -2.0, np.nan], NOTHING).drift_mm
    assert np.array_equal(grown, many[0]) and not none.any() and np.isnan(unknown).all()


def test_every_sample_has_a_push_of_its_own_in_proportion_to_its_growth():
    many = tell([10.0] * 400).push_ml
    assert many.mean() == pytest.approx(12, abs=0.4)  # amplitude 1.2
    assert many.std() == pytest.approx(10 * np.hypot(0.2, 0.1), rel=0.12)
    assert np.array_equal(tell([10.0, 10.0]).push_ml, many[:2])
    assert tell([-5.0]).push_ml == pytest.approx(-many[0] / 2)
    assert not np.array_equal(tell([10.0] * 400, patient_id="P2").push_ml, many)
    assert not tell([10.0] * 4, WHOLE.model_copy(update={"warp": False})).push_ml.any()


def test_every_sample_has_an_ivh_growth_of_its_own_that_goes_with_its_growth():
    little, much = (tell([ml] * 400).ivh_growth_ml for ml in (1.0, 30.0))
    assert (much > 0).mean() > (little > 0).mean() + 0.1
    assert much.max() > 3 and set(little[little < 0.3]) == {0.0}  # no IVH before: 0, or an event
    assert np.array_equal(tell([30.0, 30.0]).ivh_growth_ml, much[:2])
    assert not np.array_equal(tell([30.0] * 400, patient_id="P2").ivh_growth_ml, much)
    assert tell([30.0] * 4, ivh_growth_ml=2.5).ivh_growth_ml.tolist() == [2.5] * 4  # an oracle's


def test_parts_that_a_reference_lacks_leave_what_is_told_of_the_others():
    whole, growth = tell([5.0, 20.0, 1.0]), [5.0, 20.0, 1.0]
    for part in ("warp", "ivh"):
        less = tell(growth, WHOLE.model_copy(update={part: False}))
        assert np.array_equal(less.drift_mm, whole.drift_mm)
        assert np.array_equal(less.growth_ml, whole.growth_ml)
        assert np.array_equal(less.push_ml, whole.push_ml) == (part != "warp")
        assert np.array_equal(less.ivh_growth_ml, whole.ivh_growth_ml) == (part != "ivh")
    nothing = tell([5.0, np.nan], NOTHING)
    assert not nothing.push_ml.any() and np.isnan(nothing.ivh_growth_ml).all()


@pytest.mark.parametrize("kind", ["growth", "flag", "growth and IVH"])
def test_samples_are_conditioned_as_training_was(model, kind):
    """Asked for what happened, a sample's condition is the one its patient was learned with."""
    kind, _, ivh = kind.partition(" and ")
    clinical = dict.fromkeys(CLINICAL_SCALE, 20.0) | {"gcs": np.nan}
    volumes = {"baseline_ivh_ml": 1.0, "followup_ivh_ml": 4.5}
    row = pd.Series(clinical | volumes | {"growth_ml": 8.0, "he": 1.0})
    generator = torch.Generator().manual_seed(0)
    scans = torch.randn(2, 1, 2, 5, 4, 8, 12, generator=generator)
    offsets = (torch.stack([part, -part])[None] for part in place(5, 8, 12)[1:])
    encoded = dict(zip(("baseline", "followup"), scans, strict=True))
    encoded |= dict(zip(OFFSETS, offsets, strict=True))
    encoded |= {"drift_mm": torch.ones(1, 2, 3), "position_mm": torch.zeros(1, 3)}
    asked_of_training = row.to_frame().T, encoded, model.scale, kind, "difference"
    known = make_stacks(*asked_of_training, tells_ivh=bool(ivh)).condition[0]

    denoiser = replace(
        model,
        settings=model.settings.model_copy(update={"condition": kind}),
        reference=ReferenceModel(NOTHING.model_copy(update={"ivh": bool(ivh)}), None),
    )
    requests = Requests(np.array([8.0, np.nan]), np.array([1.0, np.nan]))
    unknown = np.full(3, np.nan)
    told = Told(8.0, np.ones(3), 2.0, 3.5), Told(np.nan, unknown, np.nan, np.nan)
    one = {name: part[0] for name, part in encoded.items()}
    patient = SimpleNamespace(row=row, encoded=one)
    asked = condition_samples(Models(None, denoiser, None, None), patient, requests, told)
    assert asked.request.shape[1] == {"growth": 3, "flag": 1}[kind] + 3 * bool(ivh)
    for name in ("clinical", "request", "drift_mm", *OFFSETS):
        learned, drawn = getattr(known, name)[0], getattr(asked, name)
        assert torch.equal(learned.nan_to_num(-1), drawn[0].nan_to_num(-1)), name
    growth_alone = slice(REQUEST_SIZE[kind])
    assert asked.request[1, growth_alone].isnan().all()
    # The flag's design knows no hours between the scans.
    assert asked.clinical[1].isnan().sum() == (2 if kind == "flag" else 1)
    assert asked.drift_mm[1].isnan().all()


@pytest.mark.parametrize("target", [0, 1, 57, 300, 10_000])
def test_one_scalar_brings_the_volume_to_its_target(target):
    rng = np.random.default_rng(0)
    brain = np.ones((8, 10, 6), dtype=bool)
    brain[0] = False
    margin = iph_margin(rng.normal(size=brain.shape), rng.normal(size=brain.shape), brain)
    assert (margin[0] == OUTSIDE).all()
    offset = matching_offset(margin, target)
    assert np.count_nonzero(margin + offset > 0) == min(target, brain.sum())


def test_no_offset_where_the_raw_volume_is_right():
    margin = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    assert matching_offset(margin, np.count_nonzero(margin > 0)) == 0


def test_ivh_wins_where_it_is_surer():
    iph, ivh = np.array([[[2.0, 2.0, -1.0]]]), np.array([[[1.0, 3.0, -5.0]]])
    assert iph_margin(iph, ivh, np.ones((1, 1, 3), bool)).ravel().tolist() == [1, -1, -1]
