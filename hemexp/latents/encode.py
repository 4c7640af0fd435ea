"""Encodes a patient's scans and copies of them, and says how well they can be decoded again."""

import logging
import math
import time
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file
from torch import Tensor

from hemexp.autoencoder.network import MultiHeadVae, load_autoencoder
from hemexp.autoencoder.slices import SliceSet, load_scan, move, scan_files
from hemexp.provenance import patient_file, write_atomically, write_sidecars
from hemexp.settings import Latents
from hemexp.training import generator_for, resolve_device

log = logging.getLogger(__name__)

MOVED_DEG, MOVED_SHIFT = 20.0, 0.05
"""Largest turn of a moved copy, and its largest shift as a share of the image's width."""


@torch.inference_mode()
def encode_images(
    vae: MultiHeadVae, images: Tensor, batch: int, generator: torch.Generator | None = None
) -> Tensor:
    """Posterior means (z, c, h, w) of slices (z, 3, x, y), `batch` slices at a time.

    With a generator, draws from the posterior instead; of a whole stack, so that `batch` plays no
    part in what is drawn.
    """
    device = next(vae.parameters()).device
    parts = [vae.encode(part.to(device)) for part in images.split(batch)]
    mean, sd = (torch.cat([part[i].cpu() for part in parts]) for i in range(2))
    if generator is None:
        return mean
    return mean + sd * torch.randn(mean.shape, generator=generator)


def encode_scan(
    vae: MultiHeadVae, scan: SliceSet, batch: int, generator: torch.Generator | None = None
) -> dict[str, Tensor]:
    """Latents of a scan: `as_is` and `flipped` left-right, each (z, c, h, w)."""
    images = scan.images()
    return {
        "as_is": encode_images(vae, images, batch, generator),
        "flipped": encode_images(vae, images.flip(2), batch, generator),
    }


def encode_moved(
    vae: MultiHeadVae,
    scan: SliceSet,
    settings: Latents,
    seed: int,
    patient_id: str,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Latents (copies, z, c, h, w) of moved copies; copy k of both scans is moved alike."""
    images = scan.images()
    copies = []
    for k in range(settings.moved):
        moved = move_scan(images, generator_for(seed, patient_id, "moved", k))
        copies.append(encode_images(vae, moved, settings.batch_slices, generator))
    return torch.stack(copies)


def move_scan(images: Tensor, generator: torch.Generator) -> Tensor:
    """Slices (z, 3, x, y) turned, shifted and perhaps mirrored in their plane, all of them alike.

    Nothing is scaled: volumes, and with them the condition, stay what they are.
    """
    draw = 2 * torch.rand(4, generator=generator) - 1
    angle, shift, mirror = draw[0] * math.radians(MOVED_DEG), draw[1:3] * MOVED_SHIFT, draw[3]
    z = len(images)
    return move(images, angle.expand(z), shift.expand(z, 2), mirror.sign().expand(z))


@torch.inference_mode()
def reconstruction_scores(vae: MultiHeadVae, scan: SliceSet, latents: Tensor, batch: int) -> dict:
    """Dice of both masks and PSNR of the CT in the brain, decoded against the grid scan.

    Args:
        vae: The autoencoder.
        scan: The grid scan that was encoded.
        latents: Its latents (z, c, h, w).
        batch: Slices decoded at a time.

    Returns:
        `iph_dice`, `ivh_dice` (None where the scan has no such blood) and `psnr_db` over brain
        voxels, for a window of 100 HU.
    """
    device = next(vae.parameters()).device
    parts = [vae.decode(part.to(device)) for part in latents.split(batch)]
    ct, iph, ivh = (torch.cat([part[i].cpu() for part in parts]) for i in range(3))
    truth = scan.images()
    brain = scan.ct_hu != 0
    error = ((ct.clamp(0, 1) - truth[:, 0])[brain] ** 2).mean().item()
    return {
        "iph_dice": _dice(iph > 0, truth[:, 1] > 0),
        "ivh_dice": _dice(ivh > 0, truth[:, 2] > 0),
        "psnr_db": float(-10 * np.log10(error)),
    }


def _dice(found: Tensor, truth: Tensor) -> float | None:
    if not truth.any():
        return None
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


def bleed_offset_mm(iph: Tensor, spacing_mm: float) -> Tensor:
    """Signed distance of every slice to the slice of the bleed's centroid, (z,) in mm."""
    area = iph.flatten(1).sum(dim=1).double()
    position = torch.arange(len(area), dtype=torch.float64)
    return ((position - (position * area).sum() / area.sum()) * spacing_mm).float()


def run_encode_patients(
    patients: dict[str, list[str]],
    preprocess: Path,
    autoencoder: Path,
    out: Path,
    settings: Latents,
    seed: int,
    device: str,
    training: Collection[str] = (),
) -> None:
    """Verb `encode-patients`: one `sub-ID_latents.safetensors` and `_reconstruction.tsv` each.

    Args:
        patients: Sessions to encode, by patient_id.
        preprocess: Folder of the grid scans.
        autoencoder: Folder of the trained autoencoder.
        out: Folder for the latents. The file holds `baseline`, `followup` (where there is one),
            each also as `..._flipped`, all (z, c, h, w), and `bleed_offset_mm` (z,); of training
            patients also `..._moved` (copies, z, c, h, w), both scans moved alike.
        settings: The room's settings.
        seed: Run seed; what is drawn of a scan depends on it, the patient and the session alone.
        device: `auto`, `cpu` or `cuda`.
        training: Patients whose moved copies are encoded too.
    """
    where = resolve_device(device)
    vae = load_autoencoder(autoencoder, where)
    for patient_id, sessions in patients.items():
        started = time.perf_counter()
        tensors, scores = {}, []
        for session in sessions:
            scan = load_scan(preprocess, patient_id, session)
            drawn = settings.posterior == "sample"
            generator = generator_for(seed, patient_id, session, "posterior") if drawn else None
            latents = encode_scan(vae, scan, settings.batch_slices, generator)
            tensors[session] = latents["as_is"]
            tensors[f"{session}_flipped"] = latents["flipped"]
            if settings.moved and patient_id in training:
                tensors[f"{session}_moved"] = encode_moved(
                    vae, scan, settings, seed, patient_id, generator
                )
            scores.append(
                {"patient_id": patient_id, "session": session}
                | reconstruction_scores(vae, scan, latents["as_is"], settings.batch_slices)
            )
            if session == "baseline":
                tensors["bleed_offset_mm"] = bleed_offset_mm(scan.iph, scan.slice_spacing_mm)
        latents_file = patient_file(out, patient_id, "latents.safetensors")
        scores_file = patient_file(out, patient_id, "reconstruction.tsv")
        with write_atomically(latents_file) as temporary:
            save_file({name: value.contiguous() for name, value in tensors.items()}, temporary)
        with write_atomically(scores_file) as temporary:
            pd.DataFrame(scores).to_csv(temporary, sep="\t", index=False, float_format="%.4f")
        write_sidecars(
            [latents_file, scores_file], verb="encode-patients", settings=settings.as_json(),
            inputs=[autoencoder / "model.safetensors",
                    *(path for session in sessions
                      for path in scan_files(preprocess, patient_id, session))],
            started=started, seed=seed,
            device=str(where),
        )  # fmt: skip
        log.info("%s: %s", patient_id, scores)
