"""Verb `score-patient`: one patient's drawn follow-ups and maps against the true follow-up."""

import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp import Fault, HemexpError
from hemexp.evaluation.patient.distance_climatology import map_by_distance, read_climatology
from hemexp.evaluation.patient.followups import score_followups, score_slices, score_truth
from hemexp.evaluation.patient.inputs import (
    Followup,
    Maps,
    Truth,
    read_followups,
    read_maps,
    read_truth,
)
from hemexp.evaluation.patient.map_sums import CLIMATOLOGY, PATIENT_MAPS, map_sums
from hemexp.evaluation.patient.new_blood import grid_files
from hemexp.evaluation.patient.pooled_map import POOLED
from hemexp.evaluation.patient.redraws import has_true_map, read_slices
from hemexp.grid_scan import GridScan, read_grid_scan
from hemexp.layout import Layout
from hemexp.provenance import write_sidecars
from hemexp.settings import Evaluation
from hemexp.statistics.scores import Score
from hemexp.tables import read_table, table_of, write_table
from hemexp.volumes import read_volume


class Source(NamedTuple):
    """Whose forecast a row of a table is of, as its columns `model` and `indicator` say."""

    model: str
    indicator: str = "none"


COPY, TRUTH, REDRAWN = map(Source, ("copy_baseline", "truth", "true_distribution"))


def run_score_patient(layout: Layout, patient_id: str, settings: Evaluation) -> None:
    """Scores the samples of one patient, and a copy of the baseline, against the true follow-up.

    Writes `scores.tsv` (patient_id, model, indicator, metric, value, note) and `maps.tsv`, the
    sums from which the scores of expansion maps follow. The copy of the baseline is scored as an
    ensemble of one, by the same code.

    Args:
        layout: Of the run: samples, grid scans, climatology, pooled map and, for a phantom
            patient, the true map.
        patient_id: A patient with a follow-up and samples.
        settings: Width of the band round the bleed, tolerance of surfaces.
    """
    started = time.perf_counter()
    volumes = read_table(layout.sample_volumes(patient_id))
    ours = Source("hemexp", _only_indicator(layout, patient_id, volumes))
    baseline = read_grid_scan(layout, patient_id, "baseline")
    truth = read_truth(layout, patient_id, baseline, settings)
    maps = read_maps(layout, patient_id)
    drawn = read_followups(layout, patient_id, volumes["sample"])
    shifts_mm = volumes["midline_shift_mm"].to_numpy(dtype=np.float64)
    scores = {
        ours: score_followups(drawn, shifts_mm, maps, truth),
        COPY: _score_copy(baseline, truth),
        TRUTH: score_truth(truth),
    }
    if has_true_map(layout, patient_id):
        scores[REDRAWN] = score_slices(read_slices(layout.redraws(patient_id)))
    forecasts = _expansion_maps(layout, patient_id, truth, {ours: maps.expansion})
    sums = _sum_maps(forecasts, truth, 1 / (2 * len(volumes)))
    products = (layout.scores(patient_id), layout.map_sums(patient_id))
    write_table(products[0], _long(patient_id, scores))
    write_table(products[1], table_of(sums, PATIENT_MAPS).assign(patient_id=patient_id))
    write_sidecars(
        products,
        verb="score-patient",
        settings=settings.as_json(),
        started=started,
        inputs=_files(layout, patient_id),
    )


def _files(layout: Layout, patient_id: str) -> list[Path]:
    """What the scores are made from; of the samples, their table stands for all."""
    files = [layout.sample_volumes(patient_id), layout.climatology]
    files += [*grid_files(layout, patient_id), layout.pooled_map(patient_id)]
    if has_true_map(layout, patient_id):
        files += [layout.true_map(patient_id), layout.redraws(patient_id)]
    return files


def _score_copy(baseline: GridScan, truth: Truth) -> dict[str, Score]:
    """A copy of the baseline as an ensemble of one."""
    maps = Maps(baseline.iph, baseline.ivh, np.zeros(truth.brain.shape))
    return score_followups([Followup.of_scan(baseline)], np.zeros(1), maps, truth)


def _expansion_maps(
    layout: Layout, patient_id: str, truth: Truth, drawn: dict[Source, NDArray]
) -> dict[Source, NDArray]:
    """Every forecaster's expansion map, that of the samples first, a phantom's true one last."""
    (ours,) = drawn
    by_distance = map_by_distance(truth.distance_mm, read_climatology(layout.climatology))
    maps = drawn | {
        Source(POOLED, ours.indicator): read_volume(layout.pooled_map(patient_id)).data,
        COPY: np.zeros(truth.brain.shape),
        Source(CLIMATOLOGY): by_distance,
    }
    if has_true_map(layout, patient_id):
        maps[REDRAWN] = read_volume(layout.true_map(patient_id)).data
    return maps


def _sum_maps(
    forecasts: dict[Source, NDArray], truth: Truth, least: float
) -> list[dict[str, Any]]:
    """Sums of every map in every region against what happened and, if known, the true map.

    The band and the brain leave out the baseline's blood, where nothing can be new.
    """
    regions = {"band": truth.band, "brain": truth.brain & (truth.distance_mm > 0)}
    references = {"outcome": truth.expansion}
    if REDRAWN in forecasts:
        references["true_map"] = forecasts[REDRAWN]
    return [
        {**source._asdict(), "region": region, "reference": reference} | row
        for source, forecast in forecasts.items()
        for region, voxels in regions.items()
        for reference, happened in references.items()
        for row in map_sums(forecast, happened, voxels, least)
    ]


def _only_indicator(layout: Layout, patient_id: str, volumes: pd.DataFrame) -> str:
    found = sorted(set(volumes["indicator"]))
    if len(found) != 1:
        raise HemexpError(
            Fault(
                str(layout.sample_volumes(patient_id)),
                f"indicators {found}",
                "the same one for every sample",
                "Sample this patient again with one `sampling.indicator`.",
            )
        )
    return found[0]


def _long(patient_id: str, scores: dict[Source, dict[str, Score]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"patient_id": patient_id, **source._asdict(), "metric": name, **score._asdict()}
            for source, found in scores.items()
            for name, score in found.items()
        ]
    )
