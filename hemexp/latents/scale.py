"""Normalisation of latents and of their differences, measured over training patients only."""

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors import safe_open
from torch import Tensor

from hemexp import Fault, HemexpError
from hemexp.latents.push import load_push, load_texture
from hemexp.layout import Layout
from hemexp.provenance import describe, write_json
from hemexp.settings import Reference

Target = Literal["difference", "followup"]


@dataclass(frozen=True)
class Scale:
    """Mean and SD per latent channel.

    Attributes:
        latent_mean: Of the scans' latents.
        latent_sd: Of the scans' latents.
        delta_mean: Of follow-up minus reference, which may be the baseline.
        delta_sd: Of follow-up minus reference.
    """

    latent_mean: list[float]
    latent_sd: list[float]
    delta_mean: list[float]
    delta_sd: list[float]

    def normalise_latent(self, latent: Tensor) -> Tensor:
        """Latents (..., c, h, w) to zero mean and unit SD over the training scans."""
        return (latent - _column(self.latent_mean)) / _column(self.latent_sd)

    def normalise_delta(self, delta: Tensor) -> Tensor:
        """Differences (..., c, h, w) to zero mean and unit SD over the training pairs."""
        return (delta - _column(self.delta_mean)) / _column(self.delta_sd)

    def restore_delta(self, normalised: Tensor) -> Tensor:
        """Inverse of `normalise_delta`."""
        return normalised * _column(self.delta_sd) + _column(self.delta_mean)

    def normalise_target(self, kind: Target, reference: Tensor, followup: Tensor) -> Tensor:
        """What the denoiser learns to draw: the difference, or the follow-up's latents whole."""
        if kind == "followup":
            return self.normalise_latent(followup)
        return self.normalise_delta(followup - reference)

    def restore_change(self, kind: Target, drawn: Tensor, reference: Tensor) -> Tensor:
        """Follow-up minus reference that a drawn target means; the way back from there."""
        if kind == "followup":
            return drawn * _column(self.latent_sd) + _column(self.latent_mean) - reference
        return self.restore_delta(drawn)

    def scale_reference(self, baseline: Tensor, reference: Tensor) -> Tensor:
        """How a reference differs from its baseline, in the units of what is drawn."""
        return (reference - baseline) / _column(self.delta_sd).to(reference.device)


def _column(values: list[float]) -> Tensor:
    return torch.tensor(values)[:, None, None]


class Moments:
    """Mean and SD per channel of stacks that come one by one (Chan, Golub and LeVeque 1983)."""

    def __init__(self) -> None:
        """Of nothing yet."""
        self.count = 0
        self.mean = self.squares = torch.zeros((), dtype=torch.float64)

    def add(self, stack: Tensor) -> None:
        """Counts a stack (z, c, h, w) in."""
        values = stack.double().transpose(0, 1).flatten(1)
        mean, count = values.mean(dim=1), values.shape[1]
        squares = (values - mean[:, None]).square().sum(dim=1)
        total, apart = self.count + count, mean - self.mean
        self.squares = self.squares + squares + apart**2 * (self.count * count / total)
        self.mean = self.mean + apart * (count / total)
        self.count = total

    @property
    def sd(self) -> Tensor:
        """Of every channel, unbiased."""
        return (self.squares / (self.count - 1)).sqrt()


def measure_scale(pairs: Iterable[tuple[Tensor, Tensor]]) -> Scale:
    """Measures the scale over (reference, follow-up) latents (z, c, h, w), a pair at a time."""
    latent, delta = Moments(), Moments()
    for reference, followup in pairs:
        latent.add(torch.cat([reference, followup]))
        delta.add(followup - reference)
    parts = (latent.mean, latent.sd, delta.mean, delta.sd)
    return Scale(*(part.tolist() for part in parts))


def load_scale(path: Path) -> Scale:
    """Reads `scale.json`."""
    return Scale(**json.loads(path.read_text(encoding="utf-8"))["scale"])


def _load_pair(path: Path) -> tuple[Tensor, Tensor]:
    """A patient's own latents, without the copies beside them."""
    with safe_open(path, framework="pt") as latents:
        before = "reference" if "reference" in latents.keys() else "baseline"  # noqa: SIM118
        return latents.get_slice(before)[0], latents.get_slice("followup")[0]


def run_fit_scale(layout: Layout, patient_ids: list[str], reference: Reference) -> None:
    """Verb `fit-scale`: `scale.json` from the latents of the training patients.

    What a difference is relative to stands beside its scale: neither means anything alone.
    """
    started = time.perf_counter()
    push = load_push(layout.push) if reference.warp else None
    texture = {"kept_texture": None if reference.is_baseline else load_texture(layout.push)}
    files = [layout.latents(patient_id) for patient_id in patient_ids]
    scale = measure_scale(map(_load_pair, files))
    if min(scale.delta_sd) < 1e-6:
        raise HemexpError(
            Fault(
                f"{layout.scale.parent}, {len(files)} training patients",
                f"latent differences of SD {scale.delta_sd}",
                "follow-ups unlike their baselines",
                "Check that the sheet names each patient's own follow-up.",
            )
        )
    record = describe(verb="fit-scale", settings={}, inputs=files, started=started)
    facts = {
        "scale": asdict(scale),
        "reference": reference.as_json() | {"push": push and push.as_json()} | texture,
        "patients": len(files),
    }
    write_json(layout.scale, facts | record)
