"""Verb `write-patients`: one row a patient for a statistician, with what its columns mean."""

import time
from pathlib import Path

import numpy as np
import pandas as pd

from hemexp.columns import SESSIONS
from hemexp.evaluation.cohort.event_probabilities import show_events
from hemexp.evaluation.cohort.growth_models import chosen_model, of_chosen
from hemexp.evaluation.patient.consistency import COLUMNS as CONSISTENCY
from hemexp.evaluation.patient.series import TRUTH
from hemexp.layout import Layout
from hemexp.made_masks import GIVEN
from hemexp.outcomes import has_session
from hemexp.provenance import write_sidecars, write_text
from hemexp.reporting.patient_columns import COLUMNS, COURSE, FORECAST, INPUTS, OUTCOMES, PATIENT
from hemexp.reporting.patient_forecasts import describe_samples
from hemexp.reporting.reader import Reader
from hemexp.settings import Evaluation

MASKS = (*(f"{session}_mask" for session in SESSIONS), "iph_error_ml")

PREDICTED = {
    "p_expansion": "p_he_tabular",
    "source": "p_he_tabular_source",
    "p_ivh_growth": "p_ivh_growth_tabular",
}
"""Columns of `predictions.tsv`, and what they are called beside the samples' forecast."""

NO_SAMPLES = {
    "train": "training patient: no follow-up is drawn",
    "val": "validation patient: the samples weigh maps and are no forecast",
}
"""Why a kept patient of a split is not forecast by samples."""


def describe_sheet(sheet: pd.DataFrame) -> pd.DataFrame:
    """What the sheet says of every patient, indexed by patient."""
    told = sheet.reindex(columns=[*PATIENT, *INPUTS, *COURSE])
    return told.assign(sex=told["sex"].replace("", np.nan))


def describe_quality(patients: pd.Index, qc: pd.DataFrame, excluded: pd.DataFrame) -> pd.DataFrame:
    """Who was left out and why, and what is doubtful of the scans, indexed by patient.

    Args:
        patients: All of the sheet.
        qc: `qc.tsv`.
        excluded: `excluded.tsv`.
    """
    out = excluded.fillna("")
    out = out.assign(reason=out["session"] + ", " + out["step"] + ": " + out["reason"])
    doubts = qc[qc["reason"].fillna("") != ""]
    doubts = doubts.assign(reason=doubts["session"] + ": " + doubts["reason"])
    status = qc.pivot(index="patient_id", columns="session", values="status")
    return pd.DataFrame(
        {
            "excluded": patients.isin(excluded["patient_id"]).astype(int),
            "excluded_reason": _joined_reasons(out).reindex(patients),
            "qc_reason": _joined_reasons(doubts).reindex(patients),
        },
        index=patients,
    ).join(status.reindex(columns=SESSIONS).add_suffix("_qc"))


def _joined_reasons(table: pd.DataFrame) -> pd.Series:
    return table.groupby("patient_id")["reason"].agg("; ".join)


def describe_outcomes(
    outcomes: pd.DataFrame, consistency: pd.DataFrame, ivh_present_ml: float
) -> pd.DataFrame:
    """What happened, and where masks come from, indexed by patient.

    Args:
        outcomes: `outcomes.tsv`, indexed by patient.
        consistency: `consistency.tsv` of the scored patients.
        ivh_present_ml: IVH counts as present above this.
    """
    new_ivh = show_events(outcomes, ivh_present_ml)["new_ivh"]
    true = consistency[consistency["model"] == TRUTH.model].set_index("patient_id")
    table = outcomes.assign(new_ivh=new_ivh).join(
        true[["midline_shift_mm", "ventricle_change_ml"]]
    )
    if "iph_error_ml" not in table:  # nobody but people made masks
        table["iph_error_ml"] = 0.0
        for session in SESSIONS:
            there = [has_session(split, session) for split in table["split"]]
            table[f"{session}_mask"] = np.where(there, GIVEN, "")
    return table[[*OUTCOMES, *MASKS]]


