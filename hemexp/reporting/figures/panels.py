"""The figure of drawn follow-ups beside the true one."""

from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from hemexp.reporting.pictures import (
    PatientPictures,
    Picture,
    chosen_outcomes,
    kept_iph_ml,
    nearest_sample,
    read_pictures,
    read_sample,
    show_picture,
)
from hemexp.reporting.reader import Reader
from hemexp.reporting.slices import (
    mark_sides,
    outline,
    picture_grid,
    say_instead,
    show_ct,
    show_map,
)
from hemexp.reporting.style import message_figure
from hemexp.settings import Reporting

PERCENTILES = (10, 50, 90)
"""The samples shown: those whose IPH volume lies nearest to these percentiles."""

PICTURE_MM = 25.5
"""Width of one picture: six, a label and a colour bar fill the page."""


@dataclass(frozen=True)
class PanelRow:
    """One row of the figure: a patient's pictures and some drawn follow-ups."""

    patient: PatientPictures
    samples: list[Picture]


def draw(reader: Reader, settings: Reporting) -> Figure:
    """Rows of the chosen patients."""
    chosen = chosen_outcomes(reader, settings.panel_patients)
    return draw_panels([read_panel_row(reader, outcome) for _, outcome in chosen.iterrows()])


def read_panel_row(reader: Reader, outcome: pd.Series) -> PanelRow:
    """Reads one row of the panels.

    Args:
        reader: Of the results.
        outcome: Row of `outcomes.tsv`.
    """
    name = str(outcome.name)
    iph_ml = kept_iph_ml(reader, name)
    samples = [read_sample(reader, name, k, iph_ml[k]) for k in choose_samples(iph_ml)]
    return PanelRow(read_pictures(reader, outcome), samples)


def choose_samples(iph_ml: pd.Series) -> list[int]:
    """Numbers of the samples nearest to the percentiles of the volume.

    Args:
        iph_ml: Volumes, indexed by sample number.
    """
    return [nearest_sample(iph_ml, percentile) for percentile in PERCENTILES]


def draw_panels(rows: list[PanelRow]) -> Figure:
    """Rows of patients: baseline, true follow-up, three samples, expansion probability."""
    if not rows:
        return message_figure("No patient was sampled.")
    titles = [
        "Baseline",
        "True follow-up",
        *(f"Sample, P{p}" for p in PERCENTILES),
        "P(expansion)",
    ]
    figure, grid = picture_grid([row.patient.view for row in rows], titles, PICTURE_MM)
    for axes, row in zip(grid, rows, strict=True):
        image = draw_row(axes, row)
    add_colorbar(figure, image, grid)
    return figure


def add_colorbar(figure: Figure, image: AxesImage, grid: NDArray) -> None:
    """The scale of the maps, beside the last column of a grid of pictures."""
    figure.colorbar(
        image,
        ax=grid[:, -1],
        shrink=0.6 if len(grid) > 1 else 0.9,
        aspect=25,
        label="Share of samples with new blood",
    )


def draw_row(axes: NDArray, row: PanelRow) -> AxesImage:
    """Baseline, follow-up, samples and the map of one patient; gives the map's image."""
    patient, view = row.patient, row.patient.view
    show_picture(axes[0], patient.baseline, view)
    mark_sides(axes[0])
    axes[0].set_ylabel(patient.patient_id)
    if patient.followup is None:
        say_instead(axes[1], "no follow-up")
    else:
        show_picture(axes[1], patient.followup, view)
    for axis, sample in zip(axes[2:-1], row.samples, strict=True):
        show_picture(axis, sample, view)
    show_ct(axes[-1], patient.baseline.ct_hu, view)
    outline(axes[-1], patient.baseline.blood, view, "white", width=0.5)
    return show_map(axes[-1], patient.expansion, view)
