"""The columns of the patients' table: what each one holds, in which unit, with which levels."""

from typing import Any, NamedTuple

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Of forecast quantiles: the median, and the central 50 % and 90 % intervals."""

NO_YES = {"0": "no", "1": "yes"}


class Column(NamedTuple):
    """A column for people who never saw the program.

    Attributes:
        description: What a cell holds, and when it is empty.
        unit: Of the number; empty where it has none.
        levels: What the cells may say, by cell.
    """

    description: str
    unit: str = ""
    levels: dict[str, str] | None = None

    def as_json(self) -> dict[str, Any]:
        """The entry of a data dictionary as BIDS words it."""
        found = {"Description": self.description, "Units": self.unit, "Levels": self.levels}
        return {name: value for name, value in found.items() if value}


PATIENT = {
    "patient_id": Column("Patient, as the sample sheet names them"),
    "center": Column("Centre"),
    "split": Column(
        "What the patient serves for",
        levels={
            "train": "models learned from the patient",
            "val": "weighs the expansion maps of others",
            "test": "forecast, and compared with what happened",
            "predict": "forecast; no follow-up is known",
        },
    ),
}
INPUTS = {
    "onset_to_ct_h": Column("Symptom onset to baseline CT; empty: unknown", "h"),
    "anticoagulant": Column("On an anticoagulant at onset; empty: unknown", levels=NO_YES),
    "antiplatelet": Column("On an antiplatelet drug at onset; empty: unknown", levels=NO_YES),
    "age": Column("Age; empty: unknown", "year"),
    "gcs": Column("Glasgow Coma Scale, 3 to 15; empty: unknown", "point"),
    "sbp": Column("Systolic blood pressure; empty: unknown", "mmHg"),
    "sex": Column("Sex; empty: unknown", levels={"female": "female", "male": "male"}),
    "followup_interval_h": Column("Baseline CT to follow-up CT; empty: unknown", "h"),
    "expansion_prob": Column("Probability of HE from an outside classifier; empty: none given"),
}
"""Of the sheet. It may lack the last three, which are empty then."""

COURSE = {
    "evacuated": Column("Operated on between the scans, and so excluded", levels=NO_YES),
    "died": Column("Died before the follow-up, and so excluded", levels=NO_YES),
    "reversed": Column("Anticoagulation was reversed; empty: unknown", levels=NO_YES),
    "bp_lowered": Column("Blood pressure was lowered; empty: unknown", levels=NO_YES),
}
"""Also of the sheet: what came after the baseline. No model sees it. Empty where it lacks them."""

_STATUS = {"ok": "no remark", "warning": "doubtful", "failed": "the patient was excluded for it"}
_SOURCE = {
    "given": "drawn by people, named in the sheet",
    "network": "found by a network",
    "command": "found by a program of the study's own",
}
QUALITY = {
    "excluded": Column("Left out of all models and tables", levels=NO_YES),
    "excluded_reason": Column("Why; empty: kept"),
    "baseline_qc": Column("Quality control of the baseline; empty: not read", levels=_STATUS),
    "followup_qc": Column("The same of the follow-up; empty: none", levels=_STATUS),
    "qc_reason": Column("What is doubtful of either scan; empty: nothing"),
    "baseline_mask": Column("Where the baseline's masks come from", levels=_SOURCE),
    "followup_mask": Column("The same of the follow-up; empty: none", levels=_SOURCE),
    "iph_error_ml": Column("Expected error of growth; 0: all masks were given", "mL"),
}
OUTCOMES = {
    "baseline_iph_ml": Column("IPH at baseline, native voxels", "mL"),
    "baseline_ivh_ml": Column("IVH at baseline, native voxels", "mL"),
    "followup_iph_ml": Column("IPH at follow-up, native voxels", "mL"),
    "followup_ivh_ml": Column("IVH at follow-up, native voxels", "mL"),
    "growth_ml": Column("Growth of IPH", "mL"),
    "ivh_growth_ml": Column("Growth of IVH", "mL"),
    "he": Column("HE: IPH growth of at least 6 mL or 33 %", levels=NO_YES),
    "he_6ml": Column("IPH growth of at least 6 mL", levels=NO_YES),
    "rhe": Column("rHE: HE, or new IVH, or IVH growth of at least 1 mL", levels=NO_YES),
    "new_ivh": Column(
        "IVH present at follow-up, and not at baseline; empty also where it was there. Present: "
        "more than `ivh_present_ml` of the settings below",
        levels=NO_YES,
    ),
    "midline_shift_mm": Column(
        "Mean shift of the mid-plane since the baseline, to the patient's right; scored patients",
        "mm",
    ),
    "ventricle_change_ml": Column(
        "Change of the ventricles' volume since the baseline; scored patients", "mL"
    ),
}
"""What happened; empty where it is not known."""

QUANTILES = {
    "iph_{}_ml": ("IPH at follow-up", "mL"),
    "growth_{}_ml": ("growth of IPH", "mL"),
    "ivh_{}_ml": ("IVH at follow-up", "mL"),
    "midline_{}_mm": ("shift of the mid-plane, to the patient's right", "mm"),
    "ventricles_{}_ml": ("change of the ventricles' volume; scored patients", "mL"),
}
"""What is forecast, by the pattern of its columns."""


def quantile_name(pattern: str, level: float) -> str:
    """Column of a forecast quantile: `iph_{}_ml` at 0.05 is `forecast_iph_q05_ml`."""
    return "forecast_" + pattern.format(f"q{round(100 * level):02d}")


FORECAST = {
    "indicator": Column(
        "What the samples were told of growth",
        levels={
            "predicted": "drawn from the forecast distribution",
            "free": "nothing",
            "oracle": "what happened: no forecast, so that none stands here",
        },
    ),
    "samples": Column("Drawn follow-ups that the forecast is made of"),
    **{
        quantile_name(pattern, level): Column(f"{level:.0%} quantile of the {words}", unit)
        for pattern, (words, unit) in QUANTILES.items()
        for level in LEVELS
    },
    "p_he": Column("Share of samples with HE"),
    "p_he_6ml": Column("Share of samples whose IPH grew by at least 6 mL"),
    "p_rhe": Column("Share of samples with rHE"),
    "p_new_ivh": Column("Share of samples with `new_ivh`; empty where IVH was there"),
    "p_he_tabular": Column("Probability of HE by the tabular model that samples draw from"),
    "p_he_tabular_source": Column(
        "How it was made",
        levels={
            "fitted": "by the model, which did not learn from the patient",
            "cross-fitted": "by a fit of the model that left this training patient out",
            "sheet": "given: expansion_prob",
        },
    ),
    "p_ivh_growth_tabular": Column("Probability of IVH growth of 0.3 mL or more by its model"),
    "forecast_note": Column("Why a cell of the forecast is empty; empty: none is"),
}
COLUMNS = PATIENT | INPUTS | COURSE | QUALITY | OUTCOMES | FORECAST
"""All columns in their order: the data dictionary."""
