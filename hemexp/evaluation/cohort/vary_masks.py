"""Verb `vary-masks`: how much the scores rest on where the outlines of the masks lie."""

import time

import pandas as pd

from hemexp.evaluation.cohort.inputs import read_cohort
from hemexp.evaluation.cohort.robustness import tabulate_robustness
from hemexp.evaluation.patient.resized_masks import native_masks, read_resized
from hemexp.layout import Layout
from hemexp.provenance import write_sidecars
from hemexp.settings import Evaluation
from hemexp.tables import write_table


def run_vary_masks(layout: Layout, sheet: pd.DataFrame, settings: Evaluation, seed: int) -> None:
    """Writes `robustness.tsv`.

    Args:
        layout: Of the run; every patient of `settings.splits` with a follow-up has been scored.
        sheet: The kept patients' rows of the sheet, indexed by patient.
        settings: Splits, bootstrap.
        seed: Run seed.
    """
    started = time.perf_counter()
    cohort, files = read_cohort(layout, sheet, settings, seed)
    resized = {name: read_resized(layout, name) for name in cohort.ids}
    table = tabulate_robustness(
        cohort.forecasts,
        cohort.events,
        cohort.outcomes.loc[cohort.ids],
        resized,
        cohort.resampling,
    )
    write_table(layout.evaluation("robustness"), table)
    write_sidecars(
        [layout.evaluation("robustness")],
        verb="vary-masks",
        settings=settings.as_json(),
        inputs=[*files, *(path for name in cohort.ids for path in native_masks(layout, name))],
        started=started,
        seed=seed,
    )
