"""Verb `draw-true-what-if`: true growth and expansion maps of one baseline under other causes.

An onset time or an anticoagulant changes the phantom's p(expansion) and nothing else. So
follow-ups are drawn again without and with expansion, and every case is a mixture of the same two
maps: the draws of two cases do not differ by chance.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp.layout import Layout
from hemexp.phantom.model import Case, draw_case, expansion_probability, growth_mean_ml
from hemexp.phantom.redraw import redraw_followups
from hemexp.phantom.truth_map import Gridding, add_up, grid_to_baseline
from hemexp.provenance import write_sidecars
from hemexp.settings import Phantom
from hemexp.tables import write_table
from hemexp.volumes import Volume, read_volume, write_volume
from hemexp.what_if_cases import AS_IS, CASES, other_value


class Stratum(NamedTuple):
    """What becomes of a baseline that expands, or of one that does not.

    Attributes:
        chance: (x, y, z) probability of blood where the baseline had none.
        ivh_growth_ml: Mean on the grid.
    """

    chance: NDArray[np.float64]
    ivh_growth_ml: float


def changed_cases(case: Case, known: Mapping[str, float]) -> dict[str, Case]:
    """The patient as they are, and with each value of `CASES` changed.

    Args:
        case: The patient; as is, they have their own values even where the sheet has none.
        known: What the sheet says of the values (NaN: unknown), from which the change is chosen.
    """
    changed = {
        name: replace(case, **{column: other_value(name, known[column])})
        for name, column in CASES.items()
    }
    return {AS_IS: case, **changed}


def mix(strata: tuple[Stratum, Stratum], p_expansion: float) -> Stratum:
    """What becomes of a baseline that expands with a probability."""
    parts = zip(*strata, strict=True)
    return Stratum(*((1 - p_expansion) * stable + p_expansion * grown for stable, grown in parts))


def draw_strata(
    layout: Layout, patient_id: str, center: str, settings: Phantom, draws: int, gridding: Gridding
) -> tuple[Stratum, Stratum]:
    """Draws follow-ups without and with expansion; both halves share direction and head motion.

    Args:
        layout: Of the run; the patient's baseline must be on the grid.
        patient_id: A patient of the phantom.
        center: Letter of the centre.
        settings: The phantom's settings.
        draws: How many follow-ups, half of them with expansion.
        gridding: How the study brings masks onto the grid.
    """
    files = layout.grid(patient_id, "baseline")
    iph0, ivh0 = read_volume(files.iph), read_volume(files.ivh)
    to_baseline = grid_to_baseline(patient_id, center, settings, gridding.reference)
    stable = 1 - expansion_probability(draw_case(settings.seed, patient_id))
    half = max(1, draws // 2)

    def stratum(levels: tuple[float, float]) -> Stratum:
        redraws = redraw_followups(patient_id, center, half, settings, levels)
        seen = (
            gridding.resample(one.iph, one.ivh, iph0, one.motion @ to_baseline) for one in redraws
        )
        count, table = add_up(iph0, ivh0, seen)
        return Stratum(count / half, float(table["ivh_growth_ml"].mean()))

    return stratum((0.0, stable)), stratum((stable, 1.0))


def run_draw_true_what_if(
    layout: Layout, row: pd.Series, settings: Phantom, draws: int, gridding: Gridding
) -> None:
    """Writes what is true of a phantom patient as is and with one value changed.

    Columns of `sub-ID_what_if_truth.tsv`: case, onset_to_ct_h, anticoagulant, iph_growth_ml,
    ivh_growth_ml, p_expansion, map_ml (sum of the case's map, which is written beside it).

    Args:
        layout: Of the run; the patient's baseline must be on the grid.
        row: Of the sheet: patient_id, center, and the values that the cases change.
        settings: The phantom's settings.
        draws: How many follow-ups to draw.
        gridding: How the study brings masks onto the grid.
    """
    started, patient_id = time.perf_counter(), row["patient_id"]
    strata = draw_strata(layout, patient_id, row["center"], settings, draws, gridding)
    baseline = [layout.grid(patient_id, "baseline").iph, layout.grid(patient_id, "baseline").ivh]
    grid, rows, maps = read_volume(baseline[0]), [], []
    for name, case in changed_cases(draw_case(settings.seed, patient_id), row).items():
        p_expansion = expansion_probability(case)
        mixed = mix(strata, p_expansion)
        maps.append(_write_map(layout.true_what_if_map(patient_id, name), mixed, grid))
        rows.append(
            {
                "case": name,
                "onset_to_ct_h": case.onset_to_ct_h,
                "anticoagulant": case.anticoagulant,
                "iph_growth_ml": growth_mean_ml(case, settings.truth_draws),
                "ivh_growth_ml": mixed.ivh_growth_ml,
                "p_expansion": p_expansion,
                "map_ml": float(mixed.chance.sum()) * grid.voxel_ml,
            }
        )
    table = layout.true_what_if(patient_id)
    write_table(table, pd.DataFrame(rows))
    write_sidecars(
        [*maps, table],
        verb="draw-true-what-if",
        settings=settings.as_json(),
        inputs=baseline,
        started=started,
        seed=settings.seed,
        draws=draws,
    )


def _write_map(path: Path, stratum: Stratum, grid: Volume) -> Path:
    write_volume(path, stratum.chance, grid.affine, np.float32)
    return path
