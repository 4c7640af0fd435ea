"""Training stacks of the denoiser: cached latents, normalised, and their conditions."""

from dataclasses import dataclass

import pandas as pd
import torch
from safetensors.torch import load_file
from torch import Tensor

from hemexp.anatomy.reference import load_reference
from hemexp.columns import SESSIONS
from hemexp.diffusion.condition import Condition, RequestKind, build_condition
from hemexp.latents.scale import Scale, Target, load_scale
from hemexp.layout import Layout


@dataclass(frozen=True)
class Stacks:
    """Stacks of n patients; index 0 of the second axis is as scanned, 1 mirrored, others moved.

    Attributes:
        baseline: (n, copies, z, c, h, w) normalised baseline latents.
        reference: (n, copies, z, c, h, w) how the reference differs from the baseline, in the
            units of the target; None where it is the baseline.
        target: (n, copies, z, c, h, w) what is to be drawn, normalised: the difference as a rule.
        condition: (n, copies, ...), with what truly happened as the request.
        position_mm: (n, 3) of the baseline bleed seen from the brain's centroid.
        expands: (n,) bool.
    """

    baseline: Tensor
    reference: Tensor | None
    target: Tensor
    condition: Condition
    position_mm: Tensor
    expands: Tensor

    @property
    def slice_spacing_mm(self) -> float:
        """Distance between slices."""
        offsets_mm = self.condition.offset_z_mm[0, 0]
        return float(offsets_mm[1] - offsets_mm[0])


def load_stacks(table: pd.DataFrame, layout: Layout, kind: RequestKind, target: Target) -> Stacks:
    """Loads the cached latents of patients with a known outcome.

    Args:
        table: Rows of the sheet joined with native volumes, `growth_ml` and `he`.
        layout: Of the run: latents and their scale.
        kind: What the denoiser is conditioned on.
        target: What it draws.
    """
    files = [load_file(layout.latents(patient_id)) for patient_id in table.index]
    # Taken out one by one: twice all latents would not fit where once they do.
    stored = {name: torch.stack([one.pop(name) for one in files]) for name in list(files[0])}
    tells_ivh = load_reference(layout.scale).kind.ivh
    return make_stacks(table, stored, load_scale(layout.scale), kind, target, tells_ivh=tells_ivh)


def make_stacks(
    table: pd.DataFrame,
    encoded: dict[str, Tensor],
    scale: Scale,
    kind: RequestKind,
    target: Target,
    *,
    tells_ivh: bool = False,
) -> Stacks:
    """Puts together what is known of n patients; see `load_stacks`.

    Args:
        table: The patients.
        encoded: What `encode-patients` caches, stacked in their order.
        scale: Normalisation.
        kind: What the denoiser is conditioned on.
        target: What it draws.
        tells_ivh: Whether the denoiser is told the IVH growth.
    """
    baseline, followup = (encoded[session] for session in SESSIONS)
    reference = encoded.get("reference")
    growth_ml, he = (
        torch.tensor(table[name].to_numpy(dtype=float)) for name in ("growth_ml", "he")
    )
    ivh_growth_ml = None
    if tells_ivh:
        grown = table["followup_ivh_ml"] - table["baseline_ivh_ml"]
        ivh_growth_ml = torch.tensor(grown.to_numpy(dtype=float))
    patients = (patient for _, patient in table.iterrows())
    return Stacks(
        scale.normalise_latent(baseline),
        None if reference is None else scale.scale_reference(baseline, reference),
        scale.normalise_target(target, baseline if reference is None else reference, followup),
        build_condition(kind, patients, growth_ml, he == 1, encoded, ivh_growth_ml),
        encoded["position_mm"],
        he == 1,
    )


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
