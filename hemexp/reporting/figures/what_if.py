"""The figure of what-if questions: growth over onset time, on and off an anticoagulant."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hemexp.reporting.reader import Reader
from hemexp.reporting.style import BLUE, MM, ORANGE, WIDE, message_figure
from hemexp.settings import Reporting

LABELS = {"median_growth_ml": "Median IPH growth (mL)", "p_growth_6ml": "p(growth ≥ 6 mL) (0–1)"}
STATES = {0: ("off anticoagulant", BLUE, "o", 6), 1: ("on anticoagulant", ORANGE, "s", 3)}
"""Words, colour, marker and its size: where lines coincide, both are seen."""
TICKS_H = (0.5, 1, 2, 3, 6, 12, 24)


def draw(reader: Reader, settings: Reporting) -> Figure:
    """Answers of the run beside the phantom's."""
    truths = reader.layout.what_if_truths
    known = reader.table(truths) if truths.exists() else None
    return draw_what_if(reader.table(reader.layout.growth("what_if")), known)


def draw_what_if(answers: pd.DataFrame, truth: pd.DataFrame | None) -> Figure:
    """Predicted median growth and p(growth >= 6 mL) over onset-to-CT time.

    Args:
        answers: `expansion/what_if.tsv`.
        truth: The phantom's `what_if_truth.tsv`; None without one. Patients who are not in it
            are left out then, so that both lines are about the same ones.
    """
    if truth is not None:
        answers = answers[answers["patient_id"].isin(truth["patient_id"])]
        truth = truth[truth["patient_id"].isin(answers["patient_id"])]
    if answers.empty:
        return message_figure("No patient to ask about.")
    figure = Figure(figsize=(WIDE, 68 * MM), layout="constrained")
    grid = figure.subplots(1, len(LABELS))
    for axes, (quantity, label) in zip(grid, LABELS.items(), strict=True):
        _draw_states(axes, answers, truth, quantity)
        axes.set_xscale("log")
        axes.set_xticks([], minor=True)
        axes.set_xticks(TICKS_H, [f"{hours:g}" for hours in TICKS_H])
        axes.set(xlabel="Onset to CT (h, log scale)", ylabel=label)
        axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
    count = answers["patient_id"].nunique()
    figure.suptitle(f"n = {count} patients; lines: mean, bands: middle half")
    figure.legend(
        *grid[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=4,
        columnspacing=1.2,
        handlelength=1.8,
    )
    return figure


def _draw_states(
    axes: Axes, answers: pd.DataFrame, truth: pd.DataFrame | None, quantity: str
) -> None:
    for state, (words, colour, marker, size) in STATES.items():
        groups = _over_onset(answers[answers["anticoagulant"] == state], quantity)
        mean, low, high = groups.mean(), groups.quantile(0.25), groups.quantile(0.75)
        axes.fill_between(mean.index, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(
            mean.index,
            mean,
            color=colour,
            marker=marker,
            markersize=size,
            label=f"Predicted, {words}",
        )
        if truth is not None:
            mean = _over_onset(truth[truth["anticoagulant"] == state], quantity).mean()
            axes.plot(mean.index, mean, color=colour, linestyle="--", label=f"Truth, {words}")


def _over_onset(table: pd.DataFrame, quantity: str) -> pd.core.groupby.SeriesGroupBy:
    return table.groupby("onset_to_ct_h")[quantity]
