"""All patients' scores as the tables and the few numbers that a run is judged by."""

import logging
import time
from pathlib import Path

import pandas as pd
from numpy.typing import NDArray

from hemexp.evaluation.comparisons import tabulate_coherence, tabulate_comparisons
from hemexp.evaluation.conformal import tabulate_conformal, training_pit
from hemexp.evaluation.events import event_probabilities
from hemexp.evaluation.forecasts import (
    Forecast,
    redrawn_forecasts,
    reference_forecasts,
    sampled_forecasts,
    score_draws,
    tabular_forecasts,
    true_forecast,
)
from hemexp.evaluation.headlines import headline_numbers
from hemexp.evaluation.maps import PATIENT_MAPS, tabulate_maps, tabulate_reliability
from hemexp.evaluation.redraws import read_redraws
from hemexp.evaluation.tables import (
    Resampling,
    tabulate_calibration,
    tabulate_expansion,
    tabulate_forecasts,
    tabulate_images,
    tabulate_obedience,
)
from hemexp.evaluation.tabular import by_model, chosen_model, of_chosen
from hemexp.evaluation.tidy import read_table, write_table
from hemexp.provenance import patient_file, write_json, write_sidecars
from hemexp.settings import Evaluation

log = logging.getLogger(__name__)

VOLUMES = ("patient_id", "split", "center", "model", "indicator", "target", "k")
"""What identifies a row of `volumes.tsv`; metric, value and note follow."""

SCORED = (*VOLUMES, "baseline_ml", "observed_ml", "mean_ml", "median_ml", "sd_ml", "q05_ml",
          "q25_ml", "q75_ml", "q95_ml", "crps_ml", "twcrps_ml", "pit", "note")  # fmt: skip

VOLUME_COLUMNS = ("patient_id", "indicator", "expansion_flag", "target_growth_ml", "iph_ml",
                  "iph_raw_ml", "ivh_ml", "logit_offset")  # fmt: skip
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
        The files: forecasts, comparisons, conformal, expansion, obedience, images, images_oracle,
        coherence, maps, reliability, volumes, calibration (.tsv) and metrics.json.
    """
    started = time.perf_counter()
    table = read_table(outcomes).set_index("patient_id")
    scored_rows = table["split"].isin(settings.splits) & table["followup_iph_ml"].notna()
    ids = list(table.index[scored_rows])
    _tell_of_strangers(volumes_folder, table.index)
    volume_files = [volumes_folder / f"sub-{name}" / "volumes.tsv" for name in ids]
    score_files = [patient_file(patient_scores, name, "scores.tsv") for name in ids]
    map_files = [patient_file(patient_scores, name, "maps.tsv") for name in ids]
    model_files = {
        "predictions": expansion / "predictions.tsv",
        "forecasts": expansion / "forecasts.tsv",
        "training": expansion / "training_forecasts.tsv",
        "truth": truth,
    }
    model_files = {name: path for name, path in model_files.items() if path and path.exists()}

    volumes = _read_all(volume_files, ids, table, VOLUME_COLUMNS)
    scores = _read_all(score_files, ids, table, SCORE_COLUMNS)
    maps = _read_all(map_files, ids, table, PATIENT_MAPS)
    redraws = read_redraws(patient_scores, ids)
    models, single, pit = _read_models(model_files, table, ids, seed)
    forecasts = [*sampled_forecasts(volumes), *models, *redrawn_forecasts(redraws, table)]
    events = event_probabilities(volumes, redraws, table, ids, single, settings.ivh_present_ml)
    scored = score_forecasts(forecasts, table, seed)
    drawing = [one for one in forecasts if (one.model, one.target) in CALIBRATED]
    tables = _tables(scored, events, volumes, scores, maps, settings, seed)
    tables["conformal"] = tabulate_conformal(scored, drawing, pit)

    for name, content in tables.items():
        write_table(out / f"{name}.tsv", content)
    write_json(out / "metrics.json", headline_numbers(tables, settings.splits[0]))
    products = [out / f"{name}.tsv" for name in tables]
    inputs = [outcomes, *volume_files, *score_files, *map_files, *model_files.values()]
    write_sidecars(products, verb="summarise-scores", settings=settings.as_json(), inputs=inputs,
                   started=started, seed=seed)  # fmt: skip
    return [*products, out / "metrics.json"]


def _tell_of_strangers(samples: Path, known: pd.Index) -> None:
    """Warns of folders that Snakemake left: patients dropped from the sheet, or excluded since."""
    found = {path.name.removeprefix("sub-") for path in samples.glob("sub-*")}
    if strangers := sorted(found.difference(known)):
        told = "%s: samples of patients who are not in this run (%s) count nowhere; delete them"
        log.warning(told, samples, ", ".join(strangers))


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
    files: dict[str, Path], outcomes: pd.DataFrame, ids: list[str], seed: int
) -> tuple[list[Forecast], dict[str, pd.Series], NDArray | None]:
    """Forecasts that are no samples, p(expansion) of the models that say one, training PIT."""
    tables = {name: read_table(path) for name, path in files.items()}
    chosen = chosen_model(tables["predictions"])
    forecasts = reference_forecasts(outcomes, ids)
    forecasts += tabular_forecasts(by_model(tables["forecasts"], chosen), outcomes, ids)
    single = {
        name: part.set_index("patient_id")["p_expansion"]
        for name, part in by_model(tables["predictions"], chosen).items()
    }
    if "truth" in tables:
        forecasts.append(true_forecast(tables["truth"], outcomes, ids))
        single["true_distribution"] = tables["truth"].set_index("patient_id")["p_expansion"]
    pit = None
    # Empty where the models were taken over: there are no training patients to calibrate on.
    if len(tables.get("training", ())):
        pit = training_pit(of_chosen(tables["training"], chosen), outcomes, seed)
    return forecasts, single, pit


def _tables(
    scored: pd.DataFrame,
    events: pd.DataFrame,
    volumes: pd.DataFrame,
    scores: pd.DataFrame,
    maps: pd.DataFrame,
    settings: Evaluation,
    seed: int,
) -> dict[str, pd.DataFrame]:
    resampling = Resampling(settings.bootstrap, seed)
    # A map that knew the outcome is no forecast, and obeys by its volume alone.
    maps = maps[maps["indicator"] != "oracle"]
    images = scores[~scores["metric"].str.startswith("slice_")]
    oracle = images["indicator"] == "oracle"
    return {
        "forecasts": tabulate_forecasts(scored, resampling),
        "comparisons": tabulate_comparisons(scored, resampling),
        "expansion": tabulate_expansion(events, resampling),
        "obedience": tabulate_obedience(volumes),
        "images": tabulate_images(images[~oracle], resampling),
        "images_oracle": tabulate_images(images[oracle], resampling),
        "coherence": tabulate_coherence(scores, resampling),
        "maps": tabulate_maps(maps, resampling),
        "reliability": tabulate_reliability(maps),
        "volumes": tidy_scores(scored),
        "calibration": tabulate_calibration(scored, settings.pit_bins),
    }  # fmt: skip
