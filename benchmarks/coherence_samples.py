"""Draws samples of coarse phantom patients and measures what the coherence table needs.

The baseline is their reference, so that the network alone draws growth.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
import pandas as pd
from coarse_phantom import (
    SEED,
    SPACING_MM,
    VOXEL_ML,
    Cohort,
    encode_cohort,
    fit_autoencoder,
    redraw_iph,
    training_stacks,
    true_growths_ml,
)
from numpy.typing import NDArray
from torch import Tensor

from hemexp.anatomy.reference_model import ReferenceModel
from hemexp.autoencoder.network import MultiHeadVae
from hemexp.diffusion.condition import RequestKind
from hemexp.diffusion.network import Denoiser, DiffusionModel, context_stride
from hemexp.diffusion.train import learn_drift, make_noise_schedule, train
from hemexp.expansion.fit import fit_model
from hemexp.expansion.model import ExpansionModel, patient_distribution
from hemexp.grid_scan import GridScan
from hemexp.outcomes import is_expansion
from hemexp.provenance import hash_value
from hemexp.sampling.draw import ask_for
from hemexp.sampling.finishing import Decoder
from hemexp.sampling.models import Models, Sampler
from hemexp.sampling.noise import PatientSeed
from hemexp.sampling.patient import at_baseline
from hemexp.sampling.requests import Requests, draw_requests
from hemexp.sampling.sample import DecodedScan
from hemexp.sampling.volume import correct_logits, iph_margin, matching_offset
from hemexp.settings import Diffusion, Expansion, Reference, Sampling, Settings
from hemexp.training import Checkpoint, load_weights, save_weights

Indicator = Literal["oracle", "predicted"]

BASELINE = Reference(shell="none", warp=False, ivh=False)


@dataclass(frozen=True)
class Samples:
    """K follow-ups of n patients.

    Attributes:
        requested_ml: (n, K) target growth; NaN with a flag.
        flag: (n, K) whether the sample was asked to expand.
        growth_ml: (n, K) growth that came out.
        offset: (n, K) logit offset of the matching, 0 without.
        area_ml: (n, K, z) IPH volume of every slice.
        dice: (n, K) mean Dice of adjacent slices, over pairs that show IPH.
    """

    requested_ml: NDArray[np.float64]
    flag: NDArray[np.float64]
    growth_ml: NDArray[np.float64]
    offset: NDArray[np.float64]
    area_ml: NDArray[np.float64]
    dice: NDArray[np.float64]

    def save(self, file: Path) -> None:
        """Writes the arrays."""
        np.savez(file, **asdict(self))

    @classmethod
    def load(cls, file: Path) -> Self:
        """Reads the arrays."""
        with np.load(file) as arrays:
            return cls(**arrays)

    @classmethod
    def join(cls, patients: list[dict[str, NDArray]]) -> Self:
        """Puts patients, each a mapping of arrays (K, ...), into one."""
        return cls(**{name: np.stack([one[name] for one in patients]) for name in patients[0]})


def describe_masks(masks: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]]:
    """`area_ml` (K, z) and `dice` (K,) of masks (K, z, x, y)."""
    area = masks.sum(axis=(2, 3))
    shared = (masks[:, 1:] & masks[:, :-1]).sum(axis=(2, 3))
    total = area[:, 1:] + area[:, :-1]
    pairs = np.divide(2 * shared, total, out=np.full(total.shape, np.nan), where=total > 0)
    return {"area_ml": area * VOXEL_ML, "dice": np.nanmean(pairs, axis=1)}


def true_samples(cohort: Cohort, count: int, indicator: Indicator) -> Samples:
    """The phantom's own further follow-ups: the row that a perfect model would fill."""
    patients = []
    for _, row in cohort.table.iloc[cohort.rows(test=True)].iterrows():
        expands = bool(row["he"]) if indicator == "oracle" else None
        growth_ml = true_growths_ml(row["patient_id"], count, expands)
        masks = redraw_iph(row["center"], row["patient_id"], growth_ml)
        found = describe_masks(masks)
        growth_ml = found["area_ml"].sum(axis=1) - row["baseline_iph_ml"]
        flag = is_expansion(growth_ml, row["baseline_iph_ml"]).astype(float)
        nothing = np.zeros(count)
        patients.append(
            found
            | {
                "requested_ml": nothing * np.nan,
                "flag": flag,
                "growth_ml": growth_ml,
                "offset": nothing,
            }
        )
    return Samples.join(patients)


