"""What guidance on clinical values does to growth: the same patients under other values.

Test patients of a finished run are drawn off and on an anticoagulant and scanned early and late,
with the same noise. Where the denoiser can do without a drive (`diffusion.condition_dropout`
above 0, as in `config/ablations/no_condition.yaml`) it is hidden, so that nothing but the clinical
values and the baseline decides growth. Else each is told the growth that happened, the same under
all values, and what is seen is how far they sway the denoiser from it. Printed is the mean raw
growth and what the two changes do to it, in mL with the standard error over patients, beside the
same of the run's own forecast.

    python benchmarks/clinical_guidance.py --results results [--weights 0 1 2 3] [--patients 12]
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from coherence import as_markdown

from hemexp.cohort import read_sheet
from hemexp.config import load_settings, read_config
from hemexp.expansion.model import patient_distribution
from hemexp.layout import Layout
from hemexp.sampling.draw import Sampler, draw_patient_followups
from hemexp.sampling.models import Models, load_trained
from hemexp.sampling.patient import PatientAtBaseline, read_at_baseline
from hemexp.settings import Settings
from hemexp.what_if_cases import ANTICOAGULANT, EARLY_H, LATE_H

MIDDLES = (np.arange(200) + 0.5) / 200
"""Levels whose quantiles stand for a distribution."""

Growth = Callable[[PatientAtBaseline], float]
"""Mean growth in mL of a patient as their row says."""


def ask(patient: PatientAtBaseline, growth_ml: Growth) -> dict[str, float]:
    """Mean growth over four questions, and how much more there is on the drug, and early."""
    asked = {}
    for drug, onset in product(ANTICOAGULANT, (EARLY_H, LATE_H)):
        row = patient.row.copy()
        row["anticoagulant"], row["onset_to_ct_h"] = float(drug), onset
        asked[drug, onset] = growth_ml(replace(patient, row=row))
    off, on = ([asked[drug, onset] for onset in (EARLY_H, LATE_H)] for drug in ANTICOAGULANT)
    early, late = ([asked[drug, onset] for drug in ANTICOAGULANT] for onset in (EARLY_H, LATE_H))
    return {
        "growth": float(np.mean(off + on)),
        "on - off anticoagulant": float(np.mean(on) - np.mean(off)),
        f"{EARLY_H:g} h - {LATE_H:g} h": float(np.mean(early) - np.mean(late)),
    }


def indicator(models: Models) -> str:
    """Hides the drive where the denoiser can do without, else tells what happened."""
    return "free" if models.denoiser.settings.condition_dropout else "oracle"


def drawn_growth(models: Models, settings: Settings, weight: float) -> Growth:
    """Of samples as decoded, drawn at a weight of the clinical values all the way."""
    update = {
        "indicator": indicator(models),
        "finish": False,
        "guidance": 1.0,
        "clinical_guidance": weight,
        "guidance_below": None,
    }
    sampler = Sampler(models, settings.sampling.model_copy(update=update), settings.seed)

    def growth_ml(patient: PatientAtBaseline) -> float:
        samples, _ = draw_patient_followups(sampler, patient)
        raw_ml = [one.measured["iph_raw_ml"] for one in samples]
        return float(np.mean(raw_ml)) - patient.baseline.iph_ml

    return growth_ml


def forecast_growth(models: Models) -> Growth:
    """Of the distribution that growths are drawn from where the drive is not hidden."""
    return lambda patient: float(
        patient_distribution(models.growth, patient.row).quantiles(MIDDLES).mean()
    )


def main() -> None:
    """Prints a row a weight, and one of the forecast."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=Path("config/config.yaml"))
    parser.add_argument("--weights", type=float, nargs="+", default=[0.0, 1.0, 2.0, 3.0])
    parser.add_argument("--patients", type=int, default=12)
    args = parser.parse_args()
    torch.set_num_threads(1)
    settings, layout = load_settings(read_config(args.config)), Layout(args.results)
    sheet = read_sheet(settings.samples)
    models = load_trained(layout, torch.device("cpu"))
    names = sheet.index[sheet["split"] == "test"][: args.patients]
    patients = [read_at_baseline(layout, sheet.loc[[name]], follow_up=True) for name in names]
    ways = {f"w = {w:g}": drawn_growth(models, settings, w) for w in args.weights}
    print(f"{len(patients)} patients, indicator {indicator(models)}, mL (standard error)\n")
    rows = []
    for name, way in ({"forecast": forecast_growth(models)} | ways).items():
        table = pd.DataFrame([ask(patient, way) for patient in patients])
        cells = {
            key: f"{table[key].mean():+.2f} ({table[key].sem():.2f})" for key in table.columns
        }
        rows.append({"clinical values": name} | cells)
    print(as_markdown(pd.DataFrame(rows)))


if __name__ == "__main__":
    main()
