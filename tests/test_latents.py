"""Latents: means, not draws; the mirror image; a scale from the pairs it was given."""

import pytest
import torch

from hemexp.autoencoder.network import MultiHeadVae
from hemexp.autoencoder.slices import SliceSet
from hemexp.latents.encode import (
    encode_copies,
    encode_images,
    encode_patient,
    move_scan,
    reconstruction_scores,
    scan_copies,
)
from hemexp.latents.place import centroid_mm, describe_place
from hemexp.latents.scale import measure_scale

SPACING_MM = (5.0, 2.0, 3.0)


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
    return SliceSet(ct, iph, torch.zeros_like(iph), SPACING_MM)


def encode(vae, scan, moved=0, batch=4):
    """Latents and centroids of a scan's copies."""
    copies = scan_copies(scan.images(), moved, 1, "A")
    return encode_copies(vae, copies, SPACING_MM, batch)


def test_latents_are_means_for_any_batch_and_flips_are_of_the_scan(vae, scan):
    (as_is, flipped), _ = encode(vae, scan)
    assert as_is.shape == (6, vae.linear_out.weight.shape[1], 6, 8)
    assert torch.allclose(as_is, encode(vae, scan, batch=1)[0][0], atol=1e-5)
    mirrored = SliceSet(scan.ct_hu.flip(1), scan.iph.flip(1), scan.ivh.flip(1), SPACING_MM)
    assert torch.equal(encode(vae, mirrored)[0][0], flipped)
    assert not torch.allclose(flipped, as_is)


def test_moved_copies_move_a_pair_alike_and_keep_volumes(vae, scan, settings):
    copies, _ = encode(vae, scan, moved=3)
    assert copies.shape == (5, 6, settings.autoencoder.latent_channels, 6, 8)
    more, _ = encode(vae, scan, moved=4)
    assert torch.equal(more[:5], copies)
    assert not torch.allclose(copies[2], copies[3], atol=1e-3)
    later = SliceSet(scan.ct_hu, scan.ivh, scan.iph, SPACING_MM).images()
    drawn = [
        move_scan(images, torch.Generator().manual_seed(k))
        for k in range(8)
        for images in (scan.images(), later)
    ]
    for one, other in zip(drawn[::2], drawn[1::2], strict=True):
        assert torch.equal(one[:, 1], other[:, 2])
        assert one[:, 1].sum() == pytest.approx(80, rel=0.1)
    assert not torch.equal(drawn[0], drawn[2])


def test_a_reference_is_cached_and_moved_as_its_pair_is(vae, scan, settings):
    pair = {"baseline": scan, "followup": scan}
    latents = settings.latents.model_copy(update={"batch_slices": 4})
    plain = encode_patient(vae, pair, latents, 2, 1, "A")
    assert "reference" not in plain
    with_one = encode_patient(vae, pair, latents, 2, 1, "A", scan.images())
    assert torch.equal(with_one["reference"], with_one["baseline"])
    other = encode_patient(vae, pair, latents, 2, 1, "A", 0.5 * scan.images())
    assert not torch.allclose(other["reference"], other["baseline"], atol=1e-2)
    assert other.keys() == with_one.keys() == {*plain, "reference"}
    for name, part in plain.items():
        assert torch.equal(part, other[name]), name


def test_reconstruction_scores_leave_absent_blood_undefined(vae, scan):
    latents = encode_images(vae, scan.images(), 4)
    scores = reconstruction_scores(vae, scan, latents, batch=4)
    assert scores["ivh_dice"] is None and 0 <= scores["iph_dice"] <= 1
    assert 0 < scores["psnr_db"] < 40


def test_latents_know_how_far_they_are_from_the_bleed(scan):
    """The bleed's rows 4-7 and columns 10-19 lie round 12 and 45 mm, latents cover 8 x 12 mm."""
    images = scan.images()
    centroids = torch.stack([centroid_mm(images[:, 1], SPACING_MM)] * 2)
    assert centroids[0].tolist() == pytest.approx([20, 12, 45])
    place = describe_place(scan, torch.Size((2, 6, 4, 6, 8)), centroids)
    assert place["offset_z_mm"][1].tolist() == [-17.5, -12.5, -7.5, -2.5, 2.5, 7.5]
    assert place["offset_x_mm"][0].tolist() == pytest.approx([-8, 0, 8, 16, 24, 32])
    assert place["offset_y_mm"][0].tolist() == pytest.approx([12 * k - 39 for k in range(8)])
    assert place["position_mm"].tolist() == pytest.approx([20 - 15, 12 - 24, 45 - 48], abs=1e-4)
    assert "drift_mm" not in place


def test_a_drift_is_mirrored_and_turned_with_its_copy(vae, scan):
    """A bleed that grows along x and z only: mirrored copies drift the other way along x."""
    grown = scan.iph.clone()
    grown[5, 8:12, 10:20] = 1
    followup = SliceSet(scan.ct_hu, grown, scan.ivh, SPACING_MM)
    (latents, before), (_, after) = (encode(vae, one, moved=6) for one in (scan, followup))
    drift = describe_place(scan, latents.shape, before, after)["drift_mm"]
    assert drift[0].tolist() == pytest.approx([2.5, 8 / 3, 0], abs=1e-4)
    assert drift[1].tolist() == pytest.approx([2.5, -8 / 3, 0], abs=1e-4)
    assert torch.allclose(drift[2:, 0], drift[0, 0].expand(6), atol=0.3)
    assert (drift[2:, 2].abs() > 0.1).any()


def test_a_copy_whose_bleed_left_the_image_has_no_drift_but_a_place(scan):
    seen = centroid_mm(scan.iph, SPACING_MM)
    gone = torch.full((3,), torch.nan)
    place = describe_place(
        scan, torch.Size((2, 6, 4, 6, 8)), torch.stack([seen, gone]), torch.stack([seen + 1, seen])
    )
    assert place["drift_mm"][0].tolist() == [1, 1, 1] and place["drift_mm"][1].isnan().all()
    assert torch.equal(place["offset_x_mm"][0], place["offset_x_mm"][1])


def test_scale_gives_differences_unit_sd_per_channel():
    generator = torch.Generator().manual_seed(0)
    spread = torch.tensor([0.1, 1.0, 3.0])[:, None, None]
    pairs = []
    for _ in range(5):
        baseline = torch.randn(4, 3, 6, 8, generator=generator)
        pairs.append(
            (baseline, baseline + 0.5 + spread * torch.randn(4, 3, 6, 8, generator=generator))
        )
    scale = measure_scale(iter(pairs))
    scans = (
        torch.cat([scan for pair in pairs for scan in pair]).double().transpose(0, 1).flatten(1)
    )
    assert scale.latent_mean == pytest.approx(scans.mean(dim=1).tolist(), rel=1e-12)
    assert scale.latent_sd == pytest.approx(scans.std(dim=1).tolist(), rel=1e-12)
    deltas = torch.cat([scale.normalise_delta(after - before) for before, after in pairs])
    assert torch.allclose(deltas.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-4)
    assert torch.allclose(deltas.std(dim=(0, 2, 3)), torch.ones(3), atol=1e-4)
    before, after = pairs[0]
    restored = scale.restore_delta(scale.normalise_delta(after - before))
    assert torch.allclose(restored, after - before, atol=1e-5)
    shown = scale.scale_reference(before, after)  # without the mean: no change is 0
    expected = (after - before) / torch.tensor(scale.delta_sd)[:, None, None]
    assert torch.allclose(shown, expected) and not scale.scale_reference(before, before).any()
