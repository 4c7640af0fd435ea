"""Verb `sample-followups`: from one baseline to samples, maps and volumes on disk."""

import itertools
import logging
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from hemexp.autoencoder.network import load_autoencoder
from hemexp.diffusion.condition import Condition, clinical_vector
from hemexp.diffusion.dataset import OFFSETS, drive_features
from hemexp.diffusion.network import load_diffusion
from hemexp.expansion.model import load_expansion, patient_distribution
from hemexp.expansion.patients import read_patients
from hemexp.latents.scale import load_scale
from hemexp.layout import Layout
from hemexp.provenance import patient_file, seed_for, write_atomically, write_sidecars
from hemexp.sampling.files import remove_surplus, write_samples
from hemexp.sampling.finish import Baseline, baseline_files, load_baseline
from hemexp.sampling.requests import Drives, draw_drifts, draw_drives
from hemexp.sampling.sample import decode_stack, stream_latents
from hemexp.settings import Sampling
from hemexp.training import autocast_for, resolve_device

log = logging.getLogger(__name__)

LARGE_OFFSET, LARGE_SHARE = 6.0, 0.9
"""A patient whose 90th percentile of |logit offset| exceeds 6 is told of."""


def slices_that_may_change(
    iph: NDArray[np.bool_], spacing_mm: float, margin_mm: float | None
) -> Tensor:
    """(z,) bool: slices within `margin_mm` of a slice with IPH; all of them without a margin."""
    z = np.arange(iph.shape[2])
    if margin_mm is None:
        return torch.ones(len(z), dtype=torch.bool)
    bloody = z[iph.any(axis=(0, 1))]
    return torch.from_numpy(np.abs(z[:, None] - bloody).min(axis=1) * spacing_mm <= margin_mm)


def make_condition(
    patient: pd.Series,
    drives: Drives,
    drifts_mm: NDArray[np.float64],
    kind: str,
    encoded: dict[str, Tensor],
) -> Condition:
    """Condition of the K samples of one patient; what is NaN becomes the learned null."""
    count = len(drives.growth_ml)
    volume = torch.full((count,), float(patient["baseline_iph_ml"]), dtype=torch.float64)
    flag = torch.from_numpy(drives.flag)
    features = drive_features(kind, torch.from_numpy(drives.growth_ml), volume, flag)
    place = {name: encoded[name][0].expand(count, -1) for name in OFFSETS}
    return Condition(
        clinical=clinical_vector(patient).expand(count, -1),
        drive=features,
        drift_mm=torch.from_numpy(drifts_mm).float(),
        **place,
    )


def draw_patient(
    patient: pd.Series,
    baseline: Baseline,
    encoded: dict[str, Tensor],
    models: Path,
    settings: Sampling,
    seed: int,
    where: torch.device,
) -> tuple[Iterator[Tensor], Drives, str]:
    """Follow-up latents (z, c, h, w) of one patient as they are drawn, and what drives them.

    Args:
        patient: Row of the sheet joined with native volumes and features.
        baseline: The baseline on the grid.
        encoded: What `encode-patients` cached of it.
        models: Folder with `diffusion/`, `expansion/` and `latents/scale.json`.
        settings: The room's settings.
        seed: Run seed.
        where: Device.
    """
    patient_id, spacing_mm = patient["patient_id"], float(baseline.ct.spacing_mm[2])
    model = load_diffusion(models / "diffusion", where)
    kind = model.settings.condition
    expansion = load_expansion(models / "expansion" / "model.json")
    distribution = patient_distribution(expansion, patient)
    growth_ml = float(patient["followup_iph_ml"] - patient["baseline_iph_ml"])
    drives = draw_drives(
        kind,
        settings.indicator,
        distribution,
        baseline.iph_ml,
        growth_ml,
        settings.samples,
        seed,
        patient_id,
    )
    position_mm = encoded["position_mm"].double().numpy()
    drifts_mm = draw_drifts(
        model.drift, position_mm, drives.growth_ml, baseline.iph_ml, seed, patient_id
    )
    followups = stream_latents(
        model,
        load_scale(models / "latents" / "scale.json"),
        encoded["baseline"][0],
        make_condition(patient, drives, drifts_mm, kind, encoded),
        settings,
        seed,
        patient_id,
        spacing_mm,
        slices_that_may_change(baseline.iph, spacing_mm, settings.slice_margin_mm),
    )
    return followups, drives, kind


