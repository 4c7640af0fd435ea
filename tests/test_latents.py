"""Latents: means, not draws; the mirror image; a scale from the pairs it was given."""

import pytest
import torch

from hemexp.autoencoder.network import MultiHeadVae
from hemexp.autoencoder.slices import SliceSet
from hemexp.latents.encode import (
    bleed_offset_mm,
    encode_moved,
    encode_scan,
    move_scan,
    reconstruction_scores,
)
from hemexp.latents.scale import measure_scale


@pytest.fixture(scope="module")
def vae(settings):
    """An untrained small VAE."""
    torch.manual_seed(0)
    return MultiHeadVae(settings.autoencoder.model_copy(update={"channels": [8, 16]})).eval()


@pytest.fixture(scope="module")
def scan():
    """Six 24 x 32 slices."""
    generator = torch.Generator().manual_seed(0)
    ct = torch.randint(10, 90, (6, 24, 32), generator=generator).short()
    iph = torch.zeros(6, 24, 32, dtype=torch.uint8)
    iph[3, 4:8, 10:20] = 1
    iph[4, 4:8, 10:20] = 1
    return SliceSet(ct, iph, torch.zeros_like(iph), 5.0)


def test_latents_are_means_for_any_batch_and_flips_are_of_the_scan(vae, scan):
    latents = encode_scan(vae, scan, batch=4)
    assert latents["as_is"].shape == (6, vae.linear_out.weight.shape[1], 6, 8)
    again = encode_scan(vae, scan, batch=1)
    assert torch.allclose(latents["as_is"], again["as_is"], atol=1e-5)
    mirrored = SliceSet(scan.ct_hu.flip(1), scan.iph.flip(1), scan.ivh.flip(1), 5.0)
    other = encode_scan(vae, mirrored, batch=4)
    assert torch.equal(other["as_is"], latents["flipped"])
    assert not torch.allclose(latents["flipped"], latents["as_is"])


def test_moved_copies_move_a_pair_alike_and_keep_volumes(vae, scan, settings):
    three = settings.latents.model_copy(update={"moved": 3})
    copies = encode_moved(vae, scan, three, 1, "A")
    assert copies.shape == (3, 6, settings.autoencoder.latent_channels, 6, 8)
    more = encode_moved(vae, scan, three.model_copy(update={"moved": 4}), 1, "A")
    assert torch.equal(more[:3], copies)
    assert not torch.allclose(copies[0], copies[1], atol=1e-3)
    later = SliceSet(scan.ct_hu, scan.ivh, scan.iph, 5.0).images()
    drawn = [move_scan(images, torch.Generator().manual_seed(k))
             for k in range(8) for images in (scan.images(), later)]  # fmt: skip
    for one, other in zip(drawn[::2], drawn[1::2], strict=True):
        assert torch.equal(one[:, 1], other[:, 2])
        assert one[:, 1].sum() == pytest.approx(80, rel=0.1)
    assert not torch.equal(drawn[0], drawn[2])


def test_reconstruction_scores_leave_absent_blood_undefined(vae, scan):
    latents = encode_scan(vae, scan, batch=4)["as_is"]
    scores = reconstruction_scores(vae, scan, latents, batch=4)
    assert scores["ivh_dice"] is None and 0 <= scores["iph_dice"] <= 1
    assert 0 < scores["psnr_db"] < 40


def test_slices_know_how_far_the_bleed_is(scan):
    assert bleed_offset_mm(scan.iph, 5.0).tolist() == [-17.5, -12.5, -7.5, -2.5, 2.5, 7.5]


def test_scale_gives_differences_unit_sd_per_channel():
    generator = torch.Generator().manual_seed(0)
    spread = torch.tensor([0.1, 1.0, 3.0])[:, None, None]
    pairs = []
    for _ in range(5):
        baseline = torch.randn(4, 3, 6, 8, generator=generator)
        pairs.append(
            (baseline, baseline + 0.5 + spread * torch.randn(4, 3, 6, 8, generator=generator))
        )
    scale = measure_scale(pairs)
    deltas = torch.cat([scale.normalise_delta(after - before) for before, after in pairs])
    assert torch.allclose(deltas.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-4)
    assert torch.allclose(deltas.std(dim=(0, 2, 3)), torch.ones(3), atol=1e-4)
    before, after = pairs[0]
    restored = scale.restore_delta(scale.normalise_delta(after - before))
    assert torch.allclose(restored, after - before, atol=1e-5)
