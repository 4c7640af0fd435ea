"""Training stacks of the denoiser: cached latents, normalised, and their conditions."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from safetensors import safe_open
from torch import Tensor

from hemexp.anatomy.reference_model import load_reference
from hemexp.columns import SESSIONS
from hemexp.diffusion.condition import OFFSETS, Condition, RequestKind, build_condition
from hemexp.diffusion.schedule import stack_norms
from hemexp.latents.scale import Scale, Target, load_scale
from hemexp.layout import Layout


class StackLatents(NamedTuple):
    """Latents of n stacks as the denoiser meets them.

    Attributes:
        baseline: (n, z, c, h, w) normalised baseline latents.
        reference: (n, z, c, h, w) how the reference differs from the baseline, in the units of the
            target; None where it is the baseline.
        target: (n, z, c, h, w) what is to be drawn, normalised: the difference as a rule.
    """

    baseline: Tensor
    reference: Tensor | None
    target: Tensor


def normalise(encoded: Mapping[str, Tensor], scale: Scale, target: Target) -> StackLatents:
    """Latents (..., z, c, h, w) as `encode-patients` caches them, made ready for the denoiser."""
    baseline, followup = (encoded[session] for session in SESSIONS)
    reference = encoded.get("reference")
    return StackLatents(
        scale.normalise_latent(baseline),
        None if reference is None else scale.scale_reference(baseline, reference),
        scale.normalise_target(target, baseline if reference is None else reference, followup),
    )


@dataclass(frozen=True)
class HeldLatents:
    """Latents of n patients in memory.

    Of the copies 0 is as scanned, 1 mirrored, and the others are moved.

    Attributes:
        every: Of all, with copies: (n, copies, z, c, h, w).
    """

    every: StackLatents

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, copies, z, c, h, w)."""
        return tuple(self.every.target.shape)

    @property
    def has_reference(self) -> bool:
        """Whether what is drawn is relative to something else than the baseline."""
        return self.every.reference is not None

    def choose(self, patients: Tensor, copies: Tensor) -> StackLatents:
        """Those of some patients (n,), one copy (n,) each."""
        return StackLatents(*(None if p is None else p[patients, copies] for p in self.every))


@dataclass(frozen=True)
class StoredLatents:
    """The same, left in the files of `encode-patients` and read there when they are asked for.

    Memory does not grow with the cohort: a file is mapped, and one copy of it read.

    Attributes:
        files: One a patient.
        scale: Normalisation.
        target: What is drawn.
        shape: (n, copies, z, c, h, w).
        has_reference: As above.
    """

    files: list[Path]
    scale: Scale
    target: Target
    shape: tuple[int, ...]
    has_reference: bool

    def choose(self, patients: Tensor, copies: Tensor) -> StackLatents:
        """Those of some patients (n,), one copy (n,) each."""
        pairs = zip(patients.tolist(), copies.tolist(), strict=True)
        parts = zip(*(self._read(*pair) for pair in pairs), strict=True)
        return StackLatents(*(None if part[0] is None else torch.stack(part) for part in parts))

    def _read(self, patient: int, copy: int) -> StackLatents:
        names = [*SESSIONS, *(["reference"] if self.has_reference else [])]
        with safe_open(self.files[patient], framework="pt") as stored:
            encoded = {name: stored.get_slice(name)[copy] for name in names}
            return normalise(encoded, self.scale, self.target)


@dataclass(frozen=True)
class Stacks:
    """Stacks of n patients and their copies.

    Attributes:
        latents: What they look like.
        condition: (n, copies, ...), with what truly happened as the request.
        position_mm: (n, 3) of the baseline bleed seen from the brain's centroid.
        expands: (n,) bool.
    """

    latents: HeldLatents | StoredLatents
    condition: Condition
    position_mm: Tensor
    expands: Tensor

    @property
    def slice_spacing_mm(self) -> float:
        """Distance between slices."""
        offsets_mm = self.condition.offset_z_mm[0, 0]
        return float(offsets_mm[1] - offsets_mm[0])

    def expander_norms(self) -> Tensor:
        """Euclidean norm of the target of every expander, as scanned; one is read at a time."""
        scanned = torch.zeros(1, dtype=torch.long)
        expanders = self.expands.nonzero()
        return torch.cat(
            [stack_norms(self.latents.choose(one, scanned).target) for one in expanders]
        )


