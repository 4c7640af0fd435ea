"""Draws the figures, a module of `reporting/figures` each, and saves them as PNG and SVG."""

import time
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

import matplotlib

from hemexp.layout import Layout
from hemexp.provenance import write_sidecars
from hemexp.reporting.reader import Reader
from hemexp.reporting.style import STYLE, save_figure
from hemexp.settings import Reporting


def run_draw_figures(layout: Layout, names: Iterable[str], settings: Reporting) -> list[Path]:
    """Draws figures of a run.

    Args:
        layout: Of the run; patients without samples and pooled map are not shown.
        names: Of the figures: the function `draw` of the module `figures.NAME` draws each.
        settings: Number of patients, resolution.

    Returns:
        The PNG and SVG files.
    """
    started = time.perf_counter()
    products = []
    with matplotlib.rc_context(STYLE):
        for name in names:
            reader = Reader(layout)
            figure = import_module(f"hemexp.reporting.figures.{name}").draw(reader, settings)
            files = [layout.figure(name, ending) for ending in ("png", "svg")]
            save_figure(figure, files, settings.dpi)
            # One sidecar serves both files: they differ in their suffix alone.
            write_sidecars(
                files[:1],
                verb="draw-figures",
                settings=settings.as_json(),
                inputs=sorted(set(reader.seen)),
                started=started,
            )
            products += files
    return products
