"""Figures made of numbers: volumes, growth, calibration, training."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import binom

from hemexp.outcomes import HE_ML
from hemexp.reporting.style import (
    BLUE,
    GREY,
    MM,
    MODEL_NAMES,
    NARROW,
    ORANGE,
    RED,
    SKY,
    WIDE,
    message_figure,
)

PER_ROW = 20
"""Patients side by side; further ones start a new row of the figure."""


def draw_volumes(volumes: pd.DataFrame, outcomes: pd.DataFrame) -> Figure:
    """Forecast follow-up IPH volume of every sampled patient, with baseline and truth.

    Args:
        volumes: All patients' `volumes.tsv` with `patient_id`.
        outcomes: `outcomes.tsv`, indexed by patient.
    """
    if volumes.empty:
        return message_figure("No patient was sampled.")
    ids = list(outcomes.loc[volumes["patient_id"].unique()].sort_values("baseline_iph_ml").index)
    rows = [list(part) for part in np.array_split(ids, -(-len(ids) // PER_ROW))]
    width = WIDE if len(ids) > 8 else NARROW
    figure = Figure(figsize=(width, 62 * MM * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), 1, squeeze=False, sharey=True)[:, 0]
    for axes, part in zip(grid, rows, strict=True):
        for place, name in enumerate(part):
            draws = volumes.loc[volumes["patient_id"] == name, "iph_ml"].to_numpy()
            _draw_volume(axes, place, draws, outcomes.loc[name])
        axes.set_xticks(range(len(part)), part, rotation=90 if len(ids) > 8 else 0)
        axes.set_xlim(-0.6, len(rows[0]) - 0.4)
        axes.set_ylabel("IPH volume at follow-up (mL)")
    shown = outcomes.loc[ids, ["baseline_iph_ml", "followup_iph_ml"]].max(axis=None)
    grid[-1].set_ylim(0, 1.05 * max(shown, volumes["iph_ml"].max()))
    grid[-1].set_xlabel("Patient, by baseline volume")
    handles, labels = grid[0].get_legend_handles_labels()
    found = dict(zip(labels, handles, strict=True))
    figure.legend(found.values(), found.keys(), loc="outside upper center", ncols=3)
    return figure


def _draw_volume(axes: Axes, place: int, draws: np.ndarray, patient: pd.Series) -> None:
    if np.ptp(draws) > 0:
        body = axes.violinplot(draws, [place], widths=0.8, showextrema=False)["bodies"][0]
        body.set(facecolor=SKY, alpha=0.5, edgecolor="none")
    # Golden-ratio steps spread the points evenly and the same way each time.
    jitter = (np.arange(draws.size) * 0.618034 % 1 - 0.5) * 0.3
    axes.scatter(place + jitter, draws, s=3, color=BLUE, linewidths=0, label="Sample")
    axes.hlines(patient["baseline_iph_ml"], place - 0.4, place + 0.4, color=GREY, linestyle="--",
                linewidth=0.9, label="Baseline")  # fmt: skip
    if pd.notna(patient["followup_iph_ml"]):
        truth_ml = patient["followup_iph_ml"]
        axes.scatter(place, truth_ml, s=26, marker="D", color=ORANGE, edgecolors="black",
                     linewidths=0.6, zorder=3, label="True follow-up")  # fmt: skip


def draw_growth(scores: pd.DataFrame) -> Figure:
    """Observed against predicted IPH growth with central 50 % and 90 % intervals.

    Args:
        scores: `evaluation/volumes.tsv`.
    """
    wide = _hemexp_scores(scores)
    if wide.empty:
        return message_figure("No forecast with a known outcome.")
    columns = ["median_ml", "q05_ml", "q25_ml", "q75_ml", "q95_ml", "observed_ml"]
    grown = wide[columns].sub(wide["baseline_ml"], axis=0)
    figure = Figure(figsize=(NARROW, NARROW * 0.95), layout="constrained")
    axes = figure.subplots()
    for low, high, width, level in (("q05_ml", "q95_ml", 0.8, 90), ("q25_ml", "q75_ml", 2.4, 50)):
        axes.vlines(grown["observed_ml"], grown[low], grown[high], color=SKY, linewidth=width,
                    label=f"Central {level} %")  # fmt: skip
    axes.scatter(
        grown["observed_ml"], grown["median_ml"], s=10, color=BLUE, zorder=3, label="Median"
    )
    values = grown.to_numpy()
    values = values[np.isfinite(values)]
    ends = np.array([values.min(), values.max()])
    axes.plot(ends, ends, color=GREY, linewidth=0.7, linestyle="--", label="Observed = predicted")
    axes.axvline(HE_ML, color=RED, linewidth=0.7, linestyle=":")
    axes.axhline(HE_ML, color=RED, linewidth=0.7, linestyle=":", label=f"{HE_ML:g} mL (expansion)")
    axes.set_xlabel("Observed IPH growth (mL)")
    axes.set_ylabel("Predicted IPH growth (mL)")
    axes.set_title(f"n = {len(wide)} patients")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _hemexp_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """HemExp's IPH scores, one row a patient, one column a metric."""
    rows = scores[(scores["model"] == "hemexp") & (scores["target"] == "iph_ml")]
    return rows.pivot(index=["patient_id", "indicator"], columns="metric", values="value")


