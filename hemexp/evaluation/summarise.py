"""All patients' scores as the tables and the few numbers that a run is judged by."""

import time
from pathlib import Path
from typing import Any

import pandas as pd

from hemexp.cohort import patient_file
from hemexp.evaluation.forecasts import (
    Forecast,
    reference_forecasts,
    sampled_forecasts,
    score_draws,
    tabular_forecast,
    true_forecast,
)
from hemexp.evaluation.tables import (
    Resampling,
    tabulate_calibration,
    tabulate_expansion,
    tabulate_forecasts,
    tabulate_images,
    tabulate_obedience,
)
from hemexp.evaluation.tidy import read_table, write_table
from hemexp.outcomes import expansion_outcomes
from hemexp.provenance import write_json, write_sidecars
from hemexp.settings import Evaluation

EVENTS = ("he", "he_6ml", "rhe")
VOLUMES = ("patient_id", "split", "center", "model", "indicator", "target", "k")
"""What identifies a row of `volumes.tsv`; metric, value and note follow."""

SCORED = (*VOLUMES, "baseline_ml", "observed_ml", "mean_ml", "median_ml", "sd_ml", "q05_ml",
          "q25_ml", "q75_ml", "q95_ml", "crps_ml", "pit", "note")  # fmt: skip

VOLUME_COLUMNS = ("patient_id", "indicator", "expansion_flag", "target_growth_ml", "iph_ml",
                  "iph_raw_ml", "ivh_ml", "logit_offset")  # fmt: skip
SCORE_COLUMNS = ("patient_id", "model", "indicator", "metric", "value", "note")

HEADLINES = ("n", "crps_ml", "skill", "mae_ml", "bias_ml", "coverage50", "coverage90",
             "spread_ratio")  # fmt: skip
IMAGE_HEADLINES = ("iph_dice_map", "ivh_dice_map", "psnr_db_sample", "ssim_sample",
                   "expansion_brier_band", "midline_shift_error_mm")  # fmt: skip


