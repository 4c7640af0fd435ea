"""The figure of calibrated volumes: PIT histogram and coverage of intervals."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import binom

from hemexp.reporting.model_names import in_model_order, model_name
from hemexp.reporting.reader import Reader
from hemexp.reporting.style import BLUE, GREY, MM, ORANGE, SKY, WIDE, message_figure
from hemexp.settings import Reporting
from hemexp.statistics.wilson import wilson_interval

INTERVALS = ((0.5, BLUE, "o", -0.15), (0.9, ORANGE, "s", 0.15))
"""Central intervals: level, colour, marker, shift from the model's line."""


def draw(reader: Reader, settings: Reporting) -> Figure:
    """Calibration of every forecast of the run."""
    names = ("forecasts", "calibration", "conformal")
    return draw_calibration(*(reader.table(reader.layout.evaluation(name)) for name in names))


def draw_calibration(
    forecasts: pd.DataFrame, calibration: pd.DataFrame, conformal: pd.DataFrame
) -> Figure:
    """PIT histogram of HemExp, and coverage of the central intervals of every model.

    Args:
        forecasts: `evaluation/forecasts.tsv`; samples that knew the outcome are left out.
        calibration: `evaluation/calibration.tsv`.
        conformal: `evaluation/conformal.tsv`.
    """
    rows = _iph(forecasts)
    rows = rows[(rows["center"] == "all") & rows["coverage50"].notna()]
    if rows.empty:
        return message_figure("No forecast with a known outcome.")
    rows = in_model_order(rows, "split")
    height_mm = max(70, 24 + 9 * len(rows))
    figure = Figure(figsize=(WIDE, height_mm * MM), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    bars = _iph(calibration)
    _draw_pit(left, bars[bars["model"] == "hemexp"])
    after = _iph(conformal)
    _draw_coverage(right, rows, after[after["center"] == "all"])
    figure.legend(loc="outside lower center", ncols=3, columnspacing=1.5)
    return figure


def _iph(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["target"] == "iph_ml") & (table["indicator"] != "oracle")]


def _draw_pit(axes: Axes, bars: pd.DataFrame) -> None:
    axes.set_xlim(0, 1)
    axes.set_xlabel("Place of the truth among the samples (PIT)")
    axes.set_ylabel("Number of patients")
    if bars.empty:
        axes.text(0.5, 0.5, "no forecast by HemExp", ha="center", transform=axes.transAxes)
        return
    n, expected = int(bars["n"].iloc[0]), float(bars["expected"].iloc[0])
    axes.bar(
        bars["pit"],
        bars["share"] * n,
        width=expected,
        color=SKY,
        edgecolor="white",
        label="Patients",
    )
    low, high = binom.interval(0.9, n, expected)
    axes.axhspan(
        low, high, color=GREY, alpha=0.2, linewidth=0, zorder=0, label="90 % range if calibrated"
    )
    axes.axhline(n * expected, color=GREY, linewidth=0.7, linestyle="--", label="Expected")
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.set_title(f"HemExp, n = {n} patients")


def _draw_coverage(axes: Axes, rows: pd.DataFrame, conformal: pd.DataFrame) -> None:
    places = np.arange(len(rows))
    for level, colour, marker, shift in INTERVALS:
        share = rows[f"coverage{int(100 * level)}"].to_numpy()
        low, high = wilson_interval(share, rows["n"].to_numpy())
        axes.hlines(places + shift, low, high, color=colour, linewidth=1)
        axes.plot(
            share,
            places + shift,
            marker,
            color=colour,
            markersize=4,
            linestyle="none",
            label=f"Central {100 * level:.0f} % interval",
        )
        axes.axvline(level, color=colour, linewidth=0.7, linestyle="--")
        known = conformal[conformal["level"] == level].set_index(["split", "model", "indicator"])
        after = [
            (known["coverage_after"].get((row.split, row.model, row.indicator)), place)
            for place, row in enumerate(rows.itertuples())
        ]
        after = [(share, place + shift) for share, place in after if pd.notna(share)]
        if after:
            axes.plot(
                *zip(*after, strict=True),
                marker,
                markersize=6,
                linestyle="none",
                markerfacecolor="none",
                markeredgecolor=colour,
                label=f"{100 * level:.0f} %, after calibration",
            )
    axes.set_yticks(
        places, [f"{model_name(row.model)}\n(K = {row.k})" for row in rows.itertuples()]
    )
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(-0.03, 1.04)
    axes.set(xlabel="Share of outcomes inside (0–1, 95 % CI)", ylabel="Model (draws K)")
    axes.set_title(f"Coverage, n = {rows['n'].max()} patients")
