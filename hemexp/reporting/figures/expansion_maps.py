"""The figure of expansion maps: forecast, truth, and what came of it."""

from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from hemexp.reporting.pictures import PatientPictures, chosen_outcomes, read_pictures
from hemexp.reporting.reader import Reader
from hemexp.reporting.slices import (
    mark_sides,
    outline,
    picture_grid,
    say_instead,
    show_ct,
    show_map,
    write_foot,
)
from hemexp.reporting.style import GREEN, message_figure
from hemexp.settings import Reporting

TITLES = ("Baseline", "Forecast", "Pooled", "True probability", "New blood that came")
MAP_MM = 29.0
"""Width of one picture: five, a label and a colour bar fill the page."""


@dataclass(frozen=True)
class MapRow:
    """One row of the figure; `truth` is None for real patients."""

    patient: PatientPictures
    pooled: NDArray
    truth: NDArray | None


def draw(reader: Reader, settings: Reporting) -> Figure:
    """Rows of the chosen patients."""
    chosen = chosen_outcomes(reader, settings.panel_patients)
    return draw_expansion_maps([read_map_row(reader, outcome) for _, outcome in chosen.iterrows()])


def read_map_row(reader: Reader, outcome: pd.Series) -> MapRow:
    """Reads one row of the figure.

    Args:
        reader: Of the results.
        outcome: Row of `outcomes.tsv`.
    """
    name = str(outcome.name)
    true_map = reader.layout.true_map(name)
    return MapRow(
        read_pictures(reader, outcome),
        reader.image(reader.layout.pooled_map(name)),
        reader.image(true_map) if true_map.exists() else None,
    )


def draw_expansion_maps(rows: list[MapRow]) -> Figure:
    """Rows of patients: baseline, forecast map, pooled map, true map, what happened."""
    if not rows:
        return message_figure("No patient was sampled.")
    figure, grid = picture_grid([row.patient.view for row in rows], TITLES, MAP_MM)
    for axes, row in zip(grid, rows, strict=True):
        image = _draw_row(axes, row)
    figure.colorbar(
        image, ax=grid[:, -1], shrink=0.5, aspect=25, label="Probability of new blood (0–1)"
    )
    return figure


def _draw_row(axes: NDArray, row: MapRow) -> AxesImage:
    patient, view, came = row.patient, row.patient.view, row.patient.new_blood
    happened = None if came is None else came.astype(float)
    maps = (None, patient.expansion, row.pooled, row.truth, happened)
    instead = ("", "no forecast", "no forecast", "not known", "no follow-up")
    for axis, data, missing in zip(axes, maps, instead, strict=True):
        if data is None and missing:
            say_instead(axis, missing)
            continue
        show_ct(axis, patient.baseline.ct_hu, view)
        if data is not None:
            image = show_map(axis, data, view)
            if came is not None:
                outline(axis, came, view, GREEN)
        outline(axis, patient.baseline.blood, view, "white", width=0.6)
    mark_sides(axes[0])
    axes[0].set_ylabel(patient.patient_id)
    write_foot(axes[0], f"IPH {patient.baseline.iph_ml:.1f} mL")
    if patient.followup is not None:
        write_foot(axes[-1], f"IPH {patient.followup.iph_ml:.1f} mL")
    return image
