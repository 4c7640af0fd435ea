"""What can be shown of one patient, read from the results and laid into one box of the head."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp.layout import Layout
from hemexp.made_masks import GIVEN, mask_source
from hemexp.preprocess.coarse import crop, mask_box
from hemexp.preprocess.interpolate import InsideBrain, average, reach
from hemexp.preprocess.transforms import read_transform
from hemexp.reporting.patient.pack import (
    EXACT,
    finest,
    pack_ct,
    pack_mask,
    pack_probability,
    to_bytes,
)
from hemexp.tables import read_table
from hemexp.volumes import Volume, read_ras, read_volume

MARGIN_MM = 12.0
"""Shown round the brain: the skull, so that a reader sees where he is."""

QUALITIES = (90, 80, 70, 55, 40)
"""Of the drawn CTs. From 90 to 40 the error grows from 1.5 to 3.5 HU, of the size of a scan's
noise, and the bytes fall to a quarter; measured on a head of 0.45 mm voxels."""

SAMPLE_BYTES = 5_500_000
"""For all drawn CTs of a patient as text, so that the page stays below 10 MB."""

MOST_SAMPLES = 50
"""On the slider. Of more, as many are taken, spread evenly over the volumes."""


@dataclass(frozen=True)
class Layers:
    """Reads the images of one patient into one box: the baseline's voxels round its brain.

    Attributes:
        layout: Of the run.
        patient_id: The patient.
        reference: Session on whose axes the grid lies, `preprocess.reference`.
        seen: The files read so far.
    """

    layout: Layout
    patient_id: str
    reference: str
    seen: list[Path] = field(default_factory=list)

    def _read(self, path: Path) -> Volume:
        self.seen.append(path)
        return read_volume(path)

    @cached_property
    def box(self) -> Volume:
        """The brain mask of the baseline, axes right, front and up, cut out with a margin."""
        brain = self._native("baseline", "brain")
        return crop(brain, mask_box(brain.data > 0, MARGIN_MM, brain.spacing_mm))

    def _native(self, session: str, image: str) -> Volume:
        path = getattr(self.layout.native(self.patient_id, session), image)
        self.seen.append(path)
        return read_ras(path)

    @cached_property
    def to_followup(self) -> NDArray[np.float64]:
        """4 x 4 RAS mm, takes a point of the baseline to the follow-up."""
        path = self.layout.pair(self.patient_id).transform
        self.seen.append(path)
        return read_transform(path)

    @cached_property
    def to_grid(self) -> NDArray[np.float64]:
        """4 x 4 RAS mm, takes a point of the baseline to the grid's space."""
        return np.eye(4) if self.reference == "baseline" else self.to_followup

    @cached_property
    def brain(self) -> Volume:
        """Brain mask of the baseline on the grid: drawn CTs are 0 HU outside it."""
        return self._read(self.layout.grid(self.patient_id, "baseline").brain)

    @cached_property
    def coarse(self) -> Volume:
        """The box in voxels no finer than the grid's, for what was drawn there."""
        return finest(self.box, float(min(self.brain.spacing_mm[:2])))

    @cached_property
    def inside(self) -> InsideBrain:
        """Brings drawn CTs into that box."""
        return InsideBrain.of(self.brain, self.coarse, self.to_grid)

    def scan(self, session: str) -> dict[str, Any]:
        """A true scan with its masks, at the baseline's native resolution."""
        matrix = np.eye(4) if session == "baseline" else self.to_followup
        ct = average(self._native(session, "ct"), self.box, matrix)
        masks = {
            name: pack_mask(lay_mask(self._native(session, name), self.box, matrix))
            for name in ("iph", "ivh")
        }
        found = mask_source(self.layout, self.patient_id, session) != GIVEN
        return {"ct": pack_ct(to_bytes(ct), EXACT), **masks, "found": found}

    def start(self) -> list[float]:
        """Where the crosshair stands first: amid the baseline's IPH, in the slice with most of it.

        Returns:
            Shares of the box's sides (0-1), along right, front and up.
        """
        iph = lay_mask(self._native("baseline", "iph"), self.box, np.eye(4))
        if not iph.any():
            return [0.5, 0.5, 0.5]
        z = int(iph.sum(axis=(0, 1)).argmax())
        x, y = np.argwhere(iph[:, :, z]).mean(axis=0)
        place = np.array([x, y, z]) + 0.5
        return (place / iph.shape).round(4).tolist()

    def sample_ct(self, k: int) -> NDArray[np.uint8]:
        """The CT of a drawn follow-up, 8 bits."""
        ct = self._read(self.layout.sample(self.patient_id, k).ct)
        return to_bytes(self.inside.resample(ct), self.inside.share >= 0.5)

    def sample_masks(self, k: int) -> dict[str, Any]:
        """The masks of a drawn follow-up in the baseline's voxels."""
        labels = self._read(self.layout.sample(self.patient_id, k).labels)
        masks = {"iph": labels.data == 1, "ivh": labels.data == 2}
        return {
            name: pack_mask(lay_mask(labels.with_data(mask), self.box, self.to_grid))
            for name, mask in masks.items()
        }

    def maps(self) -> dict[str, Any]:
        """The maps of new blood that there are, by name."""
        files = {
            "drawn": self.layout.sample_map(self.patient_id, "expansion"),
            "pooled": self.layout.pooled_map(self.patient_id),
            "true": self.layout.true_map(self.patient_id),
        }
        return {
            name: pack_probability(average(self._read(path), self.coarse, self.to_grid))
            for name, path in files.items()
            if path.is_file()
        }

    def table(self, path: Path) -> pd.DataFrame:
        """A table of the results as it stands."""
        self.seen.append(path)
        return read_table(path)


def lay_mask(mask: Volume, box: Volume, matrix: NDArray[np.float64]) -> NDArray[np.bool_]:
    """A mask in the voxels of a box: those that it fills by half or more.

    Args:
        mask: In its own space.
        box: Shape and affine.
        matrix: 4 x 4 RAS mm, takes a point of the box to the mask's space.
    """
    laid, near = np.zeros(box.data.shape, dtype=bool), reach(mask, box, matrix)
    part = crop(box, near)
    if part.data.size:
        laid[near] = average(mask, part, matrix) >= 0.5
    return laid


def on_slider(ordered: pd.DataFrame, most: int = MOST_SAMPLES) -> pd.DataFrame:
    """Samples spread evenly over their order, the ends among them; all where there are few.

    Args:
        ordered: Samples by volume.
        most: How many at most.
    """
    if len(ordered) <= most:
        return ordered
    kept = np.linspace(0, len(ordered) - 1, most).round().astype(int)
    return ordered.iloc[kept].reset_index(drop=True)


def pack_samples(layers: Layers, numbers: list[int]) -> tuple[list[dict[str, Any]], int]:
    """CT and masks of drawn follow-ups, at the best quality that fits `SAMPLE_BYTES`.

    Args:
        layers: Of the patient.
        numbers: Of the samples.

    Returns:
        A sample each, and the quality. The last quality is taken where none fits.
    """
    if not numbers:
        return [], QUALITIES[0]
    trial = layers.sample_ct(numbers[-1])
    most = SAMPLE_BYTES / len(numbers)
    fitting = (q for q in QUALITIES if len(pack_ct(trial, q)["webp"]) <= most)
    quality = next(fitting, QUALITIES[-1])
    packed = [
        {"ct": pack_ct(layers.sample_ct(k), quality), **layers.sample_masks(k)} for k in numbers
    ]
    return packed, quality
