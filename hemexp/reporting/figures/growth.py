"""The figure of observed against predicted growth."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hemexp.outcomes import HE_ML
from hemexp.reporting.reader import Reader
from hemexp.reporting.style import BLUE, GREY, MM, NARROW, RED, SKY, message_figure
from hemexp.settings import Reporting

LINEAR_ML = 10.0
"""Axes are linear to here and logarithmic beyond: most bleeds hardly grow, some by 100 mL."""

TICKS_ML = (-50, -20, -10, -5, 0, 5, 10, 20, 50, 100, 200)


def draw(reader: Reader, settings: Reporting) -> Figure:
    """Growth of every scored patient of the run."""
    return draw_growth(reader.table(reader.layout.evaluation("volumes")))


def draw_growth(scores: pd.DataFrame) -> Figure:
    """Observed against predicted IPH growth with central 50 % and 90 % intervals.

    Args:
        scores: `evaluation/volumes.tsv`; samples that knew the outcome are left out.
    """
    wide = _hemexp_scores(scores)
    if wide.empty:
        return message_figure("No forecast with a known outcome.")
    columns = ["median_ml", "q05_ml", "q25_ml", "q75_ml", "q95_ml", "observed_ml"]
    grown = wide[columns].sub(wide["baseline_ml"], axis=0)
    figure = Figure(figsize=(NARROW, NARROW + 12 * MM), layout="constrained")
    axes = figure.subplots()
    _draw_patients(axes, grown)
    values = grown.to_numpy()
    values = values[np.isfinite(values)]
    ends = (min(values.min() - 1, -2.0), max(1.1 * values.max(), LINEAR_ML))
    _draw_lines(axes)
    _scale(axes, ends)
    axes.set_xlabel(f"Observed IPH growth (mL), n = {len(wide)} patients")
    axes.set_ylabel("Predicted IPH growth (mL)")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _draw_patients(axes: Axes, grown: pd.DataFrame) -> None:
    """Intervals and median of every patient's growth."""
    observed, alpha = grown["observed_ml"], 1.0 if len(grown) <= 30 else 0.55
    for low, high, width, level in (("q05_ml", "q95_ml", 0.7, 90), ("q25_ml", "q75_ml", 2.2, 50)):
        axes.vlines(
            observed,
            grown[low],
            grown[high],
            color=SKY,
            linewidth=width,
            alpha=alpha,
            label=f"Central {level} %",
        )
    axes.scatter(
        observed, grown["median_ml"], s=8, color=BLUE, linewidths=0, zorder=3, label="Median"
    )


def _draw_lines(axes: Axes) -> None:
    """The diagonal, and where expansion begins."""
    same = {"color": GREY, "linewidth": 0.7, "linestyle": "--", "label": "Observed = predicted"}
    axes.axline((0, 0), (1, 1), **same)
    axes.axvline(HE_ML, color=RED, linewidth=0.7, linestyle=":")
    axes.axhline(HE_ML, color=RED, linewidth=0.7, linestyle=":", label=f"{HE_ML:g} mL (expansion)")


def _scale(axes: Axes, ends: tuple[float, float]) -> None:
    ticks = [tick for tick in TICKS_ML if ends[0] <= tick <= ends[1]]
    for axis, scale in ((axes.xaxis, axes.set_xscale), (axes.yaxis, axes.set_yscale)):
        scale("symlog", linthresh=LINEAR_ML, linscale=1.0)
        axis.set_ticks(ticks, [f"{tick}" for tick in ticks])
        axis.set_ticks([], minor=True)
    axes.set(xlim=ends, ylim=ends, box_aspect=1)


def _hemexp_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """HemExp's IPH scores, one row a patient, one column a metric."""
    rows = scores[(scores["model"] == "hemexp") & (scores["target"] == "iph_ml")]
    rows = rows[rows["indicator"] != "oracle"]
    return rows.pivot(index=["patient_id", "indicator"], columns="metric", values="value")
