"""Samplers on an exact score, noise that keeps its promises, volumes brought to their target."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hemexp import HemexpError
from hemexp.diffusion.condition import Condition
from hemexp.diffusion.network import Denoiser, DiffusionModel
from hemexp.diffusion.schedule import Schedule, alpha_sigma
from hemexp.expansion.distribution import LogisticLognormal
from hemexp.latents.scale import Scale
from hemexp.sampling.drive import draw_drives
from hemexp.sampling.noise import correlate_slices, sample_noise
from hemexp.sampling.run import slices_that_may_change
from hemexp.sampling.sample import draw_latents, stream_latents
from hemexp.sampling.samplers import ddim, dpm_solver, lambda_grid
from hemexp.sampling.volume import OUTSIDE, iph_margin, matched_ml, matching_offset

TESTS = Path(__file__).parent
MEAN = 0.7
RANGE = Schedule("cosine", -2.0, -6.5, 4.0)


def gaussian_denoiser(sd):
    """Exact expected clean value when the data are N(MEAN, sd^2)."""

    def denoise(noisy, lam):
        alpha, sigma = (float(v) for v in alpha_sigma(torch.tensor(lam, dtype=torch.float64)))
        gain = alpha * sd**2 / (alpha**2 * sd**2 + sigma**2)
        return MEAN + gain * (noisy - alpha * MEAN)

    return denoise


@pytest.mark.parametrize("sd", [0.1, 0.3, 0.6])
def test_dpm_solver_keeps_mean_and_spread_of_an_exact_gaussian(sd):
    """A sampler that loses spread makes every interval too narrow."""
    noise = torch.randn(20000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noise = (noise - noise.mean()) / noise.std()
    drawn = dpm_solver(gaussian_denoiser(sd), noise, lambda_grid(RANGE, "logsnr", 20))
    assert drawn.mean().item() == pytest.approx(MEAN, abs=0.01)
    assert 0.97 < drawn.std().item() / sd < 1.03


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
    one = sample_noise(1, "P1", 0, shape, 0, 5.0)
    assert torch.equal(one, sample_noise(1, "P1", 0, shape, 0, 5.0))
    for other in [(2, "P1", 0), (1, "P2", 0), (1, "P1", 1)]:
        assert not torch.equal(one, sample_noise(*other, shape, 0, 5.0))


@pytest.mark.parametrize("sd", [3.0, 30.0, 300.0])
def test_a_mode_of_growth_keeps_its_spread(sd):
    """Standardised, growth is sparse: a stack's norm, and its spread, reach hundreds of SDs.

    The published steps, uniform in time, lose nearly half of it and more.
    """
    noise = torch.randn(20000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    wide = Schedule("cosine", -2.0, -7.3, 4.0)
    drawn = dpm_solver(gaussian_denoiser(sd), noise, lambda_grid(wide, "logsnr", 14))
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
    return DiffusionModel(network, small, Schedule("cosine", -2, -6.5, 4), 1)


def draw(model, settings, count, patient="P1", seed=1, how=draw_latents, size=8, **update):
    update = {"evaluations": 4, "batch_slices": 15} | update
    drives = torch.arange(count, dtype=torch.float32)[:, None].expand(count, 3) / 10
    condition = Condition(torch.full((count, 7), 0.3), drives, torch.zeros(count, 5))
    baseline = torch.randn((5, 4, size, 12), generator=torch.Generator().manual_seed(5))
    scale = Scale([0.0] * 4, [1.0] * 4, [0.0] * 4, [1.0] * 4)
    free = torch.ones(5, dtype=torch.bool)
    free[0] = False
    chosen = settings.sampling.model_copy(update=update)
    drawn = how(model, scale, baseline, condition, chosen, seed, patient, 5.0, free)
    return baseline, drawn


def test_sample_k_is_the_same_for_any_k(model, settings):
    _, two = draw(model, settings, 2)
    _, seven = draw(model, settings, 7)
    assert torch.equal(two, seven[:2])
    assert torch.isfinite(seven).all()
    _, other_batch = draw(model, settings, 7, batch_slices=35)
    assert torch.allclose(seven, other_batch, atol=1e-4)
    _, other_patient = draw(model, settings, 2, patient="P2")
    assert not torch.allclose(two, other_patient)


def test_patients_do_not_depend_on_the_order_they_are_drawn_in(model, settings):
    first = {name: draw(model, settings, 3, patient=name)[1] for name in ("P1", "P2")}
    torch.randn(7)
    for name in ("P2", "P1"):
        assert torch.equal(draw(model, settings, 3, patient=name)[1], first[name])


def test_only_one_batch_is_held_and_drawn_at_a_time(model, settings, monkeypatch):
    """Memory does not grow with K: a sample can be finished before the next batch is begun."""
    calls = []
    forward = Denoiser.forward
    monkeypatch.setattr(
        Denoiser, "forward", lambda self, noisy, *rest: calls.append(len(noisy)) or forward(
            self, noisy, *rest))  # fmt: skip
    stream = draw(model, settings, 40, how=stream_latents)[1]
    assert calls == []
    first = next(stream)
    assert calls == [3] * 4
    assert torch.equal(first, draw(model, settings, 2)[1][0])
    assert sum(1 for _ in stream) == 39


DRAW_IN_THREADS = """
import sys, torch
torch.set_num_threads(int(sys.argv[1]))
from hemexp.config import load_settings
from test_sampling import draw, make_model
settings = load_settings({"preset": "demo"})
torch.save(draw(make_model(settings), settings, 3, size=32, evaluations=14)[1], sys.argv[2])
"""


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


def test_drives_are_forecasts_unless_asked_for_the_truth():
    two = draw_drives("growth", "predicted", DISTRIBUTION, 3.0, 9.0, 2, 1, "P1")
    many = draw_drives("growth", "predicted", DISTRIBUTION, 3.0, 9.0, 400, 1, "P1")
    assert (many.growth_ml[:2] == two.growth_ml).all()
    assert np.mean(many.growth_ml > 2) == pytest.approx(0.4, abs=0.08)
    assert (many.flag == ((many.growth_ml >= 6) | (many.growth_ml >= 0.99))).all()
    oracle = draw_drives("growth", "oracle", DISTRIBUTION, 3.0, 9.0, 2, 1, "P1")
    assert (oracle.growth_ml == 9).all()
    with pytest.raises(HemexpError, match="patient P1.*no follow-up"):
        draw_drives("growth", "oracle", DISTRIBUTION, 3.0, np.nan, 2, 1, "P1")
    assert np.isnan(
        draw_drives("growth", "free", DISTRIBUTION, 3.0, 9.0, 2, 1, "P1").growth_ml
    ).all()
    flags = draw_drives("flag", "predicted", DISTRIBUTION, 3.0, np.nan, 400, 1, "P1").flag
    assert np.mean(flags) == pytest.approx(0.4, abs=0.08)


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


def test_volumes_are_relative_to_the_baseline_seen_the_same_way():
    assert matched_ml(20.0, 120, 100, 0.05) == pytest.approx(21.0)
    assert matched_ml(2.0, 0, 100, 0.05) == 0
