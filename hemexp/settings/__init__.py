"""Typed settings, one class a room. Their values live in `config/base.yaml` and the presets.

Nothing has a default here: unknown keys, missing keys and wrong types are refused by name
(`config.py` reads them). The text below a field is its description in `settings.md`. Import
from here: what stands in this package is no part of a code hash, for its values are params.
"""

from hemexp.settings.autoencoder import Autoencoder
from hemexp.settings.diffusion import Diffusion
from hemexp.settings.evaluation import Evaluation
from hemexp.settings.expansion import Expansion
from hemexp.settings.latents import Latents, Reference
from hemexp.settings.phantom import Phantom
from hemexp.settings.preprocess import (
    Grid,
    MaskLabels,
    NearLimits,
    Preprocess,
    QualityLimits,
    RawInput,
    Registration,
    ShareLimits,
    SkullStrip,
)
from hemexp.settings.reporting import Reporting
from hemexp.settings.run import Settings, TrainingProcesses
from hemexp.settings.sampling import Sampling
from hemexp.settings.section import Section
from hemexp.settings.segmentation import CommandLabels, Segmentation

__all__ = [
    "Autoencoder",
    "CommandLabels",
    "Diffusion",
    "Evaluation",
    "Expansion",
    "Grid",
    "Latents",
    "MaskLabels",
    "NearLimits",
    "Phantom",
    "Preprocess",
    "QualityLimits",
    "RawInput",
    "Reference",
    "Registration",
    "Reporting",
    "Sampling",
    "Section",
    "Segmentation",
    "Settings",
    "ShareLimits",
    "SkullStrip",
    "TrainingProcesses",
]
