"""What the cohort's index needs of every patient, from the tables of other rooms."""

import pandas as pd

from hemexp.columns import SESSIONS
from hemexp.evaluation.cohort.forecasts import kind_of
from hemexp.evaluation.cohort.growth_models import chosen_model, of_chosen
from hemexp.made_masks import GIVEN
from hemexp.reporting.reader import Reader
from hemexp.statistics.scores import quantiles

LEVELS = {"q05": 0.05, "q50": 0.5, "q95": 0.95}
MASKS = [f"{session}_mask" for session in SESSIONS]


def read_patients(reader: Reader) -> pd.DataFrame:
    """Every patient of the sheet, indexed by patient; NaN where there is nothing to say.

    Returns:
        center, split, baseline_iph_ml, followup_iph_ml, baseline_mask, followup_mask;
        p_he_tabular; forecast_iph_q05_ml, _q50_ml, _q95_ml; samples; baseline_qc, followup_qc,
        qc_reason; excluded (0/1), excluded_reason.
    """
    layout, outcomes = reader.layout, reader.outcomes()
    predictions = reader.table(layout.growth("predictions"))
    told = of_chosen(predictions, chosen_model(predictions)).set_index("patient_id")
    volumes = reader.tables(reader.forecast_volumes(outcomes.index))
    if "baseline_mask" not in outcomes:  # nobody but people made masks
        outcomes = outcomes.assign(**dict.fromkeys(MASKS, GIVEN))
    columns = ["center", "split", "baseline_iph_ml", "followup_iph_ml", *MASKS]
    quality = describe_quality(reader.table(layout.qc), reader.table(layout.excluded))
    return quality.join(
        [outcomes[columns], told["p_expansion"].rename("p_he_tabular"), describe_samples(volumes)]
    )


def describe_samples(volumes: pd.DataFrame) -> pd.DataFrame:
    """Quantiles of drawn IPH volume, mL, and K, by patient; oracle samples are no forecast.

    Args:
        volumes: All `volumes.tsv` below one another, with patient_id; may be empty.
    """
    rows = {}
    for patient, part in volumes.groupby("patient_id") if len(volumes) else ():
        if part["indicator"].iloc[0] != "oracle":
            kind = kind_of("iph_ml", part["draws"].iloc[0])
            found = quantiles(part["iph_ml"].to_numpy(), [*LEVELS.values()], kind)
            rows[patient] = [*found, len(part)]
    names = [*(f"forecast_iph_{name}_ml" for name in LEVELS), "samples"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=names)


def describe_quality(qc: pd.DataFrame, excluded: pd.DataFrame) -> pd.DataFrame:
    """What is doubtful of the scans, and who was left out and why, indexed by patient."""
    status = qc.pivot(index="patient_id", columns="session", values="status")
    table = status.reindex(columns=SESSIONS).add_suffix("_qc")
    out = excluded.fillna("").set_index("patient_id")
    why = out["session"] + ", " + out["step"] + ": " + out["reason"]
    doubts = qc[qc["reason"].fillna("") != ""]
    doubts = (doubts["session"] + ": " + doubts["reason"]).groupby(doubts["patient_id"])
    return table.assign(
        excluded=table.index.isin(out.index).astype(int),
        excluded_reason=why.groupby(level=0).agg("; ".join).reindex(table.index),
        qc_reason=doubts.agg("; ".join).reindex(table.index),
    )
