"""The figure of reliable probabilities: of expansion, patient by patient, and of maps."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hemexp.evaluation.cohort.growth_models import chosen_model, of_chosen
from hemexp.outcomes import expansion_outcomes
from hemexp.reporting.model_names import in_model_order, model_name
from hemexp.reporting.reader import Reader
from hemexp.reporting.style import BLUE, GREEN, GREY, MM, ORANGE, PURPLE, WIDE
from hemexp.settings import Reporting
from hemexp.statistics.wilson import wilson_interval

GROUP_SIZE, MOST_GROUPS = 10, 5
LOOKS = {
    "hemexp": (BLUE, "o"),
    "hemexp_pooled": (PURPLE, "D"),
    "tabular": (ORANGE, "s"),
    "true_distribution": (GREEN, "^"),
    "climatology_distance": (GREY, "v"),
}
"""Models that are drawn, with colour and marker."""

LEAST_VOXELS = 30
"""Bins of a map with fewer voxels say nothing and are not drawn."""


def draw(reader: Reader, settings: Reporting) -> Figure:
    """p(expansion) by samples, by the chosen model and by the phantom, and the maps."""
    outcomes = reader.outcomes()
    volumes = reader.tables(reader.forecast_volumes(outcomes.index))
    predictions = reader.table(reader.layout.growth("predictions"))
    tabular = of_chosen(predictions, chosen_model(predictions))
    truths, true = reader.layout.truths, None
    if truths.exists():
        true = reader.table(truths).set_index("patient_id")["p_expansion"]
    tabular = tabular.set_index("patient_id")["p_expansion"]
    probabilities = expansion_probabilities(volumes, tabular, true, outcomes)
    return draw_reliability(probabilities, reader.table(reader.layout.evaluation("reliability")))


def expansion_probabilities(
    volumes: pd.DataFrame, tabular: pd.Series, true: pd.Series | None, outcomes: pd.DataFrame
) -> pd.DataFrame:
    """p(expansion) of every sampled patient with a known outcome, by model.

    Args:
        volumes: All patients' `volumes.tsv` with `patient_id`; a share of samples that show
            expansion is a probability. Samples that knew the outcome are left out.
        tabular: The chosen model's probability, by patient.
        true: The phantom's, by patient.
        outcomes: `outcomes.tsv`, indexed by patient.

    Returns:
        Columns patient_id, model, probability, observed (0/1).
    """
    drawn = volumes[volumes["indicator"] != "oracle"]
    before = outcomes.loc[drawn["patient_id"], ["baseline_iph_ml", "baseline_ivh_ml"]]
    events = expansion_outcomes(
        before.reset_index().assign(
            followup_iph_ml=drawn["iph_ml"].to_numpy(), followup_ivh_ml=drawn["ivh_ml"].to_numpy()
        )
    )
    models = {"hemexp": events.groupby("patient_id")["he"].mean(), "tabular": tabular}
    models |= {} if true is None else {"true_distribution": true}
    known = outcomes.loc[volumes["patient_id"].unique(), "he"].dropna()
    tables = [
        pd.DataFrame({"probability": p, "observed": known}).dropna().assign(model=name)
        for name, p in models.items()
    ]
    return pd.concat(tables).rename_axis("patient_id").reset_index()


def group_by_prediction(probability: np.ndarray, observed: np.ndarray) -> pd.DataFrame:
    """Patients in groups of equal size by predicted probability.

    Returns:
        Columns forecast, observed, low, high (Wilson), n; at most five rows.
    """
    groups = int(np.clip(len(probability) // GROUP_SIZE, 1, MOST_GROUPS))
    parts = np.array_split(np.argsort(probability, kind="stable"), groups)
    table = pd.DataFrame(
        {"forecast": probability[part].mean(), "observed": observed[part].mean(), "n": len(part)}
        for part in parts
    )
    low, high = wilson_interval(table["observed"].to_numpy(), table["n"].to_numpy())
    return table.assign(low=low, high=high)


def draw_reliability(probabilities: pd.DataFrame, maps: pd.DataFrame) -> Figure:
    """Reliability of p(expansion), and of the expansion maps in the band round the bleed.

    Args:
        probabilities: From `expansion_probabilities`.
        maps: `evaluation/reliability.tsv`.
    """
    figure = Figure(figsize=(WIDE, 70 * MM), layout="constrained")
    left, *rest = figure.subplots(1, 3)
    _draw_patients(left, probabilities)
    titles = {"outcome": "Maps against what happened", "true_map": "Maps against the true map"}
    for axes, (reference, title) in zip(rest, titles.items(), strict=True):
        same = (maps["region"] == "band") & (maps["reference"] == reference)
        _draw_maps(axes, maps[same])
        axes.set_title(title)
    found = {}
    for axes in (left, *rest):
        found |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=3)
    return figure


def _diagonal(axes: Axes) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.7, linestyle="--", label="Perfect")
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")


def _draw_patients(axes: Axes, probabilities: pd.DataFrame) -> None:
    _diagonal(axes)
    shift = 0.0
    for name, part in probabilities.groupby("model", sort=False):
        colour, marker = LOOKS[name]
        points = group_by_prediction(part["probability"].to_numpy(), part["observed"].to_numpy())
        # A little apart, or the intervals of models that agree would hide one another.
        place = points["forecast"] + shift
        axes.vlines(place, points["low"], points["high"], color=colour, linewidth=0.8)
        axes.plot(
            place,
            points["observed"],
            marker=marker,
            color=colour,
            markersize=4,
            linewidth=0.8,
            label=model_name(name),
        )
        shift += 0.008
    axes.set_xlabel("Predicted p(expansion) (0–1)")
    axes.set_ylabel("Patients with expansion (0–1)")
    axes.set_title(f"Expansion, n = {probabilities['patient_id'].nunique()} patients")


def _draw_maps(axes: Axes, maps: pd.DataFrame) -> None:
    _diagonal(axes)
    shown = maps[maps["model"].isin(LOOKS) & (maps["n_voxels"] >= LEAST_VOXELS)]
    for name, part in in_model_order(shown).groupby("model", sort=False):
        colour, marker = LOOKS[name]
        axes.plot(
            part["forecast"],
            part["observed"],
            marker=marker,
            color=colour,
            markersize=4,
            linewidth=0.8,
            label=model_name(name),
        )
    if shown.empty:
        axes.text(0.5, 0.5, "no such map", ha="center", transform=axes.transAxes)
    axes.set_xlabel("Map's probability of new blood (0–1)")
    axes.set_ylabel("Voxels with new blood (0–1)")
