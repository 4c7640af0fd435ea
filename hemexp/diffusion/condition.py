"""What a sample is conditioned on: clinical variables, the request, the bleed's place."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, Self

import pandas as pd
import torch
from torch import Tensor, nn

from hemexp.columns import INTERVAL

CLINICAL_SCALE = {
    "onset_to_ct_h": (0.0, 24.0),
    "baseline_iph_ml": (0.0, 250.0),
    "age": (0.0, 100.0),
    "gcs": (3.0, 12.0),
    "sbp": (0.0, 250.0),
    "anticoagulant": (0.0, 1.0),
    "antiplatelet": (0.0, 1.0),
    INTERVAL: (0.0, 72.0),
}
"""Offset and divisor of every clinical variable; results are cut to 0..1 (method.md 5)."""

OFFSET_SCALE_MM, DRIFT_SCALE_MM = 50.0, 5.0
REQUEST_SIZE = {"growth": 3, "flag": 1}
IVH_SIZE = 3
"""Features of a request's IVH growth, after those of its growth."""

OFFSETS = ("offset_z_mm", "offset_x_mm", "offset_y_mm")
"""Of the latents to the baseline bleed, in a file of latents: one row a copy of the pair."""

RequestKind = Literal["growth", "flag"]
"""What a denoiser is conditioned on."""


def clinical_vector(patient: pd.Series, kind: RequestKind) -> Tensor:
    """The clinical variables and the hours between the scans (8,) to 0..1; NaN where unknown.

    Args:
        patient: A row of the sheet with `baseline_iph_ml`; it may lack the hours.
        kind: What the denoiser is conditioned on; the published design (`flag`) knows no hours.
    """
    known = {INTERVAL: math.nan, **patient} | ({INTERVAL: math.nan} if kind == "flag" else {})
    values = [
        (float(known[name]) - offset) / divisor
        for name, (offset, divisor) in CLINICAL_SCALE.items()
    ]
    return torch.tensor(values, dtype=torch.float32).clamp(0, 1)


def growth_features(growth_ml: Tensor, baseline_ml: Tensor) -> Tensor:
    """Three views of a target growth (n, 3): linear, signed log, relative (method.md 5).

    Args:
        growth_ml: (n,) in mL; the follow-up volume is kept above 0.05 mL.
        baseline_ml: (n,) in mL.
    """
    ratio = (baseline_ml + growth_ml).clamp(min=0.05) / baseline_ml
    signed_log = growth_ml.sign() * torch.log1p(growth_ml.abs())
    return torch.stack([growth_ml / 10, signed_log, 3 * torch.log(ratio)], dim=1).float()


def ivh_features(ivh_growth_ml: Tensor, baseline_ivh_ml: Tensor) -> Tensor:
    """Three views of a told IVH growth (n, 3): linear, signed log, what was there before.

    Args:
        ivh_growth_ml: (n,) in mL.
        baseline_ivh_ml: (n,) in mL, or (1,) of one patient.
    """
    signed_log = 1.5 * ivh_growth_ml.sign() * torch.log1p(ivh_growth_ml.abs())
    before = torch.log1p(baseline_ivh_ml).expand_as(ivh_growth_ml)
    return torch.stack([ivh_growth_ml / 5, signed_log, before], dim=1).float()


@dataclass(frozen=True)
class Condition:
    """Conditions of n stacks of z slices.

    Attributes:
        clinical: (n, 8), NaN where unknown.
        request: (n, 3) growth features, (n, 6) with those of IVH, or (n, 1) flag; NaN rows mean
            the learned null.
        drift_mm: (n, 3) along z, x, y: where the bleed's centroid moves to; NaN where unknown.
        offset_z_mm: (n, z) distance of every slice of latents to the baseline bleed's centroid.
        offset_x_mm: (n, h) the same of every row.
        offset_y_mm: (n, w) the same of every column.
    """

    clinical: Tensor
    request: Tensor
    drift_mm: Tensor
    offset_z_mm: Tensor
    offset_x_mm: Tensor
    offset_y_mm: Tensor

    def without(self, clinical: Tensor | bool = False, request: Tensor | bool = False) -> Self:
        """Hides clinical vectors, or requests and drifts, where the mask (n,) says."""
        hide = [
            torch.as_tensor(mask, device=self.request.device).reshape(-1, 1)
            for mask in (clinical, request)
        ]
        nan = torch.full((), torch.nan, device=self.request.device)
        return replace(
            self,
            clinical=torch.where(hide[0], nan, self.clinical),
            request=torch.where(hide[1], nan, self.request),
            drift_mm=torch.where(hide[1], nan, self.drift_mm),
        )

    def to(self, device: torch.device) -> Self:
        """Moves all parts to a device."""
        return replace(self, **{name: value.to(device) for name, value in vars(self).items()})

    def __getitem__(self, index: slice | Tensor | tuple[slice | int | Tensor, ...]) -> Self:
        """Some of the stacks."""
        return replace(self, **{name: value[index] for name, value in vars(self).items()})


