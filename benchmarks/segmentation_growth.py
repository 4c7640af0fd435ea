"""What found masks change of HE and of forecasts, for `segmentation.py`."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch

from hemexp.columns import SESSIONS
from hemexp.expansion.distribution import FORECAST_QUANTILES
from hemexp.expansion.features import BleedScan, measure_bleed
from hemexp.expansion.model import load_expansion, patient_distribution
from hemexp.layout import Layout
from hemexp.mask_error import read_volume_errors, uncertain_expansion
from hemexp.outcomes import is_expansion
from hemexp.segmentation.infer import find_masks
from hemexp.segmentation.network import load_segmenter
from hemexp.segmentation.score import MASKS
from hemexp.statistics.scores import coverage, crps, randomised_pit
from hemexp.volumes import read_ras, read_volume

CPU, SEED = torch.device("cpu"), 1


def volumes_of(table: pd.DataFrame, mask: str = "iph") -> pd.DataFrame:
    """Given and found volumes and entropies of one mask, by patient; columns by scan."""
    rows = table[table["mask"] == mask]
    return rows.pivot_table(
        index="patient_id", columns="session", values=["given_ml", "found_ml", "entropy_ml"]
    )


def changed_labels(table: pd.DataFrame, layout: Layout) -> dict[str, float]:
    """HE by found and by given volumes: how many differ, and how many of these were doubted."""
    model, by_scan = read_volume_errors(layout)["iph"], volumes_of(table).dropna()
    told = {
        kind: (by_scan[kind, "followup"] - by_scan[kind, "baseline"], by_scan[kind, "baseline"])
        for kind in ("given_ml", "found_ml")
    }
    given, found = (is_expansion(*pair).astype(bool) for pair in told.values())
    errors_ml = [
        model.expected_error_ml(by_scan["found_ml", one], by_scan["entropy_ml", one])
        for one in SESSIONS
    ]
    names = dict(zip(("growth_ml", "baseline_iph_ml"), told["found_ml"], strict=True))
    doubted = uncertain_expansion(pd.DataFrame(names).assign(iph_error_ml=np.hypot(*errors_ml)))
    changed = given != found
    return {
        "patients": len(by_scan),
        "HE": int(given.sum()),
        "changed": int(changed.sum()),
        "changed share": changed.mean(),
        "of these within the error": int((changed & (doubted == 1)).sum()),
        "doubted in all": int(doubted.sum()),
    }


def features_of(
    layout: Layout, patient_id: str, labels: np.ndarray, volumes_ml: Iterable[float]
) -> dict[str, float]:
    """What the models of growth see of a baseline with these labels (axes right, front, up)."""
    native = layout.native(patient_id, "baseline")
    ct, brain = read_ras(native.ct), read_ras(native.brain).data > 0
    masks = (labels == kind for kind in MASKS.values())
    return measure_bleed(BleedScan(ct.data, *masks, brain, ct.spacing_mm), *volumes_ml)


def forecast_scores(
    layout: Layout, models: Layout, patients: pd.DataFrame, table: pd.DataFrame
) -> pd.DataFrame:
    """CRPS and PIT of the follow-up's IPH volume, forecast from given and from found baselines.

    Args:
        layout: Of the finished run, with its model of growth.
        models: Where the network and the model of its error are.
        patients: Held-out rows of the sheet.
        table: Scores of their masks, see `mark`.
    """
    growth, error = load_expansion(layout.growth_models), read_volume_errors(models)["iph"]
    segmenter, rng, rows = load_segmenter(models, None, CPU), np.random.default_rng(SEED), []
    iph, ivh = volumes_of(table).dropna(), volumes_of(table, "ivh")
    nothing = iph["found_ml", "baseline"] == 0
    if nothing.any():
        print("no bleed found, so no forecast:", *iph.index[nothing])
    iph = iph[~nothing]
    for patient_id in iph.index:
        native = layout.native(patient_id, "baseline")
        ct, brain, *given = (
            read_ras(path).data for path in (native.ct, native.brain, native.iph, native.ivh)
        )
        found = find_masks(segmenter, ct, brain > 0, read_volume(native.ct).voxel_ml, CPU)
        labels = {"given_ml": np.select([one > 0 for one in given], [1, 2])}
        labels["found_ml"] = found.labels
        entropy_ml = iph.loc[patient_id, ("entropy_ml", "baseline")]
        for kind, drawn in labels.items():
            volumes = [one.loc[patient_id, (kind, "baseline")] for one in (iph, ivh)]
            features = features_of(layout, patient_id, drawn, volumes)
            names = dict(zip(("baseline_iph_ml", "baseline_ivh_ml"), volumes, strict=True))
            of_volume = float(error.expected_error_ml(volumes[0], entropy_ml))
            names["baseline_error_ml"] = of_volume if kind == "found_ml" else 0.0
            row = pd.Series(patients.loc[patient_id].to_dict() | features | names)
            growth_ml = patient_distribution(growth, row).quantiles(FORECAST_QUANTILES)
            observed_ml = iph.loc[patient_id, ("given_ml", "followup")] - volumes[0]
            pit = randomised_pit(observed_ml, growth_ml, rng, "quantiles")
            score = crps(observed_ml, growth_ml, "quantiles")
            rows.append({"masks": kind[:-3], "patient_id": patient_id, "crps": score, "pit": pit})
    return pd.DataFrame(rows)


def forecast_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean CRPS, its ratio to that with given masks, and coverage."""
    mean = scores.groupby("masks")["crps"].mean()
    rows = [
        {
            "masks": kind,
            "patients": len(part),
            "CRPS, mL": mean[kind],
            "ratio": mean[kind] / mean["given"],
            **{f"coverage {level}": coverage(part["pit"], level / 100) for level in (50, 90)},
        }
        for kind, part in scores.groupby("masks", sort=False)
    ]
    return pd.DataFrame(rows)
