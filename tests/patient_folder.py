"""A made-up folder of results of one patient, with all that the patient's page reads."""

import numpy as np
import pandas as pd
import SimpleITK as sitk
from results_folder import Grid, bleeds, make_results, save, write_scan

from hemexp.layout import Layout
from hemexp.provenance import write_json

PATIENTS = {"R0": "train", "R1": "train", "T1": "test", "P0": "predict"}
"""T1 was followed, P0 was not; their bleeds have 27 and 33 mL."""

RANGE = {"known": 20, "lowest": 0.0, "median": 10.0, "highest": 40.0}
NAMES = ("onset_to_ct_h", "anticoagulant", "antiplatelet", "age", "gcs", "sbp")
VOLUMES = ("baseline_iph_ml", "baseline_ivh_ml")


def answers(**changes):
    """What the models of growth say: a patient of 90 years whose onset nobody knows."""
    values = dict.fromkeys((*NAMES, *VOLUMES, "sphericity"), 1.0)
    values |= {"onset_to_ct_h": None, "age": 90.0, "gcs": 14.0}
    growth_ml = [-1.0, 0.5, 2.0, 7.0, 14.0]
    case = {"p_expansion": 0.34, "p_growth_6ml": 0.28, "growth_ml": growth_ml}
    found = {
        "model": "four_variable",
        "outside_probability": None,
        "values": values,
        "forecast": {
            **case,
            "p_growth_33pct": 0.3,
            "p_ivh_growth": 0.004,
            "ivh_growth_ml": [0.0, 0.0, 0.0, 0.0, 1.5],
        },
        "cases": [
            {"variable": "as_is", "value": None, **case},
            {"variable": "onset_to_ct_h", "value": 1.0, **case, "p_expansion": 0.5},
            {"variable": "anticoagulant", "value": 0.0, **case},
            {"variable": "anticoagulant", "value": None, **case},
        ],
        "over_time": None,
        "patients": 20,
        "recalibrated": [],
        "training": {
            "patients": 20,
            "expanders": 6,
            "phantoms": 0,
            "ranges": dict.fromkeys(values, RANGE),
            "beyond": ["age"],
            "likeness": {"distance": 1.1, "share_nearer": 0.6, "measures": 17},
        },
    }
    return found | changes


def make_patient(root, **options):
    """Results of `PATIENTS`; options as `make_results` has them."""
    outcomes = make_results(root, patients=PATIENTS, **options)
    layout = Layout(root)
    for name, sessions in {"T1": ("baseline", "followup"), "P0": ("baseline",)}.items():
        for session in sessions:
            volumes = [float(outcomes.loc[name, f"{session}_{m}_ml"]) for m in ("iph", "ivh")]
            masks = bleeds(Grid(), *volumes)
            write_scan(root, Grid(), name, session, *masks, np.random.default_rng(1), "native")
            row = {"patient_id": name, "iph_ml": volumes[0], "ivh_ml": volumes[1]}
            save(pd.DataFrame([row]), layout.native(name, session).volumes)
        write_json(layout.patient_answers(name), answers())
    pair = {"patient_id": "T1", "rotation_deg": 4.04, "translation_mm": 2.0, "overlap": 0.98}
    save(pd.DataFrame([pair]), layout.pair("T1").qc)
    sitk.WriteTransform(sitk.Euler3DTransform(), str(layout.pair("T1").transform))
    return outcomes
