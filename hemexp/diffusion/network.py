"""The denoiser: MONAI's 2D U-Net over slices, joined along z where the stack is one object."""

import json
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hemexp import Fault, HemexpError
from hemexp.anatomy.reference_model import ReferenceModel, load_reference
from hemexp.diffusion.condition import Condition, ConditionEncoder, outward_drift
from hemexp.diffusion.drift import DriftModel
from hemexp.diffusion.schedule import Schedule, clean_from_v
from hemexp.latents.scale import Scale, load_scale
from hemexp.layout import Layout
from hemexp.monai_parts import DiffusionModelUNet
from hemexp.settings import Diffusion
from hemexp.training import load_weights

TIME_SCALE = 1000.0
"""MONAI's sinusoidal time embedding expects steps of 0..1000."""


class ThroughPlane(nn.Module):
    """A U-Net block, then time and condition, then mixing along z; starts as the identity.

    Features are scaled and shifted by the embedding of time and condition (FiLM, Perez 2018): the
    block itself only adds it, and a growth that is added alone is followed less well
    (drawn_scans.md). Then a residual 1D convolution along z at every pixel, and where asked
    attention between slices on pooled features. All end in zero-initialised layers.
    """

    def __init__(
        self, block: nn.Module, channels: int, embedding_size: int, n_slices: int, attention: bool
    ) -> None:
        """Wraps `block` for stacks of `n_slices`.

        Args:
            block: Takes features and the embedding, gives `channels` channels.
            channels: Of its output.
            embedding_size: Of the embedding of time and condition.
            n_slices: Of a stack.
            attention: Whether slices attend to each other.
        """
        super().__init__()
        self.block, self.n_slices = block, n_slices
        self.film = nn.Sequential(nn.SiLU(), nn.Linear(embedding_size, 2 * channels))
        nn.init.zeros_(self.film[1].weight)
        nn.init.zeros_(self.film[1].bias)
        self.conv = nn.Conv1d(channels, channels, kernel_size=3, padding=1)
        nn.init.zeros_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)
        self.attention = (
            nn.MultiheadAttention(channels, 4, batch_first=True) if attention else None
        )
        if self.attention is not None:
            self.norm = nn.LayerNorm(channels)
            nn.init.zeros_(self.attention.out_proj.weight)

    def forward(self, features: Tensor, embedding: Tensor) -> Tensor:
        """Features (n * z, c, h, w) of slices, scaled by their embedding (n * z, size), mixed."""
        out = self.block(features, embedding)
        scale, shift = self.film(embedding)[..., None, None].chunk(2, dim=1)
        out = out * (1 + scale) + shift
        out = out + self._mix_slices(out)
        if self.attention is not None:
            pooled = self.norm(out.mean(dim=(2, 3)).unflatten(0, (-1, self.n_slices)))
            shared, _ = self.attention(pooled, pooled, pooled, need_weights=False)
            out = out + shared.flatten(0, 1)[..., None, None]
        return out

    def _mix_slices(self, features: Tensor) -> Tensor:
        """What the convolution along z adds to features (n * z, c, h, w).

        It is done in the plane of z and pixels: with channels last nothing is copied into another
        order for it.
        """
        stacks = features.unflatten(0, (-1, self.n_slices)).flatten(3).transpose(1, 2)
        weight, bias = self.conv.weight[..., None], self.conv.bias
        mixed = nn.functional.conv2d(stacks, weight, bias, padding=(1, 0))
        return mixed.transpose(1, 2).reshape(features.shape)