def score_forecasts(forecasts: list[Forecast], outcomes: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Every forecast of every patient with its scores, one row each."""
    tables = [score_draws(forecast, outcomes, seed) for forecast in forecasts if forecast.draws]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(SCORED))


def tidy_scores(scored: pd.DataFrame) -> pd.DataFrame:
    """The same, one row a number; a reason stands only beside an empty value."""
    table = scored.melt([*VOLUMES, "note"], var_name="metric", value_name="value")
    table["note"] = table["note"].where(table["value"].isna(), "")
    return table[[*VOLUMES, "metric", "value", "note"]]


def event_probabilities(
    volumes: pd.DataFrame,
    outcomes: pd.DataFrame,
    ids: list[str],
    single: dict[str, pd.Series],
) -> pd.DataFrame:
    """Probability of every event by every model beside what happened.

    Args:
        volumes: All patients' `volumes.tsv`; the share of samples that show the event is its
            probability. Samples that knew the outcome are left out.
        outcomes: `outcomes.tsv`, indexed by patient; the training patients' share of events is
            the climatology.
        ids: Patients to forecast.
        single: Models that give a probability of `he` alone, by patient.

    Returns:
        Columns patient_id, split, center, event, model, indicator, probability, observed.
    """
    train = outcomes[outcomes["split"] == "train"]
    found = []
    for event in EVENTS:
        models = {("climatology", "none"): pd.Series(train[event].mean(), index=ids)}
        models |= {
            ("hemexp", indicator): rows.groupby("patient_id")[event].mean()
            for indicator, rows in _sample_outcomes(volumes, outcomes).groupby("indicator")
            if indicator != "oracle"
        }
        if event == "he":
            models |= {(name, "none"): series for name, series in single.items()}
        for (model, indicator), probability in models.items():
            table = outcomes.loc[ids, ["split", "center"]].reset_index(names="patient_id")
            table[["event", "model", "indicator"]] = event, model, indicator
            table["probability"] = probability[ids].to_numpy()
            table["observed"] = outcomes.loc[ids, event].to_numpy()
            found.append(table)
    return pd.concat(found, ignore_index=True)


def _sample_outcomes(volumes: pd.DataFrame, outcomes: pd.DataFrame) -> pd.DataFrame:
    """Whether each sample shows each event, by the definition used for real follow-ups."""
    baseline = outcomes.loc[volumes["patient_id"], ["baseline_iph_ml", "baseline_ivh_ml"]]
    table = baseline.reset_index(drop=True).assign(
        followup_iph_ml=volumes["iph_ml"].to_numpy(),
        followup_ivh_ml=volumes["ivh_ml"].to_numpy(),
        patient_id=volumes["patient_id"].to_numpy(),
        indicator=volumes["indicator"].to_numpy(),
    )
    return expansion_outcomes(table)


def headline_numbers(tables: dict[str, pd.DataFrame], split: str) -> dict[str, float]:
    """The few numbers for `dvc metrics`, four digits; undefined ones are absent.

    Args:
        tables: `forecasts`, `expansion`, `obedience`, `images`.
        split: Whose patients count.
    """
    whole = {name: _whole_split(table, split) for name, table in tables.items()}
    numbers: dict[str, Any] = {}
    forecasts = whole["forecasts"].query("model == 'hemexp' and target == 'iph_ml'")
    for row in forecasts.to_dict("records")[:1]:
        numbers |= {name: row[name] for name in HEADLINES}
    for row in (
        whole["expansion"].query("model == 'hemexp' and event == 'he'").to_dict("records")[:1]
    ):
        numbers |= {"he_auc": row["auc"], "he_brier": row["brier"]}
    for row in whole["images"].query("model == 'hemexp'").to_dict("records"):
        if row["metric"] in IMAGE_HEADLINES:
            numbers[row["metric"]] = row["mean"]
    for row in whole["obedience"].to_dict("records"):
        numbers[f"obedience_slope_{row['volume']}"] = row["slope"]
        numbers["abs_logit_offset_p90"] = row["abs_logit_offset_p90"]
    return {name: round(float(value), 4) for name, value in numbers.items() if pd.notna(value)}


def _whole_split(table: pd.DataFrame, split: str) -> pd.DataFrame:
    rows = table[table["split"] == split]
    return rows[rows["center"] == "all"] if "center" in rows else rows


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
        The files: forecasts, expansion, obedience, images, images_oracle, volumes, calibration
        (.tsv) and metrics.json.
    """
    started = time.perf_counter()
    table = read_table(outcomes).set_index("patient_id")
    scored_rows = table["split"].isin(settings.splits) & table["followup_iph_ml"].notna()
    ids = list(table.index[scored_rows])
    volume_files = [volumes_folder / f"sub-{name}" / "volumes.tsv" for name in ids]
    score_files = [patient_file(patient_scores, name, "scores.tsv") for name in ids]
    model_files = [expansion / "predictions.tsv", expansion / "forecasts.tsv"]
    model_files += [truth] if truth else []

    volumes = _read_all(volume_files, ids, table, VOLUME_COLUMNS)
    scores = _read_all(score_files, ids, table, SCORE_COLUMNS)
    forecasts, single = _read_models(model_files, table, ids)
    scored = score_forecasts(sampled_forecasts(volumes) + forecasts, table, seed)
    events = event_probabilities(volumes, table, ids, single)
    tables = _tables(scored, events, volumes, scores, settings, seed)

    for name, content in tables.items():
        write_table(out / f"{name}.tsv", content)
    write_json(out / "metrics.json", headline_numbers(tables, settings.splits[0]))
    products = [out / f"{name}.tsv" for name in tables]
    write_sidecars(products, verb="summarise-scores", settings=settings.as_json(), started=started,
                   inputs=[outcomes, *volume_files, *score_files, *model_files],
                   seed=seed)  # fmt: skip
    return [*products, out / "metrics.json"]


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
    files: list[Path], outcomes: pd.DataFrame, ids: list[str]
) -> tuple[list[Forecast], dict[str, pd.Series]]:
    """Forecasts that are no samples, and the p(expansion) of the models that say one."""
    predictions, tabular, *true = map(read_table, files)
    forecasts = [*reference_forecasts(outcomes, ids), tabular_forecast(tabular, outcomes, ids)]
    single = {"tabular": predictions.set_index("patient_id")["p_expansion"]}
    for table in true:
        forecasts.append(true_forecast(table, outcomes, ids))
        single["true_distribution"] = table.set_index("patient_id")["p_expansion"]
    return forecasts, single


def _tables(
    scored: pd.DataFrame,
    events: pd.DataFrame,
    volumes: pd.DataFrame,
    scores: pd.DataFrame,
    settings: Evaluation,
    seed: int,
) -> dict[str, pd.DataFrame]:
    resampling = Resampling(settings.bootstrap, seed)
    oracle = scores["indicator"] == "oracle"
    return {
        "forecasts": tabulate_forecasts(scored, resampling),
        "expansion": tabulate_expansion(events, resampling),
        "obedience": tabulate_obedience(volumes),
        "images": tabulate_images(scores[~oracle], resampling),
        "images_oracle": tabulate_images(scores[oracle], resampling),
        "volumes": tidy_scores(scored),
        "calibration": tabulate_calibration(scored, settings.pit_bins),
    }