def explain_gaps(table: pd.DataFrame) -> pd.Series:
    """Why a patient's forecast has empty cells; empty where it has none.

    Args:
        table: All columns but `forecast_note`, indexed by patient.
    """
    notes = []
    for _, row in table.iterrows():
        if row["excluded"]:
            notes.append("excluded")
        elif row["indicator"] == "oracle":
            notes.append("the samples were told what happened and are no forecast")
        elif row["samples"] > 0:
            without = "ventricles of samples are measured where a follow-up is known"
            with_ivh = "IVH at baseline: none can be new"
            empty = {"forecast_ventricles_q50_ml": without, "p_new_ivh": with_ivh}
            notes.append("; ".join(note for name, note in empty.items() if pd.isna(row[name])))
        else:
            notes.append(NO_SAMPLES.get(row["split"], "no samples in this run"))
    return pd.Series(notes, index=table.index, dtype=object)


def describe_forecasts(
    volumes: pd.DataFrame,
    consistency: pd.DataFrame,
    outcomes: pd.DataFrame,
    predictions: pd.DataFrame,
    ivh_present_ml: float,
) -> pd.DataFrame:
    """What samples and the tabular model say, indexed by patient; not of those excluded.

    Args:
        volumes: `volumes.tsv` of the patients who are forecast; may be empty.
        consistency: `consistency.tsv` of the scored ones.
        outcomes: `outcomes.tsv`, indexed by patient.
        predictions: `predictions.tsv`.
        ivh_present_ml: IVH counts as present above this.
    """
    tabular = of_chosen(predictions, chosen_model(predictions)).set_index("patient_id")
    table = tabular[[*PREDICTED]].rename(columns=PREDICTED)
    parts = [table]
    if len(volumes):
        parts.append(volumes.groupby("patient_id")[["indicator"]].first())
        drawn = volumes[volumes["indicator"] != "oracle"]
        parts.append(describe_samples(drawn, consistency, outcomes, ivh_present_ml))
    return pd.concat(parts, axis=1).reindex(columns=[*FORECAST][:-1])


def read_patients(reader: Reader, sheet: pd.DataFrame, ivh_present_ml: float) -> pd.DataFrame:
    """The whole table, indexed by patient, in the order of the sheet.

    Args:
        reader: Of the results.
        sheet: All rows of the sheet, indexed by patient, those too whom it leaves out.
        ivh_present_ml: IVH counts as present above this.
    """
    layout, outcomes = reader.layout, reader.outcomes()
    qc, excluded = reader.table(layout.qc), reader.table(layout.excluded)
    drawn = reader.forecast_volumes(outcomes.index)
    volumes = reader.tables(drawn)
    scored = {name: layout.consistency(name) for name in drawn}
    consistency = reader.tables({name: path for name, path in scored.items() if path.is_file()})
    if consistency.empty:
        consistency = pd.DataFrame(columns=[*CONSISTENCY])
    predictions = reader.table(layout.growth("predictions"))
    told = describe_sheet(sheet)
    table = told.join(
        [
            describe_quality(sheet.index, qc, excluded),
            describe_outcomes(outcomes, consistency, ivh_present_ml),
            describe_forecasts(volumes, consistency, outcomes, predictions, ivh_present_ml),
        ]
    )
    return table.assign(forecast_note=explain_gaps(table))[[*COLUMNS]]


def run_write_patients(layout: Layout, sheet: pd.DataFrame, settings: Evaluation) -> Path:
    """Writes `patients.csv`, and beside it `patients.json`, which holds the data dictionary.

    Args:
        layout: Of the run: cohort, expansion, samples and consistency are read.
        sheet: All rows of the sheet as `cohort.read_sheet` gives them for everyone.
        settings: Say from how much IVH counts as present.

    Returns:
        The table.
    """
    started = time.perf_counter()
    reader, path = Reader(layout), layout.patients
    table = read_patients(reader, sheet, settings.ivh_present_ml)
    text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    write_text(path, text)
    write_sidecars(
        [path],
        verb="write-patients",
        settings={"ivh_present_ml": settings.ivh_present_ml},
        started=started,
        inputs=reader.seen,
        columns={name: column.as_json() for name, column in COLUMNS.items()},
    )
    return path