class Denoiser(nn.Module):
    """Predicts v for stacks of noisy latent differences."""

    def __init__(
        self,
        settings: Diffusion,
        latent_channels: int,
        n_slices: int,
        *,
        reference: bool = False,
        ivh: bool = False,
    ) -> None:
        """Builds the U-Net; with `stack` its levels are joined along z.

        Args:
            settings: The room's settings.
            latent_channels: Of the latents.
            n_slices: Of a stack.
            reference: Whether differences are relative to something else than the baseline.
            ivh: Whether an IVH growth is told.
        """
        super().__init__()
        channels = settings.channels
        self.aims = settings.condition == "growth"
        shown = 1 + settings.context_slices + reference
        self.unet = DiffusionModelUNet(
            spatial_dims=2,
            in_channels=latent_channels * shown + self.aims,
            out_channels=latent_channels,
            num_res_blocks=settings.res_blocks,
            channels=channels,
            attention_levels=settings.attention_levels,
            num_head_channels=channels[-1] // 4,
            norm_num_groups=settings.norm_groups,
            num_class_embeds=1,
            # The same weights and, but for rounding, answers, in one kernel for many.
            use_flash_attention=True,
        )
        self.unet.class_embedding = ConditionEncoder(settings.condition, 4 * channels[0], ivh=ivh)
        if settings.denoiser == "stack":
            self._join_slices(channels, n_slices)

    def _join_slices(self, channels: list[int], n_slices: int) -> None:
        def joined(block: nn.Module, width: int, attention: bool = False) -> ThroughPlane:
            return ThroughPlane(block, width, 4 * channels[0], n_slices, attention)

        for level, block in enumerate(self.unet.down_blocks):
            block.resnets[-1] = joined(block.resnets[-1], channels[level])
        middle = self.unet.middle_block
        middle.resnet_2 = joined(middle.resnet_2, channels[-1], attention=True)
        for level, block in enumerate(self.unet.up_blocks):
            block.resnets[-1] = joined(block.resnets[-1], channels[-1 - level])

    def forward(
        self, noisy: Tensor, time: Tensor, context: Tensor, condition: Condition
    ) -> Tensor:
        """Predicts v.

        Args:
            noisy: (n, z, c, h, w).
            time: (n,) in 0..1.
            context: (n, z, ..., h, w) of `show_stack`.
            condition: Of the n stacks.

        Returns:
            (n, z, c, h, w).
        """
        n, z = noisy.shape[:2]
        outward = [outward_drift(condition)] if self.aims else []
        images = torch.cat([noisy, context, *outward], dim=2).flatten(0, 1)
        times = (time * TIME_SCALE)[:, None].expand(n, z).flatten()
        return self.unet(images, times, class_labels=condition).unflatten(0, (n, z))