def train_arm(
    folder: Path, cohort: Cohort, encoded: dict[str, Tensor], settings: Diffusion
) -> DiffusionModel:
    """The denoiser of one arm, trained or read again from `folder`."""
    patients = cohort.table["patient_id"].tolist()
    key = hash_value([settings.as_json(), patients, list(encoded["baseline"].shape)])
    file = folder / f"{settings.denoiser}-{settings.condition}-{key}.safetensors"
    stacks, scale = training_stacks(cohort, encoded, settings.condition)
    schedule = make_noise_schedule(settings, stacks)
    stride = context_stride(settings.context_mm, SPACING_MM[2])
    if not file.exists():
        run = {"settings": settings.as_json(), "key": key}
        checkpoint = Checkpoint(file.with_suffix(".ckpt"), run)
        network, history = train(stacks, schedule, settings, SEED, checkpoint)
        save_weights(file, network)
        checkpoint.path.unlink(missing_ok=True)
        pd.DataFrame(history).to_csv(file.with_suffix(".tsv"), sep="\t", index=False)
    z, c = encoded["baseline"].shape[2:4]
    network = load_weights(file, Denoiser(settings, c, z))
    table = cohort.table.iloc[cohort.rows(test=False)]
    drift, reference = learn_drift(table, stacks), ReferenceModel(BASELINE, None)
    return DiffusionModel(network, settings, schedule, stride, drift, scale, reference)


def make_sampler(
    folder: Path, cohort: Cohort, settings: Settings, correct: bool = True
) -> "CohortSampler":
    """A sampler of a cohort; autoencoder and denoiser are trained, or read from `folder`."""
    vae = fit_autoencoder(folder, cohort, settings.autoencoder)
    encoded = encode_cohort(folder, cohort, vae, settings)
    model = train_arm(folder, cohort, encoded, settings.diffusion)
    return CohortSampler(cohort, encoded, vae, model, settings.sampling, correct)


def fit_growth(cohort: Cohort, settings: Expansion) -> ExpansionModel:
    """The predictive distribution of growth, fitted on the training patients."""
    training = cohort.table.iloc[cohort.rows(test=False)]
    return fit_model("four_variable", training, settings, seed=0)


class CohortSampler:
    """Draws follow-ups of a cohort's patients with one denoiser."""

    def __init__(
        self,
        cohort: Cohort,
        encoded: dict[str, Tensor],
        vae: MultiHeadVae,
        model: DiffusionModel,
        settings: Sampling,
        correct: bool = True,
    ) -> None:
        """Keeps what all patients share; without `correct` the decoder's mistakes stay."""
        self.correct = correct
        self.cohort, self.encoded, self.vae = cohort, encoded, vae
        self.model, self.settings = model, settings

    def draw(self, row: int, requests: Requests) -> tuple[dict, dict]:
        """Measurements of one patient's samples: as decoded, and matched to the request."""
        patient = self.cohort.table.iloc[row]
        margin, offset = self.margins(row, requests)
        before = int(self.cohort.iph[row, 0].sum())
        asked = {"requested_ml": requests.growth_ml, "flag": requests.flag}
        results = []
        for moved in (np.zeros_like(offset), offset):
            masks = margin + moved[:, None, None, None] > 0
            growth_ml = (masks.sum(axis=(1, 2, 3)) - before) * VOXEL_ML
            growth_ml = np.maximum(growth_ml, -patient["baseline_iph_ml"])
            found = describe_masks(masks)
            results.append(asked | found | {"growth_ml": growth_ml, "offset": moved})
        return results[0], results[1]

    def margins(self, row: int, requests: Requests) -> tuple[NDArray, NDArray]:
        """IPH margins (k, z, x, y) of one patient's samples, and the offsets that match them."""
        scan = self.cohort.baseline(row)
        encoded = {name: part[row] for name, part in self.encoded.items()}
        patient = at_baseline(self.cohort.table.iloc[row], scan, encoded)
        models = Models(self.vae, self.model, growth=None, ivh=None)
        sampler = Sampler(models, self.settings, SEED)
        drawn, decode = ask_for(sampler, patient, requests).latents.stream(), Decoder(sampler)
        margin = np.stack([self._margin(scan, *decode(one)) for one in drawn])
        offset = np.zeros(len(margin))
        if not np.isnan(requests.growth_ml).any():
            targets = np.count_nonzero(scan.iph) + requests.growth_ml / VOXEL_ML
            offset = np.array(
                [matching_offset(m, t) for m, t in zip(margin, targets, strict=True)]
            )
        return margin, offset

    def _margin(
        self, scan: GridScan, decoded: DecodedScan, reference: DecodedScan
    ) -> NDArray[np.float32]:
        """IPH margin (z, x, y) of one sample."""
        logits, before = ((one.iph_logit, one.ivh_logit) for one in (decoded, reference))
        if self.correct:
            masks = scan.iph, scan.ivh
            logits = [correct_logits(*three) for three in zip(logits, before, masks, strict=True)]
        return np.moveaxis(iph_margin(*logits, scan.brain), 2, 0)


def forecast_requests(
    cohort: Cohort, row: int, growth: ExpansionModel, kind: RequestKind, settings: Sampling
) -> Requests:
    """What the samples of one patient are asked for, as `sample-followups` would draw it."""
    patient = cohort.table.iloc[row]
    distribution = patient_distribution(growth, patient)
    seed = PatientSeed(SEED, patient["patient_id"])
    return draw_requests(kind, settings, distribution, patient["growth_ml"], seed)
