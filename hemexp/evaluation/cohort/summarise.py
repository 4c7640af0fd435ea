"""All patients' scores as the tables and the few numbers that a run is judged by."""

import logging
import time
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from numpy.typing import NDArray

from hemexp.evaluation.cohort.conformal import conformal_levels, tabulate_conformal, training_pit
from hemexp.evaluation.cohort.event_probabilities import event_probabilities
from hemexp.evaluation.cohort.expected_scores import tabulate_expected
from hemexp.evaluation.cohort.forecasts import (
    Forecast,
    redrawn_forecasts,
    reference_forecasts,
    sampled_forecasts,
    score_draws,
    tabular_forecasts,
    true_forecast,
)
from hemexp.evaluation.cohort.growth_models import by_model, chosen_model, of_chosen
from hemexp.evaluation.cohort.headline_numbers import headline_numbers
from hemexp.evaluation.cohort.maps import PATIENT_MAPS, tabulate_maps, tabulate_reliability
from hemexp.evaluation.cohort.paired_differences import (
    TRUE,
    tabulate_coherence,
    tabulate_comparisons,
)
from hemexp.evaluation.cohort.tables import (
    Resampling,
    tabulate_calibration,
    tabulate_expansion,
    tabulate_forecasts,
    tabulate_images,
    tabulate_obedience,
)
from hemexp.evaluation.patient.redraws import read_redraws
from hemexp.provenance import patient_file, write_json, write_sidecars
from hemexp.settings import Evaluation
from hemexp.tables import read_table, write_table

log = logging.getLogger(__name__)

VOLUMES = ("patient_id", "split", "center", "model", "indicator", "target", "k")
"""What identifies a row of `volumes.tsv`; metric, value and note follow."""

SCORED = (
    *VOLUMES,
    "baseline_ml",
    "observed_ml",
    "mean_ml",
    "median_ml",
    "sd_ml",
    "q05_ml",
    "q25_ml",
    "q75_ml",
    "q95_ml",
    "crps_ml",
    "twcrps_ml",
    "pit",
    "note",
)

VOLUME_COLUMNS = (
    "patient_id",
    "indicator",
    "expansion_flag",
    "target_growth_ml",
    "iph_ml",
    "iph_raw_ml",
    "ivh_ml",
    "logit_offset",
)
SCORE_COLUMNS = ("patient_id", "model", "indicator", "metric", "value", "note")

CALIBRATED = (("hemexp", "iph_ml"), ("tabular", "iph_ml"))
"""Forecasts whose growth is drawn from the chosen tabular distribution."""


