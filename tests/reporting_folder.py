"""What reporting reads beyond `results_folder`: predictors, what-if answers, reconstruction."""

import shutil

import numpy as np
import pandas as pd
from results_folder import CHOSEN, MODELS, make_results, read_samples, save

from hemexp.evaluation.cohort.summarise import run_summarise_scores
from hemexp.evaluation.cohort.vary_masks import run_vary_masks
from hemexp.evaluation.cohort.what_if_images import run_score_what_if
from hemexp.evaluation.patient.score import run_score_patient
from hemexp.expansion.what_if import summarise
from hemexp.layout import Layout
from hemexp.reporting.catalogue import TABLES
from hemexp.reporting.patients import run_write_patients
from hemexp.reporting.report import write
from hemexp.reporting.tables import run_write_tables
from hemexp.tables import read_table
from hemexp.volumes import read_volume, write_volume
from hemexp.what_if_cases import AS_IS, ask


def copy_masks(layout, name):
    """The masks on the grid serve as the native ones."""
    for session in ("baseline", "followup"):
        for mask in ("iph", "ivh"):
            files = (getattr(place(name, session), mask) for place in (layout.grid, layout.native))
            shutil.copy(*files)


def answers(ids, drug_effect_ml):
    """Growth that falls by 1 mL with every doubling of the hours, more on an anticoagulant."""
    table = ask(list(ids))
    table["median_growth_ml"] = 5 - np.log2(table["onset_to_ct_h"])
    table["median_growth_ml"] += drug_effect_ml * table["anticoagulant"]
    table["p_growth_6ml"] = table["median_growth_ml"].clip(0.1, 9) / 10
    return table.assign(p_expansion=0.3)


def calibration(known):
    values = {"calibration_in_the_large": 0.1, "oe_ratio": 1.05, "calibration_slope": 1.25}
    return {
        f"{name}{end}": value + away if known else np.nan
        for name, value in values.items()
        for end, away in (("", 0), ("_low", -0.5), ("_high", 0.5))
    }


def comparison():
    rows = [
        {
            "model": name,
            "n": 6,
            "events": 2,
            "auc": 0.75,
            "auc_low": 0.5,
            "auc_high": 1.0,
            "brier": 0.2,
            **calibration(name == CHOSEN),
            "crps_ml": 2.0,
            "crps_low": 1.0,
            "crps_high": 3.126,
            "note": "" if name == CHOSEN else "too few events",
        }
        for name in MODELS
    ]
    return pd.DataFrame(rows)


def ivh_comparison():
    """`expansion/ivh_comparison.tsv`: numbers that nobody could have fitted."""
    names = ["hurdle", "hurdle_told_growth", "climatology", "copied_baseline"]
    row = {"n": 6, "events": 2, "auc": 0.75, "auc_low": 0.5, "auc_high": 1.0}
    row |= {"crps_ml": 0.4, "crps_low": 0.3, "crps_high": 0.526, "note": ""}
    return pd.DataFrame([{"model": name} | row for name in names])


def make_reportable(root, settings, **options):
    """Writes everything that reporting reads, evaluated; options as `make_results` has them."""
    complete(root, make_results(root, **options))
    evaluate(root, settings)


def evaluate(root, settings):
    room = settings.evaluation.model_copy(update={"bootstrap": 50})
    outcomes = read_table(root / "cohort/outcomes.tsv").set_index("patient_id")
    for name in outcomes.index[outcomes["split"] == "test"]:
        run_score_patient(Layout(root), name, room)
    run_summarise_scores(Layout(root), read_samples(root), room, seed=1)
    run_vary_masks(Layout(root), read_samples(root), room, seed=1)
    run_score_what_if(Layout(root), asked_again(outcomes))
    run_write_patients(Layout(root), whole_sheet(root), room)


def whole_sheet(root):
    """The sheet with the patient whom preprocessing excluded."""
    sheet = read_samples(root)
    sheet.loc["X9"] = sheet.iloc[0]
    sheet.loc["X9", "patient_id"] = "X9"
    return sheet


def write_tables(root, settings, tables=TABLES):
    return run_write_tables(Layout(root), read_samples(root), settings.reporting, tables)


METHODS = {"Growth": "Drawn from `a_model` & <that>."}
"""Stands for what the records of a run say."""


def write_report(root, settings, patch, preset="demo", tables=TABLES):
    """The pages of the report; the first is `index.html`."""
    patch.setattr(write, "make_paragraphs", lambda layout: METHODS)
    return write.run_write_report(Layout(root), settings.reporting, preset, 7, tables)


def asked_again(outcomes):
    """A scored patient, one with new blood in samples if there is one: what-ifs of theirs."""
    return sorted(outcomes.index[outcomes["split"] == "test"])[:2][-1:]


def write_what_if(root, name):
    """Maps halve off the drug, as in truth, and are gone at 12 h, where true ones halve."""
    layout = Layout(root)
    grid = read_volume(layout.sample_map(name, "expansion"))
    drawn = {AS_IS: 1.0, "anticoagulant": 0.5, "onset": 0.0}
    true = {AS_IS: 1.0, "anticoagulant": 0.5, "onset": 0.5}
    known = layout.true_map(name).exists()
    for case in drawn:
        if case != AS_IS:
            path = layout.what_if_map(name, case)
            write_volume(path, drawn[case] * grid.data, grid.affine, np.float32)
        if known:
            path = layout.true_what_if_map(name, case)
            write_volume(path, true[case] * grid.data, grid.affine, np.float32)
    save(what_if_rows(drawn), layout.what_if(name))
    if known:
        save(what_if_rows(true), layout.true_what_if(name))


def what_if_rows(parts):
    """A patient of 2 h on the drug, of whose growth and probability cases leave a part."""
    row = {"onset_to_ct_h": 2.0, "anticoagulant": 1.0, "samples": 5, "note": ""}
    changed = {
        AS_IS: {},
        "anticoagulant": {"anticoagulant": 0.0},
        "onset": {"onset_to_ct_h": 12.0},
    }
    full = {"iph_growth_ml": 8.0, "ivh_growth_ml": 1.0, "p_expansion": 0.6, "map_ml": 9.0}
    return pd.DataFrame(
        {"case": case, **row, **changed[case], **{name: part * full[name] for name in full}}
        for case, part in parts.items()
    )


def complete(root, outcomes):
    """Adds to the folder of `make_results`; the outcomes are indexed by patient."""
    for name in asked_again(outcomes):
        write_what_if(root, name)
    unseen = outcomes.index[outcomes["split"] != "train"]
    told, true = answers(unseen, 1.0), answers(outcomes.index, 2.0)
    save(told, root / "expansion/what_if.tsv")
    save(summarise(told, true), root / "expansion/what_if_summary.tsv")
    save(true, root / "phantom/what_if_truth.tsv")
    save(comparison(), root / "expansion/comparison.tsv")
    save(ivh_comparison(), root / "expansion/ivh_comparison.tsv")
    for name in outcomes.index[outcomes["split"] == "test"]:
        copy_masks(Layout(root), name)
    for n, name in enumerate(outcomes.index):
        row = {
            "patient_id": name,
            "session": "baseline",
            "iph_dice": 0.9 + 0.001 * n,
            "ivh_dice": np.nan if n % 2 else 0.8,
            "psnr_db": 30.0,
        }
        save(pd.DataFrame([row]), Layout(root).reconstruction(name))
