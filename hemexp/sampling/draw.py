"""One patient's follow-ups: what is asked of them, how they are drawn and finished."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hemexp.anatomy.prepared import prepare
from hemexp.anatomy.reference import Told, limit_push
from hemexp.diffusion.condition import OFFSETS, Condition, build_condition
from hemexp.expansion.model import patient_distribution
from hemexp.sampling.finish import FinishedSample
from hemexp.sampling.finishing import Finishing
from hemexp.sampling.models import Models, Sampler
from hemexp.sampling.noise import PatientSeed
from hemexp.sampling.patient import PatientAtBaseline
from hemexp.sampling.references import Drawn, References
from hemexp.sampling.requests import Requests, draw_requests, draw_told
from hemexp.sampling.sample import LatentSampler, Start
from hemexp.sampling.workers import Workers


def slices_that_may_change(
    iph: NDArray[np.bool_], spacing_mm: float, margin_mm: float | None
) -> Tensor:
    """(z,) bool: slices within `margin_mm` of a slice with IPH; all of them without a margin."""
    z = np.arange(iph.shape[2])
    if margin_mm is None:
        return torch.ones(len(z), dtype=torch.bool)
    bloody = z[iph.any(axis=(0, 1))]
    return torch.from_numpy(np.abs(z[:, None] - bloody).min(axis=1) * spacing_mm <= margin_mm)


def condition_samples(
    models: Models, patient: PatientAtBaseline, requests: Requests, told: Sequence[Told]
) -> Condition:
    """Condition of the K samples of one patient; what is NaN becomes the learned null."""
    model, encoded = models.denoiser, patient.encoded
    growth_ml, flag = (torch.from_numpy(part) for part in (requests.growth_ml, requests.flag))
    place = {name: encoded[name][None, :1] for name in OFFSETS}
    place["drift_mm"] = torch.from_numpy(np.array([one.drift_mm for one in told]))[:, None]
    ivh_growth_ml = None
    if model.reference.kind.ivh:
        ivh_growth_ml = torch.tensor([one.ivh_growth_ml for one in told], dtype=torch.float64)
    kind, rows = model.settings.condition, [patient.row]
    return build_condition(kind, rows, growth_ml, flag, place, ivh_growth_ml)[:, 0]


class Asked(NamedTuple):
    """What is asked of one patient's samples, and what draws their latents.

    Attributes:
        requests: What drives growth.
        told: All that is told of each.
        latents: Draws them.
    """

    requests: Requests
    told: tuple[Told, ...]
    latents: LatentSampler

    @property
    def references(self) -> References:
        """What the samples are drawn relative to."""
        return self.latents.start.references


def ask_samples(sampler: Sampler, patient: PatientAtBaseline) -> Asked:
    """Draws what is asked of one patient's samples."""
    requests = draw_requests(
        sampler.models.denoiser.settings.condition,
        sampler.settings,
        patient_distribution(sampler.models.growth, patient.row),
        patient.true_growth_ml,
        PatientSeed(sampler.seed, patient.patient_id),
        patient.true_ivh_growth_ml,
    )
    return ask_for(sampler, patient, requests)


def ask_for(sampler: Sampler, patient: PatientAtBaseline, requests: Requests) -> Asked:
    """Draws what is told with given requests of one patient."""
    settings, models, model = sampler.settings, sampler.models, sampler.models.denoiser
    seed, scan = PatientSeed(sampler.seed, patient.patient_id), patient.baseline.scan
    prepared = prepare(scan.cut(scan.frame), model.reference.kind, model.reference.sink_per_mm2)
    told = tuple(limit_push(prepared, one) for one in draw_told(models, patient, requests, seed))
    condition = condition_samples(models, patient, requests, told)
    spacing_mm = float(scan.ct.spacing_mm[2])
    may_change = slices_that_may_change(scan.iph, spacing_mm, settings.slice_margin_mm)
    baseline = patient.encoded["baseline"][0]
    made = References(
        prepared, scan.frame, told, baseline, models.autoencoder, settings.batch_slices
    )
    start = Start(seed, baseline, spacing_mm, may_change, made)
    return Asked(requests, told, LatentSampler(model, start, condition, settings))


def draw_patient_followups(
    sampler: Sampler, patient: PatientAtBaseline, workers: Workers | None = None
) -> tuple[Iterator[FinishedSample], Asked]:
    """Follow-ups of one patient, decoded and measured as they are drawn, and what was asked.

    Their images show what lies within the frame of the references; the rest of the grid is empty.
    A sample whose image disagrees with its mask or its request is drawn once more. Workers finish
    one batch while the next is drawn; no more than two batches are held.
    """
    asked = ask_samples(sampler, patient)
    finishing = Finishing(sampler, patient, asked.latents)
    return _finish_all(asked.latents, finishing, workers or Workers(0)), asked


def _finish_all(
    latents: LatentSampler, finishing: Finishing, workers: Workers
) -> Iterator[FinishedSample]:
    def begin(batch: dict[int, Drawn]) -> dict[int, Future[FinishedSample]]:
        return {k: workers.start(finishing, drawn, k) for k, drawn in batch.items()}

    def end(
        batch: dict[int, Drawn], begun: dict[int, Future[FinishedSample]]
    ) -> Iterator[FinishedSample]:
        samples = {k: future.result() for k, future in begun.items()}
        odd = [k for k in samples if finishing.active and samples[k].measured["disagrees"]]
        if odd:  # in one batch: its order, and with it every bit, hangs on lower numbers alone
            again = begin(latents.draw(odd, before=batch))
            samples |= {k: future.result() for k, future in again.items()}
        for k, sample in samples.items():
            yield sample._replace(measured=sample.measured | {"redrawn": int(k in odd)})

    waiting = deque()
    for batch in latents.batches(workers):
        waiting.append((batch, begin(batch)))
        if len(waiting) > min(1, workers.count):
            yield from end(*waiting.popleft())
    for rest in waiting:
        yield from end(*rest)
