"""How well IVH growth is forecast on phantom patients, whose true distribution is known.

python benchmarks/ivh_driver.py [--train 240] [--test 80] [--redraws 60] [--file rows.json]

Patients of centres A to C are learned from, those of centre D are forecast; scans are drawn on
voxels twice as wide. CRPS and AUC are averaged over redraws of every test patient's follow-up.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
import scoringrules
from numpy.typing import NDArray

from hemexp.config import load_settings
from hemexp.expansion.distribution import FORECAST_QUANTILES
from hemexp.expansion.features import BleedScan, measure_bleed
from hemexp.expansion.fit import fit_model
from hemexp.expansion.fit_ivh import fit_ivh
from hemexp.expansion.ivh import IVH_EVENT_ML, ivh_forecast
from hemexp.outcomes import expansion_outcomes
from hemexp.phantom.centers import find_center
from hemexp.phantom.draw import draw_scans
from hemexp.phantom.redraw import redraw_followups
from hemexp.settings import Expansion, Phantom
from hemexp.statistics.discrimination import auc, expected_auc
from hemexp.volumes import volume_ml

CLINICAL = ("onset_to_ct_h", "anticoagulant", "antiplatelet", "age", "gcs", "sbp")
FEW, SUBSETS = 26, 20


def draw_row(patient_id: str, phantom: Phantom, redraws: int) -> dict[str, object]:
    """One patient as the models of growth see them, and redraws (k, 2): mL of IPH and of IVH."""
    center = patient_id[0]
    scans, affine, truth = draw_scans(patient_id, find_center(center), phantom)
    row = {"center": center} | {name: truth[name] for name in CLINICAL}
    for session in scans:
        row |= {f"{session}_{m}_ml": truth[session][f"{m}_ml"] for m in ("iph", "ivh")}
    first = scans["baseline"]
    iph, ivh, brain = (getattr(first, name) > 0 for name in ("iph", "ivh", "brain"))
    spacing_mm = np.linalg.norm(affine[:3, :3], axis=0)
    scan = BleedScan(first.ct.astype(np.float32), iph, ivh, brain | iph | ivh, spacing_mm)
    row |= measure_bleed(scan, row["baseline_iph_ml"], row["baseline_ivh_ml"])
    again = redraw_followups(patient_id, center, redraws, phantom)
    return row | {"redraws": [(volume_ml(one.iph), volume_ml(one.ivh)) for one in again]}


def load_rows(options: argparse.Namespace, phantom: Phantom) -> pd.DataFrame:
    """All patients, drawn or read again."""
    if options.file and options.file.exists():
        rows = json.loads(options.file.read_text())
    else:
        train = [f"{'ABC'[i % 3]}{i:04d}" for i in range(options.train)]
        rows = {name: draw_row(name, phantom, 0) for name in train}
        test = [f"D{i:04d}" for i in range(options.test)]
        rows |= {name: draw_row(name, phantom, options.redraws) for name in test}
        if options.file:
            options.file.write_text(json.dumps(rows))
    return expansion_outcomes(pd.DataFrame.from_dict(rows, orient="index"))


def mean_crps(observed_ml: NDArray, draws_ml: NDArray) -> float:
    """Mean over outcomes (k,) of the CRPS of one forecast."""
    forecasts = np.broadcast_to(draws_ml, (len(observed_ml), len(draws_ml)))
    return float(scoringrules.crps_ensemble(observed_ml, forecasts, estimator="qd").mean())


def judge(
    train: pd.DataFrame, test: pd.DataFrame, settings: Expansion, *, told: bool = False
) -> dict[str, float]:
    """CRPS in mL and AUC of `IVH_EVENT_ML` or more; `told` adds the model told the true growth."""
    ivh, growth = fit_ivh(train), fit_model("four_variable", train, settings, seed=1)
    climate_ml = np.quantile(train["ivh_growth_ml"], FORECAST_QUANTILES)
    rows, pairs = [], []
    for (_, patient), given in zip(test.iterrows(), growth.distributions(test), strict=True):
        iph_ml, ivh_ml = np.array(patient["redraws"]).T
        change_ml = ivh_ml - patient["baseline_ivh_ml"]
        grown_ml, own = iph_ml - patient["baseline_iph_ml"], ivh.of_patient(patient)
        p, quantiles_ml = ivh_forecast(own, given.quantiles(FORECAST_QUANTILES))
        apart = np.abs(change_ml[:, None] - change_ml).sum() / (len(ivh_ml) * (len(ivh_ml) - 1))
        row = {"copied": np.abs(change_ml).mean(), "climatology": mean_crps(change_ml, climate_ml)}
        row |= {"hurdle": mean_crps(change_ml, quantiles_ml), "redraws": apart / 2}
        if told:
            each = [ivh_forecast(own, [ml])[1] for ml in grown_ml]
            scores = (mean_crps(*one) for one in zip(change_ml[:, None], each, strict=True))
            row["hurdle told growth"] = np.mean([*scores])
        rows.append(row | {"p": p, "true p": np.mean(change_ml >= IVH_EVENT_ML)})
        pairs.append(np.stack([own.probability(grown_ml), change_ml >= IVH_EVENT_ML], axis=-1))
    table = pd.DataFrame(rows)
    ranked = {"AUC": table["p"], "AUC of redraws": table["true p"]}
    areas = {
        name: expected_auc(np.stack([p, table["true p"]], axis=-1)[None])[0]
        for name, p in ranked.items()
    }
    areas["AUC told growth"] = auc(np.concatenate(pairs)[None])[0]
    return table.mean().to_dict() | areas


def main() -> None:
    """Prints one fit on all training patients, and the mean and worst of small ones."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=int, default=240)
    parser.add_argument("--test", type=int, default=80)
    parser.add_argument("--redraws", type=int, default=60)
    parser.add_argument("--file", type=Path, help="keeps the patients that were drawn")
    settings = load_settings({"preset": "demo"})
    coarse = {"spacing_factor": 2.0, "truth_draws": 100}
    patients = load_rows(parser.parse_args(), settings.phantom.model_copy(update=coarse))
    train, test = (patients[(patients["center"] == "D") == held] for held in (False, True))
    events = int((train["ivh_growth_ml"] >= IVH_EVENT_ML).sum())
    print(f"{len(train)} training patients, {events} with IVH growth; {len(test)} test patients")
    print(pd.Series(judge(train, test, settings.expansion, told=True)).round(3).to_string())
    rng = np.random.default_rng(0)
    subsets = (train.iloc[rng.choice(len(train), FEW, replace=False)] for _ in range(SUBSETS))
    few = [judge(some, test, settings.expansion) for some in subsets if some["he"].nunique() > 1]
    print(f"{len(few)} fits on {FEW} of them")
    print(pd.DataFrame(few).agg(["mean", "min", "max"]).round(3).T.to_string())


if __name__ == "__main__":
    main()
