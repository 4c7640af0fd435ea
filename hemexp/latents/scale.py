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
from hemexp.latents.zones import ZONES
from hemexp.provenance import describe, patient_file, write_json
from hemexp.settings import Latents

Target = Literal["difference", "followup"]


LEAST_SHARE = 0.05
"""Least SD of a zone's differences, as a share of all: outside the head nothing may differ."""


@dataclass(frozen=True)
class Scale:
    """Mean and SD per latent channel; of differences also per zone of the baseline.

    A difference is 20 times wider at the bleed than outside the head. With one SD for all, the
    denoiser has to learn this factor voxel by voxel, and had not: where nothing happened its
    samples differed from the baseline half as much as true follow-ups do at the bleed, and three
    times as much outside the head.

    Attributes:
        latent_mean: Of the scans' latents, (c,).
        latent_sd: Of the scans' latents, (c,).
        delta_mean: Of follow-up minus baseline, (zones, c).
        delta_sd: Of follow-up minus baseline, (zones, c).
    """

    latent_mean: list[float]
    latent_sd: list[float]
    delta_mean: list[list[float]]
    delta_sd: list[list[float]]

    def normalise_latent(self, latent: Tensor) -> Tensor:
        """Latents (..., c, h, w) to zero mean and unit SD over the training scans."""
        return (latent - _column(self.latent_mean)) / _column(self.latent_sd)

    def normalise_delta(self, delta: Tensor, zones: Tensor) -> Tensor:
        """Differences (..., c, h, w) in zones (..., h, w) to zero mean and unit SD over pairs."""
        return (delta - _by_zone(self.delta_mean, zones)) / _by_zone(self.delta_sd, zones)

    def restore_delta(self, normalised: Tensor, zones: Tensor) -> Tensor:
        """Inverse of `normalise_delta`."""
        return normalised * _by_zone(self.delta_sd, zones) + _by_zone(self.delta_mean, zones)

    def normalise_target(
        self, kind: Target, baseline: Tensor, followup: Tensor, zones: Tensor
    ) -> Tensor:
        """What the denoiser learns to draw: the difference, or the follow-up's latents whole."""
        if kind == "followup":
            return self.normalise_latent(followup)
        return self.normalise_delta(followup - baseline, zones)

    def restore_change(
        self, kind: Target, drawn: Tensor, baseline: Tensor, zones: Tensor
    ) -> Tensor:
        """Follow-up minus baseline that a drawn target means; the way back from there."""
        if kind == "followup":
            return drawn * _column(self.latent_sd) + _column(self.latent_mean) - baseline
        return self.restore_delta(drawn, zones)

    def loss_weight(self, kind: Target, zones: Tensor) -> Tensor:
        """Weight (..., 1, h, w) of every cell in the loss: its variance, 1 on average over zones.

        So the loss counts errors in the latents' own units, wherever they are.
        """
        if kind == "followup":
            return torch.ones(zones.shape, dtype=torch.float32).unsqueeze(-3)
        weight = torch.tensor(self.delta_sd).square().mean(dim=1)
        return weight[zones.long()].unsqueeze(-3)


def _column(values: list[float]) -> Tensor:
    return torch.tensor(values)[:, None, None]


def _by_zone(table: list[list[float]], zones: Tensor) -> Tensor:
    """Rows of a table (zones, c) for zones (..., h, w): (..., c, h, w)."""
    return torch.tensor(table)[zones.long()].movedim(-1, -3)


def measure_scale(pairs: list[tuple[Tensor, Tensor, Tensor]], zoned: bool = True) -> Scale:
    """Measures the scale over (baseline, follow-up, zones), each (z, c, h, w), zones (z, h, w).

    Args:
        pairs: Of the training patients.
        zoned: Whether differences have a mean and SD in every zone, or in all together.
    """

    def moments(values: Tensor) -> tuple[list[float], list[float]]:
        return values.mean(dim=0).tolist(), values.std(dim=0).tolist()

    def flat(stacks: Iterable[Tensor]) -> Tensor:
        return torch.cat([stack.double().movedim(1, -1).flatten(0, 2) for stack in stacks])

    latent = moments(flat(scan for pair in pairs for scan in pair[:2]))
    delta = flat(followup - baseline for baseline, followup, _ in pairs)
    zone = torch.cat([zones.flatten() for *_, zones in pairs])
    mean, sd = moments(delta)
    rows = []
    for k in range(ZONES):
        inside = delta[zone == k] if zoned else delta
        row = moments(inside) if len(inside) > 1 else (mean, sd)
        least = [LEAST_SHARE * one for one in sd]
        rows.append((row[0], [*map(max, row[1], least)]))
    return Scale(*latent, *(list(part) for part in zip(*rows, strict=True)))


def load_scale(path: Path) -> Scale:
    """Reads `scale.json`."""
    return Scale(**json.loads(path.read_text(encoding="utf-8"))["scale"])


def _load_pair(path: Path) -> tuple[Tensor, Tensor, Tensor]:
    """A patient's own latents and zones; the copies beside them would fill the memory."""
    with safe_open(path, framework="pt") as latents:
        baseline, followup, zones = map(latents.get_tensor, ("baseline", "followup", "zones"))
        return baseline, followup, zones


def run_fit_scale(patient_ids: list[str], latents: Path, out: Path, settings: Latents) -> None:
    """Verb `fit-scale`: `scale.json` from the latents of the training patients."""
    started = time.perf_counter()
    files = [
        patient_file(latents, patient_id, "latents.safetensors") for patient_id in patient_ids
    ]
    scale = measure_scale([_load_pair(path) for path in files], settings.zoned)
    if min(map(min, scale.delta_sd)) < 1e-6:
        raise HemexpError(
            Fault(f"{latents}, {len(files)} training patients",
                  f"latent differences of SD {scale.delta_sd}",
                  "follow-ups unlike their baselines",
                  "Check that the sheet names each patient's own follow-up.")
        )  # fmt: skip
    record = describe(verb="fit-scale", settings=settings.as_json(), inputs=files, started=started)
    write_json(out, {"scale": asdict(scale), "patients": len(files), **record})
