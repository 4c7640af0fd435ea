"""What drawn follow-ups say of each patient: quantiles of volumes, probabilities of events."""

import numpy as np
import pandas as pd

from hemexp.evaluation.cohort.event_probabilities import sample_events
from hemexp.evaluation.cohort.forecasts import kind_of
from hemexp.reporting.patient_columns import LEVELS, QUANTILES, quantile_name
from hemexp.statistics.scores import Kind, quantiles

PROBABILITIES = {"p_he": "he", "p_he_6ml": "he_6ml", "p_rhe": "rhe", "p_new_ivh": "new_ivh"}
"""Columns that are shares of samples, and the event that each sample shows or not."""


def describe_samples(
    volumes: pd.DataFrame, measured: pd.DataFrame, outcomes: pd.DataFrame, ivh_present_ml: float
) -> pd.DataFrame:
    """Quantiles and probabilities, indexed by patient.

    Args:
        volumes: `volumes.tsv` of every forecast patient, with patient_id.
        measured: `consistency.tsv` of those who were scored.
        outcomes: `outcomes.tsv`, indexed by patient.
        ivh_present_ml: IVH counts as present above this.
    """
    events = sample_events(volumes, outcomes, ivh_present_ml)
    shares = events.groupby("patient_id")[[*PROBABILITIES.values()]].mean()
    shares.columns = [*PROBABILITIES]
    ventricles = measured[measured["model"] == "hemexp"].groupby("patient_id")
    changes_ml = dict(iter(ventricles["ventricle_change_ml"]))
    rows = {
        name: {"samples": len(samples)}
        | _quantiles(
            samples,
            outcomes.loc[name, "baseline_iph_ml"],
            changes_ml.get(name, pd.Series(dtype=float)),
        )
        for name, samples in volumes.groupby("patient_id")
    }
    return pd.DataFrame.from_dict(rows, orient="index").join(shares)


def _quantiles(
    samples: pd.DataFrame, baseline_iph_ml: float, ventricles_ml: pd.Series
) -> dict[str, float]:
    """All quantiles of one patient, by column.

    Growth is drawn as the samples' table says; what was only measured counts as independent.
    """
    growth: Kind = kind_of("iph_ml", samples["draws"].iloc[0])
    draws: dict[str, tuple[pd.Series, Kind]] = {
        "iph_{}_ml": (samples["iph_ml"], growth),
        "growth_{}_ml": (samples["iph_ml"] - baseline_iph_ml, growth),
        "ivh_{}_ml": (samples["ivh_ml"], kind_of("ivh_ml", growth)),
        "midline_{}_mm": (samples["midline_shift_mm"], "independent"),
        "ventricles_{}_ml": (ventricles_ml, "independent"),
    }
    return {
        quantile_name(pattern, level): value
        for pattern in QUANTILES
        for level, value in zip(LEVELS, _at_levels(*draws[pattern]), strict=True)
    }


def _at_levels(draws: pd.Series, kind: Kind) -> list[float]:
    """NaN where there are no draws; a sample on which a thing was not measured is none."""
    known = draws.dropna().to_numpy(dtype=float)
    return quantiles(known, LEVELS, kind).tolist() if known.size else [np.nan] * len(LEVELS)
