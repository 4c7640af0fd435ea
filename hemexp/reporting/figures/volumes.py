"""The figure of forecast volumes: samples, baseline and truth, a patient beside the other."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hemexp.reporting.reader import Reader
from hemexp.reporting.style import BLUE, GREY, MM, NARROW, ORANGE, SKY, WIDE, message_figure
from hemexp.settings import Reporting

PER_ROW = 20
"""Patients side by side; further ones start a new row of the figure."""

FEW = 8
"""So many patients fit in one column of a page, their names written level."""


def draw(reader: Reader, settings: Reporting) -> Figure:
    """Volumes of the patients who are forecast."""
    outcomes = reader.outcomes()
    volumes = reader.tables(reader.forecast_volumes(outcomes.index))
    return draw_volumes(volumes, outcomes, settings.volume_patients)


def choose_shown(outcomes: pd.DataFrame, count: int) -> list[str]:
    """Patients by observed growth, the unknown last; of many, some at equal steps.

    Args:
        outcomes: `outcomes.tsv` of the sampled patients, indexed by patient.
        count: At most so many.
    """
    ordered = outcomes.sort_values(["growth_ml", "baseline_iph_ml"], na_position="last")
    places = np.linspace(0, len(ordered) - 1, min(count, len(ordered))).round().astype(int)
    return list(ordered.index[places])


def draw_volumes(volumes: pd.DataFrame, outcomes: pd.DataFrame, count: int) -> Figure:
    """Forecast follow-up IPH volume of the sampled patients, with baseline and truth.

    Args:
        volumes: All patients' `volumes.tsv` with `patient_id`.
        outcomes: `outcomes.tsv`, indexed by patient.
        count: Show at most so many patients.
    """
    if volumes.empty:
        return message_figure("No patient was sampled.")
    sampled = outcomes.loc[volumes["patient_id"].unique()]
    ids = choose_shown(sampled, count)
    rows = [list(part) for part in np.array_split(ids, -(-len(ids) // PER_ROW))]
    width = WIDE if len(ids) > FEW else NARROW
    figure = Figure(figsize=(width, (54 * len(rows) + 14) * MM), layout="constrained")
    grid = figure.subplots(len(rows), 1, squeeze=False, sharey=True)[:, 0]
    for axes, part in zip(grid, rows, strict=True):
        for place, name in enumerate(part):
            draws = volumes.loc[volumes["patient_id"] == name, "iph_ml"].to_numpy()
            _draw_patient(axes, place, draws, outcomes.loc[name])
        axes.set_xticks(range(len(part)), part, rotation=90 if len(ids) > FEW else 0)
        axes.set_xlim(-0.6, len(rows[0]) - 0.4)
        axes.set(xlabel="Patient, by observed growth", ylabel="Follow-up IPH (mL)")
    shown = outcomes.loc[ids, ["baseline_iph_ml", "followup_iph_ml"]].max(axis=None)
    drawn = volumes.loc[volumes["patient_id"].isin(ids), "iph_ml"].max()
    grid[-1].set_ylim(0, 1.05 * max(shown, drawn))
    grid[0].set_title(_title(volumes, len(ids), len(sampled)))
    found = {}
    for axes in grid:
        found |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.legend(
        found.values(),
        found.keys(),
        loc="outside upper center",
        ncols=3,
        columnspacing=1,
        handletextpad=0.4,
    )
    return figure


def _title(volumes: pd.DataFrame, shown: int, sampled: int) -> str:
    counted = f"{shown} of {sampled}" if shown < sampled else f"{sampled}"
    knew = "; samples knew the outcome" if (volumes["indicator"] == "oracle").any() else ""
    return f"n = {counted} patients{knew}"


def _draw_patient(axes: Axes, place: int, draws: np.ndarray, patient: pd.Series) -> None:
    if np.ptp(draws) > 0:
        body = axes.violinplot(draws, [place], widths=0.8, showextrema=False)["bodies"][0]
        body.set(facecolor=SKY, alpha=0.5, edgecolor="none")
    # Golden-ratio steps spread the points evenly and the same way each time.
    jitter = (np.arange(draws.size) * 0.618034 % 1 - 0.5) * 0.3
    axes.scatter(place + jitter, draws, s=3, color=BLUE, linewidths=0, label="Sample")
    axes.hlines(
        patient["baseline_iph_ml"],
        place - 0.4,
        place + 0.4,
        color=GREY,
        linestyle="--",
        linewidth=0.9,
        label="Baseline",
    )
    if pd.notna(patient["followup_iph_ml"]):
        truth_ml = patient["followup_iph_ml"]
        axes.scatter(
            place,
            truth_ml,
            s=22,
            marker="D",
            color=ORANGE,
            edgecolors="black",
            linewidths=0.6,
            zorder=3,
            label="True follow-up",
        )
