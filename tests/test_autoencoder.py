"""The VAE: shapes, honest gradients, a loop that learns and keeps its terms apart."""

import numpy as np
import pytest
import torch
from monai.networks.blocks import SABlock

from hemexp import HemexpError
from hemexp.autoencoder.gradients import Networks, accumulate_gradients
from hemexp.autoencoder.losses import kl_divergence, make_perceptual, mask_loss, term_weights
from hemexp.autoencoder.network import MultiHeadVae, model_input
from hemexp.autoencoder.slices import SliceSet, augment, draw_indices, slices_of, store_slices
from hemexp.autoencoder.train import train
from hemexp.config import load_settings
from hemexp.grid_scan import read_grid_scan
from hemexp.layout import Layout
from hemexp.training import Checkpoint
from hemexp.volumes import write_volume


@pytest.fixture(scope="module")
def tiny(settings):
    """A VAE small enough to train in seconds."""
    return settings.autoencoder.model_copy(
        update={
            "channels": [8, 16],
            "feature_channels": 4,
            "steps": 6,
            "batch_slices": 4,
            "checkpoint_every": 2,
            "adversarial_weight": 0.01,
            "adversarial_start": 3,
        }
    )


@pytest.fixture(scope="module")
def slices():
    """Twelve 24 x 32 slices of a bright disc, half of them with blood."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.meshgrid(torch.arange(24), torch.arange(32), indexing="ij")
    brain = ((x - 12) ** 2 + (y - 16) ** 2) < 100
    ct = brain * torch.randint(25, 40, (12, 24, 32), generator=generator)
    iph = torch.zeros(12, 24, 32)
    iph[:6, 8:14, 10:18] = 1
    ivh = torch.zeros(12, 24, 32)
    ivh[:2, 15:18, 14:18] = 1
    ct = torch.where(iph + ivh > 0, 65, ct)
    return SliceSet(ct.short(), iph.byte(), ivh.byte(), (5.0, 3.0, 3.0))


def test_shapes_and_input_window(tiny):
    images = model_input(
        torch.tensor([[[-1000.0, 0, 50, 300]]]), torch.zeros(1, 1, 4), torch.ones(1, 1, 4)
    )
    assert images[0, 0].tolist() == [[0, 0, 0.5, 1]]
    vae = MultiHeadVae(tiny)
    mean, sd = vae.encode(torch.rand(2, 3, 24, 32))
    assert mean.shape == sd.shape == (2, tiny.latent_channels, 6, 8)
    decoded = vae.decode(mean)
    assert {part.shape for part in decoded} == {(2, 24, 32)}


def test_a_linear_path_carries_what_a_linear_map_can_hold(tiny):
    """Alone, with the network silent, it gives any image of constant blocks back."""
    vae = MultiHeadVae(tiny.model_copy(update={"linear_path": True}))
    for name, parameter in vae.named_parameters():
        if not name.startswith("linear"):
            torch.nn.init.zeros_(parameter)
    voxels = vae.linear_in.weight.shape[1] // 3
    with torch.no_grad():
        vae.linear_in.weight.zero_()
        vae.linear_out.weight.zero_()
        vae.linear_out.bias.zero_()
        for head in range(3):
            vae.linear_in.weight[head, head * voxels : (head + 1) * voxels] = 1 / voxels
            vae.linear_out.weight[head * voxels : (head + 1) * voxels, head] = 1
    blocks = torch.rand(2, 3, 6, 8).repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    decoded = vae.decode(vae.encode(blocks)[0])
    assert torch.allclose(torch.stack(decoded, dim=1), blocks, atol=1e-5)
    assert sum(name.startswith("linear") for name, _ in vae.named_parameters()) == 3
    plain = MultiHeadVae(tiny.model_copy(update={"linear_path": False}))
    assert not any(name.startswith("linear") for name, _ in plain.named_parameters())


@pytest.mark.parametrize(("preset", "millions"), [("paper", 12.45), ("full", 7.08)])
def test_the_published_network_has_its_published_size(preset, millions):
    """12.45 M is the original's own count (method.md 3); the linear path is counted apart."""
    with torch.device("meta"):
        vae = MultiHeadVae(load_settings({"preset": preset}).autoencoder)
    sizes = {name: p.numel() for name, p in vae.named_parameters() if "linear_" not in name}
    assert sum(sizes.values()) / 1e6 == pytest.approx(millions, abs=0.005)


def test_nonlocal_attention_joins_far_latents_and_needs_no_matrix(tiny):
    """The same answer as by the matrix of all pairs; without it no convolution reaches so far."""

    def touched(attention, flash=True):
        torch.manual_seed(0)
        vae = MultiHeadVae(tiny.model_copy(update={"nonlocal_attention": attention})).eval()
        for module in vae.modules():
            if isinstance(module, torch.nn.GroupNorm):  # its mean over the image joins all too
                module.forward = lambda features: features
            if isinstance(module, SABlock):
                assert module.use_flash_attention
                module.use_flash_attention = flash
        images = torch.zeros(1, 3, 24, 320)
        images[:, :, 4:8, 4:8] = 1
        with torch.no_grad():
            return vae.encode(images)[0] - vae.encode(0 * images)[0]

    alone, joined = touched(False), touched(True)
    assert alone[..., :8].any() and not alone[..., 60:].any()
    assert joined[..., 60:].abs().min() > 0
    assert torch.allclose(joined, touched(True, flash=False), atol=1e-5)


