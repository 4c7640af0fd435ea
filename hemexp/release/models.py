"""Released models: a finished run's results folder or an exported bundle.

Both hold the same files under the same names; a bundle keeps them below `models/`, and what they
were made with in `configs/`, where a run has sidecars.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hemexp import Fault, HemexpError
from hemexp.config import load_section
from hemexp.layout import Layout
from hemexp.provenance import sidecar_path
from hemexp.settings import (
    Grid,
    Latents,
    QualityLimits,
    RawInput,
    Sampling,
    Segmentation,
    Settings,
    SkullStrip,
)

MODEL_PARTS = ("autoencoder", "scale", "diffusion", "expansion")
"""Models that are handed on, each by itself."""

SEGMENTER = "segmentation"
"""The network that makes masks, with the model of their error: handed on where a run made some."""

RECALIBRATED = "recalibrated"
"""Key of the models' record that lists their recalibrations, oldest first."""


@dataclass(frozen=True)
class BundleLayout:
    """Where everything lies in a bundle."""

    root: Path

    @property
    def models(self) -> Layout:
        """The models, laid out as in a run."""
        return Layout(self.root / "models")

    @property
    def inference(self) -> Path:
        """What `python -m monai.bundle run` reads."""
        return self.root / "configs" / "inference.json"

    @property
    def preprocess(self) -> Path:
        """What a raw scan goes through before the models can read it, for `hemexp predict`."""
        return self.root / "configs" / "preprocess.json"

    @property
    def metadata(self) -> Path:
        """What the bundle is, by MONAI's specification."""
        return self.root / "configs" / "metadata.json"

    @property
    def readme(self) -> Path:
        """How to run it."""
        return self.root / "docs" / "README.md"

    @property
    def recalibration(self) -> Path:
        """Before and after the last recalibration, on patients held out."""
        return self.root / "docs" / "recalibration.tsv"

    @property
    def license(self) -> Path:
        """Under what terms."""
        return self.root / "LICENSE"


@dataclass(frozen=True)
class Recipe:
    """What a scan has to go through before released models can read it, and how they draw.

    `segmentation` is None where the models hold no network that makes masks.
    """

    raw: RawInput
    skull_strip: SkullStrip
    grid: Grid
    quality: QualityLimits
    latents: Latents
    sampling: Sampling
    segmentation: Segmentation | None


def part_files(layout: Layout, part: str) -> tuple[Path, ...]:
    """What has to be there of one of `MODEL_PARTS`, or of `SEGMENTER`."""
    alone = {"scale": layout.scale, "expansion": layout.growth_models}
    if part in alone:
        return (alone[part],)
    network = layout.network(part)
    errors = [layout.error_model] if part == SEGMENTER else []
    return network.weights, network.model, *errors


def held_parts(layout: Layout) -> tuple[str, ...]:
    """`MODEL_PARTS`, and `SEGMENTER` where there is one."""
    there = layout.segmenter().weights.is_file()
    return (*MODEL_PARTS, SEGMENTER) if there else MODEL_PARTS


def models_layout(folder: Path | str, *parts: str) -> Layout:
    """Where the models of a results folder or a bundle lie.

    Args:
        folder: Results of a run, or a bundle.
        *parts: Of `MODEL_PARTS` or `SEGMENTER`: what has to be there.

    Raises:
        HemexpError: A file of them is missing.
    """
    folder = Path(folder)
    layout = BundleLayout(folder).models if is_bundle(folder) else Layout(folder)
    wanted = [path for part in parts for path in part_files(layout, part)]
    missing = [path for path in wanted if not path.is_file()]
    if missing:
        raise HemexpError(
            Fault(
                str(folder),
                f"no {missing[0].relative_to(layout.root)}",
                "a results folder of a finished run, or a bundle of `hemexp export-bundle`",
                "Correct the path.",
            )
        )
    return layout


def is_bundle(folder: Path) -> bool:
    """Whether it is a bundle, and not the results of a run."""
    return BundleLayout(folder).models.root.is_dir()


def read_grid(folder: Path) -> Grid:
    """The grid that released models were trained on."""
    if is_bundle(folder):
        values = read_record(BundleLayout(folder).inference)["grid"]
    else:
        values = _settings(folder, Layout(folder).grid("*", "baseline").volumes)
    return _section("preprocess.grid", values)


def read_recipe(folder: Path) -> Recipe:
    """Settings for a new patient of released models, from the records beside them.

    Raises:
        HemexpError: A model or a record is missing.
    """
    models = models_layout(folder, *MODEL_PARTS)
    segmenter = None
    if SEGMENTER in held_parts(models):
        made = models_layout(folder, SEGMENTER).network(SEGMENTER).model
        # A record may name no program to run: what is released is a network.
        settings = read_record(made)["settings"] | {"method": "network", "command": None}
        segmenter = _section(SEGMENTER, settings)
    if is_bundle(folder):
        prepared = read_record(BundleLayout(folder).preprocess)
        inference = read_record(BundleLayout(folder).inference)
        sampling, batch = inference["sampling"], inference["batch_slices"]
        # A new patient has no follow-up: nothing but the baseline itself is encoded.
        baseline = {"shell": "none", "warp": False, "ivh": False}
        latents = {"posterior": "mean", "reference": baseline, "moved": 0}
        latents |= {"batch_slices": batch, "precision": "fp32"}
    else:
        run = Layout(folder)
        prepared = _settings(folder, run.qc)
        sampling = _settings(folder, run.sample_volumes("*"))
        latents = _settings(folder, run.latents("*"))
    return Recipe(
        raw=_section("preprocess.raw", prepared["raw"]),
        skull_strip=_section("preprocess.skull_strip", prepared["skull_strip"]),
        grid=read_grid(folder),
        quality=_section("preprocess.quality", prepared["quality"]),
        latents=_section("latents", latents),
        sampling=_section("sampling", sampling),
        segmentation=segmenter,
    )


def recipe_of(settings: Settings) -> Recipe:
    """The same from a config."""
    prepared = settings.preprocess
    return Recipe(
        raw=prepared.raw,
        skull_strip=prepared.skull_strip,
        grid=prepared.grid,
        quality=prepared.quality,
        latents=settings.latents,
        sampling=settings.sampling,
        segmentation=settings.segmentation,
    )


def _section(name: str, values: dict[str, Any]) -> Any:  # noqa: ANN401 - the class `name` says
    return load_section(name, json.dumps(values))


def _settings(folder: Path, products: Path) -> dict[str, Any]:
    """Settings in the sidecar of any one product of a pattern: a run has the same in all."""
    pattern = sidecar_path(products)
    found = next(iter(Layout(folder).find(pattern)), pattern)
    return read_record(found)["settings"]


def without_patients(record: dict[str, Any]) -> dict[str, Any]:
    """A model's record without the names of those it learned from; their number may stay."""
    named = {"inputs"} | ({"patients"} if isinstance(record.get("patients"), list) else set())
    return {key: value for key, value in record.items() if key not in named}


def read_record(path: Path) -> dict[str, Any]:
    """A record of a finished run or a bundle."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HemexpError(
            Fault(
                str(path),
                "no such record",
                "the record that a finished run or a bundle keeps",
                "Name a results folder or a bundle of this version, or give the config of "
                "that run with --config.",
            )
        ) from error
