"""Whose follow-ups of a patient are scored: drawn, drawn without a network, copied."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from hemexp import Fault, HemexpError
from hemexp.evaluation.patient.inputs import (
    Followup,
    Maps,
    known_shift,
    read_followups,
    read_maps,
    read_shell_followups,
)
from hemexp.grid_scan import GridScan
from hemexp.layout import Layout
from hemexp.statistics.scores import Score
from hemexp.tables import read_table


class Source(NamedTuple):
    """Whose forecast a row of a table is of, as its columns `model` and `indicator` say."""

    model: str
    indicator: str = "none"


COPY, TRUTH, REDRAWN = map(Source, ("copy_baseline", "truth", "true_distribution"))
SHELL_ALONE = "shell_alone"
"""Model of the follow-ups that samples would be without a network."""


class Listed(NamedTuple):
    """What is known of a follow-up beside its images.

    Attributes:
        sample: Its number.
        target_growth_ml: Growth that it was asked to show; of what was asked for nothing, the
            growth that happened.
        shift_mm: Its midline shift; None has it measured.
    """

    sample: int
    target_growth_ml: Score
    shift_mm: Score | None = None

    @property
    def head(self) -> dict[str, Any]:
        """What its row of `consistency.tsv` begins with."""
        return {"sample": self.sample, "target_growth_ml": self.target_growth_ml}


class Series(NamedTuple):
    """One forecaster's follow-ups of a patient; at least one.

    Attributes:
        listed: What is known of each.
        followups: Their images, made when asked for.
        maps: Their probability maps; None counts the masks.
    """

    listed: list[Listed]
    followups: Iterable[Followup]
    maps: Maps | None = None


def read_series(layout: Layout, patient_id: str, baseline: GridScan) -> dict[Source, Series]:
    """The follow-ups that are scored as samples are.

    Args:
        layout: Of the run.
        patient_id: A patient with samples.
        baseline: On the grid.

    Returns:
        The drawn ones that were kept first, with the maps of all, and, where there are any, those
        without a network.

    Raises:
        HemexpError: Samples were driven in several ways.
    """
    volumes = read_table(layout.sample_volumes(patient_id))
    indicator = _only_indicator(layout, patient_id, volumes)
    listed = [
        Listed(row.sample, _target(row.target_growth_ml), known_shift(row.midline_shift_mm))
        for row in volumes.itertuples()
    ]
    kept = volumes["kept"].to_numpy(bool)
    drawn = read_followups(layout, patient_id, volumes["sample"][kept])
    seen = [one for one, stays in zip(listed, kept, strict=True) if stays]
    found = {Source("hemexp", indicator): Series(seen, drawn, read_maps(layout, patient_id))}
    shells = read_shell_followups(layout, patient_id, baseline, volumes)
    if shells is not None:
        unmeasured = [one._replace(shift_mm=None) for one in listed]
        found[Source(SHELL_ALONE, indicator)] = Series(unmeasured, shells)
    return found


def _target(growth_ml: float) -> Score:
    if np.isnan(growth_ml):
        return Score(None, "a flag asks for no volume")
    return Score(float(growth_ml))


def _only_indicator(layout: Layout, patient_id: str, volumes: pd.DataFrame) -> str:
    found = sorted(set(volumes["indicator"]))
    if len(found) != 1:
        raise HemexpError(
            Fault(
                str(layout.sample_volumes(patient_id)),
                f"indicators {found}",
                "the same one for every sample",
                "Sample this patient again with one `sampling.indicator`.",
            )
        )
    return found[0]
