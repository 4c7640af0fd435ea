"""Encodes a patient's scans and copies of them, and says how well they can be decoded again."""

import logging
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file
from torch import Tensor

from hemexp.autoencoder.network import MultiHeadVae, load_autoencoder
from hemexp.autoencoder.slices import SliceSet, move
from hemexp.latents.place import centroid_mm, describe_place
from hemexp.latents.push import load_push
from hemexp.latents.read import PatientImages, read_patient
from hemexp.layout import Layout
from hemexp.prefetch import AHEAD, make_ahead
from hemexp.provenance import write_atomically, write_sidecars
from hemexp.settings import Latents
from hemexp.training import autocast_for, generator_for, resolve_device

log = logging.getLogger(__name__)

Precision = Literal["fp32", "bf16"]

MOVED_DEG, MOVED_SHIFT = 20.0, 0.05
"""Largest turn of a moved copy, and its largest shift as a share of the image's width."""


@torch.inference_mode()
def encode_images(
    vae: MultiHeadVae,
    images: Tensor,
    batch: int,
    generator: torch.Generator | None = None,
    precision: Precision = "fp32",
) -> Tensor:
    """Posterior means (z, c, h, w) of slices (z, 3, x, y), `batch` slices at a time, in fp32.

    With a generator, draws from the posterior instead; of a whole stack, so that `batch` plays no
    part in what is drawn.
    """
    device = next(vae.parameters()).device
    with autocast_for(precision, device):
        parts = [vae.encode(part.to(device)) for part in images.split(batch)]
    mean, sd = (torch.cat([part[i].float() for part in parts]).cpu() for i in range(2))
    if generator is None:
        return mean
    return mean + sd * torch.randn(mean.shape, generator=generator)


def scan_copies(images: Tensor, moved: int, seed: int, patient_id: str) -> Iterator[Tensor]:
    """A scan's images (z, 3, x, y) as scanned, mirrored left-right, and moved copies.

    Copy k of a patient's scans is moved alike.
    """
    yield images
    yield images.flip(2)
    for k in range(moved):
        yield move_scan(images, generator_for(seed, patient_id, "moved", k))


def encode_copies(
    vae: MultiHeadVae,
    copies: Iterable[Tensor],
    spacing_mm: Sequence[float],
    batch: int,
    generator: torch.Generator | None = None,
    precision: Precision = "fp32",
) -> tuple[Tensor, Tensor]:
    """Latents (copies, z, c, h, w) of copies of a scan, and their IPH centroids (copies, 3)."""
    latents, centroids = [], []
    for images in copies:
        latents.append(encode_images(vae, images, batch, generator, precision))
        centroids.append(centroid_mm(images[:, 1].cpu(), spacing_mm))
    return torch.stack(latents), torch.stack(centroids)


def encode_patient(
    vae: MultiHeadVae,
    scans: Mapping[str, SliceSet],
    settings: Latents,
    moved: int,
    seed: int,
    patient_id: str,
    reference: Tensor | None = None,
) -> dict[str, Tensor]:
    """What is cached of a patient.

    Args:
        vae: The autoencoder.
        scans: By session, on one grid: `baseline` and, where there is one, `followup`.
        settings: The room's settings.
        moved: Moved copies to encode.
        seed: Run seed.
        patient_id: The patient.
        reference: Images (z, 3, x, y) of what the follow-up is drawn relative to, if that is
            not the baseline.

    Returns:
        By session the latents (copies, z, c, h, w), those of the `reference` where it is given,
        and what `describe_place` gives.
    """
    device = next(vae.parameters()).device  # where copies are moved, too
    baseline, batch, precision = scans["baseline"], settings.batch_slices, settings.precision
    tensors, centroids = {}, {}

    def encode(name: str, images: Tensor, generator: torch.Generator | None) -> None:
        copies = scan_copies(images.to(device), moved, seed, patient_id)
        tensors[name], centroids[name] = encode_copies(
            vae, copies, baseline.spacing_mm, batch, generator, precision
        )

    for session, scan in scans.items():
        drawn = settings.posterior == "sample"
        generator = generator_for(seed, patient_id, session, "posterior") if drawn else None
        encode(session, scan.images(), generator)
    if reference is not None:
        encode("reference", reference, None)
    whole, grew = tensors["baseline"].shape, centroids.get("followup")
    return tensors | describe_place(baseline, whole, centroids["baseline"], grew)


def move_scan(images: Tensor, generator: torch.Generator) -> Tensor:
    """Slices (z, 3, x, y) turned, shifted and perhaps mirrored in their plane, all of them alike.

    Nothing is scaled: volumes, and with them the condition, stay what they are.
    """
    draw = 2 * torch.rand(4, generator=generator) - 1
    angle, shift, mirror = draw[0] * math.radians(MOVED_DEG), draw[1:3] * MOVED_SHIFT, draw[3]
    z = len(images)
    each = (angle.expand(z), shift.expand(z, 2), mirror.sign().expand(z))
    return move(images, *(part.to(images.device) for part in each))


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


def run_encode_patients(
    layout: Layout,
    sheet: pd.DataFrame,
    settings: Latents,
    seed: int,
    device: str,
    models: Layout | None = None,
    *,
    references: bool = False,
) -> None:
    """Verb `encode-patients`: one `sub-ID_latents.safetensors` and `_reconstruction.tsv` each.

    Both scans are encoded, of patients to predict the only one; moved copies and references of
    training patients alone. A file of latents holds what `encode_patient` gives.

    Args:
        layout: Of the run.
        sheet: Rows of the patients.
        settings: The room's settings.
        seed: Run seed; what is drawn of a scan depends on it, the patient and the session alone.
        device: `auto`, `cpu` or `cuda`.
        models: Where the autoencoder lies, if not in `layout`.
        references: Whether to encode the references of training patients.
    """
    where = resolve_device(device)
    weights = (models or layout).network("autoencoder").weights
    vae = load_autoencoder(models or layout, where)
    kind = settings.reference if references and not settings.reference.is_baseline else None
    push = load_push(layout.push) if kind and kind.warp else None

    def read(patient_id: str) -> PatientImages:
        return read_patient(layout, sheet.loc[[patient_id]], kind, push)

    # On a GPU the next patients are read while one is encoded.
    ready = make_ahead(read, sheet.index, AHEAD[where.type])
    for (patient_id, split), images in zip(sheet["split"].items(), ready, strict=True):
        started = time.perf_counter()
        moved = settings.moved if split == "train" else 0
        tensors = encode_patient(
            vae, images.scans, settings, moved, seed, patient_id, images.reference
        )
        scores = pd.DataFrame(
            {"patient_id": patient_id, "session": session}
            | reconstruction_scores(vae, scan, tensors[session][0], settings.batch_slices)
            for session, scan in images.scans.items()
        )
        write_sidecars(
            _write_encoded(layout, patient_id, tensors, scores),
            verb="encode-patients",
            settings=settings.as_json(),
            inputs=[weights, *images.files],
            started=started,
            seed=seed,
            device=str(where),
        )
        log.info("%s: %s", patient_id, scores.to_dict("records"))


def _write_encoded(
    layout: Layout, patient_id: str, tensors: Mapping[str, Tensor], scores: pd.DataFrame
) -> list[Path]:
    """Writes one patient's latents and how well they can be decoded again."""
    products = [layout.latents(patient_id), layout.reconstruction(patient_id)]
    with write_atomically(products[0]) as temporary:
        save_file({name: value.contiguous() for name, value in tensors.items()}, temporary)
    with write_atomically(products[1]) as temporary:
        scores.to_csv(temporary, sep="\t", index=False, float_format="%.4f")
    return products
