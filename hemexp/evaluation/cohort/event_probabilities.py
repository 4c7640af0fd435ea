"""Probabilities of expansion and of blood in the ventricles, by every model."""

import pandas as pd

from hemexp.evaluation.cohort.forecasts import TRUE_DISTRIBUTION
from hemexp.outcomes import expansion_outcomes

HE_EVENTS = ("he", "he_6ml", "rhe")
IVH_EVENTS = ("ivh", "new_ivh")
EVENTS = (*HE_EVENTS, *IVH_EVENTS)
"""Expansion (method.md 1), IVH at follow-up, and IVH at follow-up where there was none."""

COLUMNS = (
    "patient_id",
    "split",
    "center",
    "event",
    "model",
    "indicator",
    "probability",
    "observed",
)


def show_events(volumes: pd.DataFrame, ivh_present_ml: float) -> pd.DataFrame:
    """Whether each follow-up shows each event, by one definition for real and drawn ones.

    Args:
        volumes: Columns baseline_iph_ml, baseline_ivh_ml, followup_iph_ml, followup_ivh_ml.
        ivh_present_ml: IVH counts as present above this.

    Returns:
        The columns `EVENTS`, 0 or 1. Empty (NaN) without a follow-up, and for `new_ivh` where
        the baseline has IVH: such a patient cannot have the event.
    """
    table = expansion_outcomes(volumes)
    known = table["followup_ivh_ml"].notna()
    table["ivh"] = (table["followup_ivh_ml"] > ivh_present_ml).astype(float).where(known)
    table["new_ivh"] = table["ivh"].where(table["baseline_ivh_ml"] <= ivh_present_ml)
    return table[list(EVENTS)]


def sample_events(
    volumes: pd.DataFrame, outcomes: pd.DataFrame, ivh_present_ml: float
) -> pd.DataFrame:
    """The events of every sample, with patient_id and indicator.

    Args:
        volumes: All patients' `volumes.tsv`.
        outcomes: `outcomes.tsv`, indexed by patient.
        ivh_present_ml: IVH counts as present above this.
    """
    baseline = outcomes.loc[volumes["patient_id"], ["baseline_iph_ml", "baseline_ivh_ml"]]
    table = baseline.reset_index(drop=True).assign(
        followup_iph_ml=volumes["iph_ml"].to_numpy(), followup_ivh_ml=volumes["ivh_ml"].to_numpy()
    )
    return show_events(table, ivh_present_ml).assign(
        patient_id=volumes["patient_id"].to_numpy(), indicator=volumes["indicator"].to_numpy()
    )


def redrawn_events(
    redraws: pd.DataFrame, outcomes: pd.DataFrame, ivh_present_ml: float
) -> pd.DataFrame:
    """The events of the phantom's redraws, with patient_id."""
    first = outcomes.loc[redraws["patient_id"]].reset_index(drop=True)
    volumes = pd.DataFrame(
        {
            "iph_ml": first["baseline_iph_ml"] + redraws["iph_growth_ml"].to_numpy(),
            "ivh_ml": first["baseline_ivh_ml"] + redraws["ivh_growth_ml"].to_numpy(),
            "patient_id": redraws["patient_id"].to_numpy(),
            "indicator": "none",
        }
    )
    return sample_events(volumes, outcomes, ivh_present_ml)


def event_probabilities(
    volumes: pd.DataFrame,
    redraws: pd.DataFrame,
    outcomes: pd.DataFrame,
    ids: list[str],
    single: dict[str, pd.Series],
    ivh_present_ml: float,
) -> pd.DataFrame:
    """Probability of every event by every model beside what happened.

    Args:
        volumes: All patients' `volumes.tsv`; the share of samples that show the event is its
            probability. Samples that knew the outcome are left out.
        redraws: The phantom's redraws: the true probability of `IVH_EVENTS`.
        outcomes: `outcomes.tsv`, indexed by patient; the training patients' share of events is
            the climatology.
        ids: Patients to forecast.
        single: Models that give a probability of `he` alone, by patient.
        ivh_present_ml: IVH counts as present above this.

    Returns:
        Columns patient_id, split, center, event, model, indicator, probability, observed;
        patients who cannot have an event are left out of it.
    """
    happened = show_events(outcomes, ivh_present_ml)
    train = happened[outcomes["split"] == "train"]
    drawn = sample_events(volumes, outcomes, ivh_present_ml)
    true = redrawn_events(redraws, outcomes, ivh_present_ml)
    known = outcomes[["split", "center"]].loc[ids]
    found = []
    for event in EVENTS:
        share = train[event].mean()  # NaN without training patients: no climatology then
        models = {} if pd.isna(share) else {("climatology", "none"): pd.Series(share, index=ids)}
        models |= _shares_of_samples(drawn, event)
        if event == "he":
            models |= {(name, "none"): series for name, series in single.items()}
        if event in IVH_EVENTS and len(true):
            models[TRUE_DISTRIBUTION, "none"] = true.groupby("patient_id")[event].mean()
        able = known.assign(event=event, observed=happened[event]).dropna(subset="observed")
        found += [_beside(able, key, probability) for key, probability in models.items()]
    return pd.concat(found, ignore_index=True)


def _shares_of_samples(drawn: pd.DataFrame, event: str) -> dict[tuple[str, str], pd.Series]:
    """By patient, the share of samples that show an event; those that knew it are left out."""
    return {
        ("hemexp", indicator): rows.groupby("patient_id")[event].mean()
        for indicator, rows in drawn.groupby("indicator")
        if indicator != "oracle"
    }


def _beside(patients: pd.DataFrame, key: tuple[str, str], probability: pd.Series) -> pd.DataFrame:
    """One model's probabilities beside what happened; not all of a mixed cohort are phantoms."""
    known = patients[patients.index.isin(probability.index)].rename_axis("patient_id")
    table = known.reset_index()
    table[["model", "indicator"]] = key
    table["probability"] = probability[known.index].to_numpy()
    return table[[*COLUMNS]]