PLACE = (*OFFSETS, "drift_mm", "position_mm")
"""What else a file of latents holds."""


def load_stacks(table: pd.DataFrame, layout: Layout, kind: RequestKind, target: Target) -> Stacks:
    """Stacks of patients with a known outcome; their latents stay in their files.

    Args:
        table: Rows of the sheet joined with native volumes, `growth_ml` and `he`.
        layout: Of the run: latents and their scale.
        kind: What the denoiser is conditioned on.
        target: What it draws.
    """
    files = [layout.latents(patient_id) for patient_id in table.index]
    place: dict[str, list[Tensor]] = {name: [] for name in PLACE}
    for file in files:
        with safe_open(file, framework="pt") as stored:
            shape = stored.get_slice("followup").get_shape()
            has_reference = "reference" in stored.keys()  # noqa: SIM118
            for name, parts in place.items():
                parts.append(stored.get_tensor(name).clone())  # else the whole file stays mapped
    scale, shape = load_scale(layout.scale), (len(files), *shape)
    return Stacks(
        StoredLatents(files, scale, target, shape, has_reference),
        *describe_stacks(
            table,
            {name: torch.stack(parts) for name, parts in place.items()},
            kind,
            tells_ivh=load_reference(layout.scale).kind.ivh,
        ),
    )


def make_stacks(
    table: pd.DataFrame,
    encoded: dict[str, Tensor],
    scale: Scale,
    kind: RequestKind,
    target: Target,
    *,
    tells_ivh: bool = False,
) -> Stacks:
    """Stacks of n patients, held in memory; see `load_stacks`.

    Args:
        table: The patients.
        encoded: What `encode-patients` caches, stacked in their order.
        scale: Normalisation.
        kind: What the denoiser is conditioned on.
        target: What it draws.
        tells_ivh: Whether the denoiser is told the IVH growth.
    """
    held = HeldLatents(normalise(encoded, scale, target))
    return Stacks(held, *describe_stacks(table, encoded, kind, tells_ivh=tells_ivh))


def describe_stacks(
    table: pd.DataFrame, place: Mapping[str, Tensor], kind: RequestKind, *, tells_ivh: bool
) -> tuple[Condition, Tensor, Tensor]:
    """What `Stacks` hold of n patients beside latents; see `make_stacks`."""
    growth_ml, he = (
        torch.tensor(table[name].to_numpy(dtype=float)) for name in ("growth_ml", "he")
    )
    ivh_growth_ml = None
    if tells_ivh:
        grown = table["followup_ivh_ml"] - table["baseline_ivh_ml"]
        ivh_growth_ml = torch.tensor(grown.to_numpy(dtype=float))
    patients = (patient for _, patient in table.iterrows())
    condition = build_condition(kind, patients, growth_ml, he == 1, place, ivh_growth_ml)
    return condition, place["position_mm"], he == 1


def draw_copies(n: int, copies: int, copy_prob: float, generator: torch.Generator) -> Tensor:
    """Draws which copy of n patients' pairs is taken: 0, the pair itself, or any other."""
    chance, other = torch.rand((2, n), generator=generator)
    return torch.where(chance < copy_prob, 1 + (other * (copies - 1)).long(), 0)


def draw_patients(
    expands: Tensor, n: int, expander_share: float, generator: torch.Generator
) -> Tensor:
    """Draws n patient indices with replacement, a fixed share of them expanders.

    For stacks that are told their growth: what is told is then not learned to be this frequent.
    A fraction of a patient left over by the share goes to either side at random.
    """
    exact = n * expander_share
    share = int(exact) + int(torch.rand((), generator=generator) < exact - int(exact))
    pools = (expands.nonzero().flatten(), (~expands).nonzero().flatten())
    parts = [
        pool[torch.randint(len(pool), (k,), generator=generator)]
        for pool, k in zip(pools, (share, n - share), strict=True)
    ]
    return torch.cat(parts)