def score_forecasts(forecasts: list[Forecast], outcomes: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Every forecast of every patient with its scores, one row each."""
    tables = [score_draws(forecast, outcomes, seed) for forecast in forecasts if forecast.draws]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(SCORED))


def tidy_scores(scored: pd.DataFrame) -> pd.DataFrame:
    """The same, one row a number; a reason stands only beside an empty value."""
    table = scored.melt([*VOLUMES, "note"], var_name="metric", value_name="value")
    table["note"] = table["note"].where(table["value"].isna(), "")
    return table[[*VOLUMES, "metric", "value", "note"]]


class Patients(NamedTuple):
    """What was written patient by patient, below one another.

    Attributes:
        volumes: Of every sample, from `volumes.tsv`.
        scores: From `scores.tsv`.
        maps: From `maps.tsv`.
        redraws: The phantom's further follow-ups, from `redraws.tsv`.
    """

    volumes: pd.DataFrame
    scores: pd.DataFrame
    maps: pd.DataFrame
    redraws: pd.DataFrame


class Models(NamedTuple):
    """What is known without samples.

    Attributes:
        forecasts: Of volumes: references, tabular models and, for a phantom, the truth.
        p_expansion: By model and patient.
        pit: Of training patients under cross-fitted forecasts; None where there are none.
    """

    forecasts: list[Forecast]
    p_expansion: dict[str, pd.Series]
    pit: NDArray | None


def run_summarise_scores(
    outcomes: Path,
    volumes_folder: Path,
    expansion: Path,
    patient_scores: Path,
    truth: Path | None,
    out: Path,
    settings: Evaluation,
    seed: int,
) -> list[Path]:
    """Writes the evaluation tables of a run.

    Args:
        outcomes: `results/cohort/outcomes.tsv`.
        volumes_folder: `results/samples`; every patient of `settings.splits` with a follow-up
            must have samples there.
        expansion: `results/expansion`, with predictions.tsv and forecasts.tsv.
        patient_scores: `results/evaluation`, with the patients' scores.tsv.
        truth: The phantom's truth.tsv; None for real patients.
        out: `results/evaluation`.
        settings: Splits, bootstrap, bins.
        seed: Run seed.

    Returns:
        The files: forecasts, comparisons, expected, expansion, obedience, images, images_oracle,
        coherence, maps, reliability, volumes, calibration, conformal (.tsv) and metrics.json.
    """
    started = time.perf_counter()
    table = read_table(outcomes).set_index("patient_id")
    scored_rows = table["split"].isin(settings.splits) & table["followup_iph_ml"].notna()
    ids = list(table.index[scored_rows])
    _tell_of_strangers(volumes_folder, table.index)
    patients, patient_files = _read_patients(volumes_folder, patient_scores, table, ids)
    models, model_files = _read_models(expansion, truth, table, ids, seed)
    tables = _tables(patients, models, table, ids, settings, seed)
    for name, content in tables.items():
        write_table(out / f"{name}.tsv", content)
    write_json(out / "metrics.json", headline_numbers(tables, settings.splits[0]))
    products = [out / f"{name}.tsv" for name in tables]
    write_sidecars(
        products,
        verb="summarise-scores",
        settings=settings.as_json(),
        inputs=[outcomes, *patient_files, *model_files],
        started=started,
        seed=seed,
    )
    return [*products, out / "metrics.json"]


def _tell_of_strangers(samples: Path, known: pd.Index) -> None:
    """Warns of folders that Snakemake left: patients dropped from the sheet, or excluded since."""
    found = {path.name.removeprefix("sub-") for path in samples.glob("sub-*")}
    if strangers := sorted(found.difference(known)):
        told = "%s: samples of patients who are not in this run (%s) count nowhere; delete them"
        log.warning(told, samples, ", ".join(strangers))


def _read_patients(
    samples: Path, evaluation: Path, outcomes: pd.DataFrame, ids: list[str]
) -> tuple[Patients, list[Path]]:
    """The patients' tables and their files."""
    volume_files = [samples / f"sub-{name}" / "volumes.tsv" for name in ids]
    score_files = [patient_file(evaluation, name, "scores.tsv") for name in ids]
    map_files = [patient_file(evaluation, name, "maps.tsv") for name in ids]
    patients = Patients(
        _read_all(volume_files, ids, outcomes, VOLUME_COLUMNS),
        _read_all(score_files, ids, outcomes, SCORE_COLUMNS),
        _read_all(map_files, ids, outcomes, PATIENT_MAPS),
        read_redraws(evaluation, ids),
    )
    return patients, [*volume_files, *score_files, *map_files]


def _read_all(
    files: list[Path], ids: list[str], outcomes: pd.DataFrame, columns: tuple[str, ...]
) -> pd.DataFrame:
    """The patients' tables below one another, with split, center and baseline volume."""
    read = [
        read_table(path).assign(patient_id=name) for path, name in zip(files, ids, strict=True)
    ]
    table = pd.concat(read, ignore_index=True) if read else pd.DataFrame(columns=list(columns))
    return table.join(outcomes[["split", "center", "baseline_iph_ml"]], on="patient_id")


def _read_models(
    expansion: Path, truth: Path | None, outcomes: pd.DataFrame, ids: list[str], seed: int
) -> tuple[Models, list[Path]]:
    """The forecasts that are no samples, and their files."""
    files = {
        name: expansion / f"{name}.tsv"
        for name in ("predictions", "forecasts", "training_forecasts")
    }
    files = {
        name: path for name, path in {**files, "truth": truth}.items() if path and path.exists()
    }
    tables = {name: read_table(path) for name, path in files.items()}
    chosen = chosen_model(tables["predictions"])
    forecasts = reference_forecasts(outcomes, ids)
    forecasts += tabular_forecasts(by_model(tables["forecasts"], chosen), outcomes, ids)
    p_expansion = {
        name: part.set_index("patient_id")["p_expansion"]
        for name, part in by_model(tables["predictions"], chosen).items()
    }
    if "truth" in tables:
        forecasts.append(true_forecast(tables["truth"], outcomes, ids))
        p_expansion[TRUE] = tables["truth"].set_index("patient_id")["p_expansion"]
    pit, training = None, tables.get("training_forecasts", ())
    # Empty where the models were taken over: there are no training patients to calibrate on.
    if len(training):
        pit = training_pit(of_chosen(training, chosen), outcomes, seed)
    return Models(forecasts, p_expansion, pit), list(files.values())


def _tables(
    patients: Patients,
    models: Models,
    outcomes: pd.DataFrame,
    ids: list[str],
    settings: Evaluation,
    seed: int,
) -> dict[str, pd.DataFrame]:
    resampling = Resampling(settings.bootstrap, seed)
    forecasts = [
        *sampled_forecasts(patients.volumes),
        *models.forecasts,
        *redrawn_forecasts(patients.redraws, outcomes),
    ]
    events = event_probabilities(
        patients.volumes,
        patients.redraws,
        outcomes,
        ids,
        models.p_expansion,
        settings.ivh_present_ml,
    )
    scored = score_forecasts(forecasts, outcomes, seed)
    drawing = [one for one in forecasts if (one.model, one.target) in CALIBRATED]
    levels = {one.model: conformal_levels(models.pit) for one in drawing}
    # A map that knew the outcome is no forecast, and obeys by its volume alone.
    maps = patients.maps[patients.maps["indicator"] != "oracle"]
    images = patients.scores[~patients.scores["metric"].str.startswith("slice_")]
    oracle = images["indicator"] == "oracle"
    return {
        "forecasts": tabulate_forecasts(scored, resampling),
        "comparisons": tabulate_comparisons(scored, resampling),
        "expected": tabulate_expected(forecasts, events, outcomes, levels, resampling),
        "expansion": tabulate_expansion(events, resampling),
        "obedience": tabulate_obedience(patients.volumes),
        "images": tabulate_images(images[~oracle], resampling),
        "images_oracle": tabulate_images(images[oracle], resampling),
        "coherence": tabulate_coherence(patients.scores, resampling),
        "maps": tabulate_maps(maps, resampling),
        "reliability": tabulate_reliability(maps),
        "volumes": tidy_scores(scored),
        "calibration": tabulate_calibration(scored, settings.pit_bins),
        "conformal": tabulate_conformal(scored, drawing, models.pit),
    }
