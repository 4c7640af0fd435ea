"""The decision curve: net benefit of acting on p(expansion), by threshold."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from hemexp.evaluation.cohort.decision_curve import TREAT_ALL, TREAT_NONE
from hemexp.reporting.expansion_models import LOOKS, of_first_split, shown
from hemexp.reporting.model_names import model_name
from hemexp.reporting.reader import Reader
from hemexp.reporting.style import GREY, MM, NARROW, SKY, message_figure
from hemexp.settings import Reporting

LEAST_SHOWN = -0.05
"""Treating all loses without bound as the threshold grows; less is not drawn."""


def draw(reader: Reader, settings: Reporting) -> Figure:
    """Decision curve of the run."""
    return draw_decision_curve(reader.table(reader.layout.evaluation("decision_curve")))


def draw_decision_curve(table: pd.DataFrame) -> Figure:
    """Net benefit of the models that are drawn, of treating all and of treating none.

    Args:
        table: `evaluation/decision_curve.tsv`.
    """
    if table.empty:
        return message_figure("No probability of expansion with a known outcome.")
    table = of_first_split(table)
    figure = Figure(figsize=(NARROW, NARROW + 5 * MM), layout="constrained")
    axes = figure.subplots()
    for name, rows in shown(table):
        colour, line, _ = LOOKS[name]
        style = {"color": colour, "linestyle": line, "label": model_name(name)}
        axes.plot(rows["threshold"], rows["net_benefit"], **style)
        if name == "hemexp":
            ends = rows["net_benefit_low"], rows["net_benefit_high"]
            axes.fill_between(rows["threshold"], *ends, color=SKY, alpha=0.2, linewidth=0)
    for name, colour, line in ((TREAT_ALL, GREY, (0, (1, 1))), (TREAT_NONE, "black", "-")):
        rows = table[table["model"] == name]
        style = {"color": colour, "linestyle": line, "linewidth": 0.8, "label": model_name(name)}
        axes.plot(rows["threshold"], rows["net_benefit"], **style)
    top = max(table["net_benefit"].max(), table["net_benefit_high"].max())
    axes.set(xlim=(0.05, 0.5), ylim=(LEAST_SHOWN, top + 0.02))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))
    axes.set(xlabel="Threshold of p(expansion) (%)", ylabel="Net benefit (per patient, 0–1)")
    n, events = table["n"].max(), table["n_events"].max()
    axes.set_title(f"Split {table['split'].iloc[0]}: {n} patients, {events} with expansion")
    figure.legend(loc="outside lower center", ncols=2)
    return figure
