"""Verb `score-patient`: one patient's drawn follow-ups and maps against the true follow-up."""

import time
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from hemexp.evaluation.patient.before import Before
from hemexp.evaluation.patient.consistency import COLUMNS, Measured, measure_followup
from hemexp.evaluation.patient.distance_climatology import map_by_distance, read_climatology
from hemexp.evaluation.patient.followups import look_at, score_slices, score_truth
from hemexp.evaluation.patient.inputs import Followup, Truth, read_truth
from hemexp.evaluation.patient.location import locate_bleed
from hemexp.evaluation.patient.map_sums import CLIMATOLOGY, PATIENT_MAPS, map_sums
from hemexp.evaluation.patient.new_blood import grid_files
from hemexp.evaluation.patient.pooled_map import POOLED
from hemexp.evaluation.patient.redraws import has_true_map, read_slices
from hemexp.evaluation.patient.series import (
    COPY,
    REDRAWN,
    TRUTH,
    Listed,
    Series,
    Source,
    read_series,
)
from hemexp.grid_scan import read_grid_scan
from hemexp.layout import Layout
from hemexp.provenance import write_sidecars
from hemexp.settings import Evaluation
from hemexp.statistics.scores import Score
from hemexp.tables import cells, read_table, table_of, write_table
from hemexp.volumes import read_volume


def run_score_patient(layout: Layout, patient_id: str, settings: Evaluation) -> None:
    """Scores the samples of one patient, and simpler follow-ups, against the true follow-up.

    Writes `scores.tsv` (patient_id, model, indicator, metric, value, note); `consistency.tsv`,
    what image and masks of each follow-up say; `maps.tsv`, the sums from which the scores of
    expansion maps follow; and `location.tsv`, where the bleed lies. What samples would be without
    a network, and the copy of the baseline as an ensemble of one, are scored by the same code.

    Args:
        layout: Of the run: samples, grid scans, climatology, pooled map and, for a phantom
            patient, the true map.
        patient_id: A patient with a follow-up and samples.
        settings: Width of the band round the bleed, tolerance of surfaces.
    """
    started = time.perf_counter()
    baseline = read_grid_scan(layout, patient_id, "baseline")
    truth = read_truth(layout, patient_id, baseline, settings)
    before = Before.of(baseline, truth.brain, truth.ventricles)
    happened = measure_followup(truth.followup, truth.shift_mm, before)
    listed = Listed(0, Score(happened["growth_ml"]), Score(0.0))
    copy = Series([listed], [Followup.of_scan(baseline)])
    series = read_series(layout, patient_id, baseline) | {COPY: copy}
    looks = {source: look_at(followups, truth, before) for source, followups in series.items()}
    scores = {source: look.scores() for source, look in looks.items()}
    scores[TRUTH] = score_truth(truth)
    if has_true_map(layout, patient_id):
        scores[REDRAWN] = score_slices(read_slices(layout.redraws(patient_id)))
    measured = {source: look.measured for source, look in looks.items()}
    measured[TRUTH] = [listed.head | happened]
    drawn = {source: look.ensemble.maps.expansion for source, look in looks.items()}
    sums = _sum_maps(
        _expansion_maps(layout, patient_id, truth, drawn),
        truth,
        1 / (2 * len(read_table(layout.sample_volumes(patient_id)))),
    )
    tables = {
        layout.scores(patient_id): _long(patient_id, scores),
        layout.map_sums(patient_id): table_of(sums, PATIENT_MAPS).assign(patient_id=patient_id),
        layout.consistency(patient_id): _rows(patient_id, measured),
        layout.location(patient_id): locate_bleed(patient_id, baseline),
    }
    for path, table in tables.items():
        write_table(path, table)
    write_sidecars(
        list(tables),
        verb="score-patient",
        settings=settings.as_json(),
        started=started,
        inputs=_files(layout, patient_id),
    )


def _files(layout: Layout, patient_id: str) -> list[Path]:
    """What the scores are made from; of the samples, their table stands for all."""
    files = [layout.sample_volumes(patient_id), layout.scale, layout.climatology]
    files += [*grid_files(layout, patient_id), layout.pooled_map(patient_id)]
    if has_true_map(layout, patient_id):
        files += [layout.true_map(patient_id), layout.redraws(patient_id)]
    return files


def _expansion_maps(
    layout: Layout, patient_id: str, truth: Truth, drawn: dict[Source, NDArray]
) -> dict[Source, NDArray]:
    """Every forecaster's expansion map, that of the samples first, a phantom's true one last."""
    ours = next(iter(drawn))
    by_distance = map_by_distance(truth.distance_mm, read_climatology(layout.climatology))
    pooled = read_volume(layout.pooled_map(patient_id)).data
    maps = {ours: drawn[ours], Source(POOLED, ours.indicator): pooled, **drawn}
    maps[Source(CLIMATOLOGY)] = by_distance
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


def _long(patient_id: str, scores: dict[Source, dict[str, Score]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"patient_id": patient_id, **source._asdict(), "metric": name, **score._asdict()}
            for source, found in scores.items()
            for name, score in found.items()
        ]
    )


def _rows(patient_id: str, measured: dict[Source, list[Measured]]) -> pd.DataFrame:
    """What image and masks of every follow-up say."""
    rows = [
        {"patient_id": patient_id, **source._asdict()} | cells(**found)
        for source, followups in measured.items()
        for found in followups
    ]
    return table_of(rows, COLUMNS)