def draw_calibration(forecasts: pd.DataFrame, calibration: pd.DataFrame) -> Figure:
    """PIT histogram of HemExp, and coverage of the central intervals of every model.

    Args:
        forecasts: `evaluation/forecasts.tsv`.
        calibration: `evaluation/calibration.tsv`.
    """
    rows = forecasts[(forecasts["center"] == "all") & (forecasts["target"] == "iph_ml")]
    rows = rows[rows["coverage50"].notna()]
    if rows.empty:
        return message_figure("No forecast with a known outcome.")
    figure = Figure(figsize=(WIDE, 66 * MM), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.2))
    is_hemexp = (calibration["model"] == "hemexp") & (calibration["target"] == "iph_ml")
    _draw_pit(left, calibration[is_hemexp])
    _draw_coverage(right, rows)
    figure.legend(loc="outside lower center", ncols=5)
    return figure


def _draw_pit(axes: Axes, bars: pd.DataFrame) -> None:
    axes.set_xlim(0, 1)
    axes.set_xlabel("Place of the truth among the samples (PIT)")
    axes.set_ylabel("Patients")
    if bars.empty:
        axes.text(0.5, 0.5, "no forecast by HemExp", ha="center", transform=axes.transAxes)
        return
    n, expected = int(bars["n"].iloc[0]), float(bars["expected"].iloc[0])
    axes.bar(bars["pit"], bars["share"] * n, width=expected, color=SKY, edgecolor="white",
             label="Patients")  # fmt: skip
    low, high = binom.interval(0.9, n, expected)
    axes.axhspan(
        low, high, color=GREY, alpha=0.2, linewidth=0, zorder=0, label="90 % range if calibrated"
    )
    axes.axhline(n * expected, color=GREY, linewidth=0.7, linestyle="--", label="Expected")
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.set_title(f"HemExp, n = {n}")


def _draw_coverage(axes: Axes, rows: pd.DataFrame) -> None:
    places = np.arange(len(rows))
    for level, colour, marker, shift in ((0.5, BLUE, "o", -0.12), (0.9, ORANGE, "s", 0.12)):
        share = rows[f"coverage{int(100 * level)}"].to_numpy()
        low, high = wilson_interval(share, rows["n"].to_numpy())
        axes.hlines(places + shift, low, high, color=colour, linewidth=1)
        axes.plot(share, places + shift, marker, color=colour, markersize=4,
                  label=f"Central {100 * level:.0f} % interval")  # fmt: skip
        axes.axvline(level, color=colour, linewidth=0.7, linestyle="--")
    labels = [
        f"{MODEL_NAMES.get(row.model, row.model)}\n(n = {row.n}, K = {row.k})"
        for row in rows.itertuples()
    ]
    axes.set_yticks(places, labels)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, 1.02)
    axes.set_xlabel("Share of outcomes inside (95 % CI)")
    axes.set_title("Coverage")


def wilson_interval(share: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of a proportion (Wilson 1927), sensible at 0 and 1 and for few patients."""
    z = 1.959964
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return middle - half, middle + half


def draw_training(histories: dict[str, pd.DataFrame]) -> Figure:
    """Loss curves of the networks, a panel each.

    Args:
        histories: Title of the panel to `history.tsv`: `step` and one column a loss term.
    """
    figure = Figure(figsize=(WIDE, 62 * MM), layout="constrained")
    grid = figure.subplots(1, len(histories), squeeze=False)[0]
    colours = (BLUE, ORANGE, SKY, RED, GREY)
    styles = ("-", "--", ":")
    for axes, (title, history) in zip(grid, histories.items(), strict=True):
        terms = [name for name in history.columns if name != "step" and _is_curve(history[name])]
        for number, term in enumerate(terms):
            axes.plot(history["step"], history[term].where(history[term] > 0), label=term,
                      color=colours[number % 5], linestyle=styles[number // 5 % 3])  # fmt: skip
        axes.set_yscale("log")
        axes.set_title(title)
        axes.set_xlabel("Optimiser step")
        axes.set_ylabel("Loss (no unit, log scale)")
        axes.legend(loc="best")
    return figure


def _is_curve(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and bool((column > 0).any())
