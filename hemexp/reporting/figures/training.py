"""The figure of training curves."""

import pandas as pd
from matplotlib.figure import Figure

from hemexp.reporting.reader import Reader
from hemexp.reporting.style import BLUE, GREEN, GREY, MM, ORANGE, PURPLE, RED, SKY, WIDE
from hemexp.settings import Reporting

LINE_COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, GREY)
LINE_STYLES = ("-", "--", ":")
TERMS = {"ct": "CT", "iph": "IPH", "ivh": "IVH", "kl": "KL", "loss": "Loss"}


def draw(reader: Reader, settings: Reporting) -> Figure:
    """Curves of both networks of the run."""
    rooms = {"Autoencoder": "autoencoder", "Diffusion": "diffusion"}
    histories = {
        title: reader.table(reader.layout.network(room).history) for title, room in rooms.items()
    }
    return draw_training(histories)


def draw_training(histories: dict[str, pd.DataFrame]) -> Figure:
    """Loss curves of the networks, a panel each.

    Args:
        histories: Title of the panel to `history.tsv`: `step` and one column a loss term.
    """
    figure = Figure(figsize=(WIDE, 62 * MM), layout="constrained")
    grid = figure.subplots(1, len(histories), squeeze=False)[0]
    for axes, (title, history) in zip(grid, histories.items(), strict=True):
        terms = [name for name in history.columns if name != "step" and _is_curve(history[name])]
        for number, term in enumerate(terms):
            axes.plot(
                history["step"],
                history[term].where(history[term] > 0),
                label=TERMS.get(term, term.replace("_", " ")),
                color=LINE_COLOURS[number % 7],
                linestyle=LINE_STYLES[number // 7 % 3],
            )
        axes.set_yscale("log")
        axes.set(title=title, xlabel="Optimiser step", ylabel="Loss (no unit, log scale)")
        # Outside: no corner of a set of curves is sure to be free.
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=5)
    return figure


def _is_curve(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and bool((column > 0).any())
