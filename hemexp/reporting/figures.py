"""Reads what the figures show, draws them, saves each as PNG and SVG."""

import time
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from hemexp.evaluation.tidy import read_table
from hemexp.provenance import write_sidecars
from hemexp.reporting.charts import draw_calibration, draw_growth, draw_training, draw_volumes
from hemexp.reporting.panels import (
    choose_panel_patients,
    draw_panels,
    read_panel_row,
)
from hemexp.reporting.registration import (
    choose_worst_registered,
    draw_registration,
    read_registration_row,
)
from hemexp.reporting.style import STYLE, save_figure
from hemexp.settings import Reporting

SAMPLED_SPLITS = ("test", "predict", "val")
Drawn = tuple[Figure, list[Path]]
"""A figure and the files it was drawn from."""


def run_draw_figures(
    outcomes: Path,
    preprocess: Path,
    samples: Path,
    evaluation: Path,
    autoencoder_history: Path,
    diffusion_history: Path,
    out: Path,
    settings: Reporting,
) -> list[Path]:
    """Draws all figures of a run.

    Args:
        outcomes: `results/cohort/outcomes.tsv`.
        preprocess: `results/preprocess`, with qc.tsv.
        samples: `results/samples`; patients without a folder there are not forecast.
        evaluation: `results/evaluation`, with forecasts.tsv, volumes.tsv and calibration.tsv.
        autoencoder_history: The VAE's history.tsv.
        diffusion_history: The denoiser's history.tsv.
        out: `results/figures`.
        settings: Number of rows, resolution.

    Returns:
        The PNG and SVG files of panels, volumes, growth, calibration, training, registration.
    """
    started = time.perf_counter()
    table = read_table(outcomes).set_index("patient_id")
    histories = {"Autoencoder": autoencoder_history, "Diffusion": diffusion_history}
    scores, forecasts, calibration = (
        evaluation / f"{name}.tsv" for name in ("volumes", "forecasts", "calibration")
    )
    products = []
    with matplotlib.rc_context(STYLE):
        drawn: dict[str, Drawn] = {
            "panels": _panels(table, preprocess, samples, settings.panel_patients),
            "volumes": _volumes(table, samples),
            "growth": (draw_growth(read_table(scores)), [scores]),
            "calibration": (
                draw_calibration(read_table(forecasts), read_table(calibration)),
                [forecasts, calibration],
            ),
            "training": (
                draw_training({name: read_table(path) for name, path in histories.items()}),
                list(histories.values()),
            ),
            "registration": _registration(preprocess, settings.panel_patients),
        }
        for name, (figure, inputs) in drawn.items():
            files = save_figure(figure, out, name, settings.dpi)
            # One sidecar serves both files: they differ in their suffix alone.
            write_sidecars(files[:1], verb="draw-figures", settings=settings.as_json(),
                           inputs=[outcomes, *inputs], started=started)  # fmt: skip
            products += files
    return products


def _sampled(table: pd.DataFrame, samples: Path) -> dict[str, Path]:
    """Patients with samples and their volumes.tsv, in the sheet's order."""
    found = {name: samples / f"sub-{name}" / "volumes.tsv" for name in table.index}
    kept = table["split"].isin(SAMPLED_SPLITS)
    return {name: path for name, path in found.items() if kept[name] and path.is_file()}


def _panels(table: pd.DataFrame, preprocess: Path, samples: Path, count: int) -> Drawn:
    files = _sampled(table, samples)
    rows, inputs = [], []
    for name in choose_panel_patients(table.loc[list(files)], count):
        row, read = read_panel_row(table.loc[name], read_table(files[name]), preprocess, samples)
        rows.append(row)
        inputs += [files[name], *read]
    return draw_panels(rows), inputs


def _volumes(table: pd.DataFrame, samples: Path) -> Drawn:
    files = _sampled(table, samples)
    read = [read_table(path).assign(patient_id=name) for name, path in files.items()]
    volumes = pd.concat(read, ignore_index=True) if read else pd.DataFrame()
    return draw_volumes(volumes, table), list(files.values())


def _registration(preprocess: Path, count: int) -> Drawn:
    qc = preprocess / "qc.tsv"
    rows, inputs = [], [qc]
    for _, pair in choose_worst_registered(read_table(qc), count).iterrows():
        row, read = read_registration_row(pair, preprocess)
        rows.append(row)
        inputs += read
    return draw_registration(rows), inputs
