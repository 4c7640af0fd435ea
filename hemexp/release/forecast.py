"""Forecasts of one patient from files, with no sample sheet: what the exported bundle calls.

The same functions as the verb `sample-followups` draw and write; the same input gives the same
bytes.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pandas as pd
import torch

from hemexp import Fault, HemexpError
from hemexp.autoencoder.network import MultiHeadVae
from hemexp.autoencoder.slices import slices_of
from hemexp.expansion.measure import measure_files
from hemexp.grid_scan import GridScan
from hemexp.latents.encode import encode_copies
from hemexp.latents.place import describe_place
from hemexp.layout import Layout, ScanImages
from hemexp.release.patient_values import (
    MEASURED_NUMBERS,
    PATIENT_NUMBERS,
    is_patient_id,
    number_faults,
)
from hemexp.sampling.models import Sampler, load_trained
from hemexp.sampling.patient import at_baseline
from hemexp.sampling.run import sample_patient
from hemexp.settings import Grid, Sampling
from hemexp.training import resolve_device
from hemexp.volumes import SAME_GRID_MM, grid_distance_mm, read_volume

BUNDLE_NUMBERS = PATIENT_NUMBERS | MEASURED_NUMBERS
"""What the bundle has to be given of a patient beside the images; null where unknown."""


class PatientFiles(TypedDict):
    """A patient of the bundle's config.

    Attributes:
        patient: `patient_id` and the numbers of `BUNDLE_NUMBERS`.
        images: Files of `ScanImages` on the grid, as hemexp's preprocess writes them.
        native: The same in native space: where the bleed is measured.
    """

    patient: Mapping[str, Any]
    images: Mapping[str, str]
    native: Mapping[str, str]


class DrawOptions(TypedDict):
    """How the bundle draws.

    Attributes:
        grid: The grid the models were trained on, `shape` and `spacing_mm`.
        sampling: Settings of the room `sampling`.
        batch_slices: Slices encoded at a time.
        seed: Run seed.
        device: `auto`, `cpu` or `cuda`.
    """

    grid: Mapping[str, Any]
    sampling: Mapping[str, Any]
    batch_slices: int
    seed: int
    device: str


def patient_row(values: Mapping[str, Any]) -> pd.Series:
    """A patient of the bundle's config as a row of the sheet.

    Args:
        values: `patient_id` and the numbers of `BUNDLE_NUMBERS`; None where unknown.

    Raises:
        HemexpError: Every value that is missing, unknown by name or out of range.
    """
    where = "patient of the bundle's config"
    faults = [
        Fault(
            f"{where}, key {name}",
            "an unknown key",
            f"one of {', '.join(BUNDLE_NUMBERS)}",
            "Correct its spelling.",
        )
        for name in values
        if name not in ("patient_id", *BUNDLE_NUMBERS)
    ]
    if not is_patient_id(values.get("patient_id")):
        faults.append(
            Fault(
                f"{where}, key patient_id",
                repr(values.get("patient_id")),
                "text of letters and digits",
                "Name the patient; on a command line write digits as '\"007\"'.",
            )
        )
    faults += number_faults(values, BUNDLE_NUMBERS, lambda name: f"{where}, key {name}")
    if faults:
        raise HemexpError(*faults)
    known = {name: values.get(name) for name in BUNDLE_NUMBERS}
    numbers = {name: math.nan if value is None else value for name, value in known.items()}
    outcome = dict.fromkeys(("followup_iph_ml", "followup_ivh_ml"), math.nan)
    return pd.Series({"patient_id": values["patient_id"]} | outcome | numbers)


def read_images(images: Mapping[str, str], grid: Grid) -> GridScan:
    """The four images of `preprocess` (HU, masks), checked against the models' grid.

    Raises:
        HemexpError: An image that is not on that grid, or a baseline without IPH.
    """
    volumes = ScanImages(*(read_volume(images[name]) for name in ScanImages._fields))
    for name, volume in volumes._asdict().items():
        fits = volume.data.shape == grid.shape and np.allclose(
            volume.spacing_mm, grid.spacing_mm, atol=SAME_GRID_MM
        )
        if not fits or grid_distance_mm(volumes.ct, volume) > SAME_GRID_MM:
            spacing = np.round(volume.spacing_mm, 3).tolist()
            raise HemexpError(
                Fault(
                    f"{images[name]}, image {name}",
                    f"{volume.data.shape} at {spacing} mm",
                    f"{grid.shape} at {list(grid.spacing_mm)} mm, in the place of image ct",
                    "Bring the scan onto the grid with hemexp's preprocess.",
                )
            )
    scan = GridScan.of_volumes(*volumes)
    if not scan.iph.any():
        raise HemexpError(
            Fault(str(images["iph"]), "an empty mask", "the IPH to forecast", "Name its mask.")
        )
    return scan


def encode_baseline(vae: MultiHeadVae, scan: GridScan, batch: int) -> dict[str, torch.Tensor]:
    """Latents of a baseline and where its bleed lies, as `encode-patients` caches them."""
    slices = slices_of(scan)
    latents, centroids = encode_copies(vae, [slices.images()], slices.spacing_mm, batch)
    return {"baseline": latents} | describe_place(slices, latents.shape, centroids)


def draw_followups(
    models: str, out: str, inputs: PatientFiles, options: DrawOptions
) -> pd.DataFrame:
    """Draws follow-ups of one patient: what `configs/inference.json` of the bundle runs.

    Args:
        models: Folder `models/` of the bundle.
        out: Folder for `sub-ID/` with samples, maps and `volumes.tsv`.
        inputs: The patient.
        options: How to draw.

    Returns:
        The content of `volumes.tsv`.

    Raises:
        HemexpError: A value or an image that cannot be used.
    """
    row, device = patient_row(inputs["patient"]), resolve_device(options["device"])
    scan = read_images(inputs["images"], Grid.model_validate(options["grid"]))
    volumes = float(row["baseline_iph_ml"]), float(row["baseline_ivh_ml"])
    seen = measure_files(inputs["native"], *volumes)
    trained = load_trained(Layout(Path(models)), device)
    encoded = encode_baseline(trained.autoencoder, scan, options["batch_slices"])
    patient = at_baseline(pd.Series({**row, **seen}), scan, encoded)
    sampler = Sampler(trained, Sampling.model_validate(options["sampling"]), options["seed"])
    return sample_patient(sampler, patient, Layout(Path(out), samples=""))