def test_kl_of_standard_normal_is_zero_and_of_shifted_is_known():
    zero, one = torch.zeros(3, 4), torch.ones(3, 4)
    assert kl_divergence(zero, one).item() == pytest.approx(0)
    assert kl_divergence(2 * one, one).item() == pytest.approx(2.0)  # mean^2 / 2


def test_mask_loss_falls_to_zero_for_a_sure_and_right_mask():
    mask = torch.zeros(2, 8, 8)
    mask[0, 2:5, 2:5] = 1
    assert mask_loss(40 * (mask - 0.5), mask) < 1e-3
    assert mask_loss(-40 * (mask - 0.5), mask) > 1


def test_accumulated_gradients_equal_one_big_batch(tiny, slices):
    """The published code wiped 15 of 16 micro-batches; a mean loss makes the two ways equal."""
    torch.manual_seed(0)
    vae = MultiHeadVae(tiny)
    networks = Networks(vae, critic=torch.nn.Identity())
    images = slices.images()[4:8]
    noise = torch.randn(4, tiny.latent_channels, 6, 8)
    weights = term_weights(tiny, 0)

    def gradients(batches):
        vae.zero_grad()
        accumulate_gradients(networks, weights, batches, len(batches))
        return torch.cat([p.grad.flatten() for p in vae.parameters() if p.grad is not None])

    whole = gradients([(images, noise)])
    parts = gradients([(images[i : i + 1], noise[i : i + 1]) for i in range(4)])
    assert whole.abs().max() > 1e-3
    assert torch.allclose(whole, parts, atol=1e-6)


def test_batches_hold_blood_and_augmented_masks_stay_binary(slices):
    generator = torch.Generator().manual_seed(3)
    index = draw_indices(slices, 8, 0.5, generator)
    assert len(index) == 8 and (index[:2] < 2).all() and (index[2:4] < 6).all()
    images = augment(slices.images(index), 1.0, generator)
    assert set(images[:, 1:].unique().tolist()) <= {0.0, 1.0}
    before, after = slices.images(index)[:, 1].sum(), images[:, 1].sum()
    assert 0.7 < after / before < 1.3


def test_slices_kept_in_a_file_are_those_of_the_scans(tmp_path):
    layout, rng = Layout(tmp_path), np.random.default_rng(0)
    scans = [("A", "baseline"), ("A", "followup"), ("B", "baseline")]
    for number, scan in enumerate(scans):
        ct = rng.integers(-50, 150, (6, 8, 4))
        ct[..., 0] = 0
        iph, ivh = rng.random((2, *ct.shape)) < 0.05 * number
        arrays = ct, iph, ivh & ~iph, ct != 0
        for path, data in zip(layout.grid(*scan).images, arrays, strict=True):
            write_volume(path, data, np.diag([3.0, 4, 5, 1]), np.int16)
    stored = store_slices(layout, scans, tmp_path / "new")
    sets = [slices_of(read_grid_scan(layout, *scan)) for scan in scans]
    parts = (torch.cat([getattr(one, name) for one in sets]) for name in ("ct_hu", "iph", "ivh"))
    held = SliceSet(*parts, sets[0].spacing_mm)
    assert len(stored) == len(held) == 12 and not list((tmp_path / "new").iterdir())
    for name in ("with_iph", "with_ivh", "with_brain"):
        assert 0 < len(getattr(stored, name)) < 12
        assert torch.equal(getattr(stored, name), getattr(held, name))
    index = torch.tensor([11, 0, 3, 3, 7])
    assert torch.equal(stored.images(index), held.images(index))


def test_augmentation_flips_left_right_only(slices):
    """Array axis x (dimension 2) is left-right: an object at low y must stay at low y."""
    images = torch.zeros(64, 3, 24, 32)
    images[:, 1, 2:6, 4:8] = 1
    moved = augment(images, 0.0, torch.Generator().manual_seed(0))[:, 1]
    assert (moved[:, :, 4:8].sum(dim=(1, 2)) == 16).all()
    left = moved[:, 2:6, 4:8].sum(dim=(1, 2)) == 16
    right = moved[:, 18:22, 4:8].sum(dim=(1, 2)) == 16
    assert (left ^ right).all() and 16 < left.sum() < 48


@pytest.mark.slow
def test_generator_learns_in_the_adversarial_phase(tiny, slices, tmp_path):
    """In the published code the generator was all but frozen once the GAN started."""
    checkpoints = [Checkpoint(tmp_path / name, {}) for name in ("c", "d")]
    before, _ = train(slices, tiny.model_copy(update={"steps": 3}), 1, checkpoints[0])
    constant = tiny.model_copy(update={"adversarial_start": 0})
    weights = term_weights(constant, 0)
    assert "adversarial" in weights and "adversarial" not in term_weights(tiny, 2)
    after, _ = train(slices, tiny, 1, checkpoints[1])
    moved = [
        not torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True)
    ]
    assert all(moved)


@pytest.mark.slow
def test_training_lowers_the_loss(tiny, slices, tmp_path):
    settings = tiny.model_copy(
        update={"steps": 40, "adversarial_weight": 0, "checkpoint_every": 40}
    )
    _, history = train(slices, settings, 1, Checkpoint(tmp_path / "e", {}))
    assert history[-1]["ct"] < 0.5 * history[0]["ct"]
    assert history[-1]["iph"] < history[0]["iph"]
    assert set(history[0]) == {"step", "ct", "iph", "ivh", "kl"}


def test_perceptual_loss_without_local_weights_is_refused(tiny):
    assert make_perceptual(tiny) is None
    with pytest.raises(HemexpError, match="perceptual_weights.*nothing is fetched"):
        make_perceptual(tiny.model_copy(update={"perceptual_weight": 0.001}))
