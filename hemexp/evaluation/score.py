"""One patient's drawn follow-ups against the true one: masks, maps, images, midline shift."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp import Fault, HemexpError
from hemexp.cohort import patient_file
from hemexp.evaluation.images import dice, map_brier, psnr_db, ssim
from hemexp.evaluation.scans import (
    Maps,
    Member,
    Truth,
    read_maps,
    read_samples,
    read_scan,
    read_truth,
    scan_files,
)
from hemexp.evaluation.scores import Score, fair_crps
from hemexp.evaluation.tidy import read_table, write_table
from hemexp.provenance import write_sidecars
from hemexp.settings import Evaluation


def score_members(members: Iterable[Member], truth: Truth) -> dict[str, Score]:
    """Scores of single follow-ups, averaged, and of their mean image.

    Args:
        members: At least one follow-up; looked at one at a time.
        truth: What happened.

    Returns:
        `*_sample` metrics are means over members for which the score is defined.
    """
    found: dict[str, list[Score]] = {}
    total = np.zeros(truth.brain.shape)
    count = 0
    for member in members:
        count, total = count + 1, total + member.ct_hu
        for name, score in _score_member(member, truth).items():
            found.setdefault(f"{name}_sample", []).append(score)
    scores = {name: _mean(values) for name, values in found.items()}
    mean_image = total / count
    scores["psnr_db_mean_image"] = psnr_db(mean_image, truth.followup.ct_hu, truth.brain)
    scores["ssim_mean_image"] = Score(ssim(mean_image, truth.followup.ct_hu, truth.brain))
    return scores


def _score_member(member: Member, truth: Truth) -> dict[str, Score]:
    return {
        "iph_dice": dice(member.iph, truth.followup.iph),
        "ivh_dice": dice(member.ivh, truth.followup.ivh),
        "psnr_db": psnr_db(member.ct_hu, truth.followup.ct_hu, truth.brain),
        "ssim": Score(ssim(member.ct_hu, truth.followup.ct_hu, truth.brain)),
    }


def _mean(scores: list[Score]) -> Score:
    values = [score.value for score in scores if score.value is not None]
    if not values:
        return Score(None, scores[0].note)
    return Score(float(np.mean(values)))


def score_maps(maps: Maps, truth: Truth) -> dict[str, Score]:
    """Dice of the maps cut above one half, and the expansion map's Brier score."""
    return {
        "iph_dice_map": dice(maps.iph > 0.5, truth.followup.iph),
        "ivh_dice_map": dice(maps.ivh > 0.5, truth.followup.ivh),
        "expansion_brier_brain": map_brier(maps.expansion, truth.expansion, truth.brain),
        "expansion_brier_band": map_brier(maps.expansion, truth.expansion, truth.band),
    }


def score_shift(shifts_mm: NDArray, truth_mm: Score) -> dict[str, Score]:
    """Midline shift since the baseline, drawn against true.

    Args:
        shifts_mm: One shift a member; NaN where none could be measured.
        truth_mm: The true shift.
    """
    known = shifts_mm[np.isfinite(shifts_mm)]
    names = ("midline_shift_mm", "midline_shift_error_mm", "midline_shift_crps_mm")
    if not known.size:
        return dict.fromkeys(names, Score(None, "no shift could be measured on any sample"))
    median = float(np.median(known))
    if truth_mm.value is None:
        return {names[0]: Score(median)} | dict.fromkeys(names[1:], truth_mm)
    error, crps = abs(median - truth_mm.value), fair_crps(truth_mm.value, known)
    return dict(zip(names, map(Score, (median, error, crps)), strict=True))


def run_score_patient(
    patient_id: str, samples: Path, preprocess: Path, out: Path, settings: Evaluation
) -> Path:
    """Scores the samples of one patient, and a copy of the baseline, against the true follow-up.

    Args:
        patient_id: A patient with a follow-up and samples.
        samples: `results/samples`.
        preprocess: `results/preprocess`.
        out: `results/evaluation`; the table goes to `out/sub-ID/sub-ID_scores.tsv`.
        settings: Width of the band round the bleed.

    Returns:
        The table's path: columns patient_id, model, indicator, metric, value, note. Copying the
        baseline is scored as an ensemble of one, by the same code.
    """
    started = time.perf_counter()
    volumes_file = samples / f"sub-{patient_id}" / "volumes.tsv"
    volumes = read_table(volumes_file)
    files = scan_files(preprocess, patient_id, "baseline")
    files += scan_files(preprocess, patient_id, "followup")
    baseline, brain, grid = read_scan(preprocess, patient_id, "baseline")
    truth = read_truth(preprocess, patient_id, baseline, brain, grid, settings.band_mm)
    shifts_mm = volumes["midline_shift_mm"].to_numpy(dtype=np.float64)
    drawn = (
        score_members(read_samples(samples, patient_id, volumes["sample"]), truth)
        | score_maps(read_maps(samples, patient_id), truth)
        | score_shift(shifts_mm, truth.shift_mm)
    )
    copied = (
        score_members([baseline], truth)
        | score_maps(Maps(baseline.iph, baseline.ivh, np.zeros(brain.shape)), truth)
        | score_shift(np.zeros(1), truth.shift_mm)
    )
    indicator = _only_indicator(volumes, volumes_file)
    rows = [
        *_rows(patient_id, "hemexp", indicator, drawn),
        *_rows(patient_id, "copy_baseline", "none", copied),
        *_rows(patient_id, "truth", "none", {"midline_shift_mm": truth.shift_mm}),
    ]
    product = patient_file(out, patient_id, "scores.tsv")
    write_table(product, pd.DataFrame(rows))
    write_sidecars([product], verb="score-patient", settings=settings.as_json(), started=started,
                   inputs=[volumes_file, *files])  # fmt: skip
    return product


def _only_indicator(volumes: pd.DataFrame, path: Path) -> str:
    found = sorted(set(volumes["indicator"]))
    if len(found) != 1:
        raise HemexpError(
            Fault(str(path), f"indicators {found}", "the same one for every sample",
                  "Sample this patient again with one `sampling.indicator`.")
        )  # fmt: skip
    return found[0]


def _rows(
    patient_id: str, model: str, indicator: str, scores: dict[str, Score]
) -> list[dict[str, Any]]:
    head = {"patient_id": patient_id, "model": model, "indicator": indicator}
    return [
        head | {"metric": name, "value": score.value, "note": score.note}
        for name, score in scores.items()
    ]
