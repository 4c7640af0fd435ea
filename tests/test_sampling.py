"""Samplers on an exact score, noise that keeps its promises, volumes brought to their target."""

import contextlib
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_training import place

from hemexp import HemexpError
from hemexp.anatomy.blood import shell_mm
from hemexp.autoencoder.network import MultiHeadVae
from hemexp.config import load_settings
from hemexp.diffusion.condition import CLINICAL_SCALE, OFFSETS, Condition
from hemexp.diffusion.dataset import make_stacks
from hemexp.diffusion.drift import DriftModel
from hemexp.diffusion.network import Denoiser, DiffusionModel
from hemexp.diffusion.schedule import Schedule, alpha_sigma
from hemexp.expansion.distribution import LogisticLognormal
from hemexp.grid_scan import GridScan
from hemexp.latents.scale import Scale
from hemexp.sampling.finish import finish_sample
from hemexp.sampling.noise import PatientSeed, correlate_slices, white_noise
from hemexp.sampling.patient import Baseline
from hemexp.sampling.requests import Requests, draw_drifts, draw_requests
from hemexp.sampling.run import condition_samples, slices_that_may_change
from hemexp.sampling.sample import DecodedScan, Start, decode_stack, draw_latents, stream_latents
from hemexp.sampling.samplers import ddim, dpm_solver, lambda_grid
from hemexp.sampling.volume import OUTSIDE, correct_logits, iph_margin, matched_ml, matching_offset
from hemexp.training import autocast_for
from hemexp.volumes import Volume

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
    assert not torch.equal(one, white_noise(PatientSeed(1, "P1"), 0, shape, step=1))


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


def make_model(settings):
    """An untrained small denoiser with a live output layer."""
    torch.manual_seed(0)
    small = settings.diffusion.model_copy(update={"channels": [8, 16]})
    network = Denoiser(small, 4, 5).eval()
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    scale = Scale([0.0] * 4, [1.0] * 4, [0.0] * 4, [1.0] * 4)
    schedule = Schedule("cosine", -2, -6.5, 4)
    return DiffusionModel(network, small, schedule, 1, DriftModel([], []), scale)


def draw(model, settings, count, patient="P1", seed=1, how=draw_latents, size=8, **update):
    update = {"evaluations": 4, "batch_slices": 15, "guidance": 1.0} | update
    requests = torch.arange(count, dtype=torch.float32)[:, None].expand(count, 3) / 10
    condition = Condition(
        torch.full((count, 7), 0.3),
        requests,
        *(part.expand(count, -1) for part in place(5, size, 12)),
    )
    baseline = torch.randn((5, 4, size, 12), generator=torch.Generator().manual_seed(5))
    free = torch.ones(5, dtype=torch.bool)
    free[0] = False
    chosen = settings.sampling.model_copy(update=update)
    start = Start(PatientSeed(seed, patient), baseline, 5.0, free)
    drawn = how(model, start, condition, chosen)
    return baseline, drawn


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("bf16", 0.05)])
def test_sample_k_is_the_same_for_any_k(model, settings, precision, tolerance):
    _, two = draw(model, settings, 2, precision=precision)
    _, seven = draw(model, settings, 7, precision=precision)
    assert torch.equal(two, seven[:2])
    assert torch.isfinite(seven).all()
    _, other_batch = draw(model, settings, 7, batch_slices=35, precision=precision)
    assert torch.allclose(seven, other_batch, atol=tolerance)
    _, other_patient = draw(model, settings, 2, patient="P2", precision=precision)
    assert not torch.allclose(two, other_patient)


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
    stream = draw(model, settings, 40, how=stream_latents)[1]
    assert calls == []
    first = next(stream)
    assert calls == [3] * 4
    assert torch.equal(first, draw(model, settings, 2)[1][0])
    assert sum(1 for _ in stream) == 39


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


def test_every_sample_has_a_drift_of_its_own_in_proportion_to_its_growth():
    model = DriftModel([[0.0] * 3] * 4, [[1.0, 0, 0], [-1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]])

    def draw_for(growth_ml, patient_id="P1"):
        seed = PatientSeed(1, patient_id)
        return draw_drifts(model, np.zeros(3), np.array(growth_ml), 20.0, seed)

    many = draw_for([10.0] * 400)
    assert np.linalg.norm(many, axis=1) == pytest.approx(float(shell_mm(10.0, 20.0)))
    assert (many != 0).mean(axis=0) == pytest.approx([0.5, 0.25, 0.25], abs=0.08)
    assert np.array_equal(draw_for([10.0, 10.0]), many[:2])
    assert not np.array_equal(draw_for([10.0] * 400, "P2"), many)
    grown, none, unknown = draw_for([10.0, -2.0, np.nan])
    assert np.array_equal(grown, many[0]) and not none.any() and np.isnan(unknown).all()


