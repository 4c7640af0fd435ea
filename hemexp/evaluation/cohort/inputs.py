"""All that the tables of a cohort are made from, read once."""

import json
import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
from numpy.typing import NDArray

from hemexp.evaluation.cohort.characteristics import clinical_values
from hemexp.evaluation.cohort.conformal import (
    Levels,
    conformal_levels,
    recalibrated_pit,
    training_pit,
)
from hemexp.evaluation.cohort.event_probabilities import event_probabilities
from hemexp.evaluation.cohort.forecast_scores import score_forecasts
from hemexp.evaluation.cohort.forecasts import (
    TRUE_DISTRIBUTION,
    Forecast,
    redrawn_forecasts,
    reference_forecasts,
    sampled_forecasts,
    shell_forecasts,
    tabular_forecasts,
    true_forecast,
)
from hemexp.evaluation.cohort.growth_models import by_model, chosen_model, of_chosen
from hemexp.evaluation.patient.consistency import COLUMNS as CONSISTENCY
from hemexp.evaluation.patient.location import COLUMNS as LOCATION
from hemexp.evaluation.patient.map_sums import PATIENT_MAPS
from hemexp.evaluation.patient.redraws import read_redraws
from hemexp.layout import Layout, patient_of
from hemexp.settings import Evaluation
from hemexp.statistics.bootstrap import Resampling
from hemexp.tables import read_table

log = logging.getLogger(__name__)

VOLUME_COLUMNS = (
    "patient_id",
    "sample",
    "indicator",
    "draws",
    "expansion_flag",
    "target_growth_ml",
    "iph_ml",
    "iph_raw_ml",
    "ivh_ml",
    "ivh_raw_ml",
    "logit_offset",
    "redrawn",
    "disagrees",
)
SCORE_COLUMNS = ("patient_id", "model", "indicator", "metric", "value", "note")

CALIBRATED = (("hemexp", "iph_ml"), ("tabular", "iph_ml"))
"""Forecasts whose growth is drawn from the chosen tabular distribution."""


@dataclass(frozen=True)
class PatientTables:
    """What was written patient by patient, below one another, with split and center.

    Attributes:
        volumes: Of every sample, from `volumes.tsv`.
        scores: From `scores.tsv`.
        maps: From `maps.tsv`.
        consistency: From `consistency.tsv`.
        locations: From `location.tsv`.
        redraws: The phantom's further follow-ups, from `redraws.tsv`.
    """

    volumes: pd.DataFrame
    scores: pd.DataFrame
    maps: pd.DataFrame
    consistency: pd.DataFrame
    locations: pd.DataFrame
    redraws: pd.DataFrame


@dataclass(frozen=True)
class GrowthModels:
    """What is known without samples.

    Attributes:
        forecasts: Of volumes: references, tabular models and, for a phantom, the truth.
        p_expansion: By model and patient.
        pit: Of training patients under cross-fitted forecasts, or of those whom released models
            were recalibrated on; None where there are none.
    """

    forecasts: list[Forecast]
    p_expansion: dict[str, pd.Series]
    pit: NDArray | None


@dataclass(frozen=True)
class Cohort:
    """Everything of the scored patients; what several tables need is made once.

    Attributes:
        sheet: The kept patients' rows of the sheet, indexed by patient.
        outcomes: `outcomes.tsv`, indexed by patient.
        ids: The scored patients.
        patients: Their tables.
        models: What is known without their samples.
        settings: Of the evaluation.
        seed: Run seed.
    """

    sheet: pd.DataFrame
    outcomes: pd.DataFrame
    ids: list[str]
    patients: PatientTables
    models: GrowthModels
    settings: Evaluation
    seed: int

    @property
    def resampling(self) -> Resampling:
        """How bootstrap intervals are drawn."""
        return Resampling(self.settings.bootstrap, self.seed)

    @cached_property
    def forecasts(self) -> list[Forecast]:
        """All forecasts of volumes."""
        return [
            *sampled_forecasts(self.patients.volumes),
            *shell_forecasts(self.patients.consistency, self.outcomes),
            *self.models.forecasts,
            *redrawn_forecasts(self.patients.redraws, self.outcomes),
        ]

    @cached_property
    def scored(self) -> pd.DataFrame:
        """Their scores, a row a patient and forecast."""
        return score_forecasts(self.forecasts, self.outcomes, self.seed)

    @cached_property
    def events(self) -> pd.DataFrame:
        """All probabilities of events, a row a patient, event and model."""
        return event_probabilities(
            self.patients.volumes,
            self.patients.redraws,
            self.outcomes,
            self.ids,
            self.models.p_expansion,
            self.settings.ivh_present_ml,
        )

    @property
    def expansion(self) -> pd.DataFrame:
        """The probabilities of expansion alone."""
        return self.events[self.events["event"] == "he"]

    @property
    def characteristics(self) -> pd.DataFrame:
        """Clinical values, location and outcome of the scored patients, indexed by patient."""
        locations = self.patients.locations.set_index("patient_id")["location"]
        clinical = clinical_values(self.sheet).drop(columns=["split", "center"])
        return self.outcomes.loc[self.ids].join(clinical).join(locations)

    @property
    def forecast_maps(self) -> pd.DataFrame:
        """Sums of the maps of forecasts; one that knew the outcome is none."""
        maps = self.patients.maps
        return maps[maps["indicator"] != "oracle"]

    @property
    def calibrated(self) -> list[Forecast]:
        """Forecasts whose growth is drawn from the chosen tabular distribution."""
        return [one for one in self.forecasts if (one.model, one.target) in CALIBRATED]

    @property
    def conformal_levels(self) -> dict[str, tuple[Levels, ...]]:
        """By model, the levels at which intervals of those forecasts hold."""
        levels = conformal_levels(self.models.pit)
        return {one.model: levels for one in self.calibrated}


