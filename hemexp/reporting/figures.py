"""Reads what the figures show, draws them, saves each as PNG and SVG."""

import time
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from hemexp.evaluation.cohort.growth_models import chosen_model, of_chosen
from hemexp.layout import Layout
from hemexp.provenance import write_sidecars
from hemexp.reporting.calibration import draw_calibration
from hemexp.reporting.curves import draw_training
from hemexp.reporting.expansion_maps import draw_expansion_maps, read_map_row
from hemexp.reporting.growth import draw_growth
from hemexp.reporting.panels import choose_panel_patients, draw_panels, read_panel_row
from hemexp.reporting.registration import (
    choose_worst_registered,
    draw_registration,
    read_registration_row,
)
from hemexp.reporting.reliability import draw_reliability, expansion_probabilities
from hemexp.reporting.style import STYLE, save_figure
from hemexp.reporting.violins import draw_volumes
from hemexp.reporting.what_if import draw_what_if
from hemexp.settings import Reporting
from hemexp.tables import read_table

Drawn = tuple[Figure, list[Path]]
"""A figure and the files it was drawn from."""


def run_draw_figures(results: Path, out: Path, settings: Reporting) -> list[Path]:
    """Draws all figures of a run.

    Args:
        results: Folder of all results; patients without samples and pooled map are not shown.
        out: `results/figures`.
        settings: Number of patients, resolution.

    Returns:
        The PNG and SVG files of the figures that `captions.FIGURES` names.
    """
    started = time.perf_counter()
    outcomes = results / "cohort" / "outcomes.tsv"
    table = read_table(outcomes).set_index("patient_id")
    products = []
    with matplotlib.rc_context(STYLE):
        drawn: dict[str, Drawn] = {
            **_patients(table, results, settings.panel_patients),
            **_forecasts(table, results, settings.volume_patients),
            "what_if": _what_if(results),
            "training": _training(results),
            "registration": _registration(results / "preprocess", settings.panel_patients),
        }
        for name, (figure, inputs) in drawn.items():
            files = save_figure(figure, out, name, settings.dpi)
            # One sidecar serves both files: they differ in their suffix alone.
            write_sidecars(
                files[:1],
                verb="draw-figures",
                settings=settings.as_json(),
                inputs=[outcomes, *inputs],
                started=started,
            )
            products += files
    return products


def _forecast(table: pd.DataFrame, results: Path) -> dict[str, Path]:
    """Patients to forecast and their volumes.tsv, in the sheet's order.

    They have a pooled map; those of `val` have samples too, but only to weigh that map.
    """
    files = {name: results / "samples" / f"sub-{name}" / "volumes.tsv" for name in table.index}
    return {
        name: path
        for name, path in files.items()
        if path.is_file() and Layout(results).pooled_map(name).is_file()
    }


def _patients(table: pd.DataFrame, results: Path, count: int) -> dict[str, Drawn]:
    """Figures of the chosen patients' pictures."""
    files = _forecast(table, results)
    rows, maps, inputs, map_inputs = [], [], [], []
    for name in choose_panel_patients(table.loc[list(files)], count):
        volumes = read_table(files[name])
        row, read = read_panel_row(
            table.loc[name], volumes, results / "preprocess", results / "samples"
        )
        map_row, read_maps = read_map_row(row, results / "evaluation")
        rows.append(row)
        maps.append(map_row)
        inputs += [files[name], *read]
        map_inputs += read_maps
    return {
        "panels": (draw_panels(rows), inputs),
        "expansion_maps": (draw_expansion_maps(maps), [*inputs, *map_inputs]),
    }


def _forecasts(table: pd.DataFrame, results: Path, count: int) -> dict[str, Drawn]:
    """Figures of all patients' volumes and probabilities."""
    names = ("volumes", "forecasts", "calibration", "conformal", "reliability")
    scores, forecasts, calibration, conformal, maps = (
        results / "evaluation" / f"{name}.tsv" for name in names
    )
    files = _forecast(table, results)
    read = [read_table(path).assign(patient_id=name) for name, path in files.items()]
    volumes = pd.concat(read, ignore_index=True) if read else pd.DataFrame()
    probabilities, told = _probabilities(table, volumes, results)
    return {
        "volumes": (draw_volumes(volumes, table, count), list(files.values())),
        "growth": (draw_growth(read_table(scores)), [scores]),
        "calibration": (
            draw_calibration(*map(read_table, (forecasts, calibration, conformal))),
            [forecasts, calibration, conformal],
        ),
        "reliability": (
            draw_reliability(probabilities, read_table(maps)),
            [maps, *files.values(), *told],
        ),
    }


def _probabilities(
    table: pd.DataFrame, volumes: pd.DataFrame, results: Path
) -> tuple[pd.DataFrame, list[Path]]:
    """p(expansion) by samples, by the chosen model and by the phantom, and the files of it."""
    files = [results / "expansion" / "predictions.tsv", results / "phantom" / "truth.tsv"]
    predictions = read_table(files[0])
    tabular = of_chosen(predictions, chosen_model(predictions))
    tabular = tabular.set_index("patient_id")["p_expansion"]
    true = None
    if files[1].exists():
        true = read_table(files[1]).set_index("patient_id")["p_expansion"]
    return expansion_probabilities(volumes, tabular, true, table), [p for p in files if p.exists()]


def _what_if(results: Path) -> Drawn:
    answers, truth = (
        results / "expansion" / "what_if.tsv",
        results / "phantom" / "what_if_truth.tsv",
    )
    known = read_table(truth) if truth.exists() else None
    return draw_what_if(read_table(answers), known), [
        answers,
        *([truth] if truth.exists() else []),
    ]


def _training(results: Path) -> Drawn:
    histories = {
        "Autoencoder": results / "autoencoder" / "history.tsv",
        "Diffusion": results / "diffusion" / "history.tsv",
    }
    read = {title: read_table(path) for title, path in histories.items()}
    return draw_training(read), list(histories.values())


def _registration(preprocess: Path, count: int) -> Drawn:
    qc = preprocess / "qc.tsv"
    rows, inputs = [], [qc]
    for _, pair in choose_worst_registered(read_table(qc), count).iterrows():
        row, read = read_registration_row(pair, preprocess)
        rows.append(row)
        inputs += read
    return draw_registration(rows), inputs
