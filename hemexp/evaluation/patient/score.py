"""One patient's drawn follow-ups against the true one: masks, maps, images, mass effect."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp import Fault, HemexpError
from hemexp.anatomy.ventricles import score_amounts
from hemexp.columns import SESSIONS
from hemexp.evaluation.cohort.maps import PATIENT_MAPS, map_sums
from hemexp.evaluation.patient.distance_climatology import (
    CLIMATOLOGY,
    map_by_distance,
    read_climatology,
)
from hemexp.evaluation.patient.followups import (
    collect_members,
    score_ensemble,
    score_maps,
    score_slices,
    score_truth,
)
from hemexp.evaluation.patient.inputs import (
    Maps,
    Member,
    Truth,
    read_maps,
    read_samples,
    read_scan,
    read_truth,
    scan_files,
)
from hemexp.evaluation.patient.map_files import pooled_file
from hemexp.evaluation.patient.pooled_map import POOLED
from hemexp.evaluation.patient.redraws import read_slices, true_files
from hemexp.provenance import patient_file, write_sidecars
from hemexp.settings import Evaluation
from hemexp.statistics.scores import Score
from hemexp.tables import read_table, table_of, write_table
from hemexp.volumes import read_volume

COPY, TRUE = ("copy_baseline", "none"), ("true_distribution", "none")
"""Model and indicator of two references in the tables."""


def run_score_patient(
    patient_id: str, samples: Path, preprocess: Path, out: Path, settings: Evaluation
) -> Path:
    """Scores the samples of one patient, and a copy of the baseline, against the true follow-up.

    Args:
        patient_id: A patient with a follow-up and samples.
        samples: `results/samples`.
        preprocess: `results/preprocess`.
        out: `results/evaluation`, where `climatology.tsv`, the pooled and the phantom's true
            maps lie; the tables go to `out/sub-ID/`.
        settings: Width of the band round the bleed, tolerance of surfaces.

    Returns:
        Path of `sub-ID_scores.tsv`: patient_id, model, indicator, metric, value, note. Copying
        the baseline is scored as an ensemble of one, by the same code. Beside it lies
        `sub-ID_maps.tsv`, the sums from which the scores of the expansion map follow.
    """
    started = time.perf_counter()
    volumes_file = samples / f"sub-{patient_id}" / "volumes.tsv"
    volumes = read_table(volumes_file)
    ours = ("hemexp", _only_indicator(volumes, volumes_file))
    baseline, brain, grid = read_scan(preprocess, patient_id, "baseline")
    truth = read_truth(preprocess, patient_id, baseline, brain, grid, settings.band_mm)
    map_file, redraw_file = true_files(out, patient_id)

    shifts_mm = volumes["midline_shift_mm"].to_numpy(dtype=np.float64)
    drawn = read_samples(samples, patient_id, volumes["sample"])
    blood = baseline.iph | baseline.ivh
    maps, copied = read_maps(samples, patient_id), Maps(baseline.iph, baseline.ivh, 0.0 * blood)
    scores = {
        ours: _score(drawn, shifts_mm, maps, truth, blood, settings),
        COPY: _score([baseline], np.zeros(1), copied, truth, blood, settings),
        ("truth", "none"): score_truth(truth),
    }
    if redraw_file:
        scores[TRUE] = score_slices(read_slices(redraw_file))
    by_distance = map_by_distance(truth.distance_mm, read_climatology(out / "climatology.tsv"))
    pooled = pooled_file(out, patient_id)
    forecasts = {
        ours: maps.expansion,
        (POOLED, ours[1]): read_volume(pooled).data,
        COPY: copied.expansion,
        (CLIMATOLOGY, "none"): by_distance,
    }
    sums = _map_sums(forecasts, truth, map_file, 1 / (2 * len(volumes)))

    products = [patient_file(out, patient_id, name) for name in ("scores.tsv", "maps.tsv")]
    write_table(products[0], _long(patient_id, scores))
    write_table(products[1], table_of(sums, PATIENT_MAPS).assign(patient_id=patient_id))
    files = [path for session in SESSIONS for path in scan_files(preprocess, patient_id, session)]
    files += [path for path in (pooled, map_file, redraw_file) if path]
    write_sidecars(
        products,
        verb="score-patient",
        settings=settings.as_json(),
        started=started,
        inputs=[volumes_file, out / "climatology.tsv", *files],
    )
    return products[0]


def _score(
    members: Iterable[Member],
    shifts_mm: NDArray,
    maps: Maps,
    truth: Truth,
    blood: NDArray,
    settings: Evaluation,
) -> dict[str, Score]:
    ensemble = collect_members(members, truth, blood, settings.surface_mm)
    return (
        score_ensemble(ensemble, truth)
        | score_maps(maps, truth)
        | score_amounts("midline_shift", "mm", shifts_mm, truth.shift_mm)
        | score_slices(ensemble.slices_ml)
    )


def _map_sums(
    forecasts: dict[tuple[str, str], NDArray], truth: Truth, map_file: Path | None, least: float
) -> list[dict[str, Any]]:
    """Sums of every map in every region against what happened and, if known, the true map.

    The band and the brain leave out the baseline's blood, where nothing can be new.
    """
    references = {"outcome": truth.expansion}
    if map_file:
        references["true_map"] = read_volume(map_file).data
        forecasts = forecasts | {TRUE: references["true_map"]}
    regions = {"band": truth.band, "brain": truth.brain & (truth.distance_mm > 0)}
    return [
        {"model": model, "indicator": indicator, "region": region, "reference": reference} | row
        for (model, indicator), forecast in forecasts.items()
        for region, voxels in regions.items()
        for reference, happened in references.items()
        for row in map_sums(forecast, happened, voxels, least)
    ]


def _only_indicator(volumes: pd.DataFrame, path: Path) -> str:
    found = sorted(set(volumes["indicator"]))
    if len(found) != 1:
        raise HemexpError(
            Fault(
                str(path),
                f"indicators {found}",
                "the same one for every sample",
                "Sample this patient again with one `sampling.indicator`.",
            )
        )
    return found[0]


def _long(patient_id: str, scores: dict[tuple[str, str], dict[str, Score]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "patient_id": patient_id,
                "model": model,
                "indicator": indicator,
                "metric": name,
                "value": score.value,
                "note": score.note,
            }
            for (model, indicator), found in scores.items()
            for name, score in found.items()
        ]
    )
