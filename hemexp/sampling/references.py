"""What the samples of one patient are drawn relative to, one reference a sample."""

from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from hemexp.anatomy.boxes import Frame
from hemexp.anatomy.prepared import Prepared
from hemexp.anatomy.reference import ReferenceScan, Told, make_reference
from hemexp.anatomy.shell import BleedHu
from hemexp.autoencoder.network import MultiHeadVae
from hemexp.latents.encode import encode_images
from hemexp.latents.read import reference_images
from hemexp.sampling.workers import Workers, taking_turns


class Level(NamedTuple):
    """By how much more blood a reference is made than was told of its sample.

    Attributes:
        iph_ml: In the shell.
        ivh_ml: In the ventricles.
    """

    iph_ml: float
    ivh_ml: float


NO_MORE = Level(0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Drawn:
    """One drawn stack of latents, and what it was drawn relative to.

    Attributes:
        latents: (z, c, h, w) of the follow-up.
        reference: (z, c, h, w) of the reference.
        scan: The reference itself.
    """

    latents: Tensor
    reference: Tensor
    scan: ReferenceScan

    def moved_from(self, other: "Drawn") -> Tensor:
        """(z,) bool: slices whose reference is another than that of the same sample before."""
        return (self.reference != other.reference).flatten(1).any(dim=1)


@dataclass(frozen=True)
class References:
    """Makes the references of one patient's samples.

    Attributes:
        prepared: The baseline within the frame.
        frame: Of the grid, what can change; the rest is empty.
        told: Of every sample.
        baseline: Its latents (z, c, h, w).
        vae: Encodes them.
        batch_slices: Slices encoded at a time.
    """

    prepared: Prepared
    frame: Frame
    told: tuple[Told, ...]
    baseline: Tensor
    vae: MultiHeadVae
    batch_slices: int
    _begun: dict[int, Future[ReferenceScan]] = field(default_factory=dict)

    @property
    def hu(self) -> BleedHu:
        """Of the bleed and the tissue round it."""
        return self.prepared.hu

    @property
    def room(self) -> NDArray[np.bool_]:
        """Where blood may stand in a ventricle (x, y, z), at the baseline."""
        return self.prepared.room > 0.5

    @cached_property
    def _unchanged(self) -> tuple[ReferenceScan, Tensor]:
        return self.scan(0), self.baseline

    def scan(
        self, k: int, more: Level = NO_MORE, before: ReferenceScan | None = None
    ) -> ReferenceScan:
        """The reference of sample k, with more blood than before if wanted."""
        told = self.told[k]
        growth_ml, ivh_ml = told.growth_ml + more.iph_ml, told.ivh_growth_ml + more.ivh_ml
        told = told._replace(growth_ml=growth_ml, ivh_growth_ml=ivh_ml)
        return make_reference(self.prepared, told, before and before.seen)

    def make_ahead(self, numbers: Iterable[int], workers: Workers) -> None:
        """Lets workers make some samples' references before they are asked for."""
        if workers.count and not self.prepared.kind.is_baseline:
            for k in set(numbers) - self._begun.keys():
                self._begun[k] = workers.start(self.scan, k)

    @property
    def has_shell(self) -> bool:
        """Whether a bleed grows in them."""
        return self.prepared.hu is not None and self.prepared.kind.shell != "none"

    @property
    def has_ivh(self) -> bool:
        """Whether blood fills ventricles in them."""
        return self.prepared.hu is not None and self.prepared.kind.ivh

    @torch.inference_mode()
    def relevelled(self, drawn: Drawn, k: int, more: Level) -> tuple[ReferenceScan, Tensor]:
        """`encoded` with more blood than a drawn one; slices that stay keep their latents."""
        scan = self.scan(k, more, drawn.scan)
        latents, pairs = drawn.reference.clone(), zip(scan[:3], drawn.scan[:3], strict=True)
        changed = np.any([(now != old).any(axis=(0, 1)) for now, old in pairs], axis=0)
        if changed.any():
            images = reference_images(ReferenceScan(*(part[..., changed] for part in scan[:4])))
            slices = torch.from_numpy(self.frame.box[2].start + np.flatnonzero(changed))
            latents[slices] = self._encode(images, slices=(0, 0))
        return scan, latents

    @torch.inference_mode()
    def encoded(self, k: int) -> tuple[ReferenceScan, Tensor]:
        """`scan` and its latents; where it is the baseline, always the same."""
        if self.prepared.kind.is_baseline:
            return self._unchanged
        begun = self._begun.pop(k, None)
        scan = begun.result() if begun else self.scan(k)
        return scan, self._encode(reference_images(scan))

    def _encode(self, images: Tensor, slices: tuple[int, int] | None = None) -> Tensor:
        """Latents of images within the frame; outside it is 0 HU and no blood, 0 to the network.

        Args:
            images: (z, 3, x, y).
            slices: Empty ones below and above; None: as many as the grid has.
        """
        x, y, z = self.frame.beside
        device = next(self.vae.parameters()).device
        whole = pad(images.to(device), (*y, *x, 0, 0, *(z if slices is None else slices)))
        with taking_turns(device):
            return encode_images(self.vae, whole, self.batch_slices)
