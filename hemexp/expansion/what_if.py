"""What if the patient had come earlier, or had been on an anticoagulant?"""

import time

import numpy as np
import pandas as pd

from hemexp.expansion.model import GrowthModel, load_expansion
from hemexp.expansion.patients import read_patients, save_tables
from hemexp.layout import Layout
from hemexp.outcomes import HE_ML
from hemexp.what_if_cases import EARLY_H, LATE_H, ask

ANSWERS = ("median_growth_ml", "p_growth_6ml")
SUMMARY = (
    "contrast",
    "at",
    "quantity",
    "n",
    "mean_effect",
    "share_raised",
    "share_right_direction",
    "mean_true_effect",
    "ratio",
    "note",
)
NO_TRUTH = "no true effect: not a phantom patient's cohort"


def answer(model: GrowthModel, patients: pd.DataFrame) -> pd.DataFrame:
    """The predicted distribution under every question, all else as it is.

    The sheet's `expansion_prob` has no part in it: it does not say what it would have been.

    Args:
        model: The chosen model.
        patients: Rows as `read_patients` gives them.

    Returns:
        Columns patient_id, onset_to_ct_h, anticoagulant, median_growth_ml, p_growth_6ml,
        p_expansion.
    """
    asked = ask(list(patients.index))
    changed = patients.loc[asked["patient_id"]].reset_index(drop=True)
    changed[["onset_to_ct_h", "anticoagulant"]] = asked[["onset_to_ct_h", "anticoagulant"]]
    rows = [
        {
            "median_growth_ml": float(growth.quantiles(np.array([0.5]))[0]),
            "p_growth_6ml": growth.probability_from(HE_ML),
            "p_expansion": growth.p_expansion,
        }
        for growth in model.distributions(changed)
    ]
    return asked.join(pd.DataFrame(rows, index=asked.index, columns=[*ANSWERS, "p_expansion"]))


def effects(answers: pd.DataFrame) -> pd.DataFrame:
    """Differences between answers: early against late, on an anticoagulant against off.

    Returns:
        Columns contrast, at (what was held), patient_id and a difference for each of
        `ANSWERS`.
    """
    asked = ["onset_to_ct_h", "anticoagulant", "patient_id"]
    table = answers.set_index(asked)[[*ANSWERS]].sort_index()
    onset, drug = f"onset {EARLY_H:g} h against {LATE_H:g} h", "anticoagulant on against off"
    found = []
    for state in (0, 1):
        change = table.loc[EARLY_H, state] - table.loc[LATE_H, state]
        found.append(change.reset_index().assign(contrast=onset, at=f"anticoagulant {state}"))
    for hours in (EARLY_H, LATE_H):
        change = table.loc[hours, 1] - table.loc[hours, 0]
        found.append(change.reset_index().assign(contrast=drug, at=f"onset {hours:g} h"))
    return pd.concat(found, ignore_index=True)


def summarise(answers: pd.DataFrame, truth: pd.DataFrame | None) -> pd.DataFrame:
    """Mean predicted effects beside true ones.

    Args:
        answers: Of `answer`.
        truth: The same columns, of the phantom; None for real patients. Patients who are not in
            it have no part in the summary.

    Returns:
        Columns of `SUMMARY`; `at` says what was held, `all` is both together, and
        `share_raised` is the share of patients whose quantity rises. Both contrasts raise growth
        in the sources named in the phantom's model.
    """
    kept = answers if truth is None else answers[answers["patient_id"].isin(truth["patient_id"])]
    if kept.empty:
        return pd.DataFrame(columns=list(SUMMARY))
    keys, columns = ["contrast", "at", "patient_id"], [*ANSWERS]
    pairs = effects(kept).set_index(keys)[columns]
    true = pairs * np.nan if truth is None else effects(truth).set_index(keys)[columns]
    joined = pairs.join(true.add_suffix("_true")).reset_index()
    groups = pd.concat([joined, joined.assign(at="all")]).groupby(["contrast", "at"], sort=False)
    rows = [
        {"contrast": contrast, "at": at, **_row(group, quantity, known=truth is not None)}
        for (contrast, at), group in groups
        for quantity in ANSWERS
    ]
    return pd.DataFrame(rows)[list(SUMMARY)]


def _row(group: pd.DataFrame, quantity: str, *, known: bool) -> dict[str, object]:
    effect, true = group[quantity], group[f"{quantity}_true"]
    right = np.mean(np.sign(effect) == np.sign(true)) if known else np.nan
    ratio = effect.mean() / true.mean() if known else np.nan
    return {
        "quantity": quantity,
        "n": len(group),
        "mean_effect": effect.mean(),
        "share_raised": np.mean(effect > 0),
        "share_right_direction": right,
        "mean_true_effect": true.mean(),
        "ratio": ratio,
        "note": "" if known else NO_TRUTH,
    }


def run_answer_what_if(layout: Layout, patients: pd.DataFrame) -> None:
    """Verb `answer-what-if`: what_if.tsv and what_if_summary.tsv, beside a phantom's truth.

    Args:
        layout: Of the run; the models were fitted, the bleeds measured.
        patients: Rows of the patients to forecast.
    """
    started = time.perf_counter()
    model = load_expansion(layout.growth_models)
    answers = answer(model, read_patients(layout, patients))
    truth = layout.what_if_truths if layout.what_if_truths.exists() else None
    known = truth and pd.read_csv(truth, sep="\t", dtype={"patient_id": str})
    tables = {
        layout.growth("what_if"): answers,
        layout.growth("what_if_summary"): summarise(answers, known),
    }
    inputs = [layout.growth_models, *([truth] if truth else [])]
    save_tables(tables, verb="answer-what-if", settings={}, inputs=inputs, started=started)