MODELS = (
    "autoencoder/model.safetensors",
    "diffusion/model.safetensors",
    "latents/scale.json",
    "expansion/model.json",
)


def sample_patient(
    patient: pd.Series,
    baseline: Baseline,
    encoded: dict[str, Tensor],
    models: Path,
    out: Path,
    settings: Sampling,
    seed: int,
    where: torch.device,
    sources: Iterable[Path] = (),
) -> pd.DataFrame:
    """Draws K follow-ups of one patient one by one and writes them, their maps and volumes.

    Memory does not grow with K: a sample is decoded, measured and written before the next.
    Samples that an earlier run with a larger K left there are removed.

    Args:
        patient: Row of the sheet joined with native volumes and features.
        baseline: The baseline on the grid.
        encoded: What `encode-patients` cached of it.
        models: Folder with the files of `MODELS`.
        out: Folder for `sub-ID/`.
        settings: The room's settings.
        seed: Run seed.
        where: Device.
        sources: Files that patient, baseline and latents come from, for the sidecars.

    Returns:
        The content of `volumes.tsv`.
    """
    started, patient_id = time.perf_counter(), patient["patient_id"]
    drawn, drives, kind = draw_patient(patient, baseline, encoded, models, settings, seed, where)
    vae = load_autoencoder(models / "autoencoder", where)
    autocast = autocast_for(settings.precision, where)
    stacks = itertools.chain([encoded["baseline"][0]], drawn)
    decoded = (decode_stack(vae, stack, settings.batch_slices, autocast) for stack in stacks)
    reference = next(decoded)
    measured, products = write_samples(
        out, patient_id, decoded, reference, baseline, drives.growth_ml, settings.match_volume
    )
    remove_surplus(out, patient_id, settings.samples)
    table = pd.DataFrame(
        {
            "sample": range(settings.samples),
            "seed": [seed_for(seed, patient_id, k) for k in range(settings.samples)],
            "condition": kind,
            "expansion_flag": drives.flag,
            "target_growth_ml": drives.growth_ml,
            **pd.DataFrame(measured),
            "indicator": settings.indicator,
        }
    )
    volumes = out / f"sub-{patient_id}" / "volumes.tsv"
    with write_atomically(volumes) as temporary:
        table.to_csv(temporary, sep="\t", index=False, float_format="%.4f")
    write_sidecars(
        [*products, volumes],
        verb="sample-followups",
        settings=settings.as_json(),
        inputs=[*(models / name for name in MODELS), *sources],
        started=started,
        seed=seed,
        device=str(where),
    )
    return table


def run_sample_followups(
    samples: pd.DataFrame, results: Path, settings: Sampling, seed: int, device: str
) -> None:
    """Draws K follow-ups of one patient and writes them with their maps and volumes.

    Args:
        samples: The patient's row of the sheet.
        results: Folder of all results; the models are read from it, `samples/` is written.
        settings: The room's settings.
        seed: Run seed.
        device: `auto`, `cpu` or `cuda`.
    """
    started = time.perf_counter()
    # Only the oracle may look at what happened.
    knowing = settings.indicator == "oracle"
    preprocess = results / "preprocess"
    patient = read_patients(Layout(results), samples, follow_up=knowing).iloc[0]
    patient_id = patient["patient_id"]
    baseline = load_baseline(preprocess, patient)
    latents = patient_file(results / "latents", patient_id, "latents.safetensors")
    features = Layout(results).features(patient_id)
    sources = [latents, features, *baseline_files(preprocess, patient_id)]
    table = sample_patient(
        patient,
        baseline,
        load_file(latents),
        results,
        results / "samples",
        settings,
        seed,
        resolve_device(device),
        sources,
    )
    tell(table, patient_id, baseline.iph_ml, time.perf_counter() - started)


def tell(table: pd.DataFrame, patient_id: str, baseline_ml: float, seconds: float) -> None:
    """Logs what was drawn, and warns where images and volumes disagree."""
    offset = float(table["logit_offset"].abs().quantile(LARGE_SHARE))
    if offset > LARGE_OFFSET:
        told = (
            "%s: matching moved IPH logits by %.1f (90th percentile): images and volumes disagree"
        )
        log.warning(told, patient_id, offset)
    told = "%s: %d samples in %.1f s; IPH %.1f mL at baseline, then %.1f mL (median)"
    log.info(told, patient_id, len(table), seconds, baseline_ml, table["iph_ml"].median())
