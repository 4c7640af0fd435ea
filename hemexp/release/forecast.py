"""Forecasts of one patient from files, with no sample sheet: what the exported bundle calls.

The same functions as the verb `sample-followups` draw and write; the same input gives the same
bytes.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from hemexp import Fault, HemexpError
from hemexp.autoencoder.network import load_autoencoder
from hemexp.autoencoder.slices import SliceSet
from hemexp.expansion.measure import measure_files
from hemexp.latents.encode import encode_copies
from hemexp.latents.place import describe_place
from hemexp.ranges import NUMBERS, NUMBERS_OPTIONAL, Range
from hemexp.sampling.finish import Baseline
from hemexp.sampling.run import sample_patient
from hemexp.settings import Grid, Sampling
from hemexp.training import resolve_device
from hemexp.volumes import SAME_GRID_MM, grid_distance_mm, read_volume

IMAGES = ("ct", "iph", "ivh", "brain")
VOLUMES = {
    "baseline_iph_ml": Range(0.01, 500, "mL in native space", required=True),
    "baseline_ivh_ml": Range(0, 500, "mL in native space", required=True),
}
VALUES = NUMBERS | {"expansion_prob": NUMBERS_OPTIONAL["expansion_prob"]} | VOLUMES
"""What the bundle must be told of a patient beside the images; null where unknown."""


def read_patient(values: Mapping[str, Any]) -> pd.Series:
    """A patient of the bundle's config as a row of the sheet.

    Args:
        values: `patient_id` and the numbers of `VALUES`; None where unknown.

    Raises:
        HemexpError: Every value that is missing, unknown by name or out of range.
    """
    patient_id, where = values.get("patient_id"), "patient of the bundle's config"
    faults = [
        Fault(
            f"{where}, key {name}",
            "an unknown key",
            f"one of {', '.join(VALUES)}",
            "Correct its spelling.",
        )
        for name in values
        if name not in ("patient_id", *VALUES)
    ]
    if not isinstance(patient_id, str) or not re.fullmatch(r"[A-Za-z0-9]+", patient_id):
        faults.append(
            Fault(
                f"{where}, key patient_id",
                repr(patient_id),
                "text of letters and digits",
                "Name the patient; on a command line write digits as '\"007\"'.",
            )
        )
    row: dict[str, Any] = {"patient_id": patient_id, "followup_iph_ml": math.nan}
    for name, allowed in VALUES.items():
        value = values.get(name)
        number = math.nan if value is None else value
        row[name] = number
        known = isinstance(number, int | float) and allowed.low <= number <= allowed.high
        whole = not (allowed.whole and known and number % 1)
        if (value is not None or allowed.required) and not (known and whole):
            expected = f"a number from {allowed.low:g} to {allowed.high:g} ({allowed.unit})"
            expected += "" if allowed.required else ", or null when unknown"
            faults.append(
                Fault(
                    f"{where}, key {name}", repr(value), expected, "Correct the value or its unit."
                )
            )
    if faults:
        raise HemexpError(*faults)
    return pd.Series(row)


def read_baseline(images: Mapping[str, str], patient: pd.Series, grid: Grid) -> Baseline:
    """The four images of `preprocess` (HU, masks), checked against the models' grid.

    Raises:
        HemexpError: An image that is not on that grid, or a baseline without IPH.
    """
    volumes = {name: read_volume(images[name]) for name in IMAGES}
    ct = volumes["ct"]
    for name, volume in volumes.items():
        fits = volume.data.shape == grid.shape and np.allclose(
            volume.spacing_mm, grid.spacing_mm, atol=SAME_GRID_MM
        )
        if not fits or grid_distance_mm(ct, volume) > SAME_GRID_MM:
            spacing = np.round(volume.spacing_mm, 3).tolist()
            raise HemexpError(
                Fault(
                    f"{images[name]}, image {name}",
                    f"{volume.data.shape} at {spacing} mm",
                    f"{grid.shape} at {list(grid.spacing_mm)} mm, in the place of image ct",
                    "Bring the scan onto the grid with hemexp's preprocess.",
                )
            )
    masks = {name: volumes[name].data > 0 for name in IMAGES[1:]}
    if not masks["iph"].any():
        raise HemexpError(
            Fault(str(images["iph"]), "an empty mask", "the IPH to forecast", "Name its mask.")
        )
    return Baseline(
        ct,
        **masks,
        iph_ml=float(patient["baseline_iph_ml"]),
        ivh_ml=float(patient["baseline_ivh_ml"]),
    )


def encode_baseline(
    baseline: Baseline, models: Path, batch: int, where: torch.device
) -> dict[str, torch.Tensor]:
    """Latents of a baseline and where its bleed lies, as `encode-patients` caches them."""

    def slices(array: np.ndarray, dtype: type) -> torch.Tensor:
        return torch.from_numpy(np.moveaxis(array, 2, 0).astype(dtype))

    ct = baseline.ct
    x, y, z = map(float, ct.spacing_mm)
    iph, ivh = slices(baseline.iph, np.uint8), slices(baseline.ivh, np.uint8)
    scan = SliceSet(slices(ct.data, np.int16), iph, ivh, (z, x, y))
    vae = load_autoencoder(models / "autoencoder", where)
    latents, centroids = encode_copies(vae, [scan.images()], scan.spacing_mm, batch)
    return {"baseline": latents} | describe_place(scan, latents.shape, centroids)


def draw_followups(
    models: str,
    out: str,
    patient: Mapping[str, Any],
    images: Mapping[str, str],
    native: Mapping[str, str],
    grid: Mapping[str, Any],
    sampling: Mapping[str, Any],
    batch_slices: int,
    seed: int,
    device: str,
) -> pd.DataFrame:
    """Draws follow-ups of one patient: what `configs/inference.json` of the bundle runs.

    Args:
        models: Folder `models/` of the bundle.
        out: Folder for `sub-ID/` with samples, maps and `volumes.tsv`.
        patient: `patient_id` and clinical values, see `VALUES`.
        images: Files of `ct`, `iph`, `ivh`, `brain` on the grid, as hemexp's preprocess writes
            them.
        native: The same in native space: where the bleed is measured.
        grid: The grid the models were trained on, `shape` and `spacing_mm`.
        sampling: Settings of the room `sampling`.
        batch_slices: Slices encoded at a time.
        seed: Run seed.
        device: `auto`, `cpu` or `cuda`.

    Returns:
        The content of `volumes.tsv`.

    Raises:
        HemexpError: A value or an image that cannot be used.
    """
    row, where = read_patient(patient), resolve_device(device)
    baseline = read_baseline(images, row, Grid.model_validate(grid))
    seen = measure_files(native, baseline.iph_ml, baseline.ivh_ml)
    encoded = encode_baseline(baseline, Path(models), batch_slices, where)
    settings = Sampling.model_validate(sampling)
    patient = pd.Series({**row, **seen})
    return sample_patient(
        patient, baseline, encoded, Path(models), Path(out), settings, seed, where
    )
