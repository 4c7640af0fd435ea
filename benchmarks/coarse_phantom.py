"""A phantom cohort drawn straight onto a coarse grid, for benchmarks of the generative core.

Heads keep their centre's tilt and the baseline's pose (registration is perfect), so that nothing
needs preprocessing and volumes on the grid are the model's own. Centre D is held out.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from hemexp.autoencoder.network import MultiHeadVae
from hemexp.autoencoder.slices import SliceSet
from hemexp.autoencoder.train import train as train_autoencoder
from hemexp.columns import SESSIONS
from hemexp.diffusion.dataset import Stacks, make_stacks
from hemexp.grid_scan import GridScan
from hemexp.latents.encode import encode_patient
from hemexp.latents.scale import Scale, measure_scale
from hemexp.outcomes import expansion_outcomes
from hemexp.phantom.bleed import draw_direction, draw_shape, redraw_direction
from hemexp.phantom.centers import draw_pose, find_center
from hemexp.phantom.head import draw_head
from hemexp.phantom.model import (
    OEDEMA_MM,
    Case,
    draw_case,
    draw_growth,
    expansion_probability,
    generator,
    growth_quantile,
)
from hemexp.phantom.scan import take_scan
from hemexp.phantom.tissue import Session, fill_head
from hemexp.provenance import hash_value
from hemexp.settings import Autoencoder, Settings
from hemexp.training import Checkpoint, load_weights, save_weights
from hemexp.volumes import Volume

SEED = 5
SHAPE, SPACING_MM = (48, 48, 12), (4.0, 4.0, 7.0)
SLICE_SPACING_MM = (SPACING_MM[2], *SPACING_MM[:2])
"""Of arrays (z, x, y)."""

VOXEL_ML = float(np.prod(SPACING_MM)) / 1000
NOISE_LEFT = 0.3
"""Part of a scanner's noise that averaging over a coarse voxel leaves."""

SHEET = ("patient_id", "onset_to_ct_h", "anticoagulant", "antiplatelet", "age", "gcs", "sbp")


@dataclass(frozen=True)
class Cohort:
    """Patients on the grid; the second axis is baseline, follow-up.

    Attributes:
        table: One row a patient: the sheet's variables, `center`, volumes, `growth_ml`, `he`.
        ct_hu: (n, 2, z, x, y) int16, skull-stripped.
        iph: (n, 2, z, x, y) uint8.
        ivh: (n, 2, z, x, y) uint8.
        brain: (n, z, x, y) uint8 of the baseline.
    """

    table: pd.DataFrame
    ct_hu: Tensor
    iph: Tensor
    ivh: Tensor
    brain: Tensor

    def rows(self, test: bool) -> NDArray[np.intp]:
        """Row numbers of the held-out centre, or of the others."""
        return np.flatnonzero((self.table["center"] == "D") == test)

    def baseline(self, row: int) -> GridScan:
        """The baseline of one patient."""
        images = self.ct_hu[row, 0], self.iph[row, 0], self.ivh[row, 0], self.brain[row]
        return GridScan.of_volumes(
            *(Volume(np.moveaxis(image.numpy(), 0, 2), grid_affine()) for image in images)
        )


def grid_affine() -> NDArray[np.float64]:
    """Voxel index to mm; the grid is centred on the head."""
    affine = np.diag([*SPACING_MM, 1.0])
    affine[:3, 3] = -np.array(SPACING_MM) * (np.array(SHAPE) - 1) / 2
    return affine


def _pose(center: str, patient_id: str) -> NDArray[np.float64]:
    place = find_center(center)
    pose = draw_pose(place, generator(SEED, patient_id, "pose"))
    pose[:3, 3] -= place.offset_mm
    return pose


def draw_pair(center: str, patient_id: str) -> tuple[dict, dict[str, NDArray]]:
    """One patient's row and arrays (2, z, x, y); `brain` is the baseline's."""
    case = draw_case(SEED, patient_id)
    head, bleed = draw_head(SEED, patient_id, case.age), draw_shape(SEED, case)
    rng, noise = (generator(SEED, patient_id, name) for name in ("followup", "noise"))
    growth_ml = float(draw_growth(case, rng)[0])
    pose, grid = _pose(center, patient_id), (SHAPE, grid_affine())
    first_ml, noise_hu = case.baseline_iph_ml, NOISE_LEFT * find_center(center).noise_hu
    oedema_mm = OEDEMA_MM[0] + OEDEMA_MM[1] * case.onset_to_ct_h
    one = take_scan(head, bleed, Session(pose, first_ml, oedema_mm), grid, noise_hu, noise)
    later = Session(
        pose, first_ml + growth_ml, OEDEMA_MM[2], one.extent, draw_direction(bleed, rng)
    )
    two = take_scan(head, bleed, later, grid, noise_hu, noise)

    def stack(name: str) -> NDArray:
        pair = [np.moveaxis(getattr(scan, name), 2, 0) for scan in (one, two)]
        return np.ascontiguousarray(pair)

    brain, ct_hu = stack("brain"), stack("ct").clip(0, 100)
    arrays = {
        "iph": stack("iph"),
        "ivh": stack("ivh"),
        "brain": brain[0],
        "ct_hu": np.where(brain[:1] > 0, ct_hu, 0).astype(np.int16),
    }
    row = {"center": center} | {name: getattr(case, name) for name in SHEET}
    for i, session in enumerate(("baseline", "followup")):
        for kind in ("iph", "ivh"):
            row[f"{session}_{kind}_ml"] = float(arrays[kind][i].sum() * VOXEL_ML)
    return row, arrays


