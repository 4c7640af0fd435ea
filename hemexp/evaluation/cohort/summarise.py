"""Verb `summarise-scores`: all patients' scores as tables, and the few headline numbers."""

import time

import pandas as pd

from hemexp.evaluation.cohort.consistency_judgement import warn_of_departures
from hemexp.evaluation.cohort.headline_numbers import headline_numbers
from hemexp.evaluation.cohort.inputs import read_cohort
from hemexp.evaluation.cohort.tables import TABLES
from hemexp.layout import Layout
from hemexp.provenance import write_json, write_sidecars
from hemexp.settings import Evaluation
from hemexp.tables import write_table


def run_summarise_scores(
    layout: Layout, sheet: pd.DataFrame, settings: Evaluation, seed: int
) -> None:
    """Writes the tables of `TABLES` and `metrics.json`; says where drawn and true scans differ.

    Args:
        layout: Of the run; every patient of `settings.splits` with a follow-up has been scored.
        sheet: The kept patients' rows of the sheet, indexed by patient.
        settings: Splits, bootstrap, bins.
        seed: Run seed.
    """
    started = time.perf_counter()
    cohort, files = read_cohort(layout, sheet, settings, seed)
    tables = {name: make(cohort) for name, make in TABLES.items()}
    for name, table in tables.items():
        write_table(layout.evaluation(name), table)
    warn_of_departures(tables["consistency"])
    write_json(layout.metrics, headline_numbers(tables, settings.splits[0]))
    write_sidecars(
        [layout.evaluation(name) for name in tables],
        verb="summarise-scores",
        settings=settings.as_json(),
        inputs=files,
        started=started,
        seed=seed,
    )
