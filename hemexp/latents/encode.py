"""Encodes a patient's scans and copies of them, and says how well they can be decoded again."""

import logging
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file
from torch import Tensor

from hemexp.anatomy.push_fit import PushModel
from hemexp.anatomy.reference import ReferenceScan, Told, make_reference, prepare
from hemexp.autoencoder.network import MultiHeadVae, load_autoencoder, model_input
from hemexp.autoencoder.slices import SliceSet, move, slices_of
from hemexp.columns import SESSIONS
from hemexp.grid_scan import GridScan, read_grid_scan
from hemexp.latents.place import centroid_mm, describe_place
from hemexp.latents.push import load_push
from hemexp.layout import Layout
from hemexp.outcomes import read_volumes
from hemexp.provenance import write_atomically, write_sidecars
from hemexp.settings import Latents, Reference
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
) -> tuple[Tensor, Tensor]:
    """Latents (copies, z, c, h, w) of copies of a scan, and their IPH centroids (copies, 3)."""
    latents, centroids = [], []
    for images in copies:
        latents.append(encode_images(vae, images, batch, generator))
        centroids.append(centroid_mm(images[:, 1], spacing_mm))
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
        scans: By session: `baseline` and, where there is one, `followup`.
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
    tensors, centroids = {}, {}
    for session, scan in scans.items():
        drawn = settings.posterior == "sample"
        generator = generator_for(seed, patient_id, session, "posterior") if drawn else None
        tensors[session], centroids[session] = encode_copies(
            vae,
            scan_copies(scan.images(), moved, seed, patient_id),
            scan.spacing_mm,
            settings.batch_slices,
            generator,
        )
    if reference is not None:
        copies = scan_copies(reference, moved, seed, patient_id)
        spacing_mm = scans["baseline"].spacing_mm
        tensors["reference"], _ = encode_copies(vae, copies, spacing_mm, settings.batch_slices)
    place = describe_place(
        scans["baseline"],
        tensors["baseline"].shape,
        centroids["baseline"],
        centroids.get("followup"),
    )
    return tensors | place


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


def reference_images(reference: ReferenceScan) -> Tensor:
    """Network input (z, 3, x, y) of a reference."""
    parts = (np.moveaxis(part, 2, 0) for part in reference[:3])
    return model_input(*(torch.from_numpy(np.ascontiguousarray(part)) for part in parts))


def true_reference(
    scans: Mapping[str, GridScan], volumes: pd.Series, kind: Reference, push: PushModel | None
) -> ReferenceScan:
    """The reference of a training pair, told what truly happened.

    Args:
        scans: Both by session, on the grid.
        volumes: Native volumes, such as `baseline_iph_ml`.
        kind: Which parts the reference has.
        push: How growth pushes tissue; None where nothing is warped.
    """
    growth_ml, ivh_growth_ml = (
        float(volumes[f"followup_{blood}_ml"] - volumes[f"baseline_{blood}_ml"])
        for blood in ("iph", "ivh")
    )
    push_ml = push.push_ml(growth_ml, float(volumes["baseline_iph_ml"])) if push else 0.0
    zxy_mm = scans["baseline"].ct.spacing_mm[[2, 0, 1]]
    before, after = (
        centroid_mm(torch.from_numpy(np.moveaxis(scans[s].iph, 2, 0)), zxy_mm) for s in SESSIONS
    )
    told = Told(growth_ml, (after - before).numpy(), push_ml, ivh_growth_ml)
    frame = scans["baseline"].frame
    prepared = prepare(scans["baseline"].cut(frame), kind, push.sink_per_mm2 if push else 0.0)
    return make_reference(prepared, told).spread(frame)


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
    references = references and not settings.reference.is_baseline
    push = load_push(layout.push) if references and settings.reference.warp else None
    for patient_id, split in sheet["split"].items():
        started = time.perf_counter()
        sessions = SESSIONS[:1] if split == "predict" else SESSIONS
        read = {s: read_grid_scan(layout, patient_id, s) for s in sessions}
        scans = {session: slices_of(scan) for session, scan in read.items()}
        moved, reference = settings.moved if split == "train" else 0, None
        if split == "train" and references:
            volumes = read_volumes(layout, sheet.loc[[patient_id]]).iloc[0]
            reference = reference_images(true_reference(read, volumes, settings.reference, push))
        tensors = encode_patient(vae, scans, settings, moved, seed, patient_id, reference)
        scores = pd.DataFrame(
            {"patient_id": patient_id, "session": session}
            | reconstruction_scores(vae, scan, tensors[session][0], settings.batch_slices)
            for session, scan in scans.items()
        )
        images = [path for s in sessions for path in layout.grid(patient_id, s).images]
        write_sidecars(
            _write_encoded(layout, patient_id, tensors, scores),
            verb="encode-patients",
            settings=settings.as_json(),
            inputs=[weights, *images],
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