def load_cohort(folder: Path, train: int, test: int) -> Cohort:
    """Draws `train` patients of centres A, B, C and `test` of centre D, or reads them again."""
    table_file = folder / f"patients-{train}-{test}.tsv"
    scans_file = table_file.with_suffix(".safetensors")
    if not scans_file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        centers = ["ABC"[i % 3] for i in range(train)] + ["D"] * test
        drawn = [draw_pair(c, f"{c}{i:04d}") for i, c in enumerate(centers)]
        pd.DataFrame([row for row, _ in drawn]).to_csv(table_file, sep="\t", index=False)
        names = drawn[0][1]
        save_file(
            {
                name: torch.tensor(np.ascontiguousarray([arrays[name] for _, arrays in drawn]))
                for name in names
            },
            scans_file,
        )
    table = pd.read_csv(table_file, sep="\t", dtype={"patient_id": str})
    return Cohort(expansion_outcomes(table), **load_file(scans_file))


def redraw_iph(center: str, patient_id: str, growths_ml: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Further true follow-ups of one baseline with given growths: masks (k, z, x, y)."""
    case = draw_case(SEED, patient_id)
    head, bleed = draw_head(SEED, patient_id, case.age), draw_shape(SEED, case)
    pose, grid = _pose(center, patient_id), (SHAPE, grid_affine())
    before = fill_head(head, bleed, Session(pose, case.baseline_iph_ml), grid).blood.extent
    masks = []
    for k, growth_ml in enumerate(growths_ml):
        direction = redraw_direction(bleed, generator(SEED, patient_id, "redraw", k))
        later_ml = case.baseline_iph_ml + growth_ml
        later = Session(pose, later_ml, before=before, direction=direction)
        filled = fill_head(head, bleed, later, grid)
        masks.append(filled.mask(SHAPE, filled.blood.iph) > 0)
    return np.moveaxis(np.array(masks), 3, 1)


def true_growths_ml(patient_id: str, draws: int, expands: bool | None) -> NDArray[np.float64]:
    """Draws from the true distribution of growth, given who expands or not (None)."""
    case: Case = draw_case(SEED, patient_id)
    p = expansion_probability(case)
    low, high = {None: (0.0, 1.0), True: (1 - p, 1.0), False: (0.0, 1 - p)}[expands]
    uniform = generator(SEED, patient_id, "redraw growth").uniform(size=draws)
    return growth_quantile(case, low + (high - low) * uniform)


def fit_autoencoder(folder: Path, cohort: Cohort, settings: Autoencoder) -> MultiHeadVae:
    """The autoencoder of the training patients, trained or read again."""
    rows = cohort.rows(test=False)
    file = folder / f"autoencoder-{hash_value([len(rows), settings.as_json()])}.safetensors"
    if not file.exists():
        parts = [value[rows].flatten(0, 2) for value in (cohort.ct_hu, cohort.iph, cohort.ivh)]
        slices = SliceSet(*parts, SLICE_SPACING_MM)
        run = {"settings": settings.as_json(), "patients": len(rows)}
        checkpoint = Checkpoint(file.with_suffix(".ckpt"), run)
        vae, _ = train_autoencoder(slices, settings, SEED, checkpoint)
        save_weights(file, vae)
        checkpoint.path.unlink(missing_ok=True)
    return load_weights(file, MultiHeadVae(settings))


def encode_cohort(
    folder: Path, cohort: Cohort, vae: MultiHeadVae, settings: Settings
) -> dict[str, Tensor]:
    """What `encode-patients` caches, of all patients, encoded or read again.

    Args:
        folder: Where they are kept.
        cohort: The patients.
        vae: The autoencoder.
        settings: Of the autoencoder, and of the copies: as scanned, mirrored, then moved ones.

    Returns:
        As `encode_patient`, one more axis before: the patients.
    """
    key = [len(cohort.table), settings.autoencoder.as_json(), settings.latents.as_json()]
    file = folder / f"latents-{hash_value(key)}.safetensors"
    if not file.exists():
        images = zip(cohort.ct_hu, cohort.iph, cohort.ivh, strict=True)
        pairs = (
            {
                session: SliceSet(*(part[i] for part in patient), SLICE_SPACING_MM)
                for i, session in enumerate(SESSIONS)
            }
            for patient in images
        )
        copies = settings.latents.moved
        encoded = [
            encode_patient(vae, pair, settings.latents, copies, SEED, patient_id)
            for pair, patient_id in zip(pairs, cohort.table["patient_id"], strict=True)
        ]
        stacked = {name: torch.stack([one[name] for one in encoded]) for name in encoded[0]}
        save_file(stacked, file)
    return load_file(file)


def training_stacks(cohort: Cohort, encoded: dict[str, Tensor], kind: str) -> tuple[Stacks, Scale]:
    """Training patients' stacks and scale for the condition `kind`."""
    rows = cohort.rows(test=False)
    known = {name: part[rows] for name, part in encoded.items()}
    pairs = zip(known["baseline"][:, 0], known["followup"][:, 0], strict=True)
    scale = measure_scale([*pairs])
    return make_stacks(cohort.table.iloc[rows], known, scale, kind, "difference"), scale