@pytest.mark.parametrize("kind", ["growth", "flag"])
def test_samples_are_conditioned_as_training_was(model, kind):
    """Asked for what happened, a sample's condition is the one its patient was learned with."""
    clinical = dict.fromkeys(CLINICAL_SCALE, 20.0) | {"gcs": np.nan}
    row = pd.Series(clinical | {"growth_ml": 8.0, "he": 1.0})
    generator = torch.Generator().manual_seed(0)
    scans = torch.randn(2, 1, 2, 5, 4, 8, 12, generator=generator)
    offsets = (torch.stack([part, -part])[None] for part in place(5, 8, 12)[1:])
    encoded = dict(zip(("baseline", "followup"), scans, strict=True))
    encoded |= dict(zip(OFFSETS, offsets, strict=True))
    encoded |= {"drift_mm": torch.zeros(1, 2, 3), "position_mm": torch.zeros(1, 3)}
    known = make_stacks(row.to_frame().T, encoded, model.scale, kind, "difference").condition[0]

    denoiser = replace(model, settings=model.settings.model_copy(update={"condition": kind}))
    requests = Requests(np.array([8.0, np.nan]), np.array([1.0, np.nan]))
    one = {name: part[0] for name, part in encoded.items()}
    asked = condition_samples(denoiser, row, one, requests, PatientSeed(1, "P1"))
    for name in ("clinical", "request", *OFFSETS):
        learned, drawn = getattr(known, name)[0], getattr(asked, name)
        assert torch.equal(learned.nan_to_num(-1), drawn[0].nan_to_num(-1)), name
    assert asked.request[1].isnan().all() and asked.clinical[1].isnan().sum() == 1


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


SHAPE = (6, 6, 4)


def decoded_bleed(voxels, ivh=()):
    """A decoder's answer: IPH in the first voxels, IVH in those listed."""
    iph, other = (np.full(SHAPE, -5, dtype=np.float32) for _ in range(2))
    iph.ravel()[:voxels] = np.linspace(1, 2, voxels)
    other.ravel()[list(ivh)] = 2.0
    return DecodedScan(np.zeros(SHAPE, dtype=np.float32), iph, other)


@pytest.fixture
def bleed(monkeypatch):
    """A baseline of 20 voxels of IPH and 2 of IVH, 1 mL each."""
    monkeypatch.setattr("hemexp.sampling.finish.midline_shift_mm", lambda *_: 0.0)
    truth = decoded_bleed(20, ivh=(100, 101))
    iph, ivh = truth.iph_logit > 0, truth.ivh_logit > 0
    ct = Volume(np.zeros(SHAPE, dtype=np.float32), np.diag([10.0, 10.0, 10.0, 1]))
    return Baseline(GridScan(ct, iph, ivh, iph | True), iph_ml=21.0, ivh_ml=2.5)


def test_a_sample_without_a_target_has_one_volume(bleed):
    """Raw and final volume are one where nothing is matched, whatever the decoder does."""
    reference, sample = decoded_bleed(25), decoded_bleed(35)
    _, labels, free = finish_sample(sample, reference, bleed, np.nan)
    assert free["iph_ml"] == free["iph_raw_ml"] == pytest.approx(31)
    assert free["logit_offset"] == 0 and np.count_nonzero(labels == 1) == 30
    _, labels, wanted = finish_sample(sample, reference, bleed, 12.0)
    assert wanted["iph_raw_ml"] == pytest.approx(31)
    assert wanted["iph_ml"] == pytest.approx(33)
    assert np.count_nonzero(labels == 1) == 32


@pytest.mark.parametrize("voxels", [12, 20, 27])
def test_what_the_decoder_gets_wrong_on_the_baseline_is_no_new_blood(voxels, bleed):
    """Else every sample would have it, and the map would be certain of what never happened."""
    wrong = decoded_bleed(voxels, ivh=(101, 102, 103))
    _, labels, unchanged = finish_sample(wrong, wrong, bleed, np.nan)
    assert np.array_equal(labels == 1, bleed.scan.iph)
    assert np.array_equal(labels == 2, bleed.scan.ivh)
    assert unchanged["iph_ml"] == bleed.iph_ml and unchanged["ivh_ml"] == bleed.ivh_ml


def test_a_logit_counts_from_the_side_that_the_baseline_is_on():
    logit, reference = np.array([3.0, -1.0, 3.0, -9.0]), np.array([2.0, 2.0, -2.0, -2.0])
    right = correct_logits(logit, reference, reference > 0)
    wrong = correct_logits(logit, reference, reference < 0)
    assert right.tolist() == [3, -1, 3, -9] and wrong.tolist() == [-1, -5, 7, -5]


def test_volumes_are_relative_to_the_baseline_seen_the_same_way():
    assert matched_ml(20.0, 120, 100, 0.05) == pytest.approx(21.0)
    assert matched_ml(2.0, 0, 100, 0.05) == 0
