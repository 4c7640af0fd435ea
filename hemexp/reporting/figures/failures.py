"""The figure of the patients whose forecasts were worst."""

from dataclasses import replace

import pandas as pd
from matplotlib.figure import Figure

from hemexp.reporting.failures import worst_patients
from hemexp.reporting.figures.panels import PanelRow, add_colorbar, draw_row
from hemexp.reporting.pictures import kept_iph_ml, nearest_sample, read_pictures, read_sample
from hemexp.reporting.reader import Reader
from hemexp.reporting.slices import picture_grid
from hemexp.reporting.style import message_figure
from hemexp.settings import Reporting

TITLES = ("Baseline", "Follow-up", "Sample, P50", "P(expansion)")
ABREAST = 2
"""Patients side by side: ten fit on a page."""

PICTURE_MM = 19.5
"""Width of one picture: eight, two labels and a colour bar fill the page."""


def draw(reader: Reader, settings: Reporting) -> Figure:
    """The worst patients, the worst first."""
    outcomes = reader.outcomes()
    worst = worst_patients(reader.table(reader.layout.evaluation("volumes")))
    return draw_failures([read_failure(reader, outcomes.loc[name]) for name in worst.index])


def read_failure(reader: Reader, outcome: pd.Series) -> PanelRow:
    """Reads the pictures of one patient, on the slice with the most blood that came.

    Args:
        reader: Of the results.
        outcome: Row of `outcomes.tsv`, of a patient with a follow-up.
    """
    name = str(outcome.name)
    patient = read_pictures(reader, outcome)
    if patient.followup is not None:
        blood = patient.followup.blood.sum(axis=(0, 1))
        patient = replace(patient, view=replace(patient.view, z=int(blood.argmax())))
    iph_ml = kept_iph_ml(reader, name)
    k = nearest_sample(iph_ml, 50)
    return PanelRow(patient, [read_sample(reader, name, k, iph_ml[k])])


def draw_failures(rows: list[PanelRow]) -> Figure:
    """Two patients a line: baseline, true follow-up, median sample, expansion probability."""
    if not rows:
        return message_figure("No forecast was scored.")
    views = [row.patient.view for row in rows[::ABREAST]]
    figure, grid = picture_grid(views, TITLES * ABREAST, PICTURE_MM)
    cells = grid.reshape(-1, len(TITLES))
    for rank, (axes, row) in enumerate(zip(cells, rows, strict=False), 1):
        image = draw_row(axes, row)
        axes[0].set_ylabel(f"{rank}: {row.patient.patient_id}")
    for axes in cells[len(rows) :]:
        for axis in axes:
            axis.axis("off")
    add_colorbar(figure, image, grid)
    return figure
