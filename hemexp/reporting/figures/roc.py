"""The ROC curve of p(expansion)."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hemexp.reporting.cells import with_interval
from hemexp.reporting.expansion_models import LOOKS, of_first_split, shown
from hemexp.reporting.model_names import model_name
from hemexp.reporting.reader import Reader
from hemexp.reporting.style import BLUE, GREY, MM, NARROW, message_figure
from hemexp.settings import Reporting

AT_THE_BOTTOM = 0.1
"""Words below a lower dot would lie on the axis."""


def draw(reader: Reader, settings: Reporting) -> Figure:
    """ROC curves of the run."""
    names = ("roc", "thresholds", "expansion")
    return draw_roc(*(reader.table(reader.layout.evaluation(name)) for name in names))


def draw_roc(curves: pd.DataFrame, thresholds: pd.DataFrame, expansion: pd.DataFrame) -> Figure:
    """Sensitivity against false positives of the models that are drawn.

    Args:
        curves: `evaluation/roc.tsv`.
        thresholds: `evaluation/thresholds.tsv`: HemExp's fixed ones are marked.
        expansion: `evaluation/expansion.tsv`, for the areas under the curves.
    """
    if curves.empty:
        return message_figure("No ROC curve: only one class was observed.")
    curves = of_first_split(curves)
    split = curves["split"].iloc[0]
    same = (expansion["split"] == split) & (expansion["center"] == "all")
    areas = expansion[same & (expansion["event"] == "he")].set_index(["model", "indicator"])
    figure = Figure(figsize=(NARROW, NARROW + 20 * MM), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.7, linestyle=(0, (1, 1)))
    for name, rows in shown(curves):
        colour, line, _ = LOOKS[name]
        area = areas.loc[(name, rows["indicator"].iloc[0])]
        auc = with_interval(area["auc"], area["auc_low"], area["auc_high"], 2)
        axes.plot(
            rows["false_positive_rate"],
            rows["sensitivity"],
            color=colour,
            linestyle=line,
            label=f"{model_name(name)}: AUC {auc}",
        )
    _mark(axes, thresholds[(thresholds["split"] == split) & (thresholds["center"] == "all")])
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.set(xlabel="1 − specificity (0–1)", ylabel="Sensitivity (0–1)")
    n, events = curves["n"].max(), curves["n_events"].max()
    axes.set_title(f"Split {split}: {n} patients, {events} with expansion")
    figure.legend(loc="outside lower center", ncols=1)
    return figure


def _mark(axes: Axes, thresholds: pd.DataFrame) -> None:
    """HemExp's fixed thresholds on its curve."""
    ours = (thresholds["model"] == "hemexp") & (thresholds["criterion"] == "fixed")
    for _, rows in thresholds[ours].groupby(["specificity", "sensitivity"]):
        place = 1 - rows["specificity"].iloc[0], rows["sensitivity"].iloc[0]
        axes.plot(*place, "o", color=BLUE, markersize=4)
        words = ", ".join(f"{100 * cut:.0f}" for cut in rows["threshold"]) + " %"
        low = place[1] < AT_THE_BOTTOM
        axes.annotate(
            words,
            place,
            xytext=(4, 3 if low else -4),
            textcoords="offset points",
            va="bottom" if low else "top",
            color=BLUE,
            bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.5},
        )