def build_condition(
    kind: RequestKind,
    patients: Iterable[pd.Series],
    growth_ml: Tensor,
    flag: Tensor,
    place: Mapping[str, Tensor],
    ivh_growth_ml: Tensor | None = None,
) -> Condition:
    """Conditions (n, copies, ...) of n stacks and their copies, for training and sampling alike.

    Args:
        kind: What the denoiser is conditioned on.
        patients: Rows of the sheet with `baseline_iph_ml`: n, or one for all stacks.
        growth_ml: (n,) target growth; NaN means the learned null.
        flag: (n,) expansion indicator; NaN means the learned null.
        place: `drift_mm` (n, copies, 3) and those of `OFFSETS` (n or 1, copies, ...).
        ivh_growth_ml: (n,) told IVH growth, where the denoiser is told one.
    """
    rows = list(patients)
    iph_ml, ivh_ml = (
        torch.tensor([float(row[f"baseline_{blood}_ml"]) for row in rows], dtype=torch.float64)
        for blood in ("iph", "ivh")
    )
    clinical = torch.stack([clinical_vector(row, kind) for row in rows])
    request = growth_features(growth_ml, iph_ml) if kind == "growth" else flag.float()[:, None]
    if ivh_growth_ml is not None:
        request = torch.cat([request, ivh_features(ivh_growth_ml, ivh_ml)], dim=1)
    size = place["drift_mm"].shape[:2]
    return Condition(
        *(part[:, None].expand(*size, -1) for part in (clinical, request)),
        drift_mm=place["drift_mm"].float(),
        **{name: place[name].expand(*size, -1) for name in OFFSETS},
    )


def outward_drift(condition: Condition) -> Tensor:
    """How much further than elsewhere growth reaches at every latent (n, z, 1, h, w).

    The drift's part along the way from the bleed's centroid to the latent, in units of 5 mm: a
    number for the whole stack, as an image that a convolution can read. 0 where it is unknown.
    """
    z = condition.offset_z_mm[:, :, None, None]
    x = condition.offset_x_mm[:, None, :, None]
    y = condition.offset_y_mm[:, None, None, :]
    away_mm = DRIFT_SCALE_MM + (z**2 + x**2 + y**2).sqrt()
    drift_z, drift_x, drift_y = condition.drift_mm[:, :, None, None, None].unbind(dim=1)
    along = drift_z * z + drift_x * x + drift_y * y
    return (along / away_mm / DRIFT_SCALE_MM).nan_to_num(0)[:, :, None]


class ConditionEncoder(nn.Module):
    """Embeds a `Condition` slice by slice; added to the time embedding of the U-Net.

    It stands in the place of MONAI's class embedding, which may be any module.
    """

    def __init__(self, kind: RequestKind, size: int, *, ivh: bool = False) -> None:
        """Makes three small networks whose outputs (n * z, size) are added."""
        super().__init__()
        told = REQUEST_SIZE[kind] + ivh * IVH_SIZE
        self.unknown_clinical = nn.Parameter(torch.zeros(len(CLINICAL_SCALE)))
        self.null_request = nn.Parameter(torch.zeros(told))
        self.clinical = _mlp(2 * len(CLINICAL_SCALE), size)
        self.request = _mlp(told + 1, size)
        self.place = _mlp(2, size)

    def forward(self, condition: Condition) -> Tensor:
        """Embedding (n * z, size), stacks in order, slices within."""
        offset = condition.offset_z_mm / OFFSET_SCALE_MM
        n, z = offset.shape
        per_stack = self.clinical(
            _filled(condition.clinical, self.unknown_clinical, per_value=True)
        )
        per_stack = per_stack + self.request(
            _filled(condition.request, self.null_request, per_value=False)
        )
        per_slice = self.place(torch.stack([offset, offset.abs()], dim=-1))
        return (per_stack[:, None] + per_slice).reshape(n * z, -1)


def _filled(values: Tensor, unknown: Tensor, *, per_value: bool) -> Tensor:
    """Values with learned ones in place of NaN, and beside them what is known (1) or not (0)."""
    known = ~torch.isnan(values)
    filled = torch.where(known, values, unknown)
    known = known if per_value else known.all(dim=1, keepdim=True)
    return torch.cat([filled, known.to(values.dtype)], dim=1)


def _mlp(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.SiLU(), nn.Linear(outputs, outputs))
