"""Verb `draw-true-what-if`: true growth and expansion maps of one baseline under other causes.

An onset time or an anticoagulant changes the phantom's law of growth and nothing else. So
follow-ups are drawn again in strata of growth, and every case is a mixture of the same maps: the
draws of two cases do not differ by chance. Within a stratum the plain world's cases are alike; the
clinical world's differ by less than the stratum is wide.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hemexp.layout import Layout
from hemexp.phantom.model import Case, GrowthLaw, he_threshold_ml, mean_growth_ml
from hemexp.phantom.redraw import redraw_followups
from hemexp.phantom.truth_map import Gridding, add_up, grid_to_baseline
from hemexp.phantom.world import WORLDS
from hemexp.provenance import write_sidecars
from hemexp.settings import Phantom
from hemexp.tables import write_table
from hemexp.volumes import Volume, read_volume, write_volume
from hemexp.what_if_cases import AS_IS, CASES, other_value

LEVELS = (0.3, 0.6, 0.8, 0.92)
"""Quantiles of growth, as the patient is, between which strata lie; HE begins another."""


class Stratum(NamedTuple):
    """What becomes of a baseline that grows by so much.

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


def mix(strata: Sequence[Stratum], shares: NDArray[np.float64]) -> Stratum:
    """What becomes of a baseline whose growth lies in the strata with these probabilities."""
    parts = zip(*strata, strict=True)
    return Stratum(*(sum(p * one for p, one in zip(shares, part, strict=True)) for part in parts))


def strata_edges_ml(law: GrowthLaw, baseline_iph_ml: float) -> NDArray[np.float64]:
    """Growth in mL at which strata end."""
    return np.unique([*law.quantile(np.array(LEVELS)), he_threshold_ml(baseline_iph_ml)])


def shares_of(law: GrowthLaw, edges_ml: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability of every stratum between and beyond these edges."""
    return np.diff(law.below(edges_ml), prepend=0.0, append=1.0)


def draw_strata(
    layout: Layout,
    row: pd.Series,
    settings: Phantom,
    draws: int,
    gridding: Gridding,
    ends: NDArray[np.float64],
) -> list[Stratum]:
    """Draws follow-ups a stratum at a time; all strata share directions and head motions.

    Args:
        layout: Of the run; the patient's baseline must be on the grid.
        row: Of the sheet: patient_id and center.
        settings: The phantom's settings.
        draws: How many follow-ups, as many in each stratum.
        gridding: How the study brings masks onto the grid.
        ends: Levels of the patient's law of growth at which strata begin and end, from 0 to 1.
    """
    patient = row["patient_id"], row["center"]
    files = layout.grid(row["patient_id"], "baseline")
    iph0, ivh0 = read_volume(files.iph), read_volume(files.ivh)
    to_baseline = grid_to_baseline(*patient, settings, gridding.reference)
    each = max(1, draws // (len(ends) - 1))

    def stratum(levels: tuple[float, float]) -> Stratum:
        redraws = redraw_followups(*patient, each, settings, levels)
        seen = (
            gridding.resample(one.iph, one.ivh, iph0, one.motion @ to_baseline) for one in redraws
        )
        count, table = add_up(iph0, ivh0, seen)
        return Stratum(count / each, float(table["ivh_growth_ml"].mean()))

    return [stratum(levels) for levels in pairwise(ends.tolist())]


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
    world = WORLDS[settings.world]
    known = world.draw_case(settings.seed, patient_id, row["center"])
    law = world.law(known)
    edges_ml = strata_edges_ml(law, known.baseline_iph_ml)
    ends = np.concatenate([[0.0], law.below(edges_ml), [1.0]])
    strata = draw_strata(layout, row, settings, draws, gridding, ends)
    baseline = [layout.grid(patient_id, "baseline").iph, layout.grid(patient_id, "baseline").ivh]
    grid, rows, maps = read_volume(baseline[0]), [], []
    for name, case in changed_cases(known, row).items():
        law = world.law(case)
        mixed = mix(strata, shares_of(law, edges_ml))
        maps.append(_write_map(layout.true_what_if_map(patient_id, name), mixed, grid))
        rows.append(
            {
                "case": name,
                "onset_to_ct_h": case.onset_to_ct_h,
                "anticoagulant": case.anticoagulant,
                "iph_growth_ml": mean_growth_ml(law, settings.truth_draws),
                "ivh_growth_ml": mixed.ivh_growth_ml,
                "p_expansion": law.p_expansion,
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