def read_cohort(
    layout: Layout, sheet: pd.DataFrame, settings: Evaluation, seed: int
) -> tuple[Cohort, list[Path]]:
    """Reads what was written of patients with a follow-up, and by the models of growth.

    Args:
        layout: Of the run; every patient of the scored splits with a follow-up must have samples.
        sheet: The kept patients' rows of the sheet, indexed by patient.
        settings: Splits, bootstrap, limits.
        seed: Run seed.

    Returns:
        The cohort, and the files it was read from.
    """
    outcomes = read_table(layout.outcomes).set_index("patient_id")
    kept = outcomes["split"].isin(settings.splits) & outcomes["followup_iph_ml"].notna()
    ids = list(outcomes.index[kept])
    _warn_of_strangers(layout, outcomes.index)
    patients, patient_files = _read_patients(layout, outcomes, ids)
    models, model_files = _read_models(layout, outcomes, ids, seed)
    files = [layout.outcomes, *patient_files, *model_files]
    return Cohort(sheet, outcomes, ids, patients, models, settings, seed), files


def _warn_of_strangers(layout: Layout, known: pd.Index) -> None:
    """Warns of folders that Snakemake left: patients dropped from the sheet, or excluded since."""
    folders = layout.sample_volumes("*").parent
    found = {patient_of(folder) for folder in layout.find(folders)}
    if strangers := sorted(found.difference(known)):
        message = "%s: samples of patients who are not in this run (%s) count nowhere; delete them"
        log.warning(message, folders.parent, ", ".join(strangers))


def _read_patients(
    layout: Layout, outcomes: pd.DataFrame, ids: list[str]
) -> tuple[PatientTables, list[Path]]:
    """The patients' tables and their files."""
    tables, read = [], []
    for place, columns in (
        (layout.sample_volumes, VOLUME_COLUMNS),
        (layout.scores, SCORE_COLUMNS),
        (layout.map_sums, PATIENT_MAPS),
        (layout.consistency, CONSISTENCY),
        (layout.location, LOCATION),
    ):
        files = {name: place(name) for name in ids}
        tables.append(_read_all(files, outcomes, columns))
        read += files.values()
    return PatientTables(*tables, read_redraws(layout, ids)), read


def _read_all(
    files: dict[str, Path], outcomes: pd.DataFrame, columns: tuple[str, ...]
) -> pd.DataFrame:
    """The patients' tables below one another, with split, center and baseline volume."""
    read = [read_table(path).assign(patient_id=name) for name, path in files.items()]
    table = pd.concat(read, ignore_index=True) if read else pd.DataFrame(columns=list(columns))
    return table.join(outcomes[["split", "center", "baseline_iph_ml"]], on="patient_id")


def _read_models(
    layout: Layout, outcomes: pd.DataFrame, ids: list[str], seed: int
) -> tuple[GrowthModels, list[Path]]:
    """The forecasts that are no samples, and their files."""
    files = {
        "predictions": layout.growth("predictions"),
        "forecasts": layout.growth("forecasts"),
        "training_forecasts": layout.growth("training_forecasts"),
    }
    # Of real patients there is none.
    files |= {"truth": layout.truths} if layout.truths.exists() else {}
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
        p_expansion[TRUE_DISTRIBUTION] = tables["truth"].set_index("patient_id")["p_expansion"]
    training = tables["training_forecasts"]
    # Empty where the models were taken over: there are no training patients to calibrate on.
    if len(training):
        pit = training_pit(of_chosen(training, chosen), outcomes, seed)
    else:
        files["models"] = layout.growth_models
        pit = recalibrated_pit(json.loads(layout.growth_models.read_text(encoding="utf-8")))
    return GrowthModels(forecasts, p_expansion, pit), list(files.values())