def context_stack(baseline: Tensor, slices: int, step: int) -> Tensor:
    """Baseline latents of each slice and its neighbours.

    Args:
        baseline: (n, z, c, h, w).
        slices: Odd number of context slices.
        step: Slices between neighbours in the context.

    Returns:
        (n, z, c * slices, h, w); beyond the ends of the stack the last slice is repeated.
    """
    z = baseline.shape[1]
    position = torch.arange(z, device=baseline.device)
    offsets = [(k - slices // 2) * step for k in range(slices)]
    return torch.cat([baseline[:, (position + k).clamp(0, z - 1)] for k in offsets], dim=2)


def show_stack(baseline: Tensor, reference: Tensor | None, slices: int, step: int) -> Tensor:
    """What the denoiser sees of each slice, (n, z, ..., h, w): its context and the reference.

    Args:
        baseline: (n, z, c, h, w).
        reference: (n, z, c, h, w) how it differs from the baseline; None where it does not.
        slices: As for `context_stack`.
        step: As for `context_stack`.
    """
    context = context_stack(baseline, slices, step)
    return context if reference is None else torch.cat([context, reference], dim=2)


def context_stride(context_mm: float, slice_spacing_mm: float) -> int:
    """Slices that lie nearest to the context distance, at least 1."""
    return max(1, round(context_mm / slice_spacing_mm))


class Guidance(NamedTuple):
    """Weights w of null + w (conditional - null): 0 is the learned null, 1 the plain conditional.

    Attributes:
        drive: Of what drives growth.
        clinical: Of the clinical values.
    """

    drive: float = 1.0
    clinical: float = 1.0

    def passes(self, condition: Condition) -> list[tuple[float, Condition]]:
        """What the network is asked, and the weight of each answer; weights add up to 1.

        The answer is linear in either weight, so that each end is exact: the product of the line
        through drive hidden and shown and of that through clinical values hidden and shown. What
        has no weight is not asked: one pass where both weights are 0 or 1, else two or four.
        """

        def ends(weight: float) -> list[tuple[bool, float]]:
            return [(hide, w) for hide, w in ((False, weight), (True, 1 - weight)) if w]

        return [
            (drive * clinical, condition.without(clinical=no_clinical, request=no_drive))
            for no_clinical, clinical in ends(self.clinical)
            for no_drive, drive in ends(self.drive)
        ]


PLAIN = Guidance()


@dataclass(frozen=True)
class DiffusionModel:
    """A trained denoiser with all that sampling needs to know of it.

    Attributes:
        network: Predicts v.
        settings: It was trained with.
        schedule: Of noise, in training and sampling.
        context_stride: Slices between neighbours in the context.
        drift: Where bleeds grow to.
        scale: Normalisation of latents and differences.
        reference: What differences are relative to.
    """

    network: Denoiser
    settings: Diffusion
    schedule: Schedule
    context_stride: int
    drift: DriftModel
    scale: Scale
    reference: ReferenceModel

    def hide_untrained(self, condition: Condition) -> Condition:
        """The condition without what training always hid (a dropout of 1): it means nothing."""
        return condition.without(
            clinical=self.settings.clinical_dropout == 1,
            request=self.settings.condition_dropout == 1,
        )

    def denoise(
        self,
        noisy: Tensor,
        lam: float,
        context: Tensor,
        condition: Condition,
        guidance: Guidance = PLAIN,
    ) -> Tensor:
        """Expected clean difference given a noisy one at half log-SNR `lam`.

        Guidance is written for eps; at a fixed noise level it is the same in v.

        Args:
            noisy: (n, z, c, h, w).
            lam: Half log-SNR.
            context: (n, z, ..., h, w) of `show_stack`.
            condition: Of the n stacks.
            guidance: Weights of drive and clinical values.
        """
        level = torch.tensor(lam, device=noisy.device)
        time = self.schedule.time(level).expand(len(noisy))
        v = torch.zeros_like(noisy)
        for weight, part in guidance.passes(condition):
            # Weights may exceed 1 and differ in sign: fp32, under autocast too.
            v += weight * self.network(noisy, time, context, part).float()
        return clean_from_v(noisy, v, level)


FACTS = ("settings", "latent_channels", "n_slices", "schedule", "context_stride", "drift")
"""What `model.json` says of a denoiser."""


def load_diffusion(layout: Layout, device: torch.device) -> DiffusionModel:
    """Rebuilds the model of `model.json` with the weights of `model.safetensors`, and its scale.

    Raises:
        HemexpError: Another version of hemexp wrote it.
    """
    files = layout.network("diffusion")
    record = json.loads(files.model.read_text(encoding="utf-8"))
    if missing := [name for name in FACTS if name not in record]:
        raise HemexpError(
            Fault(
                str(files.model),
                f"nothing about {', '.join(missing)}",
                f"a denoiser's {', '.join(FACTS)}",
                "Train it again with this version.",
            )
        )
    settings = Diffusion.model_validate(record["settings"])
    reference = load_reference(layout.scale)
    network = Denoiser(
        settings,
        record["latent_channels"],
        record["n_slices"],
        reference=not reference.kind.is_baseline,
        ivh=reference.kind.ivh,
    )
    load_weights(files.weights, network).to(device)
    return DiffusionModel(
        network,
        settings,
        Schedule(**record["schedule"]),
        record["context_stride"],
        DriftModel(**record["drift"]),
        load_scale(layout.scale),
        reference,
    )
